//! TLS: both framings over it, certificates that change, and certificates of clients.

use crate::common;

use common::{Client, Framing, PATIENCE, SMALL, Server, Store, eventually, run, stderr, stdout};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A certificate that signs itself, and its key, both PEM.
struct Pair {
    certificate: String,
    key: String,
}

impl Pair {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, key: key.serialize_pem() }
    }

    /// Puts it where a server finds it, in place of what is there.
    fn write(&self, directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join("key.pem"), &self.key).unwrap();
        std::fs::write(directory.join("certificate.pem"), &self.certificate).unwrap();
    }
}

/// A handshake with a server that has the certificate `trusted`, showing `shown`.
async fn shake_hands(
    server: &Server,
    trusted: &Pair,
    shown: Option<&Pair>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der(&trusted.certificate)).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match shown {
        None => config.with_no_client_auth(),
        Some(Pair { certificate, key }) => {
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![der(certificate)], key).unwrap()
        }
    };
    let tcp = TcpStream::connect(server.tls.unwrap()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let shaken = connector.connect("localhost".try_into().unwrap(), tcp);
    timeout(PATIENCE, shaken).await.expect("the handshake ends")
}

async fn log_in(server: &Server, trusted: &Pair, framing: Framing, node: &str) -> Client {
    let stream = shake_hands(server, trusted, None).await.unwrap();
    let mut client = Client::over(stream.into(), framing).await;
    client.log_in("alice", node).await;
    client
}

/// Waits until new connections get this certificate.
async fn shown(server: &Server, pair: &Pair) {
    let start = Instant::now();
    while shake_hands(server, pair, None).await.is_err() {
        assert!(start.elapsed() < PATIENCE, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn start() -> (Store, Server, Pair) {
    let (store, pair) = (Store::new(), Pair::new());
    pair.write(&store.path().join("tls"));
    let server = Server::start_with_tls(&store);
    Client::register(&server, "alice", "").await;
    (store, server, pair)
}

#[tokio::test]
async fn both_framings_are_spoken_over_tls() {
    let (_store, server, pair) = start().await;
    Client::add_node(&server, "alice", "n1").await;
    let mut raw = log_in(&server, &pair, Framing::Raw, "n0").await;
    let mut ws = log_in(&server, &pair, Framing::WebSocket, "n1").await;
    for size in [0, 1, 70_000, 3 << 20] {
        let data: Vec<u8> = (0..size).map(|at| at as u8).collect();
        raw.post(&json!({}), &data).await;
        assert!(ws.take_data().await == data, "{size}");
        ws.post(&json!({}), &data).await;
        assert!(raw.take_data().await == data, "{size}");
    }
}

#[tokio::test]
async fn the_command_makes_a_certificate_that_serves_and_is_not_replaced_unasked() {
    let store = Store::new();
    let output = run(&["cert", "--store", &store.text(), "--name", "localhost"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("listen_tls = "), "{}", stdout(&output));
    let read = |name| std::fs::read_to_string(store.path().join("tls").join(name)).unwrap();
    let pair = Pair { certificate: read("certificate.pem"), key: read("key.pem") };
    let mode = store.path().join("tls/key.pem").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let again = run(&["cert", "--store", &store.text()]);
    assert!(!again.status.success());
    assert!(stderr(&again).contains("--force"), "{}", stderr(&again));
    assert_eq!(read("key.pem"), pair.key);

    let server = Server::start_with_tls(&store);
    shake_hands(&server, &pair, None).await.unwrap();
    assert!(run(&["cert", "--store", &store.text(), "--force"]).status.success());
    assert_ne!(read("key.pem"), pair.key);
    let new = Pair { certificate: read("certificate.pem"), key: read("key.pem") };
    shown(&server, &new).await;
    assert!(!server.log().contains("everybody on this machine"), "{}", server.log());
}

#[tokio::test]
async fn a_certificate_that_changes_is_shown_to_the_next_and_a_bad_one_is_not() {
    let (store, server, first) = start().await;
    let mut client = log_in(&server, &first, Framing::WebSocket, "n0").await;
    let tls = store.path().join("tls");
    let second = Pair::new();
    second.write(&tls);
    shown(&server, &second).await;
    client.post(&json!({"alice": 1}), b"the link goes on").await;

    for (bad, why) in [
        (Pair { certificate: "no PEM".into(), ..Pair::new() }, "there is no certificate in it"),
        (Pair { key: "no PEM".into(), ..Pair::new() }, "there is no private key in it"),
        (Pair { key: Pair::new().key, ..Pair::new() }, "key.pem: "),
    ] {
        bad.write(&tls);
        eventually(why, || server.log().contains(why)).await;
        shake_hands(&server, &second, None).await.unwrap();
    }
    std::fs::remove_file(tls.join("key.pem")).unwrap();
    eventually("a warning", || server.log().contains("No such file")).await;
    let third = Pair::new();
    third.write(&tls);
    shown(&server, &third).await;
    assert_eq!(client.take_data().await, "the link goes on");
}

#[tokio::test]
async fn a_certificate_is_followed_through_renames_and_symbolic_links() {
    let store = Store::new();
    let (tls, pairs) = (store.path().join("tls"), [(); 4].map(|()| Pair::new()));
    // As Kubernetes keeps them: the files are links through a link that is replaced.
    std::fs::create_dir_all(&tls).unwrap();
    let point_to = |target: &str| {
        symlink(target, tls.join("new")).unwrap();
        std::fs::rename(tls.join("new"), tls.join("data")).unwrap();
    };
    pairs[0].write(&tls.join("0"));
    point_to("0");
    for name in ["certificate.pem", "key.pem"] {
        symlink(Path::new("data").join(name), tls.join(name)).unwrap();
    }
    let server = Server::start_with_tls(&store);
    shown(&server, &pairs[0]).await;
    pairs[1].write(&tls.join("1"));
    point_to("1");
    shown(&server, &pairs[1]).await;
    // Where the links lead to now is watched, too.
    pairs[2].write(&tls.join("1"));
    shown(&server, &pairs[2]).await;
    pairs[3].write(&tls.join("3"));
    for name in ["certificate.pem", "key.pem"] {
        std::fs::rename(tls.join("3").join(name), tls.join("1").join(name)).unwrap();
    }
    shown(&server, &pairs[3]).await;
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_it_has_to() {
    for (auth, stranger_comes_in) in [("required", false), ("optional", true)] {
        let config = format!("{SMALL}[tls]\nclient_ca = \"tls/ca.pem\"\nclient_auth = \"{auth}\"");
        let (store, pair, friend) = (Store::with(&config), Pair::new(), Pair::new());
        pair.write(&store.path().join("tls"));
        std::fs::write(store.path().join("tls/ca.pem"), &friend.certificate).unwrap();
        let server = Server::start_with_tls(&store);
        Client::register(&server, "alice", "").await;
        Client::add_node(&server, "alice", "n1").await;
        for (node, shown, comes_in) in [
            ("n0", Some(&friend), true),
            ("n1", None, stranger_comes_in),
            ("none", Some(&pair), false),
        ] {
            // The server's verdict comes after the client's handshake.
            let mut stream = shake_hands(&server, &pair, shown).await.unwrap();
            let refused = timeout(Duration::from_millis(300), stream.read_u8()).await;
            assert_eq!(refused.is_err(), comes_in, "{auth}: {refused:?}");
            if comes_in {
                Client::over(stream.into(), Framing::Raw).await.log_in("alice", node).await;
            }
        }
    }
}

#[tokio::test]
async fn who_speaks_no_tls_or_never_ends_its_handshake_is_closed() {
    let config = format!("{SMALL}[limits]\nhandshake_timeout_s = 1");
    let (store, pair) = (Store::with(&config), Pair::new());
    pair.write(&store.path().join("tls"));
    let server = Server::start_with_tls(&store);
    for begin in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01", b""] {
        let mut tcp = TcpStream::connect(server.tls.unwrap()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut tcp, begin).await.unwrap();
        let mut rest = Vec::new();
        // An alert at most.
        let _ = timeout(PATIENCE, tcp.read_to_end(&mut rest)).await.expect("it is closed");
        assert!(rest.len() < 20, "{}", rest.escape_ascii());
    }
    shake_hands(&server, &pair, None).await.unwrap();
}

#[test]
fn a_server_for_tls_without_a_good_certificate_says_what_is_wrong_and_does_not_start() {
    let store = Store::new();
    let start =
        || run(&["--store", &store.text(), "--listen-tls", "127.0.0.1:0", "--admin", "off"]);
    let output = start();
    assert!(!output.status.success());
    assert!(stderr(&output).contains("tls/certificate.pem: No such file"), "{}", stderr(&output));
    Pair { key: Pair::new().key, ..Pair::new() }.write(&store.path().join("tls"));
    let output = start();
    assert!(!output.status.success());
    assert!(stderr(&output).contains("key.pem"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_key_that_everybody_can_read_is_warned_of() {
    let (store, server, _) = start().await;
    let key = store.path().join("tls/key.pem");
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o007, 0o004, "as tests write it");
    assert!(server.log().contains("everybody on this machine"), "{}", server.log());
}
