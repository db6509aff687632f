//! Rust from contracts, for build scripts: messages by prost, clients and servers by tonic, with a
//! compiler of contracts written in Rust, so that nobody has to install protoc.
//!
//! The servers differ from tonic's own in one call for each unary method: it goes through
//! `seawall-unary`, which whoever includes the code must depend on, beside `tonic`, `tonic-prost` and
//! `prost`. They are used, configured and implemented as tonic's.
//!
//! ```no_run
//! // build.rs
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     seawall_codegen::generate("proto".as_ref(), Some("contracts.rs"))
//! }
//! ```
//!
//! and in the crate `tonic::include_proto!("contracts");` and
//! `tonic::include_file_descriptor_set!("descriptors")`.
//!
//! # Structure
//! This file collects contracts and compiles them; `lean.rs` has unary methods go their own way.

mod lean;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Generates Rust into `OUT_DIR` from every `.proto` below `root`, which is where they import each other
/// from, beside `descriptors.bin`, all of them with their imports and comments as an encoded
/// `google.protobuf.FileDescriptorSet`. The code of a package is `package.rs`; `include_file` is the name of
/// a file that includes all packages as modules. Has cargo run the build script anew when a contract changes.
///
/// # Errors
/// If a contract cannot be read or is wrong, or `OUT_DIR` cannot be written.
pub fn generate(root: &Path, include_file: Option<&str>) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    // Encoded by the compiler itself: the types of prost have no place for our options.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let mut config = prost_build::Config::new();
    config.out_dir(out).service_generator(Box::new(lean::Generator::new(tonic_prost_build::configure())));
    if let Some(name) = include_file {
        config.include_file(name);
    }
    config.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// Adds every `.proto` below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
