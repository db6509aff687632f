//! Log lines on their way to standard output.
//!
//! Who logs adds a line to a buffer; one thread writes what has gathered there in [`GATHERED`], all at once.
//! So a call does not wait for a pipe or a disk, and a line costs a copy: were the thread woken for each, that
//! would cost as much as the call. A reader that is too slow costs lines, which are counted and told of, and
//! nothing else. Lines that have not been written are lost when the process is killed.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// What waits to be written: some thousands of lines.
const BYTES_MAX: usize = 1 << 20;

/// What is written without waiting for more.
const BYTES_MANY: usize = BYTES_MAX / 4;

/// How long a line waits for others to be written with.
const GATHERED: Duration = Duration::from_millis(5);

/// Takes lines. Clones take them to the same place.
#[derive(Debug, Clone)]
pub(crate) struct Lines(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write, or it is to be written now.
    filled: Condvar,
    /// All is written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    dropped: u64,
    is_writing: bool,
    /// Somebody waits until all is written.
    is_urgent: bool,
}

impl Lines {
    /// Starts the thread that writes to `out`.
    pub(crate) fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new().name("log".to_owned()).spawn(move || of_thread.write_all_to(out))?;
        Ok(Self(shared))
    }

    /// Adds a line, which ends with a line break.
    pub(crate) fn add(&self, line: &[u8]) {
        let mut waiting = self.0.lock();
        if waiting.bytes.len() + line.len() > BYTES_MAX {
            waiting.dropped += 1;
            return;
        }
        // What the thread waits for: that there is something, then that there is much.
        let before = waiting.bytes.len();
        waiting.bytes.extend_from_slice(line);
        let is_many = before < BYTES_MANY && waiting.bytes.len() >= BYTES_MANY;
        drop(waiting);
        if before == 0 || is_many {
            self.0.filled.notify_one();
        }
    }

    /// Waits until all is written, or the time is over. Blocks the thread.
    pub(crate) fn flush(&self, time: Duration) {
        let is_left = |waiting: &mut Waiting| !waiting.bytes.is_empty() || waiting.is_writing;
        let mut waiting = self.0.lock();
        waiting.is_urgent = true;
        self.0.filled.notify_one();
        drop(self.0.emptied.wait_timeout_while(waiting, time, is_left));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all_to(&self, mut out: impl Write) {
        let mut bytes = Vec::new();
        loop {
            let mut waiting = self.lock();
            waiting.is_writing = false;
            if waiting.bytes.is_empty() {
                self.emptied.notify_all();
            }
            let none = |waiting: &mut Waiting| waiting.bytes.is_empty();
            let waiting = self.filled.wait_while(waiting, none).unwrap_or_else(PoisonError::into_inner);
            let few = |waiting: &mut Waiting| waiting.bytes.len() < BYTES_MANY && !waiting.is_urgent;
            let gathered = self.filled.wait_timeout_while(waiting, GATHERED, few);
            let (mut waiting, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            waiting.is_urgent = false;
            std::mem::swap(&mut waiting.bytes, &mut bytes);
            let dropped = std::mem::take(&mut waiting.dropped);
            waiting.is_writing = true;
            drop(waiting);
            // Nobody could be told that nobody reads.
            let _ = out.write_all(&bytes);
            if dropped > 0 {
                let _ = writeln!(
                    out,
                    r#"{{"level":"WARN","message":"log lines were dropped: standard output is too slow","lines":{dropped}}}"#
                );
            }
            let _ = out.flush();
            bytes.clear();
        }
    }
}

/// One line, as the log of `tracing` writes it: at once.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Lines;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Writes as much as it is let.
    struct Slow {
        let_go: mpsc::Receiver<()>,
        written: Arc<Mutex<String>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.let_go.recv();
            self.written.lock().unwrap().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_slow_reader_costs_lines_and_is_told_how_many() {
        let (go, let_go) = mpsc::channel();
        let written = Arc::new(Mutex::new(String::new()));
        let lines = Lines::to(Slow { let_go, written: Arc::clone(&written) }).unwrap();
        let line = format!("{}\n", "x".repeat(1_023));
        // The thread may have taken the first ones already.
        let offered = 2 * BYTES_MAX / line.len() + 7;
        (0..offered).for_each(|_| lines.add(line.as_bytes()));
        drop(go);
        lines.flush(LONG);
        lines.add(b"the last one\n");
        lines.flush(LONG);
        let written = written.lock().unwrap();
        let kept = written.lines().filter(|written| written.len() == 1_023).count();
        let told: Vec<_> = written.lines().filter(|written| written.contains("dropped")).collect();
        assert!(kept >= BYTES_MAX / line.len(), "{kept}");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&format!("\"lines\":{}}}", offered - kept)), "{told:?} of {offered} with {kept} kept");
        assert!(written.ends_with("the last one\n"));
    }

    #[test]
    fn all_lines_arrive_whole() {
        let written = Arc::new(Mutex::new(String::new()));
        let (go, let_go) = mpsc::channel::<()>();
        drop(go);
        let lines = Lines::to(Slow { let_go, written: Arc::clone(&written) }).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let lines = &lines;
                scope.spawn(move || (0..500).for_each(|n| lines.add(format!("{thread} {n}\n").as_bytes())));
            }
        });
        lines.flush(LONG);
        let written = written.lock().unwrap();
        for thread in 0..4 {
            let mine = written.lines().filter_map(|line| line.strip_prefix(&format!("{thread} ")));
            assert!(mine.eq((0..500).map(|n| n.to_string())), "of thread {thread}");
        }
    }
}
