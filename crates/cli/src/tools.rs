//! Programs that tests, checks and examples need: found on the machine, or put into `.seawall/tools`.

use std::path::PathBuf;

/// What `go install` gets grpcurl from.
pub(crate) const GRPCURL: &str = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.8.9";

/// The program, if it is on PATH.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}
