//! Generates Rust from the contracts under proto/.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    seawall_codegen::generate("proto".as_ref(), None)
}
