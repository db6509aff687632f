//! What somebody is told whose file is wrong: everything at once, each with its line and a way out.

use seawall_policy::{Contract, Mistakes, Policies};
use seawall_proto::FILE_DESCRIPTOR_SET;

fn policies(text: &str) -> Result<Policies, Mistakes> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    std::fs::write(&file, text).unwrap();
    Policies::try_new(Contract::try_new(&[FILE_DESCRIPTOR_SET]).unwrap(), Some(file))
}

/// The mistakes, without the folder of the file.
fn mistakes(text: &str) -> Vec<String> {
    let mistakes = policies(text).expect_err("the file is wrong");
    let short = |mistake: String| match mistake.split_once("policy.toml") {
        Some((_, rest)) => format!("policy.toml{rest}"),
        None => mistake,
    };
    mistakes.iter().map(ToString::to_string).map(short).collect()
}

#[test]
fn all_mistakes_are_told_at_once_with_their_lines() {
    let text = r#"
budget = "1s"

[default]
breaker.kind = "treble"
rate.per_second = "many"

["seawall.user.v1.UserService"]
bugdet = "750ms"
retry = { codes = ["GONE"] }

["seawall.user.v1.UserService/GetUsr"]
budget = "1s"

["seawall.user.v1.UserService/GetUser"]
budget = 500
retry.attempts_max = 9
retry.initial_backoff = "0ms"
shape = "round"

["seawall.user.v1.UserService/CreateUser"]
retry.attempts_max = 2
"#;
    let found = mistakes(text);
    let expected = [
        "policy.toml:2: budget stands in no table; put it under [default], a service or a method",
        "policy.toml:5: [default] breaker.kind = treble: must be one of \"adaptive\", \"three_state\", \"off\"",
        "policy.toml:6: [default] rate.per_second = many: must be a number",
        "policy.toml:9: [seawall.user.v1.UserService] bugdet: unknown; did you mean budget?",
        "policy.toml:10: [seawall.user.v1.UserService] retry.codes = GONE: must be a list of names of gRPC codes, \
         such as [\"UNAVAILABLE\"]",
        "policy.toml:12: [seawall.user.v1.UserService/GetUsr]: no service or method of the contracts; did you mean \
         seawall.user.v1.UserService/GetUser?",
        "policy.toml:16: [seawall.user.v1.UserService/GetUser] budget = 500: must be a duration in quotes, such as \
         \"250ms\", \"10s\" or \"5min\"",
        "policy.toml:17: [seawall.user.v1.UserService/GetUser] retry.attempts_max = 9: must be 1 to 5, where 1 is no \
         retry",
        "policy.toml:18: [seawall.user.v1.UserService/GetUser] retry.initial_backoff = 0ns: must be more than 0",
    ];
    for expected in expected {
        assert!(found.iter().any(|found| found == expected), "{expected:?} is not in {found:#?}");
    }
    let begins = |start: &str| found.iter().any(|found| found.starts_with(start));
    assert!(begins("policy.toml:19: [seawall.user.v1.UserService/GetUser] shape: unknown; there are: budget, "));
    assert!(begins(
        "policy.toml:22: [seawall.user.v1.UserService/CreateUser] a method that is not declared idempotent"
    ));
    assert_eq!(found.len(), 11, "{found:#?}");
}

#[test]
fn what_is_wrong_for_many_methods_is_told_once() {
    let found = mistakes("[default]\nbreaker.kind = \"three_state\"\nbreaker.failure_rate = 1.5\nbreaker.probes = 0\n");
    assert_eq!(
        found,
        [
            "policy.toml:3: [default] breaker.failure_rate = 1.5: must be more than 0 and at most 1",
            "policy.toml:4: [default] breaker.probes = 0: must be 1 to 1000",
        ]
    );
    let found =
        mistakes("[default]\nrate.per_second = 0\nrate.burst = 0\nrate.kind = \"leaky_bucket\"\nrate.queue_max = 0\n");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found.iter().all(|found| found.starts_with("policy.toml:")), "{found:#?}");
}

#[test]
fn the_number_of_attempts_may_be_one_and_the_mistake_says_so() {
    for kind in ["retry", "hedge"] {
        let set =
            |attempts: u32| format!("[\"seawall.user.v1.UserService/GetUser\"]\n{kind}.attempts_max = {attempts}\n");
        policies(&set(1)).unwrap();
        for wrong in [0, 6] {
            let expected = format!("{kind}.attempts_max = {wrong}: must be 1 to 5, where 1 is no {kind}");
            let found = mistakes(&set(wrong));
            assert!(found.len() == 1 && found[0].ends_with(&expected), "{found:#?}");
        }
    }
}

#[test]
fn what_is_wrong_inside_of_a_list_is_told_where_it_stands() {
    let found = mistakes("[default]\nrate.per_second = 5\nrate.key = [\"metadata:X-Tenant\"]\n");
    let expected =
        "policy.toml:3: [default] rate.key.metadata = \"X-Tenant\": must be the name of a metadata key, in lower case";
    assert_eq!(found, [expected]);
}

#[test]
fn a_setting_without_any_effect_is_a_mistake() {
    let found = mistakes(
        "[default]\nbreaker.failure_rate = 0.4\n[\"seawall.user.v1.UserService/ListUsers\"]\n\
         retry.max_backoff = \"1s\"\nrate.queue_max = 5\n",
    );
    assert_eq!(
        found,
        [
            "policy.toml:2: [default] breaker.failure_rate = 0.4 has no effect; set breaker.kind = \"three_state\"",
            "policy.toml:4: [seawall.user.v1.UserService/ListUsers] retry.max_backoff = 1s has no effect; set \
             retry.attempts_max to 2 to 5, on an idempotent method",
            "policy.toml:5: [seawall.user.v1.UserService/ListUsers] rate.queue_max = 5 has no effect; set rate.kind = \
             \"leaky_bucket\"",
        ]
    );
    // With an effect somewhere, it is meant for there.
    policies("[default]\nretry.max_backoff = \"2s\"\n").unwrap();
    policies(
        "[default]\nbreaker.failure_rate = 0.4\n[\"seawall.user.v1.UserService\"]\nbreaker.kind = \"three_state\"\n",
    )
    .unwrap();
    // What is switched off later has had its time.
    policies("[\"seawall.user.v1.UserService/GetUser\"]\nretry.attempts_max = 1\n").unwrap();
}

#[test]
fn retry_and_hedge_are_not_for_the_same_method() {
    let found =
        mistakes("[\"seawall.user.v1.UserService/ListUsers\"]\nretry.attempts_max = 2\nhedge.attempts_max = 2\n");
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("retry and hedge together"), "{found:#?}");
    // The contract hedges BatchGetUsers; a file that says retry means it.
    let policies = policies("[default]\nretry.attempts_max = 2\n").unwrap();
    let batch = policies.by_path("/seawall.user.v1.UserService/BatchGetUsers");
    assert_eq!((batch.retry.is_some(), batch.hedge.is_some()), (true, false));
    let create = policies.by_path("/seawall.user.v1.UserService/CreateUser");
    assert_eq!(create.retry, None, "what is said of all is meant for those that it suits");
}

#[test]
fn what_is_no_toml_is_told_with_every_line() {
    let found = mistakes("[default]\nbudget = \n[\"seawall.user.v1.UserService\"]\nbudget = 1s\n");
    let lines: Vec<bool> = ["policy.toml:2: ", "policy.toml:4: "]
        .iter()
        .map(|line| found.iter().any(|found| found.starts_with(line)))
        .collect();
    assert_eq!(lines, [true, true], "{found:#?}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let contract = Contract::try_new(&[FILE_DESCRIPTOR_SET]).unwrap();
    let mistakes = Policies::try_new(contract, Some("/no/such/policy.toml".into())).unwrap_err().to_string();
    assert!(mistakes.starts_with("1 mistake in the policies:\n  - /no/such/policy.toml: No such file"), "{mistakes}");
}

/// Each key changes what it is named after, and is read as it is written.
#[test]
fn every_key_of_breaker_and_rate_does_something() {
    let method = "[\"seawall.user.v1.UserService/GetUser\"]\n";
    let bases = [
        (
            "breaker.kind = \"adaptive\"\n",
            "window=\"20s\" buckets=20 k=1.6 k_min=1.2 protection=6 force_pass_after=\"2s\"",
        ),
        (
            "breaker.kind = \"three_state\"\n",
            "window=\"20s\" buckets=20 calls_min=21 failure_rate=0.6 slow_call=\"1s\" slow_call_rate=0.6 \
             consecutive_failures=7 open_time=\"6s\" open_time_max=\"70s\" jitter=0.3 probes=11 probe_timeout=\"11s\"",
        ),
        (
            "rate.per_second = 5\nrate.kind = \"leaky_bucket\"\n",
            "burst=7 queue_max=9 key=[\"caller\",\"metadata:x-tenant\"] keys_max=11 shared=true grace=\"1s\"",
        ),
        (
            "retry.attempts_max = 2\n",
            "initial_backoff=\"9ms\" max_backoff=\"2s\" backoff_multiplier=3 codes=[\"ABORTED\"] replay_bytes_max=99",
        ),
        (
            "retry.attempts_max = 1\nhedge.attempts_max = 2\n",
            "percentile=0.9 initial_delay=\"90ms\" min_delay=\"2ms\" max_delay=\"3s\" non_fatal_codes=[\"ABORTED\"] \
             replay_bytes_max=99",
        ),
        ("retry.attempts_max = 1\nhedge.attempts_max = 2\nhedge.kind = \"fixed\"\n", "fixed_delay=\"9ms\""),
    ];
    for (base, keys) in bases {
        let of = |text: &str| policies(text).unwrap().by_path("/seawall.user.v1.UserService/GetUser");
        let before = of(&format!("{method}{base}"));
        let part = base.lines().last().unwrap().split('.').next().unwrap();
        for key in keys.split_whitespace() {
            let text = format!("{method}{base}{part}.{key}\n");
            assert_ne!(of(&text), before, "{text}");
        }
    }
    for off in ["breaker.kind = \"off\"", "rate.per_second = 5\nrate.kind = \"off\""] {
        policies(&format!("{method}{off}\n")).unwrap();
    }
}
