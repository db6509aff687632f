//! A policy file that changes while clients and servers run.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::{Code, Status};
use tracing_subscriber::fmt::MakeWriter;

use crate::shop::{File, Shop, create, get, serve, serve_with, until, users};

const RELOAD: Duration = Duration::from_millis(5);

/// The log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_rate_limit_of_a_running_server_follows_its_file_and_a_bad_file_changes_nothing() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let file = File::new("");
    let policies = file.policies();
    let mut changes = policies.subscribe();
    let watching = tokio::spawn(policies.clone().watch(RELOAD));
    let server = serve_with(Shop::new(|_| async { Ok("served".to_owned()) }), &policies, None).await;
    let users = users("reload-rate", &[server.address], &crate::shop::policies("breaker.kind = \"off\""));
    for _ in 0..20 {
        create(users.clone()).await.unwrap();
    }

    // So slow that the second call is refused, however slow the machine is.
    let limited = "[\"seawall.user.v1.UserService/CreateUser\"]\nrate.per_second = 0.001\nrate.burst = 1\n";
    file.write(limited);
    changes.changed().await.unwrap();
    create(users.clone()).await.unwrap();
    assert_eq!(create(users.clone()).await.unwrap_err().code(), Code::ResourceExhausted);
    assert!(log.text().contains("policies have changed"), "{}", log.text());

    // One setting that would be good, and three mistakes.
    file.write(
        "breaker.knd = \"off\"\n\
         [\"seawall.user.v1.UserService/CreateUser\"]\nrate.per_second = 1000\nretry.attempts_max = 3\n\
         [\"seawall.user.v1.UserService/GetUser\"]\nretry.attempts_max = 9\n",
    );
    until("the file is refused", || log.text().contains("the file is refused")).await;
    let text = log.text();
    let refusal = text.split("the file is refused").nth(1).unwrap();
    for mistake in ["breaker.knd: unknown", "attempts_max = 9", "CreateUser"] {
        assert!(text.contains(mistake), "{mistake} is not told: {refusal}");
    }
    let reported: Vec<String> = policies.reload().unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(reported.len(), 3, "{reported:#?}");
    assert!(!changes.has_changed().unwrap());
    assert_eq!(create(users.clone()).await.unwrap_err().code(), Code::ResourceExhausted, "the old limit holds");

    file.write("");
    changes.changed().await.unwrap();
    for _ in 0..20 {
        create(users.clone()).await.unwrap();
    }
    watching.abort();
}

#[tokio::test]
async fn a_retry_of_a_running_client_follows_its_file() {
    let calls = Arc::new(Mutex::new(0));
    let count = Arc::clone(&calls);
    let server = serve(Shop::new(move |_| {
        *count.lock().unwrap() += 1;
        async { Err(Status::unavailable("not today")) }
    }))
    .await;
    let attempts = |attempts_max: u32| {
        format!(
            "breaker.kind = \"off\"\n\
             [\"seawall.user.v1.UserService/GetUser\"]\nretry.attempts_max = {attempts_max}\n"
        )
    };
    let file = File::new(&attempts(2));
    let policies = file.policies();
    let users = users("reload-retry", &[server.address], &policies);
    for expected in [2, 1, 3] {
        file.write(&attempts(expected));
        // Read at once rather than when the file is looked at next.
        policies.reload().unwrap();
        *calls.lock().unwrap() = 0;
        get(users.clone()).await.unwrap_err();
        assert_eq!(*calls.lock().unwrap(), expected);
    }
}
