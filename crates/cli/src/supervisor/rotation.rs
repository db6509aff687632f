//! Keeps the log of a service from growing without end.
//!
//! A service writes to its log file itself, so that it can still write when `up` is gone. A log that
//! has grown too large is therefore copied and emptied rather than renamed; what a service writes in
//! the microseconds between the two is lost.

use std::fs::File;
use std::io;
use std::path::Path;

/// A log larger than this is rotated; one old log is kept.
pub(crate) const LOG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Opens a log so that whoever holds it goes on at its end also after it was emptied.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// Rotates the log if it is larger than `bytes_max`.
pub(crate) fn rotate(log: &Path, old_log: &Path, bytes_max: u64) -> io::Result<()> {
    if log.metadata()?.len() <= bytes_max {
        return Ok(());
    }
    let scratch = old_log.with_extension("new");
    let mut from = File::open(log)?;
    io::copy(&mut from, &mut File::create(&scratch)?)?;
    File::options().write(true).open(log)?.set_len(0)?;
    std::fs::rename(scratch, old_log)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_large_log_moves_aside_and_its_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (log, old) = (folder.path().join("user.log"), folder.path().join("user.log.1"));
        let mut writer = open(&log).unwrap();
        writer.write_all(b"first\n").unwrap();
        rotate(&log, &old, 6).unwrap();
        assert!(!old.exists(), "not larger than allowed");
        rotate(&log, &old, 5).unwrap();
        writer.write_all(b"second\n").unwrap();
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "first\n");
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "second\n");
    }
}
