//! What the service fails with, beside bad fields: each reason stands here once.

use seawall_error::{Domain, Error};

/// Gives this service's reasons their meaning.
pub(crate) const DOMAIN: Domain = Domain::new("__name__.seawall.dev");

pub(crate) fn item_not_found(item_id: &str) -> Error {
    DOMAIN.not_found("ITEM_NOT_FOUND", "seawall.__name__.v1.Item", item_id)
}
