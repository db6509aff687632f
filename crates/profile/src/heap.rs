//! The allocator of processes, and who holds the memory that it has given.
//!
//! mimalloc unless the feature `heap` is on: it is what the comparisons in `bench/` run on, and builds in
//! seconds. It does not know who asked for memory; jemalloc does, where it takes samples.

/// What gives memory to a process.
#[cfg(not(feature = "heap"))]
pub type Allocator = mimalloc::MiMalloc;
/// What gives memory to a process.
#[cfg(feature = "heap")]
pub type Allocator = tikv_jemallocator::Jemalloc;

/// What gives memory to a process; its `main.rs` makes it the global one.
#[cfg(not(feature = "heap"))]
pub const ALLOCATOR: Allocator = mimalloc::MiMalloc;
/// What gives memory to a process; its `main.rs` makes it the global one.
#[cfg(feature = "heap")]
pub const ALLOCATOR: Allocator = tikv_jemallocator::Jemalloc;

/// Why there is no profile of the heap.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeapError {
    /// The program is built without the feature `heap`.
    #[error("this program is built without heap profiles; it has them with --features seawall-server/heap")]
    NotBuilt,
    /// jemalloc was not told at its start that it will have to take samples.
    #[error(
        "jemalloc was started without prof:true, which .cargo/config.toml builds in and _RJEM_MALLOC_CONF overrides"
    )]
    NotPrepared,
    /// Another one is being written.
    #[error("another heap profile is being written, and there can be one at a time")]
    Busy,
    /// The samples cannot be read or written down.
    #[error("cannot write the profile")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The runtime ends.
    #[error("the process ends")]
    Ends(#[from] tokio::task::JoinError),
}

/// Begins to take samples, one in 512 KiB of memory that is given: what is held from before is in no profile.
/// Does nothing in a program that is built without the feature `heap`.
pub async fn sample_heap() {
    #[cfg(feature = "heap")]
    jemalloc_pprof::activate_jemalloc_profiling().await;
}

/// Who holds memory now, of what was given since [`sample_heap`]: a gzipped `perftools.profiles.Profile` with the
/// sample type `inuse_space` (bytes).
///
/// # Errors
/// [`HeapError::NotBuilt`] in programs without the feature `heap`, [`HeapError::Busy`] while another one is
/// written.
///
/// # Cancel safety
/// What has begun to be written is, and is then dropped.
#[cfg(feature = "heap")]
pub async fn heap() -> Result<Vec<u8>, HeapError> {
    let control = jemalloc_pprof::PROF_CTL.as_ref().ok_or(HeapError::NotPrepared)?;
    let mut control = std::sync::Arc::clone(control).try_lock_owned().map_err(|_| HeapError::Busy)?;
    let written = tokio::task::spawn_blocking(move || control.dump_pprof()).await?;
    written.map_err(|error| HeapError::Write(error.into()))
}

/// Who holds memory now: nobody knows without the feature `heap`.
///
/// # Errors
/// Always [`HeapError::NotBuilt`].
#[cfg(not(feature = "heap"))]
pub async fn heap() -> Result<Vec<u8>, HeapError> {
    Err(HeapError::NotBuilt)
}
