//! Which of several settings holds: against the plain model that the last one that is there wins.

use std::time::Duration;

use proptest::prelude::*;
use seawall_policy::Policies;
use seawall_proto::seawall::policy::v1 as pb;
use tonic::Code;

use crate::described;

/// What one place says.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    budget_ms: Option<u32>,
    criticality: Option<usize>,
    attempts_max: Option<u32>,
    backoff_ms: Option<u32>,
}

const CRITICALITIES: [&str; 3] = ["sheddable", "default", "critical"];

fn said() -> impl Strategy<Value = Said> {
    let budget = proptest::option::of(1..10_000_u32);
    let criticality = proptest::option::of(0..3_usize);
    let attempts = proptest::option::of(1..=5_u32);
    let backoff = proptest::option::of(1..500_u32);
    (budget, criticality, attempts, backoff).prop_map(|(budget_ms, criticality, attempts_max, backoff_ms)| Said {
        budget_ms,
        criticality,
        attempts_max,
        // A back-off without attempts is a mistake of its own.
        backoff_ms: backoff_ms.filter(|_| attempts_max.is_some_and(|attempts| attempts > 1)),
    })
}

impl Said {
    fn retry(self) -> Option<pb::Retry> {
        let (attempts_max, initial_backoff_ms) = (self.attempts_max, self.backoff_ms);
        attempts_max.map(|_| pb::Retry { attempts_max, initial_backoff_ms, ..Default::default() })
    }

    fn criticality(self) -> i32 {
        self.criticality.map_or(0, |it| i32::try_from(it).unwrap() + 1)
    }

    fn in_toml(self, table: &str) -> String {
        let mut text = format!("[{table}]\n");
        if let Some(budget) = self.budget_ms {
            text += &format!("budget = \"{budget}ms\"\n");
        }
        if let Some(criticality) = self.criticality {
            text += &format!("criticality = \"{}\"\n", CRITICALITIES[criticality]);
        }
        if let Some(attempts) = self.attempts_max {
            text += &format!("retry.attempts_max = {attempts}\n");
        }
        if let Some(backoff) = self.backoff_ms {
            text += &format!("retry.initial_backoff = \"{backoff}ms\"\n");
        }
        text
    }
}

/// The last that is there.
fn last<T>(all: &[Said], get: impl Fn(&Said) -> Option<T>) -> Option<T> {
    all.iter().rev().find_map(get)
}

fn holds(policies: &Policies, path: &str, all: &[Said], can_be_repeated: bool) {
    let policy = policies.by_path(path);
    assert_eq!(policy.budget, last(all, |said| said.budget_ms).map(|ms| Duration::from_millis(ms.into())), "{path}");
    let criticality = last(all, |said| said.criticality).unwrap_or(1);
    assert_eq!(policy.criticality.as_str(), CRITICALITIES[criticality], "{path}");
    let attempts = last(all, |said| said.attempts_max).filter(|attempts| can_be_repeated && *attempts > 1);
    assert_eq!(policy.retry.as_ref().map(|retry| retry.attempts_max), attempts, "{path}");
    if let Some(retry) = &policy.retry {
        let backoff = last(all, |said| said.backoff_ms).unwrap_or(50);
        assert_eq!(retry.initial_backoff, Duration::from_millis(backoff.into()), "{path}");
    }
}

/// What a code means is said once, for everything that goes by it.
#[test]
fn a_code_that_is_retryable_is_retried_unless_the_codes_are_named() {
    let retry = pb::Retry { attempts_max: Some(2), ..Default::default() };
    let hedge = pb::Hedge { attempts_max: Some(2), ..Default::default() };
    let retried = pb::MethodPolicy { retry: Some(retry), idempotency_key: true, ..Default::default() };
    let hedged = pb::MethodPolicy { hedge: Some(hedge), idempotency_key: true, ..Default::default() };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.toml");
    let codes = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let methods = [("Retried", retried.clone()), ("Hedged", hedged.clone())];
        let policies =
            Policies::try_new(described(&pb::ServicePolicy::default(), &methods), Some(file.clone())).unwrap();
        let retried = policies.by_path("/t.v1.S/Retried").retry.as_ref().unwrap().codes.clone();
        let hedged = policies.by_path("/t.v1.S/Hedged").hedge.as_ref().unwrap().non_fatal_codes.clone();
        (retried, hedged)
    };
    let both = |codes: &[Code]| (codes.to_vec(), codes.to_vec());
    assert_eq!(codes(""), both(&[Code::Unavailable, Code::ResourceExhausted]));
    let meaning = "[default]\noutcomes.ABORTED = \"retryable\"\noutcomes.RESOURCE_EXHAUSTED = \"callers_fault\"\n";
    assert_eq!(codes(meaning), both(&[Code::Unavailable, Code::Aborted]));
    let named = format!("{meaning}retry.codes = [\"INTERNAL\"]\nhedge.non_fatal_codes = [\"INTERNAL\"]\n");
    assert_eq!(codes(&named), both(&[Code::Internal]));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_last_one_that_says_something_wins(layers in proptest::array::uniform5(said())) {
        let [contract_service, contract_method, file_default, file_service, file_method] = layers;
        let service = pb::ServicePolicy {
            budget_ms: contract_service.budget_ms,
            criticality: contract_service.criticality(),
            retry: contract_service.retry(),
            ..Default::default()
        };
        let method = pb::MethodPolicy {
            budget_ms: contract_method.budget_ms,
            criticality: contract_method.criticality(),
            retry: contract_method.retry(),
            idempotency_key: true,
            ..Default::default()
        };
        let plain = pb::MethodPolicy { idempotency_key: true, ..Default::default() };
        let methods = [("Own", method), ("Plain", plain), ("Once", pb::MethodPolicy::default())];
        // The order in the file is not the order of the merge.
        let text = [
            file_method.in_toml("\"t.v1.S/Own\""),
            file_default.in_toml("default"),
            file_service.in_toml("\"t.v1.S\""),
        ].concat();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.toml");
        std::fs::write(&file, &text).unwrap();
        let policies = Policies::try_new(described(&service, &methods), Some(file))
            .unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
        holds(&policies, "/t.v1.S/Own", &layers, true);
        holds(&policies, "/t.v1.S/Plain", &[contract_service, file_default, file_service], true);
        holds(&policies, "/t.v1.S/Once", &[contract_service, file_default, file_service], false);
        holds(&policies, "/t.v1.T/Own", &[file_default], false);
    }
}
