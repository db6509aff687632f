//! The schema at start.

use std::time::Duration;

use futures_util::future::join_all;
use seawall_pool::{Migration, Sql};

use super::database::{Database, ITEMS, chain, count};

const TWO: &[Migration] =
    &[ITEMS[0], Migration { version: 2, name: "first item", sql: "INSERT INTO items (id) VALUES ('one');" }];
const CHANGED: &[Migration] =
    &[Migration { version: 1, name: "items", sql: "CREATE TABLE items (id TEXT PRIMARY KEY, changed BIGINT)" }];
const FAILING: &[Migration] = &[
    ITEMS[0],
    Migration {
        version: 2,
        name: "bad",
        sql: "INSERT INTO items (id) VALUES ('two');\nINSERT INTO nowhere VALUES (1);",
    },
];

pub(crate) async fn many_processes_may_start_at_once(database: Database) {
    let opening = (0..8).map(|_| {
        let config = database.config();
        tokio::spawn(async move { Sql::open(&config, TWO).await.map(drop) })
    });
    for opened in join_all(opening).await {
        opened.unwrap().unwrap();
    }
    let sql = Sql::open(&database.config(), TWO).await.unwrap();
    assert_eq!(count(&sql).await, 1, "each migration is applied once");
}

pub(crate) async fn a_changed_migration_is_named(database: Database) {
    drop(database.open().await);
    let error = Sql::open(&database.config(), CHANGED).await.unwrap_err();
    assert!(error.to_string().starts_with("the migration 1 \"items\" has been changed"), "{error}");
}

pub(crate) async fn a_newer_database_is_refused(database: Database) {
    drop(Sql::open(&database.config(), TWO).await.unwrap());
    let error = Sql::open(&database.config(), ITEMS).await.unwrap_err();
    assert!(error.to_string().contains("the migration 2 \"first item\""), "{error}");
    assert!(error.to_string().ends_with("the database is newer than the program"), "{error}");
}

pub(crate) async fn a_failing_migration_leaves_nothing(database: Database) {
    let error = Sql::open(&database.config(), FAILING).await.unwrap_err();
    assert_eq!(error.to_string(), "the migration 2 \"bad\" failed");
    assert!(chain(&error).contains("nowhere"), "{}", chain(&error));
    assert_eq!(count(&database.open().await).await, 0);
}

pub(crate) async fn who_does_not_migrate_waits_for_one_that_does(database: Database) {
    let config = database.config().without_migrating(Duration::from_secs(60));
    let waiting = tokio::spawn(async move { Sql::open(&config, TWO).await });
    // Half of it is not enough.
    drop(database.open().await);
    let impatient = database.config().without_migrating(Duration::from_millis(1));
    let error = Sql::open(&impatient, TWO).await.unwrap_err();
    assert!(chain(&error).ends_with("the migration 2 \"first item\" is missing"), "{}", chain(&error));
    assert!(!waiting.is_finished());
    drop(Sql::open(&database.config(), TWO).await.unwrap());
    assert_eq!(count(&waiting.await.unwrap().unwrap()).await, 1);
}

pub(crate) async fn who_does_not_migrate_leaves_an_empty_database_empty(database: Database) {
    let config = database.config().without_migrating(Duration::from_millis(1));
    let error = Sql::open(&config, TWO).await.unwrap_err();
    assert!(error.to_string().starts_with("no other process has brought the database up to date"), "{error}");
    // Whoever comes next finds no table of that name.
    assert_eq!(count(&database.open().await).await, 0);
}

pub(crate) async fn who_does_not_migrate_takes_a_newer_database_and_no_changed_one(database: Database) {
    drop(Sql::open(&database.config(), TWO).await.unwrap());
    let config = database.config().without_migrating(Duration::from_secs(60));
    assert_eq!(count(&Sql::open(&config, ITEMS).await.unwrap()).await, 1);
    let error = Sql::open(&config, CHANGED).await.unwrap_err();
    assert!(error.to_string().starts_with("the migration 1 \"items\" has been changed"), "{error}");
}
