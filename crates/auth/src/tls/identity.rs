//! Identities of services, as SPIFFE writes them: `spiffe://shop.example/order`.
//!
//! "The SPIFFE Identity and Verifiable Identity Document" says what an ID is, "The X.509 SPIFFE Verifiable
//! Identity Document" how a certificate has it: as its one URI among the subject alternative names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// An ID is no longer than this, in bytes; a trust domain in it than that.
const ID_BYTES_MAX: usize = 2_048;
const TRUST_DOMAIN_BYTES_MAX: usize = 255;
const SCHEME: &str = "spiffe://";

/// The identity of a service. Clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: Arc<str>,
    /// Where the trust domain ends in it.
    path: usize,
}

/// A text that is no SPIFFE ID of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the form spiffe://trust-domain/service")]
pub struct NotSpiffe;

impl SpiffeId {
    /// The whole of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whose certificate authority vouches for it, such as `shop.example`.
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.path]
    }

    /// The service within the trust domain, such as `order`; may have slashes.
    pub fn service(&self) -> &str {
        &self.text[self.path + 1..]
    }
}

impl FromStr for SpiffeId {
    type Err = NotSpiffe;

    /// An ID of a service: one without a path, which is that of an authority, is none.
    fn from_str(text: &str) -> Result<Self, NotSpiffe> {
        let rest = text.strip_prefix(SCHEME).filter(|_| text.len() <= ID_BYTES_MAX).ok_or(NotSpiffe)?;
        let (trust_domain, path) = rest.split_once('/').ok_or(NotSpiffe)?;
        let is_path = path.split('/').all(is_segment);
        if !is_trust_domain(trust_domain) || !is_path {
            return Err(NotSpiffe);
        }
        Ok(Self { text: text.into(), path: SCHEME.len() + trust_domain.len() })
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Neither a port nor a user, and nothing that would have to be compared by another rule than bytes.
pub(super) fn is_trust_domain(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    (1..=TRUST_DOMAIN_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn is_segment(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !text.is_empty() && text != "." && text != ".." && text.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What comes in a certificate is text from outside.
        #[test]
        fn any_text_is_an_id_as_it_stands_or_none(text in "(spiffe://)?[ -~]{0,40}|spiffe://[a-z.]{1,8}/[a-zA-Z./-]{0,12}|\\PC*") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert_eq!(format!("spiffe://{}/{}", id.trust_domain(), id.service()), text);
                prop_assert!(!id.trust_domain().contains('/') && !id.service().is_empty());
            }
        }
    }

    #[test]
    fn an_id_is_a_trust_domain_and_a_service() {
        let id: SpiffeId = "spiffe://shop.example/eu/order".parse().unwrap();
        assert_eq!((id.trust_domain(), id.service()), ("shop.example", "eu/order"));
        assert_eq!(id.to_string(), "spiffe://shop.example/eu/order");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_no_id() {
        let long = format!("spiffe://shop/{}", "a".repeat(ID_BYTES_MAX));
        let domain = format!("spiffe://{}/order", "a".repeat(TRUST_DOMAIN_BYTES_MAX + 1));
        for text in [
            "",
            "order",
            "https://shop/order",
            "SPIFFE://shop/order",
            "spiffe://shop",
            "spiffe://shop/",
            "spiffe:///order",
            "spiffe://Shop/order",
            "spiffe://shop:443/order",
            "spiffe://me@shop/order",
            "spiffe://shop//order",
            "spiffe://shop/order/",
            "spiffe://shop/../order",
            "spiffe://shop/./order",
            "spiffe://shop/%6frder",
            "spiffe://shop/order?a",
            "spiffe://shop/order#a",
            "spiffe://shop/ord\0er",
            long.as_str(),
            domain.as_str(),
        ] {
            assert_eq!(text.parse::<SpiffeId>(), Err(NotSpiffe), "{text:?}");
        }
    }
}
