//! The settings.

use std::path::PathBuf;
use std::time::Duration;

use seawall_config::Section;

use crate::jwks::{Source, SourceError, Times};
use crate::jwt::{Algorithms, ClaimNames, Expected};

/// The most that clocks may be apart: a token that was withdrawn is believed for as much longer.
const LEEWAY_MAX: Duration = Duration::from_secs(300);

/// How callers show who they are, and whether they must.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where services belong to that rules name without a trust domain.
    pub trust_domain: Option<String>,
    /// Which tokens are believed; `None` if none is, and identities are those of certificates.
    pub tokens: Option<TokenConfig>,
}

/// Which tokens are believed.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// What they must be.
    pub expected: Expected,
    /// Where the keys of their issuer are.
    pub source: Source,
    /// How often those are asked for.
    pub times: Times,
}

impl Config {
    /// Reads the section, which by convention is `auth`. `None` where it is not enabled.
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let is_enabled: bool = section.get(
            "enabled",
            "false",
            "whether callers must be whom the rules of the contracts let in; what has no rule is then denied, health never",
        );
        let trust_domain: Option<String> = section.get(
            "trust_domain",
            "",
            "where services belong to that rules name without a trust domain, such as shop.example; empty for that of the own certificate",
        );
        let tokens = tokens(section);
        if !is_enabled && tokens.is_some() {
            section.refuse("enabled", "true where tokens are configured, which have no effect otherwise");
        }
        is_enabled.then_some(Self { trust_domain, tokens })
    }
}

/// `None` if no issuer is named.
fn tokens(section: &mut Section<'_>) -> Option<TokenConfig> {
    let issuer: Option<String> =
        section.get("issuer", "", "who issues tokens, as in their iss; empty: no token is believed");
    let audience: Option<String> = section.get("audience", "", "whom tokens must be for, as in their aud");
    let jwks: Option<String> = section.get(
        "jwks",
        "",
        "where the public keys of the issuer are: a file or an https URL, such as https://id.example/.well-known/jwks.json",
    );
    let jwks_ca: Option<PathBuf> = section.get(
        "jwks_ca",
        "",
        "the authorities that are trusted for an https URL of keys, a PEM file; empty for those of the system",
    );
    let Algorithms(algorithms) =
        section.get("algorithms", "RS256,ES256,EdDSA", "what tokens may be signed with, separated by commas");
    let leeway = section.checked(
        "leeway",
        "30s",
        "how far the clock of the issuer and that of this process may be apart",
        "0s to 5min",
        |leeway| *leeway <= LEEWAY_MAX,
    );
    let names = ClaimNames {
        scopes: section.get("scopes_claim", "scope", "the claim with the scopes, such as scope or scp"),
        roles: section.get("roles_claim", "roles", "the claim with the roles, such as roles or realm_access.roles"),
    };
    let times = times(section);
    let is_any = issuer.is_some() || audience.is_some() || jwks.is_some();
    for (key, is_there) in [("issuer", issuer.is_some()), ("audience", audience.is_some()), ("jwks", jwks.is_some())] {
        if is_any && !is_there {
            section.refuse(key, "set where another of auth.issuer, auth.audience and auth.jwks is");
        }
    }
    let source = match Source::try_new(&jwks?, jwks_ca.as_deref()) {
        Ok(source) => source,
        Err(error @ SourceError::NotAllowed) => {
            section.refuse("jwks", &error.to_string());
            return None;
        }
        Err(error) => {
            section.refuse("jwks_ca", &format!("usable; {error}"));
            return None;
        }
    };
    let expected = Expected { issuer: issuer?, audience: audience?, algorithms, leeway, names };
    Some(TokenConfig { expected, source, times })
}

fn times(section: &mut Section<'_>) -> Times {
    let times = Times {
        refresh_interval: section.checked(
            "jwks_refresh_interval",
            "5min",
            "how often the keys are asked for",
            "1s to 1day",
            |every| (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(every),
        ),
        refresh_interval_min: section.checked(
            "jwks_refresh_interval_min",
            "10s",
            "what lies between two times that the keys are asked for, also when a token has a key that is not known",
            "100ms to 1h",
            |every| (Duration::from_millis(100)..=Duration::from_secs(3_600)).contains(every),
        ),
        stale_max: section.checked(
            "jwks_stale_max",
            "1h",
            "how long the keys are good that came last; after that, tokens are refused until new ones come",
            "1s to 7days",
            |age| (Duration::from_secs(1)..=Duration::from_secs(7 * 86_400)).contains(age),
        ),
    };
    if times.refresh_interval_min > times.refresh_interval || times.refresh_interval > times.stale_max {
        section.refuse("jwks_refresh_interval", "between auth.jwks_refresh_interval_min and auth.jwks_stale_max");
    }
    times
}

#[cfg(test)]
mod tests {
    use seawall_config::Reader;

    use super::*;

    fn read(toml: &str) -> Result<Option<Config>, String> {
        let mut reader = Reader::new(&format!("[auth]\n{toml}"), "a.toml", [("", "")]);
        let config = Config::read(&mut reader.section("auth"));
        reader.finish().map(|()| config).map_err(|mistakes| mistakes.to_string())
    }

    const ALL: &str = "enabled = true\nissuer = 'https://id.example'\naudience = 'shop'\n";

    #[test]
    fn it_is_off_unless_it_is_switched_on() {
        assert!(read("").unwrap().is_none());
        let on = read("enabled = true").unwrap().unwrap();
        assert!(on.tokens.is_none() && on.trust_domain.is_none());
        let on = read(&format!("{ALL}jwks = '/etc/jwks.json'")).unwrap().unwrap();
        assert_eq!(on.tokens.unwrap().expected.algorithms.len(), 3);
    }

    #[test]
    fn what_belongs_together_is_set_together() {
        let said = read("enabled = true\nissuer = 'a'").unwrap_err();
        assert!(
            said.contains("auth.audience") && said.contains("auth.jwks (") && !said.contains("- auth.issuer"),
            "{said}"
        );
        let said = read("issuer = 'a'\naudience = 'b'\njwks = '/c'").unwrap_err();
        assert!(said.contains("auth.enabled"), "{said}");
    }

    #[test]
    fn there_is_no_way_to_allow_what_is_not_safe() {
        for algorithms in ["none", "HS256", "RS256,none", "rs256", ""] {
            let said = read(&format!("{ALL}jwks = '/c'\nalgorithms = '{algorithms}'")).unwrap_err();
            assert!(said.contains("auth.algorithms") && said.contains("EdDSA"), "{algorithms}: {said}");
        }
        for jwks in
            ["http://id.example/keys", "http://localhost/keys", "https://me:secret@id.example/", "ftp://a/b", "http://"]
        {
            let said = read(&format!("{ALL}jwks = '{jwks}'")).unwrap_err();
            assert!(said.contains("auth.jwks") && said.contains("https") && !said.contains("secret"), "{jwks}: {said}");
        }
        assert!(read(&format!("{ALL}jwks = '/c'\nleeway = '6min'")).unwrap_err().contains("auth.leeway"));
        let said = read(&format!("{ALL}jwks = '/c'\njwks_stale_max = '1min'")).unwrap_err();
        assert!(said.contains("auth.jwks_stale_max"), "{said}");
        read(&format!("{ALL}jwks = 'http://127.0.0.1:1/keys'")).unwrap();
    }
}
