//! The interop client and server of Debian's ruby-grpc, which stands on the implementation in C.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::cases::Implementation;
use super::lab::Lab;
use super::process;
use super::table::Row;
use crate::tools::apt_install;

/// Both are in the package, and need the other, which it only recommends.
const PACKAGES: [&str; 2] = ["ruby-grpc", "ruby-googleauth"];

pub(super) async fn run(lab: &mut Lab) -> Result<Vec<Row>> {
    let (ruby, folder) = match install(lab).await {
        Ok(found) => found,
        Err(error) => return Ok(vec![Row::skipped("ruby-grpc", "all", format!("{error:#}"))]),
    };
    let implementation = Implementation {
        name: "ruby-grpc",
        environment: Vec::new(),
        client: vec![ruby.clone(), folder.join("client.rb")],
        server: vec![ruby, folder.join("server.rb")],
        tls: &[],
        lacks: &["special_status_message"],
        more: &[],
    };
    implementation.run(lab).await
}

/// Ruby, and the folder of the two programs.
async fn install(lab: &Lab) -> Result<(PathBuf, PathBuf)> {
    if let Ok(ruby) = lab.installer.debian("ruby", "ruby")
        && let Ok(folder) = folder(&ruby).await
    {
        return Ok((ruby, folder));
    }
    PACKAGES.into_iter().try_for_each(apt_install)?;
    let ruby = lab.installer.debian("ruby", "ruby")?;
    let folder = folder(&ruby).await?;
    Ok((ruby, folder))
}

async fn folder(ruby: &PathBuf) -> Result<PathBuf> {
    let script = "require 'googleauth'; puts Gem::Specification.find_by_name('grpc').gem_dir";
    let ended = process::run(Command::new(ruby).args(["-e", script])).await?;
    let folder = PathBuf::from(ended.output.trim()).join("src/ruby/pb/test");
    Some(folder).filter(|folder| folder.join("client.rb").is_file()).context("ruby-grpc has no interop client")
}
