//! One suite for every engine, so that the embedded default cannot drift from production.
//!
//! Each function of the suite is given an empty database; `on_all!` makes a test of it for SQLite, one for
//! PostgreSQL and one for PostgreSQL by TLS.

mod conformance {
    pub(crate) mod bounds;
    pub(crate) mod database;
    pub(crate) mod migrations;
    pub(crate) mod statements;
    pub(crate) mod transactions;
}

use conformance::database::Database;
use conformance::{bounds, migrations, statements, transactions};

macro_rules! on_all {
    ($($module:ident::$test:ident),* $(,)?) => {
        mod sqlite {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $module::$test(Database::sqlite()).await;
            })*
        }
        on_server! { postgres: $($module::$test),* }
        on_server! { postgres_by_tls: $($module::$test),* }
    };
}

/// Where there is a server.
macro_rules! on_server {
    ($engine:ident: $($module:ident::$test:ident),*) => {
        mod $engine {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(database) = Database::$engine().await {
                    $module::$test(database).await;
                }
            })*
        }
    };
}

on_all! {
    statements::every_value_comes_back,
    statements::a_wrong_read_is_named,
    statements::parameters_are_known_by_number_not_by_place,
    statements::a_wrong_number_of_parameters_fails_and_harms_nothing,
    statements::a_unique_violation_is_known_and_tells_no_values,
    statements::rows_affected_are_counted,
    statements::returning_gives_rows,
    transactions::a_commit_is_seen_and_a_rollback_is_not,
    transactions::a_dropped_transaction_leaves_nothing,
    transactions::after_a_failure_only_a_rollback_is_left,
    transactions::parallel_writers_lose_nothing,
    bounds::a_dropped_statement_stops_at_the_database,
    bounds::a_statement_ends_with_the_deadline,
    bounds::a_statement_abandoned_in_a_transaction_undoes_it,
    bounds::an_exhausted_pool_says_so_in_time,
    bounds::a_checkout_ends_with_the_deadline,
    bounds::a_dropped_checkout_does_not_cost_a_connection,
    migrations::many_processes_may_start_at_once,
    migrations::a_changed_migration_is_named,
    migrations::a_newer_database_is_refused,
    migrations::a_failing_migration_leaves_nothing,
    migrations::who_does_not_migrate_waits_for_one_that_does,
    migrations::who_does_not_migrate_leaves_an_empty_database_empty,
    migrations::who_does_not_migrate_takes_a_newer_database_and_no_changed_one,
}

#[tokio::test]
async fn a_terminated_connection_is_replaced() {
    if let Some(database) = Database::postgres().await {
        bounds::a_terminated_connection_is_replaced(database).await;
    }
}

#[tokio::test]
async fn of_two_transactions_that_wait_for_each_other_one_may_be_repeated() {
    if let Some(database) = Database::postgres().await {
        transactions::of_two_that_wait_for_each_other_one_may_be_repeated(database).await;
    }
}
