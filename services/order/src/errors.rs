//! What the service fails with, beside bad fields: each reason stands here once.

use seawall_error::{Domain, Error, Violations};

/// Gives this service's reasons their meaning.
pub(crate) const DOMAIN: Domain = Domain::new("order.seawall.dev");

pub(crate) fn order_not_found(order_id: &str) -> Error {
    DOMAIN.not_found("ORDER_NOT_FOUND", "seawall.order.v1.Order", order_id)
}

pub(crate) fn user_not_found(user_id: &str) -> Error {
    DOMAIN.not_found("USER_NOT_FOUND", "seawall.user.v1.User", user_id)
}

pub(crate) fn idempotency_key_reused() -> Error {
    let mut violations = Violations::default();
    violations.add("idempotency_key", "must be a new one: this one belongs to an order with another body");
    DOMAIN.bad_request("IDEMPOTENCY_KEY_REUSED", violations)
}
