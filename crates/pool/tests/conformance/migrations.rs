//! The schema at start.

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
