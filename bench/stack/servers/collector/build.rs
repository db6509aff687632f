//! Generates what is received.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(["otlp.proto", "metrics.proto", "logs.proto"], ["proto"])?;
    // Not copied out of what was received.
    tonic_prost_build::configure().bytes(".").build_client(false).compile_fds(descriptors)?;
    Ok(())
}
