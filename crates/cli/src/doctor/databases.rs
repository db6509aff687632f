//! The databases and certificates that settings name: whether anybody is there, and how long they hold.

use std::time::{Duration, SystemTime};

use seawall_auth::tls::{self, not_after};
use seawall_config::{ExposeSecret as _, FILE_VARIABLE, Reader, SecretString};
use tokio::net::TcpStream;

use super::finding::{Findings, Level};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A certificate that ends sooner is one that nobody renews.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 3_600);
const DATABASES: &str = "databases";
const CERTIFICATES: &str = "certificates";

pub(super) async fn check(for_production: bool, findings: &mut Findings) {
    let file = std::env::var_os(FILE_VARIABLE);
    // Mistakes in them are told by the services.
    let mut reader = Reader::from_environment(file.as_deref().map(std::path::Path::new));
    let mut url = |section: &str| -> Option<String> {
        let url: Option<SecretString> = reader.section(section).get("url", "", "");
        url.map(|url| url.expose_secret().to_owned())
    };
    let (sql, redis) = (url("sql"), url("redis"));
    if sql.is_none() && redis.is_none() && !for_production {
        findings.ok(DATABASES, "none is set: `up` keeps data in SQLite, in .seawall/data");
    }
    for (setting, url, port) in [("sql.url", sql, 5432), ("redis.url", redis, 6379)] {
        if let Some(url) = url {
            database(setting, &url, port, findings).await;
        }
    }
    if let Some(config) = tls::Config::read(&mut reader.section("tls")) {
        certificate(&config, findings);
    }
}

async fn database(setting: &str, url: &str, port: u16, findings: &mut Findings) {
    if let Some(path) = url.strip_prefix("sqlite://") {
        let folder = std::path::Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or_else(|| std::path::Path::new("."));
        return if folder.is_dir() {
            findings.ok(DATABASES, format!("{setting} is SQLite in {}", folder.display()));
        } else {
            let what = format!("{setting} is SQLite in {}, which is no folder", folder.display());
            findings.add(DATABASES, Level::Problem, what, format!("mkdir -p {}", folder.display()));
        };
    }
    let Some(address) = address(url, port) else {
        let what = format!("{setting} is no URL with a host");
        return findings.add(DATABASES, Level::Problem, what, "write it as scheme://user:password@host:port/name");
    };
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&address)).await;
    let cause = match connected {
        Ok(Ok(_)) => return findings.ok(DATABASES, format!("{setting}: {address} takes connections")),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {} s", CONNECT_TIMEOUT.as_secs()),
    };
    let what = format!("{setting}: no connection to {address}: {cause}");
    findings.add(
        DATABASES,
        Level::Problem,
        what,
        "start it, or correct the address; `cargo seawall up --with postgres` runs one",
    );
}

/// Host and port of a URL, without who one is there.
fn address(url: &str, port: u16) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match host {
        "" => None,
        _ if has_port => Some(host.to_owned()),
        _ => Some(format!("{host}:{port}")),
    }
}

fn certificate(config: &tls::Config, findings: &mut Findings) {
    match not_after(config) {
        Ok(None) => findings.ok(CERTIFICATES, "authorities only: this process proves nothing"),
        Ok(Some(end)) => {
            let left = end.duration_since(SystemTime::now()).unwrap_or_default();
            let hours = left.as_secs() / 3_600;
            let left_text = if hours < 48 { format!("{hours} hours") } else { format!("{} days", hours / 24) };
            let what = format!("tls.cert holds for {left_text}, until {}", humantime::format_rfc3339_seconds(end));
            if left < EXPIRY_WARNING {
                let fix = "have it renewed; processes take a new file by themselves, without a restart";
                findings.add(CERTIFICATES, Level::Warning, what, fix);
            } else {
                findings.ok(CERTIFICATES, what);
            }
        }
        Err(error) => {
            let fix = "correct the file, or the setting (SEAWALL_TLS_CERT, SEAWALL_TLS_KEY, SEAWALL_TLS_CA)";
            findings.add(CERTIFICATES, Level::Problem, error.to_string(), fix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_database_has_no_password_in_it() {
        let of = |url| address(url, 5432);
        assert_eq!(of("postgres://me:s3:cr@t@db.example:6000/shop"), Some("db.example:6000".into()));
        assert_eq!(of("postgres://db/shop?x=1"), Some("db:5432".into()));
        assert_eq!(of("postgres:///shop"), None);
        assert_eq!(of("db"), None);
    }
}
