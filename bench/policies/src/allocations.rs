//! The system's allocator, with a counter that can be switched on.

use std::alloc::{GlobalAlloc, Layout, System};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

fn note() {
    if IS_COUNTING.load(Ordering::Relaxed) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every method hands its arguments on to the system's allocator as they are.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is the same.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is the same.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Has the C library keep more freed blocks at hand than seven of each size, by starting the program
/// again: it reads that setting only then. A server frees a request before it makes the next one, so
/// there is always such a block; here requests are made by the hundred before they are sent, and in some
/// rounds freeing them would take longer than the layers do.
pub(crate) fn keep_blocks_at_hand() {
    const SETTING: &str = "GLIBC_TUNABLES";
    if std::env::var_os(SETTING).is_none() {
        let program = std::env::current_exe().expect("this program");
        let error = Command::new(program).env(SETTING, "glibc.malloc.tcache_count=2000").exec();
        panic!("it does not start again: {error}");
    }
}

/// How often `f` asks for memory. Nothing else may run meanwhile.
pub(crate) fn count(f: impl FnOnce()) -> u64 {
    COUNT.store(0, Ordering::Relaxed);
    IS_COUNTING.store(true, Ordering::Relaxed);
    f();
    IS_COUNTING.store(false, Ordering::Relaxed);
    COUNT.load(Ordering::Relaxed)
}
