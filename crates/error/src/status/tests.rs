//! What a client reads from an error.

use std::time::Duration;

use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{Domain, Error, RETRY_PUSHBACK, SEAWALL, Violations, add_request_id};

const SHOP: Domain = Domain::new("shop.example.com");

/// The status as a client has it, after the trace id was added to what goes out.
fn received(status: Status) -> Status {
    let mut headers: HeaderMap = status.into_http::<()>().into_parts().0.headers;
    add_request_id(&mut headers, "4bf92f3577b34da6a3ce929d0e0e4736");
    Status::from_header_map(&headers).unwrap()
}

#[test]
fn a_client_gets_reason_domain_resource_and_trace_id() {
    let status = received(SHOP.not_found("SKU_NOT_FOUND", "shop.v1.Article", "a-1").into());
    assert_eq!(status.code(), Code::NotFound);
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("SKU_NOT_FOUND", "shop.example.com"));
    let resource = details.resource_info().unwrap();
    assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("shop.v1.Article", "a-1"));
    assert_eq!(details.request_info().unwrap().request_id, "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[test]
fn every_bad_field_is_named() {
    let mut violations = Violations::default();
    violations.check(false, "sku", "must not be empty");
    violations.check(true, "note", "must be short");
    violations.check(false, "lines[2].quantity", "must be 1 to 10000");
    let status = received(violations.into_result(SHOP).unwrap_err().into());
    let details = status.get_error_details();
    let fields: Vec<_> = details.bad_request().unwrap().field_violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, ["sku", "lines[2].quantity"]);
}

#[test]
fn the_worst_request_is_refused_within_8_kib_of_headers() {
    let mut violations = Violations::default();
    for i in 0..10_000 {
        violations.add(format!("lines[{i}].unit_price.currency_code"), "must be three capital letters, such as EUR");
    }
    let status = received(violations.into_result(SHOP).unwrap_err().into());
    assert!(status.message().ends_with("; and 9995 more"), "{}", status.message());
    let sent = status.get_error_details().bad_request().unwrap().field_violations.len();
    assert!((50..100).contains(&sent), "{sent}");
    let headers = status.into_http::<()>().into_parts().0.headers;
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(bytes < 8 * 1024, "{bytes}");
}

#[test]
fn the_cause_of_an_internal_error_is_never_sent() {
    let status = received(Error::internal("UNIQUE constraint failed: users.email").into());
    assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    assert!(!format!("{:?} {:?}", status.details(), status.metadata()).contains("users.email"));
}

#[test]
fn a_status_made_elsewhere_gets_a_reason_and_a_trace_id_too() {
    let status = received(Status::unimplemented("no such method: 100 %"));
    // Some clients, grpcurl among them, show the message that is in the details.
    let encoded = <tonic_types::pb::Status as prost::Message>::decode(status.details()).unwrap();
    assert_eq!((encoded.code, encoded.message.as_str()), (12, "no such method: 100 %"));
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "UNIMPLEMENTED");
    assert_eq!(details.request_info().unwrap().request_id, "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[test]
fn a_status_that_is_ok_is_left_alone() {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", "0".parse().unwrap());
    add_request_id(&mut headers, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(headers.len(), 1);
}

#[test]
fn a_dependency_passes_on_only_what_the_caller_can_act_on() {
    let code = |code| Error::dependency("user", Status::new(code, "secret")).code();
    assert_eq!(code(Code::Unavailable), Code::Unavailable);
    assert_eq!(code(Code::DeadlineExceeded), Code::DeadlineExceeded);
    assert_eq!(code(Code::InvalidArgument), Code::Internal);
    assert_eq!(code(Code::Unauthenticated), Code::Internal);
    let status = received(Error::dependency("user", Status::unavailable("tcp connect to 10.1.2.3 refused")).into());
    assert_eq!(status.message(), "the user service cannot be reached");
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["dependency"], "user");
}

#[test]
fn the_log_says_each_cause_once_and_in_words() {
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let mut status = Status::unavailable("the peer cannot be reached");
    status.set_source(std::sync::Arc::new(refused));
    assert_eq!(
        super::chain(&Error::dependency("user", status)),
        "DEPENDENCY_UNAVAILABLE: the user service cannot be reached: \
         UNAVAILABLE: the peer cannot be reached: connection refused"
    );
}

#[test]
fn push_back_is_for_people_and_for_clients() {
    let busy = || SEAWALL.error(Code::Unavailable, "OVERLOADED", "too many calls at once");
    let pushback = |status: &Status| status.metadata().get(RETRY_PUSHBACK).map(|v| v.to_str().unwrap().to_owned());

    let status = Status::from(busy());
    assert!(pushback(&status).is_none() && status.get_details_retry_info().is_none());

    let status = Status::from(busy().with_retry_after(Duration::from_micros(1_200)));
    assert_eq!(pushback(&status).as_deref(), Some("2"));
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_micros(1_200)));

    let status = Status::from(busy().with_retry_after(Duration::from_secs(3)).without_retry());
    assert_eq!(pushback(&status).as_deref(), Some("-1"));
    assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(3)));
}

/// So that a caller three hops away comes back when there is somebody to answer.
#[test]
fn what_a_dependency_says_about_trying_again_is_passed_on() {
    let open = SEAWALL.error(Code::Unavailable, "BREAKER_OPEN", "…").with_retry_after(Duration::from_secs(3));
    let status = Status::from(Error::dependency("user", open.without_retry().into()));
    assert_eq!(status.message(), "the user service fails, and is left alone for a while");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["cause"], "BREAKER_OPEN");
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(3)));
    assert_eq!(status.metadata().get(RETRY_PUSHBACK).unwrap(), "-1");

    let away = Status::from(Error::dependency("user", Status::unavailable("")));
    assert_eq!((away.message(), away.metadata().get(RETRY_PUSHBACK)), ("the user service cannot be reached", None));
}
