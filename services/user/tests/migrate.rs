//! `--migrate`: one process brings the database up to date, for all those that are told to leave it alone.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The program with a database of its own, which it leaves alone unless it is told otherwise.
fn user(database: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_user"));
    command
        .env_clear()
        .env("SEAWALL_SQL_URL", format!("sqlite://{}", database.display()))
        .env("SEAWALL_SQL_MIGRATE", "false")
        .env("SEAWALL_SERVER_LISTEN", "127.0.0.1:0")
        .env("SEAWALL_SERVER_METRICS_LISTEN", "127.0.0.1:0");
    command
}

/// Waits for a line of the log, which goes on being read.
fn logs(child: &mut Child, expected: &str) -> bool {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let found = lines.by_ref().any(|line| line.contains(expected));
    std::thread::spawn(move || lines.for_each(drop));
    found
}

#[test]
fn a_process_that_is_to_leave_the_database_alone_waits_until_another_has_migrated_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("user.db");
    let mut waiting = user(&database).stdout(Stdio::piped()).spawn().unwrap();
    let waits = logs(&mut waiting, "waiting for another process");

    let migrated = user(&database).arg("--migrate").env("SEAWALL_SQL_MIGRATE", "true").output().unwrap();
    let said = String::from_utf8_lossy(&migrated.stdout);
    // It ends by itself, although nobody told it to stop.
    assert!(migrated.status.success() && said.contains("migration applied"), "{said}");
    assert!(!said.contains("listening"), "it serves nobody: {said}");

    let mut second = user(&database).stdout(Stdio::piped()).spawn().unwrap();
    let serves = logs(&mut second, "listening");
    for child in [&mut waiting, &mut second] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(waits && serves);
}

#[test]
fn whose_migrations_do_not_come_ends_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let ended = user(&folder.path().join("user.db")).env("SEAWALL_SQL_MIGRATE_TIMEOUT", "1ms").output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(said.contains("no other process has brought the database up to date within 1ms"), "{said}");
}

#[test]
fn who_is_told_to_stop_before_the_tables_are_there_has_not_migrated() {
    let folder = tempfile::tempdir().unwrap();
    // Another one is to do it, so that this one is still at it when it is told to stop.
    let mut migrating = user(&folder.path().join("user.db")).arg("--migrate").stdout(Stdio::piped()).spawn().unwrap();
    let waits = logs(&mut migrating, "waiting for another process");
    assert!(Command::new("kill").arg(migrating.id().to_string()).status().unwrap().success());
    let code = migrating.wait().unwrap().code();
    assert!(waits && code == Some(1), "a job would be taken for done: {code:?}");
}
