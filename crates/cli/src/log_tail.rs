//! Reads the lines that a log grows by, over rotations.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::layout::Layout;

/// A place in a log up to which everything has been read.
#[derive(Debug)]
pub(crate) struct Tail {
    log: PathBuf,
    old_log: PathBuf,
    offset: u64,
    /// The beginning of a line whose end has not been written yet.
    partial: Vec<u8>,
}

impl Tail {
    /// Everything in the log is new.
    pub(crate) fn from_start(layout: &Layout, name: &str) -> Self {
        Self { log: layout.log(name), old_log: layout.old_log(name), offset: 0, partial: Vec::new() }
    }

    /// Only what is written from now on is new.
    pub(crate) fn from_end(layout: &Layout, name: &str) -> Self {
        let mut tail = Self::from_start(layout, name);
        tail.offset = tail.log.metadata().map_or(0, |log| log.len());
        tail
    }

    /// The whole lines that are new. A log that is not there yet has none.
    pub(crate) fn lines(&mut self) -> io::Result<Vec<String>> {
        let Ok(log) = self.log.metadata() else { return Ok(Vec::new()) };
        if log.len() < self.offset {
            // It was copied to the old log and emptied: the rest of what it was stands there.
            self.read(&self.old_log.clone())?;
            self.offset = 0;
        }
        self.read(&self.log.clone())?;
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }

    fn read(&mut self, path: &Path) -> io::Result<()> {
        let Ok(mut file) = File::open(path) else { return Ok(()) };
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.read_to_end(&mut self.partial)?;
        self.offset += u64::try_from(read).unwrap_or(u64::MAX);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_log_over_its_rotation() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path());
        layout.create().unwrap();
        let mut tail = Tail::from_start(&layout, "user");
        assert!(tail.lines().unwrap().is_empty(), "there is no log yet");
        std::fs::write(layout.log("user"), "one\ntw").unwrap();
        assert_eq!(tail.lines().unwrap(), ["one"]);
        std::fs::write(layout.log("user"), "one\ntwo\nthree\n").unwrap();
        std::fs::rename(layout.log("user"), layout.old_log("user")).unwrap();
        std::fs::write(layout.log("user"), "four\n").unwrap();
        assert_eq!(tail.lines().unwrap(), ["two", "three", "four"]);
        assert!(tail.lines().unwrap().is_empty());
    }
}
