//! The window under every interleaving of its writers and readers.
#![cfg(seawall_loom)]

use std::time::{Duration, Instant};

use loom::sync::Arc;
use loom::thread;
use seawall_window::Window;

const WIDTH: Duration = Duration::from_secs(1);

fn window(origin: Instant) -> Arc<Window<1>> {
    Arc::new(Window::try_new(WIDTH, 2, origin).unwrap())
}

/// Adds one event at each of the given ticks, each in a thread of its own.
fn add_at(window: &Arc<Window<1>>, origin: Instant, ticks: [u32; 2]) -> [thread::JoinHandle<()>; 2] {
    ticks.map(|tick| {
        let window = Arc::clone(window);
        thread::spawn(move || window.add(origin + WIDTH * tick, 0, 1))
    })
}

fn join(writers: [thread::JoinHandle<()>; 2]) {
    for writer in writers {
        writer.join().unwrap();
    }
}

#[test]
fn no_event_is_lost() {
    loom::model(|| {
        let origin = Instant::now();
        let window = window(origin);
        let writers = add_at(&window, origin, [0, 0]);
        window.add(origin, 0, 1);
        join(writers);
        assert_eq!(window.sum(origin), [3]);
    });
}

#[test]
fn a_lap_that_begins_in_two_threads_begins_once() {
    loom::model(|| {
        let origin = Instant::now();
        let window = window(origin);
        window.add(origin, 0, 5);
        // Ticks 0 and 2 share a bucket.
        let writers = add_at(&window, origin, [2, 2]);
        let seen = window.sum(origin + WIDTH * 2)[0];
        assert!(seen <= 2, "{seen} events in a lap that has at most 2");
        join(writers);
        assert_eq!(window.sum(origin + WIDTH * 2), [2]);
    });
}

#[test]
fn a_late_event_does_not_take_a_newer_bucket_back() {
    loom::model(|| {
        let origin = Instant::now();
        let window = window(origin);
        let writers = add_at(&window, origin, [0, 2]);
        join(writers);
        assert_eq!(window.sum(origin + WIDTH * 2), [1]);
    });
}
