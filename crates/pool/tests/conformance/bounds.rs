//! Deadlines, cancellation, and a pool with nothing left to give.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use seawall_deadline::Deadline;
use seawall_pool::{Backend, Sql};

use super::database::{Database, ITEMS, count};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);
/// Runs for minutes on either engine, unless it is stopped. The marker finds it at the server.
const ENDLESS: &str = "WITH RECURSIVE endless(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM endless \
    WHERE i < 100000000000) SELECT count(*) AS n FROM endless";

async fn single(database: &Database) -> Sql {
    Sql::open(&database.config().with_size_max(1).with_checkout_timeout(LONG), ITEMS).await.unwrap()
}

/// Waits until the server runs no endless statement.
async fn stopped(database: &Database) -> bool {
    let observer = database.open().await;
    if observer.backend() == Backend::Sqlite {
        // The connection has one thread; that another statement gets an answer shows that it is free.
        return true;
    }
    let running = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() \
        AND state = 'active' AND query LIKE 'WITH RECURSIVE endless%'";
    // Well before the server would notice by itself that its client is gone.
    for _ in 0..100 {
        let row = observer.query_opt(running, &[]).await.unwrap().unwrap();
        if row.get::<i64>("n").unwrap() == 0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}

async fn started(database: &Database) {
    let observer = database.open().await;
    if observer.backend() == Backend::Sqlite {
        return;
    }
    let running = "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() \
        AND state = 'active' AND query LIKE 'WITH RECURSIVE endless%'";
    for _ in 0..100 {
        let row = observer.query_opt(running, &[]).await.unwrap().unwrap();
        if row.get::<i64>("n").unwrap() == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the statement does not run");
}

pub(crate) async fn a_dropped_statement_stops_at_the_database(database: Database) {
    let sql = single(&database).await;
    for _ in 0..3 {
        let mut endless = Box::pin(sql.query(ENDLESS, &[]));
        tokio::select! {
            result = &mut endless => panic!("the statement ended: {result:?}"),
            () = started(&database) => {}
        }
        drop(endless);
        // With one connection, this answers only if the statement has stopped.
        tokio::time::timeout(Duration::from_secs(10), sql.ping()).await.unwrap().unwrap();
        assert!(stopped(&database).await, "it still runs at the server");
    }
    // Stopped before its first step.
    for _ in 0..50 {
        assert!(sql.query(ENDLESS, &[]).now_or_never().is_none());
    }
    tokio::time::timeout(Duration::from_secs(10), sql.ping()).await.unwrap().unwrap();
    assert!(stopped(&database).await, "it still runs at the server");
}

pub(crate) async fn a_statement_ends_with_the_deadline(database: Database) {
    let sql = single(&database).await;
    let begun = Instant::now();
    let error = Deadline::after(SHORT).scope(sql.query(ENDLESS, &[])).await.unwrap_err();
    assert!(error.deadline_exceeded(), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(seawall_error::Error::from(error).code(), seawall_error::Code::DeadlineExceeded);
    tokio::time::timeout(Duration::from_secs(10), sql.ping()).await.unwrap().unwrap();
    assert!(stopped(&database).await, "it still runs at the server");
    let passed = Deadline::after(Duration::ZERO).scope(sql.execute("DELETE FROM items", &[])).await;
    assert!(passed.unwrap_err().deadline_exceeded());
}

pub(crate) async fn a_statement_abandoned_in_a_transaction_undoes_it(database: Database) {
    let sql = single(&database).await;
    let mut transaction = sql.begin().await.unwrap();
    transaction.execute("INSERT INTO items (id) VALUES ($1)", &["a".into()]).await.unwrap();
    assert!(tokio::time::timeout(SHORT, transaction.query(ENDLESS, &[])).await.is_err());
    let after = transaction.query("SELECT 1", &[]).await.unwrap_err();
    assert_eq!(after.to_string(), "an earlier statement on this connection was abandoned");
    transaction.commit().await.unwrap_err();
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), count(&sql)).await.unwrap(), 0);
    assert!(stopped(&database).await, "it still runs at the server");
}

pub(crate) async fn an_exhausted_pool_says_so_in_time(database: Database) {
    let config = database.config().with_size_max(2).with_checkout_timeout(SHORT);
    let sql = Sql::open(&config, ITEMS).await.unwrap();
    let held = (sql.connection().await.unwrap(), sql.connection().await.unwrap());
    let begun = Instant::now();
    let error = sql.connection().await.unwrap_err();
    assert!(error.pool_exhausted(), "{error:?}");
    assert!(begun.elapsed() >= SHORT && begun.elapsed() < Duration::from_secs(5));
    assert_eq!(error.to_string(), "all 2 connections to the database stayed in use for 200ms");
    let outward = seawall_error::Error::from(error);
    assert_eq!((outward.code(), outward.reason()), (seawall_error::Code::ResourceExhausted, "POOL_EXHAUSTED"));
    drop(held);
    sql.ping().await.unwrap();
}

pub(crate) async fn a_checkout_ends_with_the_deadline(database: Database) {
    let sql = single(&database).await;
    let held = sql.connection().await.unwrap();
    let begun = Instant::now();
    let error = Deadline::after(SHORT).scope(sql.connection()).await.unwrap_err();
    assert!(error.deadline_exceeded(), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(held);
    sql.ping().await.unwrap();
}

pub(crate) async fn a_dropped_checkout_does_not_cost_a_connection(database: Database) {
    let sql = single(&database).await;
    for _ in 0..20 {
        let held = sql.connection().await.unwrap();
        let mut waiting = Box::pin(sql.begin());
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        drop(waiting);
    }
    tokio::time::timeout(Duration::from_secs(10), sql.ping()).await.unwrap().unwrap();
}

pub(crate) async fn a_terminated_connection_is_replaced(database: Database) {
    let (sql, other) = (single(&database).await, database.open().await);
    let row = sql.query_opt("SELECT CAST(pg_backend_pid() AS BIGINT) AS pid", &[]).await.unwrap().unwrap();
    let pid: i64 = row.get("pid").unwrap();
    let mut connection = sql.connection().await.unwrap();
    let terminate = "SELECT pg_terminate_backend(CAST($1 AS INTEGER), 5000) AS done";
    let row = other.query_opt(terminate, &[pid.into()]).await.unwrap().unwrap();
    assert_eq!(row.get::<i64>("done").unwrap(), 1);
    let error = connection.query("SELECT 1", &[]).await.unwrap_err();
    assert!(error.unreachable_database(), "{error:?}");
    assert_eq!(seawall_error::Error::from(error).reason(), "DATABASE_UNAVAILABLE");
    drop(connection);
    sql.ping().await.unwrap();
}
