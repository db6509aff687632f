//! Generates the contract as `crates/proto` does. Its folder has the options of policies by a link, because
//! contracts import each other from one root.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    seawall_codegen::generate("../../proto".as_ref(), None)
}
