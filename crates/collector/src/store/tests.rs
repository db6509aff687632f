//! The file of traces: what is written is read, within bounds, whatever happens to the file.

use std::process::Command;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::watch;

use super::disk::{Disk, Row};
use super::writer::Writer;
use super::{Bounds, Reader, Stats, Store};
use crate::make::{Log, batch, span, string};
use crate::trace::{Filter, Kind, Status};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn open(folder: &TempDir, bounds: Bounds) -> Store {
    Store::open(folder.path().join("deep/traces.db"), bounds).unwrap()
}

fn all(store: &Store) -> Vec<crate::TraceSummary> {
    store.recent(usize::MAX, &Filter::default()).unwrap()
}

#[tokio::test]
async fn a_trace_of_two_services_is_read_as_it_was_sent() {
    let folder = folder();
    let store = open(&folder, Bounds::default());
    let mut server = span(7, 2, Some(1), "user.User/Get", 120, 180);
    server.kind = 2;
    server.attributes = vec![string("rpc.grpc.status_code", "5"), string("user", "42")];
    server.status = Some(opentelemetry_proto::tonic::trace::v1::Status { code: 2, message: "gone".into() });
    server.events.push(opentelemetry_proto::tonic::trace::v1::span::Event {
        name: "looked".into(),
        time_unix_nano: 150,
        attributes: vec![string("where", "cache")],
        ..Default::default()
    });
    store.write(batch("user", vec![server])).unwrap();
    store.write(batch("order", vec![span(7, 1, None, "order.Order/Place", 100, 200)])).unwrap();
    store.flush().await;

    let summaries = all(&store);
    let [summary] = summaries.as_slice() else { panic!("{summaries:?}") };
    assert_eq!((summary.root_service.as_str(), summary.root_name.as_str()), ("order", "order.Order/Place"));
    assert_eq!((summary.start_ns, summary.duration_ns, summary.spans, summary.errors), (100, 100, 2, 1));
    assert_eq!(summary.services, ["order", "user"]);

    let trace = store.trace(&summary.trace_id).unwrap().unwrap();
    assert_eq!(trace.spans[0].parent_id, None);
    let server = &trace.spans[1];
    assert_eq!(server.parent_id.as_deref(), Some(trace.spans[0].span_id.as_str()));
    assert_eq!((server.code.as_str(), server.kind, server.status), ("NOT_FOUND", Kind::Server, Status::Error));
    assert_eq!((server.start_ns, server.duration_ns, server.attribute("user")), (120, 60, Some("42")));
    assert_eq!(
        serde_json::to_value(&server.events).unwrap(),
        serde_json::json!([
            {"name": "looked", "time_ns": 150, "attributes": {"where": "cache"}}
        ])
    );
}

#[tokio::test]
async fn a_span_that_is_sent_again_is_kept_once() {
    let folder = folder();
    let store = open(&folder, Bounds::default());
    for _ in 0..2 {
        store.write(batch("order", vec![span(1, 1, None, "a", 1, 2), span(1, 1, None, "a", 1, 2)])).unwrap();
    }
    store.flush().await;
    assert_eq!(all(&store)[0].spans, 1);
    assert_eq!(store.trace("01").unwrap().unwrap().spans.len(), 1);
}

#[tokio::test]
async fn lists_are_filtered_and_newest_first() {
    let folder = folder();
    let store = open(&folder, Bounds::default());
    let mut failed = span(2, 1, None, "b", 200, 900);
    failed.status = Some(opentelemetry_proto::tonic::trace::v1::Status { code: 2, ..Default::default() });
    store.write(batch("order", vec![span(3, 1, None, "c", 300, 310), span(1, 1, None, "a", 100, 150)])).unwrap();
    store.write(batch("user", vec![failed])).unwrap();
    store.flush().await;

    let names = |limit, filter: Filter| -> Vec<String> {
        store.recent(limit, &filter).unwrap().into_iter().map(|summary| summary.root_name).collect()
    };
    assert_eq!(names(9, Filter::default()), ["c", "b", "a"]);
    assert_eq!(names(2, Filter::default()), ["c", "b"]);
    assert_eq!(names(9, Filter { service: Some("order".into()), ..Filter::default() }), ["c", "a"]);
    assert_eq!(names(9, Filter { errors_only: true, ..Filter::default() }), ["b"]);
    let duration_min = Some(std::time::Duration::from_nanos(50));
    assert_eq!(names(9, Filter { duration_min, ..Filter::default() }), ["b", "a"]);
}

#[tokio::test]
async fn a_prefix_finds_its_trace_or_lists_the_candidates() {
    let folder = folder();
    let store = open(&folder, Bounds::default());
    let spans = [0x10, 0x1f, 0x20].map(|trace| span(trace, 1, None, "x", 1, 2));
    store.write(batch("order", spans.to_vec())).unwrap();
    store.flush().await;

    assert_eq!(store.trace("1F").unwrap().unwrap().trace_id, "1f".repeat(16));
    assert_eq!(store.trace("2").unwrap().unwrap().trace_id, "20".repeat(16));
    assert_eq!(store.trace("3").unwrap(), None);
    let error = store.trace("1").unwrap_err();
    assert_eq!(error.candidates().unwrap(), ["10".repeat(16), "1f".repeat(16)]);
    for wrong in ["", "xyz", "+1", "é", &"1".repeat(33)] {
        let error = store.trace(wrong).unwrap_err();
        assert_eq!(error.to_string(), format!("\"{wrong}\" is not a trace id: 1 to 32 hexadecimal digits"));
    }
}

#[tokio::test]
async fn spans_outlive_a_restart_and_are_on_disk_when_the_store_is_dropped() {
    let folder = folder();
    let store = open(&folder, Bounds::default());
    store.write(batch("order", vec![span(1, 1, None, "kept", 1, 2)])).unwrap();
    drop(store);
    let store = open(&folder, Bounds::default());
    assert_eq!(all(&store)[0].root_name, "kept");
}

#[tokio::test]
async fn the_oldest_traces_make_room_for_spans() {
    let folder = folder();
    let bounds = Bounds { spans_max: 100, ..Bounds::default() };
    let store = open(&folder, bounds);
    for trace in 1..=60 {
        // A later trace starts earlier by its clock: arrival counts, not what a sender claims.
        let start_ns = 1_000 - u64::from(trace);
        let spans = (1..=3).map(|id| span(trace, id, None, "x", start_ns, 2_000)).collect();
        store.write(batch("order", spans)).unwrap();
        store.flush().await;
        assert!(all(&store).iter().map(|summary| summary.spans).sum::<u64>() <= 100);
    }
    let left = all(&store);
    assert!(left.len() >= 30, "more was deleted than had to be: {}", left.len());
    assert_eq!(left[0].trace_id, format!("{:02x}", 61 - left.len()).repeat(16));
    let stats = *store.stats().borrow();
    assert_eq!(stats.evicted + left.len() as u64 * 3, 180);

    // A restart with less room applies it at the next batch.
    drop(store);
    let store = open(&folder, Bounds { spans_max: 10, ..bounds });
    store.write(batch("order", vec![span(99, 1, None, "x", 1, 2)])).unwrap();
    store.flush().await;
    assert!(all(&store).iter().map(|summary| summary.spans).sum::<u64>() <= 10);
}

#[tokio::test]
async fn the_file_stays_within_its_bytes() {
    let folder = folder();
    let bounds = Bounds { bytes_max: 2 * 1024 * 1024, ..Bounds::default() };
    let store = open(&folder, bounds);
    let large = "x".repeat(10_000);
    for trace in 1..=250_u8 {
        let mut spans: Vec<_> = (1..=4).map(|id| span(trace, id, None, "x", 1, 2)).collect();
        for span in &mut spans {
            span.attributes.push(string("large", &large));
        }
        store.write(batch("order", spans)).unwrap();
    }
    store.flush().await;
    assert!(store.stats().borrow().evicted > 500);
    assert!(all(&store).len() > 30);
    let path = store.path().to_owned();
    let size = |suffix: &str| std::fs::metadata(format!("{}{suffix}", path.display())).map_or(0, |file| file.len());
    let wal_bytes = size("-wal");
    assert!(wal_bytes < 8 * 1024 * 1024, "{wal_bytes}");
    drop(store);
    assert!(size("") <= bounds.bytes_max, "{}", size(""));

    // With a smaller bound the file itself gets smaller.
    let store = Store::open(&path, Bounds { bytes_max: 512 * 1024, ..bounds }).unwrap();
    store.write(batch("order", vec![span(255, 1, None, "x", 1, 2)])).unwrap();
    drop(store);
    assert!(size("") <= 512 * 1024, "{}", size(""));
}

#[tokio::test]
async fn a_trace_larger_than_the_bounds_ends() {
    let folder = folder();
    let store = open(&folder, Bounds { spans_max: 10, ..Bounds::default() });
    store.write(batch("order", (1..=50).map(|id| span(1, id, None, "x", 1, 2)).collect())).unwrap();
    store.flush().await;
    assert_eq!(all(&store), []);
    assert_eq!(store.stats().borrow().evicted, 50);
}

/// What another process would do, with the environment as its arguments.
const READ_IN_CHILD: &str = "READ_TRACES_OF";

#[test]
fn read_in_child() {
    if let Some(path) = std::env::var_os(READ_IN_CHILD) {
        let names: Vec<_> = Reader::open(path)
            .unwrap()
            .recent(9, &Filter::default())
            .unwrap()
            .into_iter()
            .map(|s| s.root_name)
            .collect();
        println!("names: {names:?}");
    }
}

#[tokio::test]
async fn another_process_reads_while_the_store_writes() {
    let folder = folder();
    let store = open(&folder, Bounds::default());
    store.write(batch("order", vec![span(1, 1, None, "first", 1, 2)])).unwrap();
    store.flush().await;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::read_in_child", "--nocapture"])
        .env(READ_IN_CHILD, store.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("names: [\"first\"]"), "{text}");
    store.write(batch("order", vec![span(2, 1, None, "second", 3, 4)])).unwrap();
    store.flush().await;
    assert_eq!(all(&store).len(), 2, "the reader must not have disturbed the writer");
}

#[tokio::test]
async fn a_long_read_does_not_hold_up_the_writer() {
    let folder = folder();
    let store = open(&folder, Bounds::default());
    store.write(batch("order", vec![span(1, 1, None, "x", 1, 2)])).unwrap();
    store.flush().await;
    let reader = Connection::open(store.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM spans").unwrap();
    store.write(batch("order", vec![span(2, 1, None, "x", 1, 2)])).unwrap();
    store.flush().await;
    assert_eq!(all(&store).len(), 2);
    assert_eq!(store.stats().borrow().dropped, 0);
}

#[test]
fn a_file_that_is_not_there_is_empty_and_not_created() {
    let folder = folder();
    let path = folder.path().join("none.db");
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.recent(9, &Filter::default()).unwrap(), []);
    assert_eq!(reader.trace("ab").unwrap(), None);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_corrupt_file_is_moved_aside() {
    let folder = folder();
    let path = folder.path().join("traces.db");
    std::fs::write(&path, "by no means a database, but long enough to be looked at ".repeat(100)).unwrap();
    assert!(Reader::open(&path).is_err());
    let store = Store::open(&path, Bounds::default()).unwrap();
    store.write(batch("order", vec![span(1, 1, None, "x", 1, 2)])).unwrap();
    store.flush().await;
    assert_eq!(all(&store).len(), 1);
    let kept = std::fs::read_to_string(folder.path().join("traces.db.corrupt")).unwrap();
    assert!(kept.starts_with("by no means"));
}

#[tokio::test]
async fn a_file_that_breaks_later_is_moved_aside_and_the_batch_kept() {
    let folder = folder();
    let path = folder.path().join("traces.db");
    drop(Store::open(&path, Bounds::default()).unwrap());
    // Opening the file reads the list of traces, which is good; only inserting finds the rest broken.
    let connection = Connection::open(&path).unwrap();
    let query = "SELECT (rootpage - 1) * 4096 FROM sqlite_master WHERE name = 'spans'";
    let spans_at: usize = connection.query_row(query, [], |row| row.get::<_, i64>(0)).unwrap().try_into().unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[spans_at..spans_at + 4096].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let store = Store::open(&path, Bounds::default()).unwrap();
    store.write(batch("order", vec![span(1, 1, None, "x", 1, 2)])).unwrap();
    store.flush().await;
    assert_eq!(all(&store).len(), 1);
    assert_eq!(store.stats().borrow().dropped, 0);
    assert!(folder.path().join("traces.db.corrupt").exists());
}

#[test]
fn a_database_of_something_else_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("orders.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (7)")
        .unwrap();
    let error = Store::open(&path, Bounds::default()).unwrap_err();
    assert_eq!(error.to_string(), format!("{} is a database of something else, and is left alone", path.display()));
    assert!(Reader::open(&path).is_err());
    let id: i64 = Connection::open(&path).unwrap().query_row("SELECT id FROM orders", [], |row| row.get(0)).unwrap();
    assert_eq!(id, 7);
}

#[tokio::test]
async fn a_locked_file_costs_spans_and_nothing_else() {
    let folder = folder();
    let store = open(&folder, Bounds::default());
    let locker = Connection::open(store.path()).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.write(batch("order", vec![span(1, 1, None, "lost", 1, 2)])).unwrap();
    store.flush().await;
    assert_eq!(store.stats().borrow().dropped, 1);
    locker.execute_batch("ROLLBACK").unwrap();
    store.write(batch("order", vec![span(2, 1, None, "kept", 1, 2)])).unwrap();
    store.flush().await;
    assert_eq!(all(&store)[0].root_name, "kept");
    assert_eq!(store.stats().borrow().written, 1);
}

#[test]
fn a_bad_spell_has_two_lines_in_the_log() {
    let folder = folder();
    let path = folder.path().join("traces.db");
    let log = Log::capture();
    let stats = watch::Sender::new(Stats::default());
    let mut writer = Writer::try_new(&path, Bounds::default(), stats, Arc::default()).unwrap();
    let locker = Connection::open(&path).unwrap();
    locker.execute_batch("BEGIN IMMEDIATE").unwrap();
    for id in 1..=2 {
        writer.write(Row::all(batch("order", vec![span(1, id, None, "lost", 1, 2)])));
    }
    locker.execute_batch("ROLLBACK").unwrap();
    for id in 3..=4 {
        writer.write(Row::all(batch("order", vec![span(1, id, None, "kept", 1, 2)])));
    }
    let lines = log.lines(&path.display().to_string());
    let [begin, end] = lines.as_slice() else { panic!("{lines:#?}") };
    assert!(begin.contains("ERROR") && begin.contains("not being kept") && begin.contains("locked"), "{begin}");
    assert!(end.contains("being kept again") && end.contains("dropped=2"), "{end}");
}

#[tokio::test]
async fn a_deleted_file_is_made_again() {
    let folder = folder();
    let store = open(&folder, Bounds::default());
    std::fs::remove_dir_all(store.path().parent().unwrap()).unwrap();
    store.write(batch("order", vec![span(1, 1, None, "x", 1, 2)])).unwrap();
    store.flush().await;
    assert_eq!(all(&store).len(), 1);
}

#[test]
fn a_full_disk_keeps_all_or_nothing_of_a_batch() {
    let folder = folder();
    let mut disk = Disk::open(&folder.path().join("traces.db"), Bounds::default()).unwrap();
    let mut row = span(1, 1, None, "small", 1, 2);
    disk.insert(&Row::all(batch("order", vec![row.clone()]))).unwrap();
    // SQLite answers with the same code as for a disk without room.
    let pages: i64 = disk.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    disk.connection.pragma_update(None, "max_page_count", pages + 1).unwrap();
    row.span_id = vec![2; 8];
    row.attributes.push(string("large", &"x".repeat(100_000)));
    let error = disk.insert(&Row::all(batch("order", vec![span(2, 3, None, "y", 1, 2), row]))).unwrap_err();
    assert!(crate::error::chain(&error).contains("full"), "{}", crate::error::chain(&error));
    let count: i64 = disk.connection.query_row("SELECT count(*) FROM spans", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
    disk.connection.pragma_update(None, "max_page_count", 1_000_000).unwrap();
    disk.insert(&Row::all(batch("order", vec![span(3, 3, None, "z", 1, 2)]))).unwrap();
}

#[tokio::test]
async fn a_full_queue_refuses_and_counts() {
    let folder = folder();
    let store = open(&folder, Bounds::default());
    let mut huge = span(1, 1, None, "x", 1, 2);
    huge.attributes.push(string("huge", &"x".repeat(super::QUEUE_BYTES_MAX)));
    assert!(store.write(batch("order", vec![huge])).is_err());
    assert_eq!(store.stats().borrow().dropped, 1);
}
