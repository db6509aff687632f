//! What a user sees when settings are wrong.

use std::time::Duration;

use super::{Reader, SecretString};

const NONE: [(&str, &str); 0] = [];

#[test]
fn a_variable_wins_over_the_file_and_the_file_over_the_default() {
    let file = "[pool]\nsize_max = 5\nidle_timeout = '1min'";
    let mut reader = Reader::new(file, "user.toml", [("SEAWALL_POOL_SIZE_MAX", "7")]);
    let mut pool = reader.section("pool");
    assert_eq!(pool.get::<u32>("size_max", "10", ""), 7);
    assert_eq!(pool.get::<Duration>("idle_timeout", "2min", ""), Duration::from_secs(60));
    assert_eq!(pool.get::<Duration>("checkout_timeout", "2s", ""), Duration::from_secs(2));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn all_mistakes_are_reported_in_one_pass() {
    let file = "[pool]\nsize_max = 'many'\nidle_timeot = '1min'\nratio = 2.0";
    let variables = [("SEAWALL_POL_SIZE_MAX", "7"), ("SEAWALL_POOL_URL", "\u{7}secret"), ("HOME", "/")];
    let mut reader = Reader::new(file, "user.toml", variables);
    let mut pool = reader.section("pool");
    pool.get::<u32>("size_max", "10", "");
    pool.get::<Duration>("idle_timeout", "2min", "");
    pool.checked::<f64>("ratio", "1", "", "0 to 1", |r| (0.0..=1.0).contains(r));
    pool.checked::<SecretString>("url", "", "", "a URL", |_| false);
    let mistakes = reader.finish().unwrap_err().to_string();
    let lines: Vec<&str> = mistakes.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "5 mistakes in the settings:",
            "- pool.size_max = \"many\" (from user.toml): must be a whole number from 0 to 4294967295",
            "- pool.ratio = \"2.0\" (from user.toml): must be 0 to 1",
            "- pool.url = (hidden) (from SEAWALL_POOL_URL): must be a URL",
            "- pool.idle_timeot (in user.toml): unknown; did you mean pool.idle_timeout?",
            "- SEAWALL_POL_SIZE_MAX (in the environment): unknown; did you mean SEAWALL_POOL_SIZE_MAX?",
        ]
    );
}

#[test]
fn a_section_that_several_share_is_told_once() {
    let mut reader = Reader::new("", "", [("SEAWALL_TLS_EVERY", "soon"), ("SEAWALL_USER_RATIO", "1")]);
    for peer in ["user", "order"] {
        let mut section = reader.section(peer);
        section.get::<f64>("ratio", "2", "");
        let mut tls = section.beside("tls");
        tls.get::<Duration>("every", "1min", "");
        tls.refuse("key", "set where tls.cert is");
    }
    let keys: Vec<_> = reader.documented().iter().map(|setting| setting.key.clone()).collect();
    assert_eq!(keys, ["user.ratio", "tls.every", "order.ratio"]);
    let mistakes = reader.finish().unwrap_err().to_string();
    let lines: Vec<&str> = mistakes.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "2 mistakes in the settings:",
            "- tls.every = \"soon\" (from SEAWALL_TLS_EVERY): must be a duration such as 250ms, 10s or 5min, of 100 \
             years at most",
            "- tls.key (SEAWALL_TLS_KEY): must be set where tls.cert is",
        ]
    );
}

#[test]
fn what_is_for_development_is_a_mistake_in_production_alone() {
    let read = |reader: Reader| {
        let mut reader = reader;
        let mut server = reader.section("server");
        if server.get::<bool>("reflection", "true", "") {
            server.development_only("reflection", "false, since anybody may ask");
        }
        reader.finish().map_err(|mistakes| mistakes.to_string())
    };
    assert_eq!(read(Reader::new("", "", NONE)), Ok(()));
    let said = read(Reader::new("", "", NONE).for_production()).unwrap_err();
    assert!(
        said.contains("server.reflection (SEAWALL_SERVER_REFLECTION): must be false, since anybody may ask"),
        "{said}"
    );
    assert_eq!(read(Reader::new("[server]\nreflection = false", "", NONE).for_production()), Ok(()));
}

/// A connection whose age was to be longer than a clock can tell had a panic instead.
#[test]
fn a_duration_that_no_clock_can_tell_is_a_mistake() {
    for (text, is_good) in [("99years", true), ("101years", false), ("580000000000years", false)] {
        let mut reader = Reader::new("", "", [("SEAWALL_POOL_TIMEOUT", text)]);
        reader.section("pool").get::<Duration>("timeout", "1s", "");
        assert_eq!(reader.finish().is_ok(), is_good, "{text}");
    }
}

#[test]
fn a_file_that_is_not_toml_or_not_there_is_a_mistake_with_its_name() {
    let broken = Reader::new("[pool\n", "user.toml", NONE).finish().unwrap_err().to_string();
    assert!(broken.contains("user.toml: TOML parse error at line 1"), "{broken}");
    let absent = Reader::from_environment(Some("/no/such/user.toml".as_ref())).finish().unwrap_err().to_string();
    assert!(absent.contains("/no/such/user.toml: No such file"), "{absent}");
    let list = Reader::new("[pool]\nurl = ['a']", "user.toml", NONE).finish().unwrap_err().to_string();
    assert!(list.contains("pool.url: a list is not allowed here"), "{list}");
}

/// The parser quotes the line at fault, and what stands in it may be a password.
#[test]
fn a_line_that_is_not_toml_is_named_and_not_quoted() {
    let file = "[sql]\nurl = 'postgres://shop:secret@db/shop";
    let broken = Reader::new(file, "user.toml", NONE).finish().unwrap_err().to_string();
    assert!(broken.contains("user.toml: TOML parse error at line 2"), "{broken}");
    assert!(!broken.contains("secret"), "{broken}");
}

#[test]
fn an_empty_value_switches_an_optional_setting_off() {
    let mut reader = Reader::new("", "", [("SEAWALL_TELEMETRY_OTLP", "")]);
    assert_eq!(reader.section("telemetry").get::<Option<String>>("otlp", "http://collector:4317", ""), None);
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn a_password_in_a_url_is_not_shown_whatever_the_setting_is() {
    let mut reader = Reader::new("", "", [("SEAWALL_A_PORT", "https://me:s3c@ret@host/a")]);
    let _: u16 = reader.section("a").get("port", "1", "a port");
    let said = reader.finish().unwrap_err().to_string();
    assert!(
        said.contains("a.port = \"https://(hidden)@host/a\"") && !said.contains("s3c") && !said.contains("ret@"),
        "{said}"
    );
}
