//! Tokens that are good, and every way known to us in which one is not.

use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};

use super::signer::{Signer, base64, jwks};
use super::*;

const NOW: u64 = 1_800_000_000;

fn expected() -> Expected {
    Expected {
        issuer: "https://id.example".to_owned(),
        audience: "shop".to_owned(),
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
        leeway: Duration::from_secs(30),
        names: ClaimNames { scopes: "scope".to_owned(), roles: "realm_access.roles".to_owned() },
    }
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "shop", "sub": "ada", "exp": NOW + 60})
}

/// The usual claims with these in their place; a null takes one away.
fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

fn judge(token: &str, signers: &[&Signer]) -> Result<Claims, Rejected> {
    let keys = Keys::parse(jwks(signers).as_bytes()).unwrap();
    verify(token, &keys, &expected(), UNIX_EPOCH + Duration::from_secs(NOW))
}

#[test]
fn a_good_token_of_each_algorithm_is_believed() {
    for signer in [Signer::rsa("a"), Signer::p256("a"), Signer::ed25519("a")] {
        let claims = judge(&signer.token(&claims()), &[&signer]).unwrap();
        assert_eq!((claims.subject.as_str(), claims.scopes.len()), ("ada", 0), "{}", signer.algorithm());
        assert_eq!(claims.expires, UNIX_EPOCH + Duration::from_secs(NOW + 60));
    }
}

#[test]
fn a_token_without_a_signature_is_not_believed() {
    let signer = Signer::rsa("a");
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = base64(json!({"alg": alg, "kid": "a"}).to_string());
        let payload = base64(claims().to_string());
        assert_eq!(judge(&format!("{header}.{payload}."), &[&signer]), Err(Rejected::Algorithm), "{alg}");
    }
    let good = signer.token(&claims());
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(judge(&format!("{signed}."), &[&signer]), Err(Rejected::Signature));
    assert_eq!(judge(signed, &[&signer]), Err(Rejected::Malformed));
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let signer = Signer::rsa("a");
    let jwk = signer.jwk();
    let published = [jwk.to_string(), jwk["n"].as_str().unwrap().to_owned(), jwks(&[&signer])];
    for (alg, algorithm) in [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        for secret in &published {
            let header = base64(json!({"alg": alg, "kid": "a"}).to_string());
            let signed = format!("{header}.{}", base64(claims().to_string()));
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret.as_bytes()), signed.as_bytes());
            assert_eq!(judge(&format!("{signed}.{}", base64(tag)), &[&signer]), Err(Rejected::Algorithm), "{alg}");
        }
    }
}

#[test]
fn a_key_is_for_its_own_algorithm() {
    let (rsa, p256, ed25519) = (Signer::rsa("a"), Signer::p256("a"), Signer::ed25519("a"));
    let all = [&rsa, &p256, &ed25519];
    for signer in all {
        for other in all.into_iter().filter(|other| other.algorithm() != signer.algorithm()) {
            let token = signer.with_header(&json!({"alg": other.algorithm(), "kid": "a"}), &claims().to_string());
            assert_eq!(judge(&token, &[signer]), Err(Rejected::UnknownKey));
            assert_eq!(judge(&token, &all), Err(Rejected::Signature));
        }
    }
    // PSS with a key that is for PKCS #1 alone.
    let mut jwk = rsa.jwk();
    jwk["alg"] = json!("PS256");
    let keys = Keys::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    assert_eq!(verify(&rsa.token(&claims()), &keys, &expected(), now), Err(Rejected::UnknownKey));
}

#[test]
fn an_algorithm_that_is_not_on_the_list_is_refused_though_there_is_a_key() {
    let signer = Signer::p384("a");
    assert_eq!(judge(&signer.token(&claims()), &[&signer]), Err(Rejected::Algorithm));
}

#[test]
fn the_key_is_one_of_the_issuers_and_not_one_that_the_token_brings() {
    let (ours, theirs) = (Signer::p256("a"), Signer::p256("b"));
    assert_eq!(judge(&theirs.token(&claims()), &[&ours]), Err(Rejected::UnknownKey));
    let forged = theirs.with_header(
        &json!({"alg": "ES256", "kid": "a", "jwk": theirs.jwk(), "jku": "https://evil.example/keys", "x5c": ["MA"]}),
        &claims().to_string(),
    );
    assert_eq!(judge(&forged, &[&ours]), Err(Rejected::Signature));
}

#[test]
fn a_token_that_names_no_key_is_tried_with_all_that_fit() {
    let (first, second) = (Signer::p256("a"), Signer::p256("b"));
    let token = second.with_header(&json!({"alg": "ES256"}), &claims().to_string());
    assert!(judge(&token, &[&first, &second]).is_ok());
    assert_eq!(judge(&token, &[&first]), Err(Rejected::Signature));
}

#[test]
fn what_a_token_must_say_is_there_and_right() {
    let signer = Signer::ed25519("a");
    for (changes, wrong) in [
        (json!({"iss": "https://id.example/"}), Rejected::Issuer),
        (json!({"iss": "https://evil.example"}), Rejected::Issuer),
        (json!({"iss": null}), Rejected::Claims),
        (json!({"iss": ["https://id.example"]}), Rejected::Claims),
        (json!({"aud": "shops"}), Rejected::Audience),
        (json!({"aud": []}), Rejected::Audience),
        (json!({"aud": ["other", "another"]}), Rejected::Audience),
        (json!({"aud": null}), Rejected::Claims),
        (json!({"aud": 1}), Rejected::Claims),
        (json!({"sub": null}), Rejected::Claims),
        (json!({"sub": ""}), Rejected::Claims),
        (json!({"sub": "a\nb"}), Rejected::Claims),
        (json!({"sub": "a".repeat(256)}), Rejected::Claims),
        (json!({"exp": null}), Rejected::Claims),
        (json!({"exp": "9999999999"}), Rejected::Claims),
        (json!({"exp": 1e300}), Rejected::Claims),
        (json!({"exp": NOW - 30}), Rejected::Expired),
        (json!({"exp": 0}), Rejected::Expired),
        (json!({"exp": -1}), Rejected::Expired),
        (json!({"nbf": NOW + 31}), Rejected::NotYetValid),
        (json!({"nbf": "soon"}), Rejected::Claims),
        (json!({"nbf": 1e300}), Rejected::Claims),
        (json!({"scope": 7}), Rejected::Claims),
        (json!({"scope": vec!["a"; 257]}), Rejected::Claims),
        (json!({"scope": ["read", 7]}), Rejected::Claims),
    ] {
        let claims = claims_with(changes.clone());
        assert_eq!(judge(&signer.token(&claims), &[&signer]), Err(wrong), "{changes}");
    }
    for changes in [
        json!({"aud": ["other", "shop"]}),
        json!({"exp": NOW - 29}),
        json!({"exp": NOW as f64 + 0.5}),
        json!({"nbf": NOW + 30}),
        json!({"scope": ""}),
        json!({"scope": vec!["a"; 256]}),
    ] {
        let claims = claims_with(changes.clone());
        assert!(judge(&signer.token(&claims), &[&signer]).is_ok(), "{changes}");
    }
}

#[test]
fn scopes_and_roles_are_words_or_a_list_wherever_the_issuer_puts_them() {
    let signer = Signer::ed25519("a");
    let believed = |changes| judge(&signer.token(&claims_with(changes)), &[&signer]).unwrap();
    let claims = believed(json!({"scope": "read write", "realm_access": {"roles": ["admin"]}, "roles": ["root"]}));
    assert_eq!((claims.scopes, claims.roles), (vec!["read".into(), "write".into()], vec!["admin".into()]));
    assert_eq!(believed(json!({"scope": ["a b", "c"]})).scopes, ["a b", "c"]);
    assert!(believed(json!({"realm_access": "admin"})).roles.is_empty());
}

#[test]
fn what_is_there_twice_or_must_be_understood_is_refused() {
    let signer = Signer::ed25519("a");
    let twice =
        r#"{"iss":"https://evil.example","iss":"https://id.example","aud":"shop","sub":"ada","exp":1900000000}"#;
    let header = json!({"alg": "EdDSA", "kid": "a"});
    assert_eq!(judge(&signer.with_header(&header, twice), &[&signer]), Err(Rejected::Claims));
    for (name, value) in
        [("crit", json!(["b64"])), ("crit", json!([])), ("crit", json!(null)), ("typ", json!("id+jwt"))]
    {
        let mut header = header.clone();
        header[name] = value;
        assert_eq!(judge(&signer.with_header(&header, &claims().to_string()), &[&signer]), Err(Rejected::Malformed));
    }
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        let header = json!({"alg": "EdDSA", "kid": "a", "typ": typ});
        assert!(judge(&signer.with_header(&header, &claims().to_string()), &[&signer]).is_ok(), "{typ}");
    }
}

#[test]
fn a_token_of_any_size_is_judged_and_a_huge_one_is_not_even_read() {
    let signer = Signer::ed25519("a");
    let of = |bytes: usize| signer.token(&claims_with(json!({"secret": "a".repeat(bytes)})));
    assert!(judge(&of(5_000), &[&signer]).is_ok());
    assert_eq!(judge(&of(8_000), &[&signer]), Err(Rejected::TooLong));
    assert_eq!(judge(&".".repeat(TOKEN_BYTES_MAX), &[&signer]), Err(Rejected::Malformed));
    // Deep enough to end a parser that calls itself.
    let deep = format!("{}{}", "[".repeat(3_000), "]".repeat(3_000));
    let header = json!({"alg": "EdDSA", "kid": "a"});
    assert_eq!(judge(&signer.with_header(&header, &deep), &[&signer]), Err(Rejected::Claims));
}

#[test]
fn a_token_is_written_in_one_way() {
    let signer = Signer::ed25519("a");
    let good = signer.token(&claims());
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    for other in [
        format!("{good}="),
        format!("{good}."),
        format!("{header}..{payload}.{signature}"),
        format!("{header}.{payload}.{signature}.{signature}"),
        format!(" {good}"),
        format!("{header}.{payload}.{signature}\n"),
        good.replace('.', ","),
    ] {
        assert_eq!(judge(&other, &[&signer]), Err(Rejected::Malformed), "{other}");
    }
}

proptest! {
    #[test]
    fn whatever_is_changed_in_a_good_token_it_is_good_no_longer(at in any::<prop::sample::Index>(), to in 32u8..127) {
        let signer = Signer::ed25519("a");
        let good = signer.token(&claims());
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        prop_assert!(judge(&String::from_utf8(bytes).unwrap(), &[&signer]).is_err());
    }

    #[test]
    fn nothing_that_is_no_token_is_believed(text in ".{0,300}", header in "[ -~]{0,80}", payload in "[ -~]{0,80}") {
        let signer = Signer::p256("a");
        prop_assert!(judge(&text, &[&signer]).is_err());
        let token = format!("{}.{}.{}", base64(header), base64(payload), base64("x"));
        prop_assert!(judge(&token, &[&signer]).is_err());
    }

    #[test]
    fn a_token_is_good_from_one_point_in_time_to_another(nbf in 0u64..200, exp in 0u64..200, now in 0u64..300) {
        let signer = Signer::ed25519("a");
        let keys = Keys::parse(jwks(&[&signer]).as_bytes()).unwrap();
        let token = signer.token(&claims_with(json!({"nbf": nbf, "exp": exp})));
        let judged = verify(&token, &keys, &expected(), UNIX_EPOCH + Duration::from_secs(now)).map(|_| ());
        let model = if now >= exp + 30 { Err(Rejected::Expired) } else if now + 30 < nbf { Err(Rejected::NotYetValid) } else { Ok(()) };
        prop_assert_eq!(judged, model);
    }
}
