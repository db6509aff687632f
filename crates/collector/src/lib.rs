//! An OTLP receiver that keeps spans on disk, bounded, and shows them as waterfalls.
