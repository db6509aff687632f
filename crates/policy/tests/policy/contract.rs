//! What is read from descriptors: those of the real contracts, and one that sets every option.

use std::time::Duration;

use prost_types::FileDescriptorSet;
use seawall_classify::{Direction, Outcome};
use seawall_policy::{Contract, Idempotency, Policies};
use seawall_propagation::Criticality;
use seawall_proto::FILE_DESCRIPTOR_SET;
use seawall_proto::seawall::policy::v1 as pb;
use seawall_retry::{HedgeDelay, RetryConfig};
use tonic::Code;

use crate::described;

const GET_USER: &str = "/seawall.user.v1.UserService/GetUser";
const PLACE_ORDER: &str = "/seawall.order.v1.OrderService/PlaceOrder";

fn contract() -> Contract {
    Contract::try_new(&[FILE_DESCRIPTOR_SET]).unwrap()
}

#[test]
fn methods_are_numbered_and_everything_else_has_one_number() {
    let contract = contract();
    let ids: Vec<usize> = contract.methods().map(|(id, _)| id.index()).collect();
    assert_eq!(ids, (0..12).collect::<Vec<_>>());
    let get_user = contract.id(GET_USER).unwrap();
    assert_eq!(&*contract.method(get_user).unwrap().path, GET_USER);
    assert_eq!(contract.id("/seawall.user.v1.UserService/Get"), None);
    assert_eq!(contract.id_or_other("/x"), contract.other());
    assert_eq!((contract.other().index(), contract.ids()), (12, 13));
    assert!(contract.method(contract.other()).is_none());
    // A set that comes twice changes nothing.
    assert_eq!(Contract::try_new(&[FILE_DESCRIPTOR_SET, FILE_DESCRIPTOR_SET]).unwrap().ids(), 13);
}

#[test]
fn a_method_is_as_its_contract_has_it() {
    let contract = contract();
    let place = contract.method(contract.id(PLACE_ORDER).unwrap()).unwrap();
    assert_eq!(&*place.name, "seawall.order.v1.OrderService/PlaceOrder");
    assert_eq!(place.service(), "seawall.order.v1.OrderService");
    assert_eq!(place.idempotency, Idempotency::Idempotent);
    assert_eq!(place.calls, ["seawall.user.v1.UserService/GetUser"]);
    assert!(!place.is_streaming());
    let text = include_str!("../../../../proto/seawall/order/v1/order.proto");
    let line = text.lines().position(|line| line.contains("rpc PlaceOrder")).unwrap() + 1;
    assert_eq!(place.location.to_string(), format!("seawall/order/v1/order.proto:{line}"));

    let kinds = |path: &str| {
        let method = contract.method(contract.id(path).unwrap()).unwrap();
        (method.is_client_streaming, method.is_server_streaming)
    };
    assert_eq!(kinds("/seawall.user.v1.UserService/ImportUsers"), (true, false));
    assert_eq!(kinds("/seawall.order.v1.OrderService/WatchOrder"), (false, true));
}

#[test]
fn the_shops_policies_are_those_declared() {
    let policies = Policies::try_new(contract(), None).unwrap();
    let get_user = policies.by_path(GET_USER);
    let retry = RetryConfig {
        initial_backoff: Duration::from_millis(20),
        max_backoff: Duration::from_millis(100),
        ..RetryConfig::default()
    };
    assert_eq!(get_user.retry, Some(retry));
    assert_eq!(get_user.budget, Some(Duration::from_millis(500)));
    let place = policies.by_path(PLACE_ORDER);
    assert_eq!((place.criticality, &place.retry), (Criticality::Critical, &None));
    let create = policies.by_path("/seawall.user.v1.UserService/CreateUser");
    assert_eq!(create.budget, Some(Duration::from_secs(1)), "as the service says");
    let other = policies.by_path("/grpc.health.v1.Health/Check");
    assert_eq!((other.budget, other.idempotency), (None, Idempotency::None));
    assert_eq!(policies.get(policies.contract().other()), other);
}

/// Every option, in the generated types: that they agree with those of `policy.proto` is what keeps
/// ours in step with it.
#[test]
fn every_option_of_the_contract_is_read() {
    let retry = pb::Retry {
        attempts_max: Some(4),
        initial_backoff_ms: Some(7),
        max_backoff_ms: Some(70),
        backoff_multiplier: Some(1.5),
        codes: vec!["UNAVAILABLE".into(), "ABORTED".into()],
    };
    let observed =
        pb::ObservedDelay { percentile: Some(0.9), initial_ms: Some(30), min_ms: Some(3), max_ms: Some(300) };
    let hedge = pb::Hedge {
        attempts_max: Some(3),
        delay: Some(pb::hedge::Delay::ObservedDelay(observed)),
        non_fatal_codes: vec!["INTERNAL".into()],
    };
    let outcome = |code: &str, outcome: pb::Outcome| pb::CodeOutcome { code: code.into(), outcome: outcome.into() };
    let method = pb::MethodPolicy {
        budget_ms: Some(1234),
        criticality: pb::Criticality::Critical.into(),
        retry: Some(retry.clone()),
        hedge: None,
        outcomes: vec![
            outcome("NOT_FOUND", pb::Outcome::Failure),
            outcome("ABORTED", pb::Outcome::Retryable),
            outcome("INTERNAL", pb::Outcome::CallersFault),
            outcome("UNKNOWN", pb::Outcome::Success),
        ],
        calls: vec!["a.B/C".into(), "a.B/C".into()],
        idempotency_key: true,
    };
    let hedged = pb::MethodPolicy { retry: None, hedge: Some(hedge), idempotency_key: true, ..Default::default() };
    let fixed = pb::MethodPolicy {
        hedge: Some(pb::Hedge {
            attempts_max: Some(2),
            delay: Some(pb::hedge::Delay::FixedDelayMs(42)),
            non_fatal_codes: Vec::new(),
        }),
        idempotency_key: true,
        ..Default::default()
    };
    let service = pb::ServicePolicy {
        budget_ms: Some(99),
        criticality: pb::Criticality::Sheddable.into(),
        retry: None,
        hedge: None,
        outcomes: vec![outcome("NOT_FOUND", pb::Outcome::Success)],
    };
    let contract = described(&service, &[("All", method), ("Hedged", hedged), ("Fixed", fixed)]);
    let all = contract.method(contract.id("/t.v1.S/All").unwrap()).unwrap();
    assert_eq!((all.idempotency, all.calls.len()), (Idempotency::Keyed, 2));

    let policies = Policies::try_new(contract, None).unwrap();
    let all = policies.by_path("/t.v1.S/All");
    assert_eq!((all.budget, all.criticality), (Some(Duration::from_millis(1234)), Criticality::Critical));
    let expected = RetryConfig {
        attempts_max: 4,
        initial_backoff: Duration::from_millis(7),
        max_backoff: Duration::from_millis(70),
        backoff_multiplier: 1.5,
        codes: vec![Code::Unavailable, Code::Aborted],
        ..RetryConfig::default()
    };
    assert_eq!(all.retry, Some(expected));
    let classifier = all.classifier(Direction::Outbound);
    let outcomes = [Code::NotFound, Code::Aborted, Code::Internal, Code::Unknown].map(|code| classifier.classify(code));
    assert_eq!(outcomes, [Outcome::Failure, Outcome::Retryable, Outcome::CallersFault, Outcome::Success]);

    let hedged = policies.by_path("/t.v1.S/Hedged");
    assert_eq!((hedged.budget, hedged.criticality), (Some(Duration::from_millis(99)), Criticality::Sheddable));
    assert_eq!(hedged.classifier(Direction::Outbound).classify(Code::NotFound), Outcome::Success);
    let hedge = hedged.hedge.clone().unwrap();
    assert_eq!((hedge.attempts_max, hedge.non_fatal_codes), (3, vec![Code::Internal]));
    let ms = Duration::from_millis;
    assert_eq!(hedge.delay, HedgeDelay::Observed { percentile: 0.9, initial: ms(30), min: ms(3), max: ms(300) });
    let fixed = policies.by_path("/t.v1.S/Fixed").hedge.clone().unwrap();
    assert_eq!(fixed.delay, HedgeDelay::Fixed(ms(42)));
}

#[test]
fn what_are_no_descriptors_is_refused_by_its_place() {
    let error = Contract::try_new(&[FILE_DESCRIPTOR_SET, b"\xff"]).unwrap_err();
    assert_eq!(error.to_string(), "descriptor set 1 is no google.protobuf.FileDescriptorSet");
    assert_eq!(Contract::try_new(&[]).unwrap().ids(), 1);
}

/// The types of prost have no place for options, and would lose them without a word.
#[test]
fn the_descriptors_keep_their_options() {
    use prost::Message as _;
    let lost = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().encode_to_vec();
    let budget = |set: &[u8]| {
        let policies = Policies::try_new(Contract::try_new(&[set]).unwrap(), None).unwrap();
        policies.by_path(GET_USER).budget
    };
    assert_eq!(budget(&lost), None);
    assert_eq!(budget(FILE_DESCRIPTOR_SET), Some(Duration::from_millis(500)));
}
