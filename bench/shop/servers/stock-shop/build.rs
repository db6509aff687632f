//! Generates the contracts as tonic's documentation has it, but with a compiler written in Rust.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../../../proto";
    println!("cargo::rerun-if-changed={root}");
    let descriptors = protox::compile(["seawall/order/v1/order.proto", "seawall/user/v1/user.proto"], [root])?;
    tonic_prost_build::configure().include_file("contracts.rs").compile_fds(descriptors)?;
    Ok(())
}
