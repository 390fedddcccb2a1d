//! `doreq` over https: peers with certificates that are made for the test, on the loopback.
#![cfg(unix)]

mod common;

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::channel;

use common::{Peer, Session, drain, read_request, response};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, Stream};
use tempfile::TempDir;

/// An authority of this test's own, and the folder with the file that names it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("roots.pem"), issuer.pem()).expect("a file");
        Self { issuer, folder }
    }

    /// The server's argument that has it trust this authority.
    fn trusted(&self) -> String {
        format!("roots={}", self.folder.path().join("roots.pem").display())
    }

    /// What a peer of this name presents.
    fn presented(&self, name: &str, until_year: i32) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until_year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let issuer: &Issuer<'_, KeyPair> = &self.issuer;
        let certificate = params.signed_by(&key, issuer).expect("a certificate");
        let key = key.serialize_der().try_into().expect("a private key");
        let config = ServerConfig::builder().with_no_client_auth();
        Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate and its key"))
    }
}

/// A peer that reads a request over TLS and says this; then it closes as TLS would have it, or just so.
fn secure_peer(config: Arc<ServerConfig>, says: Vec<u8>, in_order: bool) -> Peer {
    let (sender, seen) = channel();
    Peer::raw(seen, move |mut tcp| {
        let mut tls = ServerConnection::new(Arc::clone(&config)).expect("a connection");
        let Some(request) = read_request(&mut Stream::new(&mut tls, &mut tcp)) else { return };
        Stream::new(&mut tls, &mut tcp).write_all(&says).expect("the server reads");
        if in_order {
            tls.send_close_notify();
            tls.complete_io(&mut tcp).expect("the server reads");
            drain(&mut tcp);
        }
        let _ = sender.send(request);
    })
}

fn failure(arguments: &str, peer: &Peer) -> String {
    let mut session = Session::start(arguments);
    session.send(format!("doreq GET https://{}/\n", peer.address));
    session.err().replace(&peer.address.to_string(), "PEER")
}

#[test]
fn a_secure_peer_is_asked_like_any_other() {
    let authority = Authority::new();
    // More than one TLS record, and more than one read.
    let body = "secret ".repeat(40_000);
    let peer = secure_peer(authority.presented("127.0.0.1", 4000), response(body.as_bytes()), true);
    let mut session = Session::start(&authority.trusted());
    session.send(format!("doreq POST https://{}/a?b the #body\n", peer.address));
    let seen = peer.request();
    assert_eq!((seen.head.lines().next(), &seen.body[..]), (Some("POST /a?b HTTP/1.1"), &b"the #body"[..]));
    assert_eq!((session.out(), session.out()), ("HTTP 200 OK".into(), body));
    session.send("exit\n");
    assert_eq!(session.end(), (0, vec![], vec![]));
}

#[test]
fn a_peer_that_cannot_be_trusted_is_not_asked() {
    let authority = Authority::new();
    let peer = |name, until_year| secure_peer(authority.presented(name, until_year), response(b"fine"), true);
    let trusted = authority.trusted();
    let cut_off = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_vec();
    let cut_off = secure_peer(authority.presented("127.0.0.1", 4000), cut_off, false);
    // What follows tells the time.
    let out_of_date = failure(&trusted, &peer("127.0.0.1", 2001));
    let refused = [
        ("not known", failure("", &peer("127.0.0.1", 4000))),
        ("of another authority", failure(&Authority::new().trusted(), &peer("127.0.0.1", 4000))),
        ("of another name", failure(&trusted, &peer("127.0.0.2", 4000))),
        ("out of date", out_of_date.split(": verification time").next().expect("a part").to_owned()),
        ("cut off", failure(&trusted, &cut_off)),
    ];
    let table: Vec<_> = refused.iter().map(|(peer, sentence)| format!("{peer:<22}{sentence}")).collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn a_file_of_roots_that_is_none_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let broken = "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n";
    let files = [folder.path().join("absent"), file("empty", ""), file("broken", broken)];
    let refused = files.map(|path| {
        let path = path.display().to_string();
        let (status, out, err) = Session::start(&format!("roots={path}")).end();
        assert_eq!((status, &out[..]), (1, &[][..]), "{err:?}");
        err.join("\n").replace(&path, "FILE")
    });
    insta::assert_snapshot!(refused.join("\n\n"));
}
