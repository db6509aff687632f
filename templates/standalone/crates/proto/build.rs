//! Generates Rust from every contract under proto/.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    seawall_codegen::generate("../../proto".as_ref(), Some("contracts.rs"))
}
