//! Who may call a server.

use std::str::FromStr;

use super::identity::{NotSpiffe, SpiffeId, is_trust_domain};

/// Who may call a server, beside that an authority which it trusts vouches for them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Clients {
    /// Every service of the trust domain that the server's own certificate is of.
    #[default]
    OwnTrustDomain,
    /// These.
    Listed(Vec<Allowed>),
    /// Everyone, also without a certificate, as at the edge. One that is presented is checked all the same.
    Anyone,
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Allowed {
    /// This service.
    Service(SpiffeId),
    /// Every service of this trust domain.
    TrustDomain(String),
}

impl Allowed {
    /// Whether it is one of those.
    pub fn includes(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Service(service) => service == id,
            Self::TrustDomain(trust_domain) => trust_domain == id.trust_domain(),
        }
    }
}

impl FromStr for Allowed {
    type Err = NotSpiffe;

    /// `spiffe://shop/order`, or `spiffe://shop/*` for all services of `shop`.
    fn from_str(text: &str) -> Result<Self, NotSpiffe> {
        match text.strip_suffix("/*").and_then(|text| text.strip_prefix("spiffe://")) {
            Some(trust_domain) if is_trust_domain(trust_domain) => Ok(Self::TrustDomain(trust_domain.to_owned())),
            Some(_) => Err(NotSpiffe),
            None => text.parse().map(Self::Service),
        }
    }
}

impl FromStr for Clients {
    type Err = NotSpiffe;

    /// Nothing, `anyone`, or entries with commas between them.
    fn from_str(text: &str) -> Result<Self, NotSpiffe> {
        match text.trim() {
            "" => Ok(Self::OwnTrustDomain),
            "anyone" => Ok(Self::Anyone),
            list => list.split(',').map(|entry| entry.trim().parse()).collect::<Result<_, _>>().map(Self::Listed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_services_and_trust_domains() {
        let Clients::Listed(list) = " spiffe://shop/order ,spiffe://tools/*".parse().unwrap() else { panic!() };
        let includes = |id: &str| list.iter().any(|entry| entry.includes(&id.parse().unwrap()));
        assert!(includes("spiffe://shop/order") && includes("spiffe://tools/a/b"));
        assert!(!includes("spiffe://shop/order/eu") && !includes("spiffe://shop/user"));
        assert!(!includes("spiffe://tools.evil/a"));
        for bad in
            ["*", "spiffe://*", "spiffe://shop/or*", "spiffe:///*", "spiffe://shop/order,", "any", "spiffe://Shop/*"]
        {
            assert_eq!(bad.parse::<Clients>(), Err(NotSpiffe), "{bad:?}");
        }
    }
}
