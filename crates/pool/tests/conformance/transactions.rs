//! What a transaction leaves behind.

use futures_util::future::join_all;

use super::database::{Database, count};

const INSERT: &str = "INSERT INTO items (id, n) VALUES ($1, $2)";

pub(crate) async fn a_commit_is_seen_and_a_rollback_is_not(database: Database) {
    let sql = database.open().await;
    let mut transaction = sql.begin().await.unwrap();
    transaction.execute(INSERT, &["a".into(), 1.into()]).await.unwrap();
    assert_eq!(count(&sql).await, 0, "nobody else sees it yet");
    transaction.commit().await.unwrap();
    assert_eq!(count(&sql).await, 1);
    let mut transaction = sql.begin().await.unwrap();
    transaction.execute(INSERT, &["b".into(), 1.into()]).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(count(&sql).await, 1);
}

pub(crate) async fn a_dropped_transaction_leaves_nothing(database: Database) {
    let sql = seawall_pool::Sql::open(&database.config().with_size_max(1), super::database::ITEMS).await.unwrap();
    for _ in 0..20 {
        let mut transaction = sql.begin().await.unwrap();
        transaction.execute(INSERT, &["a".into(), 1.into()]).await.unwrap();
        drop(transaction);
        // The pool has one connection, so this one is that of the transaction.
        assert_eq!(count(&sql).await, 0);
    }
    assert_eq!(sql.execute(INSERT, &["a".into(), 1.into()]).await.unwrap(), 1);
    assert_eq!(count(&sql).await, 1);
}

pub(crate) async fn after_a_failure_only_a_rollback_is_left(database: Database) {
    let sql = database.open().await;
    let mut transaction = sql.begin().await.unwrap();
    transaction.execute(INSERT, &["a".into(), 1.into()]).await.unwrap();
    assert!(transaction.execute(INSERT, &["a".into(), 1.into()]).await.unwrap_err().unique_violation());
    let text = "an earlier statement of this transaction failed; it can only be rolled back";
    assert_eq!(transaction.query("SELECT 1", &[]).await.unwrap_err().to_string(), text);
    assert_eq!(transaction.commit().await.unwrap_err().to_string(), text);
    assert_eq!(count(&sql).await, 0);
}

pub(crate) async fn parallel_writers_lose_nothing(database: Database) {
    const WRITERS: i64 = 16;
    const ROUNDS: i64 = 10;
    let sql = database.open().await;
    // Two pools, as two processes would have.
    let other = database.open().await;
    sql.execute(INSERT, &["sum".into(), 0.into()]).await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let sql = if writer % 2 == 0 { sql.clone() } else { other.clone() };
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                let mut transaction = sql.begin().await.unwrap();
                let add = "UPDATE items SET n = n + 1 WHERE id = $1";
                assert_eq!(transaction.execute(add, &["sum".into()]).await.unwrap(), 1);
                transaction.execute(INSERT, &[format!("{writer}.{round}").into(), 1.into()]).await.unwrap();
                transaction.commit().await.unwrap();
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    assert_eq!(count(&sql).await, WRITERS * ROUNDS + 1);
    let row = sql.query_opt("SELECT n FROM items WHERE id = $1", &["sum".into()]).await.unwrap().unwrap();
    assert_eq!(row.get::<i64>("n").unwrap(), WRITERS * ROUNDS);
}

/// PostgreSQL ends one of them; the other goes on. SQLite has one writer, so it cannot come to this.
pub(crate) async fn of_two_that_wait_for_each_other_one_may_be_repeated(database: Database) {
    const ADD: &str = "UPDATE items SET n = n + 1 WHERE id = $1";
    let sql = database.open().await;
    for id in ["a", "b"] {
        sql.execute(INSERT, &[id.into(), 0.into()]).await.unwrap();
    }
    let (mut one, mut two) = (sql.begin().await.unwrap(), sql.begin().await.unwrap());
    one.execute(ADD, &["a".into()]).await.unwrap();
    two.execute(ADD, &["b".into()]).await.unwrap();
    // The one that PostgreSQL picks has its locks until it is rolled back, so each ends by itself.
    let ends = async |mut transaction: seawall_pool::Transaction<'_>, other: &str| {
        transaction.execute(ADD, &[other.into()]).await?;
        transaction.commit().await
    };
    let (one, two) = tokio::join!(ends(one, "b"), ends(two, "a"));
    let error = seawall_error::Error::from(one.err().xor(two.err()).expect("exactly one of them fails"));
    assert_eq!((error.code(), error.reason()), (seawall_error::Code::Unavailable, "DATABASE_BUSY"));
}
