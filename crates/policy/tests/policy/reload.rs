//! Real files that change while the policies are in use.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use seawall_policy::{Contract, Policies};
use seawall_proto::FILE_DESCRIPTOR_SET;
use tokio::time::sleep;
use tracing::subscriber::DefaultGuard;

const GET_USER: &str = "/seawall.user.v1.UserService/GetUser";
const GET_ORDER: &str = "/seawall.order.v1.OrderService/GetOrder";
const EVERY: Duration = Duration::from_secs(5);

struct Shop {
    policies: Policies,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Shop {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        std::fs::write(&file, text).unwrap();
        let contract = Contract::try_new(&[FILE_DESCRIPTOR_SET]).unwrap();
        let policies = Policies::try_new(contract, Some(file.clone())).unwrap();
        Self { policies, file, _folder: folder }
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
    }

    fn budget_ms(&self) -> u128 {
        self.policies.by_path(GET_USER).budget.unwrap().as_millis()
    }
}

fn budget(ms: u32) -> String {
    format!("[\"seawall.user.v1.UserService/GetUser\"]\nbudget = \"{ms}ms\"\n")
}

/// What is logged on this thread, one line an event.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn begin() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// What was logged since the last time.
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
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

#[test]
fn a_rate_that_replicas_share_is_refused_where_there_is_nothing_to_share_it_by_also_in_a_reload() {
    let shared = "[default]\nrate.per_second = 5\nrate.shared = true\n";
    let shop = Shop::new("");
    shop.policies.clone().refuse_shared_rates("needs redis.url").unwrap();
    shop.write(shared);
    let refused = shop.policies.reload().unwrap_err().to_string();
    assert!(refused.ends_with("policy.toml:3: [default] rate.shared = true: needs redis.url"), "{refused}");
    assert!(shop.policies.by_path(GET_USER).rate.is_none());
    shop.write("[default]\nrate.per_second = 5\n");
    assert!(!shop.policies.reload().unwrap().is_empty());

    let shop = Shop::new(shared);
    assert!(shop.policies.refuse_shared_rates("needs redis.url").is_err(), "it was there before");
    let shop = Shop::new(shared);
    shop.write(&format!("{shared}rate.burst = 7\n"));
    shop.policies.reload().expect("nobody has said that there is nothing to share it by");
}

#[test]
fn a_reload_tells_what_has_changed_and_leaves_the_rest_as_it_was() {
    let shop = Shop::new(&budget(300));
    let (user, order) = (shop.policies.by_path(GET_USER), shop.policies.by_path(GET_ORDER));
    let clone = shop.policies.clone();
    shop.write(&format!("{}retry.attempts_max = 2\n", budget(200)));
    let changed = clone.reload().unwrap();
    let expected = "budget 300ms → 200ms for seawall.user.v1.UserService/GetUser; \
                    retry.attempts_max 3 → 2 for seawall.user.v1.UserService/GetUser";
    assert_eq!(changed.to_string(), expected);
    assert_eq!(changed.iter().len(), 2);
    assert_eq!(shop.budget_ms(), 200);
    assert_eq!(user.budget, Some(Duration::from_millis(300)), "who holds the old one, keeps it");
    assert!(Arc::ptr_eq(&order, &shop.policies.by_path(GET_ORDER)), "nothing has changed for it");
    assert!(!Arc::ptr_eq(&user, &shop.policies.by_path(GET_USER)));
    assert!(shop.policies.reload().unwrap().is_empty());
    // A change for all methods is one change, and its line is bounded.
    shop.write("[default]\ncriticality = \"sheddable\"\n");
    let changed = shop.policies.reload().unwrap().to_string();
    assert!(changed.contains("criticality unset → sheddable for "), "{changed}");
    assert!(changed.len() < 1_000, "{changed}");
}

#[test]
fn a_setting_that_has_only_moved_is_shown_where_it_stands_now() {
    let shop = Shop::new(&budget(300));
    let user = shop.policies.by_path(GET_USER);
    let line = || shop.policies.snapshot().methods["seawall.user.v1.UserService/GetUser"]["budget"].from.clone();
    let before = line();
    shop.write(&format!("# Two lines\n# of comment.\n{}", budget(300)));
    assert!(shop.policies.reload().unwrap().is_empty());
    assert_ne!(line(), before);
    assert_eq!(shop.policies.snapshot().changes, 0);
    assert!(Arc::ptr_eq(&user, &shop.policies.by_path(GET_USER)), "nothing has changed for it");
}

#[test]
fn the_settings_in_force_are_shown_with_where_they_come_from() {
    let shop = Shop::new("");
    shop.write(&budget(200));
    shop.policies.reload().unwrap();
    let snapshot = shop.policies.snapshot();
    assert_eq!((snapshot.changes, snapshot.methods.len()), (1, 13));
    let get_user = &snapshot.methods["seawall.user.v1.UserService/GetUser"];
    assert_eq!(get_user["budget"].value, "200ms");
    assert_eq!(get_user["budget"].from, format!("{}:2", shop.file.display()));
    assert_eq!(get_user["retry.attempts_max"].value, "3");
    assert!(get_user["retry.attempts_max"].from.starts_with("seawall/user/v1/user.proto:"));
    assert!(snapshot.methods["other"].is_empty());
}

#[test]
fn a_bad_file_is_refused_as_a_whole() {
    let shop = Shop::new(&budget(300));
    let before = shop.policies.by_path(GET_USER);
    let generation = shop.policies.subscribe();
    shop.write(&format!("{}retry.attempts_max = 7\n[default]\nbudgte = \"1s\"\n", budget(200)));
    let mistakes = shop.policies.reload().unwrap_err();
    assert_eq!(mistakes.iter().len(), 2, "{mistakes}");
    assert!(Arc::ptr_eq(&before, &shop.policies.by_path(GET_USER)));
    assert!(!generation.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_watched_file_holds_soon_after_it_is_written() {
    let (log, _guard) = Log::begin();
    let shop = Shop::new(&budget(300));
    let mut generation = shop.policies.subscribe();
    let watch = tokio::spawn(shop.policies.clone().watch(EVERY));
    sleep(EVERY * 3).await;
    assert_eq!(log.take(), "", "nothing has changed");

    shop.write(&budget(200));
    generation.changed().await.unwrap();
    assert_eq!((*generation.borrow_and_update(), shop.budget_ms()), (1, 200));
    sleep(EVERY * 3).await;
    let logged = log.take();
    assert_eq!(logged.lines().count(), 1, "{logged}");
    assert!(logged.contains("budget 300ms → 200ms for seawall.user.v1.UserService/GetUser"), "{logged}");

    // The same in other words changes nothing, and is not worth a line.
    shop.write(&format!("# slower\n{}", budget(200)));
    sleep(EVERY * 3).await;
    assert_eq!((log.take().as_str(), generation.has_changed().unwrap()), ("", false));
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_half_written_is_refused_once_and_read_again_when_it_is_whole() {
    let (log, _guard) = Log::begin();
    let shop = Shop::new(&budget(300));
    let mut generation = shop.policies.subscribe();
    let watch = tokio::spawn(shop.policies.clone().watch(EVERY));
    let whole = budget(200);
    shop.write(&whole[..whole.len() - 5]);
    sleep(EVERY * 4).await;
    let logged = log.take();
    assert_eq!(logged.matches("the file is refused").count(), 1, "{logged}");
    assert!(logged.contains("policy.toml:2: "), "{logged}");
    assert_eq!(shop.budget_ms(), 300);

    shop.write(&whole);
    generation.changed().await.unwrap();
    assert_eq!(shop.budget_ms(), 200);
    // Bad, and then as it was.
    log.take();
    shop.write("[");
    sleep(EVERY * 2).await;
    shop.write(&whole);
    sleep(EVERY * 2).await;
    let logged = log.take();
    assert!(logged.contains("is good again, and changes nothing"), "{logged}");
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_gone_changes_nothing() {
    let (log, _guard) = Log::begin();
    let shop = Shop::new(&budget(300));
    let mut generation = shop.policies.subscribe();
    let watch = tokio::spawn(shop.policies.clone().watch(EVERY));
    sleep(EVERY).await;
    std::fs::remove_file(&shop.file).unwrap();
    sleep(EVERY * 4).await;
    let logged = log.take();
    assert_eq!(logged.matches("the file is refused").count(), 1, "{logged}");
    assert!(logged.contains("No such file"), "{logged}");
    assert_eq!(shop.budget_ms(), 300);

    shop.write(&budget(100));
    generation.changed().await.unwrap();
    assert_eq!(shop.budget_ms(), 100);
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn without_a_file_there_is_nothing_to_watch() {
    let contract = Contract::try_new(&[FILE_DESCRIPTOR_SET]).unwrap();
    let policies = Policies::try_new(contract, None).unwrap();
    policies.clone().watch(EVERY).await;
    assert!(policies.reload().unwrap().is_empty());
}

#[test]
fn the_settings_of_policies_are_read_and_checked() {
    let read = |toml: &str| {
        let mut reader = seawall_config::Reader::new(toml, "user.toml", [("", ""); 0]);
        let config = seawall_policy::Config::read(&mut reader.section("policy"));
        reader.finish().map(|()| config).map_err(|mistakes| mistakes.to_string())
    };
    let config = read("[policy]\nfile = 'policy.toml'\nreload_interval = '1s'").unwrap();
    assert_eq!((config.file, config.reload_interval), (Some("policy.toml".into()), Duration::from_secs(1)));
    assert_eq!(read("").unwrap().file, None);
    assert!(read("[policy]\nreload_interval = '1ms'").unwrap_err().contains("must be 100ms to 1h"));
}
