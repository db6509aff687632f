//! The layer around a service that tells who it was called by.

use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use seawall_config::Reader;
use serde_json::{Value, json};
use tonic_types::StatusExt as _;
use tower::{ServiceExt as _, service_fn};

use super::*;
use crate::jwt::signer::{Signer, jwks};
use crate::rules::tests::compiled;
use crate::tls::PeerIdentity;

/// Who a handler is called by, in its own words and in those of the body that it streams; or the reason
/// why it was not called.
async fn called(layer: &AuthLayer, request: Request<()>) -> String {
    let handler = service_fn(|request: Request<()>| async move {
        let who = Identity::current();
        assert_eq!(request.extensions().get::<Identity>(), who.as_ref());
        assert_eq!(request.extensions().get::<Caller>().is_some(), who.is_some());
        assert!(request.headers().values().all(http::HeaderValue::is_sensitive));
        let frame = move || {
            assert_eq!(Identity::current(), who);
            let name = |who: &Identity| format!("{:?} {:?}", who.service(), who.subject());
            Ok::<_, Status>(Frame::data(Bytes::from(who.as_ref().map_or("nobody".to_owned(), name))))
        };
        let body = StreamBody::new(tokio_stream::iter(std::iter::once_with(frame)));
        Ok::<_, Infallible>(Response::new(tonic::body::Body::new(body)))
    });
    let answer = layer.layer(handler).oneshot(request).await.unwrap();
    match Status::from_header_map(answer.headers()) {
        Some(status) => format!("{:?} {}", status.code(), status.get_details_error_info().unwrap().reason),
        None => String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap(),
    }
}

/// An edge before two methods of `t.S`: `A` has a rule, and `B` is public.
struct Edge {
    layer: AuthLayer,
    guard: Guard,
    signer: Signer,
    folder: tempfile::TempDir,
}

const BY_USER: &str = "allow: {authenticated: true}";

impl Edge {
    /// The keys of the signer are in a file, which is read when it has to be, at most every 100 ms.
    fn new(rule: &str, settings: &str) -> Self {
        let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::p256("first"));
        let file = folder.path().join("jwks.json");
        let toml = format!(
            "[auth]\nenabled = true\nissuer = 'id'\naudience = 'shop'\njwks = '{}'\njwks_refresh_interval_min = '100ms'\n{settings}",
            file.display()
        );
        let mut reader = Reader::new(&toml, "a.toml", [("", "")]);
        let config = Config::read(&mut reader.section("auth")).unwrap();
        reader.finish().unwrap();
        let descriptors = compiled(
            "option (seawall.auth.v1.service) = {allow: {public: true}};",
            &format!("option (seawall.auth.v1.method) = {{{rule}}};"),
        );
        let guard = Guard::try_new(config, Some("shop"), &[&descriptors]).unwrap();
        let edge = Self { layer: AuthLayer::new(Some(guard.clone())), guard, signer, folder };
        edge.publish(&[&edge.signer]);
        edge
    }

    fn publish(&self, signers: &[&Signer]) {
        std::fs::write(self.folder.path().join("jwks.json"), jwks(signers)).unwrap();
    }

    /// Asks for keys until `calls` have been made.
    async fn with_keys<T>(&self, calls: impl Future<Output = T>) -> T {
        tokio::select! {
            () = self.guard.run() => unreachable!(),
            made = calls => made,
        }
    }

    async fn call(&self, path: &str, authorization: &[&str]) -> String {
        called(&self.layer, request(path, authorization)).await
    }
}

fn request(path: &str, authorization: &[&str]) -> Request<()> {
    let mut request = Request::post(path);
    for value in authorization {
        request = request.header(header::AUTHORIZATION, *value);
    }
    request.body(()).unwrap()
}

fn claims(changes: Value) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({"iss": "id", "aud": "shop", "sub": "ada", "exp": now + 600});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn bearer(signer: &Signer, changes: Value) -> String {
    format!("Bearer {}", signer.token(&claims(changes)))
}

#[tokio::test]
async fn whoever_has_a_good_token_is_known_to_the_handler_and_to_its_stream() {
    let edge = Edge::new(BY_USER, "");
    let token = bearer(&edge.signer, json!({}));
    let said = edge.with_keys(edge.call("/t.S/A", &[&token])).await;
    assert_eq!(said, "None Some(\"ada\")");
    assert_eq!(edge.call("/t.S/A", &[&token.replace("Bearer", "bEARER")]).await, said);
    assert_eq!(edge.call("/t.S/B", &[&token]).await, said, "a public method knows them as well");
}

#[tokio::test]
async fn every_refusal_has_its_reason_and_no_other_word() {
    let edge = Edge::new("allow: {roles: \"admin\"}", "");
    let (good, forged) = (bearer(&edge.signer, json!({})), bearer(&Signer::p256("first"), json!({"roles": "admin"})));
    let expired = bearer(&edge.signer, json!({"exp": 1}));
    let forged_and_expired = bearer(&Signer::p256("first"), json!({"exp": 1}));
    let other = bearer(&edge.signer, json!({"aud": "other"}));
    let huge = format!("Bearer {}", "a".repeat(10_000));
    let admin = bearer(&edge.signer, json!({"roles": ["admin"]}));
    edge.with_keys(edge.guard.ready()).await;
    for (authorization, said) in [
        (vec![], "Unauthenticated CREDENTIALS_MISSING"),
        (vec!["Basic YTpi"], "Unauthenticated CREDENTIALS_MISSING"),
        (vec!["Bearer"], "Unauthenticated TOKEN_INVALID"),
        (vec!["Bearer "], "Unauthenticated TOKEN_INVALID"),
        (vec!["Bearer a.b.c"], "Unauthenticated TOKEN_INVALID"),
        (vec![forged.as_str()], "Unauthenticated TOKEN_INVALID"),
        (vec![forged_and_expired.as_str()], "Unauthenticated TOKEN_INVALID"),
        (vec![other.as_str()], "Unauthenticated TOKEN_INVALID"),
        (vec![huge.as_str()], "Unauthenticated TOKEN_INVALID"),
        (vec![admin.as_str(), admin.as_str()], "Unauthenticated TOKEN_INVALID"),
        (vec![expired.as_str()], "Unauthenticated TOKEN_EXPIRED"),
        (vec![good.as_str()], "PermissionDenied NOT_ALLOWED"),
        (vec![admin.as_str()], "None Some(\"ada\")"),
    ] {
        assert_eq!(edge.call("/t.S/A", &authorization).await, said, "{authorization:?}");
        let is_good = said.starts_with("None") || said.starts_with("Permission");
        let known = if is_good { "None Some(\"ada\")" } else { "nobody" };
        assert_eq!(edge.call("/t.S/B", &authorization).await, known, "a public method refuses nobody");
        let denied = if said.starts_with("None") { "PermissionDenied NOT_ALLOWED" } else { said };
        assert_eq!(edge.call("/t.S/Unknown", &authorization).await, denied);
    }
}

#[tokio::test]
async fn a_new_key_is_found_when_a_token_has_it_and_an_old_one_is_forgotten() {
    let edge = Edge::new(BY_USER, "");
    edge.with_keys(async {
        edge.guard.ready().await;
        let second = Signer::p256("second");
        edge.publish(&[&second]);
        let [old, new] = [bearer(&edge.signer, json!({})), bearer(&second, json!({}))];
        // Refused at once until another attempt may begin, and then let in by the call that it waits in.
        while edge.call("/t.S/A", &[&new]).await != "None Some(\"ada\")" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(edge.call("/t.S/A", &[&old]).await, "Unauthenticated TOKEN_INVALID");
    })
    .await;
}

#[tokio::test]
async fn without_keys_that_are_fresh_enough_nobody_is_let_in_by_a_token() {
    let edge = Edge::new(BY_USER, "jwks_refresh_interval = '1s'\njwks_stale_max = '1s'");
    let token = bearer(&edge.signer, json!({}));
    edge.with_keys(async {
        assert_eq!(edge.call("/t.S/A", &[&token]).await, "None Some(\"ada\")");
        std::fs::remove_file(edge.folder.path().join("jwks.json")).unwrap();
        while edge.call("/t.S/A", &[&token]).await != "Unavailable TOKEN_KEYS_UNAVAILABLE" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(edge.call("/t.S/B", &[&token]).await, "nobody");
        edge.publish(&[&edge.signer]);
        while edge.call("/t.S/A", &[&token]).await != "None Some(\"ada\")" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_token_that_was_good_is_not_for_longer_than_its_time() {
    let edge = Edge::new(BY_USER, "leeway = '0s'");
    edge.with_keys(edge.guard.ready()).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let token = bearer(&edge.signer, json!({"exp": now + 2}));
    while edge.call("/t.S/A", &[&token]).await == "None Some(\"ada\")" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(edge.call("/t.S/A", &[&token]).await, "Unauthenticated TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_service_is_known_by_its_certificate_and_a_bad_token_spoils_it() {
    let edge = Edge::new("allow: {callers: \"order\"}", "");
    edge.with_keys(edge.guard.ready()).await;
    let call = |id: &'static str, authorization: &[&str]| {
        let mut request = request("/t.S/A", authorization);
        request.extensions_mut().insert(PeerIdentity(id.parse().unwrap()));
        let layer = edge.layer.clone();
        async move { called(&layer, request).await }
    };
    assert_eq!(call("spiffe://shop/order", &[]).await, "Some(spiffe://shop/order) None");
    let token = bearer(&edge.signer, json!({}));
    assert_eq!(call("spiffe://shop/order", &[&token]).await, "Some(spiffe://shop/order) Some(\"ada\")");
    assert_eq!(call("spiffe://shop/order", &["Bearer a.b.c"]).await, "Unauthenticated TOKEN_INVALID");
    assert_eq!(call("spiffe://evil/order", &[]).await, "PermissionDenied NOT_ALLOWED");
}

#[tokio::test]
async fn without_a_guard_nobody_is_refused_and_certificates_are_known() {
    let layer = AuthLayer::new(None);
    assert_eq!(called(&layer, request("/t.S/A", &["Bearer a.b.c"])).await, "nobody");
    let mut by_order = request("/t.S/A", &[]);
    by_order.extensions_mut().insert(PeerIdentity("spiffe://shop/order".parse().unwrap()));
    assert_eq!(called(&layer, by_order).await, "Some(spiffe://shop/order) None");
}
