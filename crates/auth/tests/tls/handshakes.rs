//! Who is trusted, and why others are not: what both ends say of each handshake.

use std::time::Duration;

use seawall_auth::tls::{Connector, Reason, SpiffeId};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::mesh::{Mesh, Server, Taken, answer, authority, future, id, past, valid};

/// What comes of a call by `connector` to `server`: what the server says of it, and what the caller does.
/// A caller that the server refuses learns it with the first answer that does not come.
async fn call(server: &mut Server, connector: &Connector) -> (Taken, Result<(), Reason>) {
    let called = match server.connect(connector).await {
        Ok(mut stream) => answer(&mut stream).await,
        Err(reason) => Err(reason),
    };
    (server.taken().await, called)
}

fn ids(services: &[&str]) -> Vec<SpiffeId> {
    services.iter().map(|service| id(service)).collect()
}

#[tokio::test]
async fn those_who_trust_each_other_talk() {
    let mesh = Mesh::good();
    let (mut server, order) = (mesh.user().await, mesh.order());
    let (taken, called) = call(&mut server, &order).await;
    assert_eq!((taken, called), (Ok(Some("spiffe://shop/order".into())), Ok(())));
}

/// One that is refused as a file is refused when it is read, so a caller that has one must be another program.
/// Here it is the same one, to whom the file was good.
#[tokio::test]
async fn a_caller_whose_certificate_is_not_good_is_refused() {
    let mesh = Mesh::good();
    let other = authority();
    mesh.issue("foreign", &other, &ids(&["order"]), &valid());
    mesh.issue("nobody", &mesh.ca, &[], &valid());
    mesh.issue("two", &mesh.ca, &ids(&["order", "user"]), &valid());
    mesh.issue("stranger", &mesh.ca, &["spiffe://elsewhere/order".parse().unwrap()], &valid());
    let mut server = mesh.user().await;
    for (name, reason) in [
        ("", Reason::NoCertificate),
        ("foreign", Reason::UnknownAuthority),
        ("nobody", Reason::Identity),
        ("two", Reason::Identity),
        ("stranger", Reason::Identity),
    ] {
        let caller = Connector::try_new(&mesh.config(name, "ca.pem", &[]), Some(id("user"))).unwrap();
        let (taken, called) = call(&mut server, &caller).await;
        assert_eq!(taken, Err(reason), "{name}");
        assert_eq!(called, Err(Reason::Refused), "{name}");
    }
    // The next one is none the worse for it.
    assert_eq!(call(&mut server, &mesh.order()).await.1, Ok(()));
}

#[tokio::test]
async fn only_those_who_are_listed_may_call() {
    let mesh = Mesh::good();
    mesh.issue("tool", &mesh.ca, &["spiffe://tools/load".parse().unwrap()], &valid());
    let clients = ("SEAWALL_TLS_CLIENTS", "spiffe://shop/billing, spiffe://tools/*");
    let mut server = Server::start(&mesh.config("user", "ca.pem", &[clients])).await;
    assert_eq!(call(&mut server, &mesh.order()).await.0, Err(Reason::Identity));
    let tool = Connector::try_new(&mesh.config("tool", "ca.pem", &[]), Some(id("user"))).unwrap();
    assert_eq!(call(&mut server, &tool).await, (Ok(Some("spiffe://tools/load".into())), Ok(())));
}

#[tokio::test]
async fn anyone_may_call_without_a_certificate_but_not_with_a_bad_one() {
    let mesh = Mesh::good();
    mesh.issue("foreign", &authority(), &ids(&["order"]), &valid());
    let mut server = Server::start(&mesh.config("user", "ca.pem", &[("SEAWALL_TLS_CLIENTS", "anyone")])).await;
    for (name, expected) in [
        ("", Ok(None)),
        ("order", Ok(Some("spiffe://shop/order".to_owned()))),
        ("foreign", Err(Reason::UnknownAuthority)),
    ] {
        let caller = Connector::try_new(&mesh.config(name, "ca.pem", &[]), Some(id("user"))).unwrap();
        assert_eq!(call(&mut server, &caller).await.0, expected, "{name}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_who_it_must_be_is_told_nothing() {
    let mesh = Mesh::good();
    mesh.write("other.pem", &authority().certificate());
    let mut server = mesh.user().await;
    let config = mesh.config("order", "ca.pem", &[]);
    let elsewhere = mesh.config("order", "other.pem", &[]);
    for (config, identity, reason) in
        [(&config, "billing", Reason::Identity), (&elsewhere, "user", Reason::UnknownAuthority)]
    {
        let caller = Connector::try_new(config, Some(id(identity))).unwrap();
        assert_eq!(call(&mut server, &caller).await, (Err(Reason::Refused), Err(reason)), "{identity}");
    }
}

#[tokio::test]
async fn without_an_identity_the_name_decides() {
    let mesh = Mesh::good();
    let mut server = mesh.user().await;
    let caller = Connector::try_new(&mesh.config("order", "ca.pem", &[]), None).unwrap();
    for (host, expected) in [
        ("localhost", Ok(())),
        ("127.0.0.1", Ok(())),
        ("[::1]", Ok(())),
        ("example.com", Err(Reason::Name)),
        ("10.0.0.1", Err(Reason::Name)),
    ] {
        let io = TcpStream::connect(server.address).await.unwrap();
        let connected = caller.connect(io, host).await;
        assert_eq!(connected.as_ref().map(drop).map_err(|error| error.reason()), expected, "{host}");
        assert_eq!(server.taken().await.is_ok(), expected.is_ok(), "{host}");
    }
}

#[tokio::test]
async fn what_is_no_tls_is_not_answered_in_plaintext() {
    let mesh = Mesh::good();
    let mut server = Server::with_timeout(&mesh.config("user", "ca.pem", &[]), Duration::from_millis(200)).await;
    let mut plain = TcpStream::connect(server.address).await.unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    assert_eq!(server.taken().await, Err(Reason::NotTls));
    let silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.taken().await, Err(Reason::Timeout));
    drop(silent);
    drop(TcpStream::connect(server.address).await.unwrap());
    assert_eq!(server.taken().await, Err(Reason::Closed));
}

/// The times of a certificate are seen by the other end too, whose clock may be another.
#[tokio::test]
async fn certificates_are_refused_before_and_after_their_time() {
    let mesh = Mesh::good();
    for (times, what) in [(past(), "has expired at "), (future(), "is not valid before ")] {
        mesh.issue("late", &mesh.ca, &ids(&["order"]), &times);
        let error = Connector::try_new(&mesh.config("late", "ca.pem", &[]), Some(id("user"))).unwrap_err().to_string();
        assert!(error.contains("late.pem") && error.contains(what), "{error}");
    }
}
