//! What the service fails with, beside bad fields: each reason stands here once.

//% if settings
use seawall_error::{Domain, Error};
//% else
use seawall_error::Domain;
//% end

/// Gives this service's reasons their meaning.
pub(crate) const DOMAIN: Domain = Domain::new("__name__.__root__.dev");
//% if sql

pub(crate) fn item_not_found(item_id: &str) -> Error {
    DOMAIN.not_found("ITEM_NOT_FOUND", "__root__.__name__.v1.Item", item_id)
}
//% end
//% each calls

pub(crate) fn __peer___not_found(__peer___id: &str) -> Error {
    DOMAIN.not_found("__PEER___NOT_FOUND", "__peer_package__.__PeerThing__", __peer___id)
}
//% end
