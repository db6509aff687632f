//! Who calls: SPIFFE IDs, certificates, keys and tokens.

use std::cell::OnceCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use seawall_auth::jwks::Keys;
use seawall_auth::jwt::{Algorithm, ClaimNames, Expected, Rejected, Token, verify};
use seawall_auth::tls::{self, Clients, SpiffeId};
use tempfile::TempDir;

/// An ID is made of its parts, and of nothing that could be read in two ways.
pub(crate) fn spiffe_id(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(id) = text.parse::<SpiffeId>() {
        assert_eq!(id.as_str(), format!("spiffe://{}/{}", id.trust_domain(), id.service()));
        assert_eq!(id.as_str(), text);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-_".contains(&byte);
        assert!(id.service().bytes().all(is_plain) && !id.service().split('/').any(|part| part == ".."));
    }
    let _ = text.parse::<Clients>();
}

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
    static SIGNER: OnceCell<(Ed25519KeyPair, Keys)> = const { OnceCell::new() };
}

/// The files of TLS, with NUL between certificate, key and authorities.
pub(crate) fn certificates(bytes: &[u8]) {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("there is room for files")).path();
        let mut parts = bytes.splitn(3, |byte| *byte == 0);
        let mut file = |name: &str| {
            let path = folder.join(name);
            std::fs::write(&path, parts.next().unwrap_or_default()).expect("there is room for files");
            Some(path)
        };
        let (cert, key, ca) = (file("cert"), file("key"), file("ca"));
        let config =
            tls::Config { cert, key, ca, clients: Clients::OwnTrustDomain, reload_interval: Duration::from_secs(1) };
        if let Err(error) = tls::check(&config, true) {
            assert!(!error.to_string().is_empty());
        }
    });
}

/// A set of keys has at least one, and not more than are tried.
pub(crate) fn jwks(bytes: &[u8]) {
    if let Ok(keys) = Keys::parse(bytes) {
        assert!((1..=64).contains(&keys.len()));
    }
}

const NOW: Duration = Duration::from_secs(1_800_000_000);

fn expected() -> Expected {
    Expected {
        issuer: "https://issuer".to_owned(),
        audience: "shop".to_owned(),
        algorithms: vec![Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256],
        leeway: Duration::from_secs(60),
        names: ClaimNames { scopes: "scope".to_owned(), roles: "realm_access.roles".to_owned() },
    }
}

fn with_signer(run: impl FnOnce(&Ed25519KeyPair, &Keys)) {
    SIGNER.with(|signer| {
        let (pair, keys) = signer.get_or_init(|| {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any seed will do");
            let x = URL_SAFE_NO_PAD.encode(pair.public_key());
            let json = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"1","x":"{x}"}}]}}"#);
            (pair, Keys::parse(json.as_bytes()).expect("it is a set of keys"))
        });
        run(pair, keys);
    });
}

/// A token that nobody has signed is never believed, whatever it looks like.
pub(crate) fn token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Token::parse(&text);
    with_signer(|_, keys| assert!(verify(&text, keys, &expected(), UNIX_EPOCH + NOW).is_err(), "{text:?}"));
}

/// The claims of a token that is signed: they are believed only as long as they say.
pub(crate) fn claims(bytes: &[u8]) {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#), URL_SAFE_NO_PAD.encode(bytes));
    with_signer(|pair, keys| {
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())));
        match verify(&token, keys, &expected(), UNIX_EPOCH + NOW) {
            Ok(claims) => {
                let late = claims.expires.checked_add(Duration::from_secs(61)).unwrap_or(SystemTime::now());
                assert!(claims.expires + Duration::from_secs(61) > UNIX_EPOCH + NOW);
                assert!(!claims.subject.is_empty());
                assert_eq!(verify(&token, keys, &expected(), late), Err(Rejected::Expired));
            }
            Err(rejected) => {
                assert!(!matches!(rejected, Rejected::Signature | Rejected::UnknownKey | Rejected::Algorithm));
            }
        }
    });
}
