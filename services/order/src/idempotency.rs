//! One answer for each idempotency key: the first.

use prost::Message as _;
use seawall_error::Error;
use seawall_pool::{Sql, Transaction};
use seawall_proto::seawall::order::v1::{PlaceOrderRequest, PlaceOrderResponse};
use sha2::{Digest as _, Sha256};

use crate::errors::idempotency_key_reused;

const SELECT: &str = "SELECT request_hash, response FROM answers WHERE user_id = $1 AND idempotency_key = $2";

/// Waits while another transaction is adding the same key. Adds nothing, and says so by 0 changed
/// rows, if that one commits.
const INSERT: &str = "
    INSERT INTO answers (user_id, idempotency_key, request_hash, response)
    VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id, idempotency_key) DO NOTHING";

/// A request, as far as telling it from another goes.
#[derive(Debug)]
pub(crate) struct Request {
    user_id: String,
    key: String,
    hash: Vec<u8>,
}

impl Request {
    /// The contract has no maps, so one request has one encoding, and a field that the contract gains
    /// later changes nothing until somebody sets it.
    pub(crate) fn new(request: &PlaceOrderRequest) -> Self {
        Self {
            user_id: request.user_id.clone(),
            key: request.idempotency_key.clone(),
            hash: Sha256::digest(request.encode_to_vec()).to_vec(),
        }
    }

    /// What was answered before; `IDEMPOTENCY_KEY_REUSED` if it was to another request.
    pub(crate) async fn answered(&self, sql: &Sql) -> Result<Option<PlaceOrderResponse>, Error> {
        let key = [self.user_id.as_str().into(), self.key.as_str().into()];
        let Some(row) = sql.query_opt(SELECT, &key).await? else { return Ok(None) };
        if row.get::<Vec<u8>>("request_hash")? != self.hash {
            return Err(idempotency_key_reused());
        }
        let response = row.get::<Vec<u8>>("response")?;
        PlaceOrderResponse::decode(response.as_slice()).map(Some).map_err(Error::internal)
    }

    /// Makes `response` the answer. False if there is one already: then this transaction must not be
    /// committed.
    pub(crate) async fn answer(
        &self,
        transaction: &mut Transaction<'_>,
        response: &PlaceOrderResponse,
    ) -> Result<bool, Error> {
        let values = [
            self.user_id.as_str().into(),
            self.key.as_str().into(),
            self.hash.clone().into(),
            response.encode_to_vec().into(),
        ];
        Ok(transaction.execute(INSERT, &values).await? == 1)
    }
}

#[cfg(test)]
mod tests {
    use seawall_proto::seawall::order::v1::{Money, OrderLine};

    use super::*;

    fn request() -> PlaceOrderRequest {
        let unit_price = Some(Money { currency_code: "EUR".into(), units: 12, nanos: 500_000_000 });
        PlaceOrderRequest {
            user_id: "0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".into(),
            lines: vec![OrderLine { sku: "tea".into(), quantity: 2, unit_price }],
            idempotency_key: "k1".into(),
        }
    }

    /// Stored hashes must be those of the next version too: this one may never change.
    #[test]
    fn the_hash_of_a_request_is_the_same_for_ever() {
        let hash: String = Request::new(&request()).hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "d09b5248caa0b8d97feda05bfc8b808661eb9ce4c326b76ecf0450b8bfd8d6fd");
    }

    #[test]
    fn another_body_has_another_hash() {
        let mut other = request();
        other.lines[0].quantity = 3;
        assert_ne!(Request::new(&other).hash, Request::new(&request()).hash);
    }
}
