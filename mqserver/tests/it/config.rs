//! The configuration of a server that runs: read again when its file changes and on SIGHUP, from the
//! environment, and as `mqserver config` tells it.

use crate::common;

use common::{
    Client, Framing, PATIENCE, SMALL, Server, Store, eventually, program, run, stderr, stdout,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

/// Writes the configuration as some editors do, into the file that is there.
fn write(store: &Store, settings: &str) {
    std::fs::write(store.path().join("mqserver.toml"), format!("{settings}\n{SMALL}")).unwrap();
}

/// A server with these settings, with alice and bob on it.
async fn start(settings: &str) -> (Store, Server) {
    let store = Store::with(&format!("{settings}\n{SMALL}"));
    let server = Server::start(&store);
    for user in ["alice", "bob"] {
        Client::register(&server, user, "").await;
    }
    (store, server)
}

/// Waits until the log says so.
async fn logged(server: &Server, text: &str) {
    eventually(text, || server.log().contains(text)).await;
}

/// Posts to bob; the error in the ack.
async fn post(client: &mut Client, id: &str, data: &[u8]) -> Option<String> {
    client.send(&json!({"op": "post", "id": id, "to": {"bob": 1}}), data).await;
    client.reply().await.error
}

#[tokio::test]
async fn a_limit_of_the_queue_that_changes_is_felt_by_a_client_that_is_logged_in() {
    let (store, server) = start("").await;
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    assert_eq!(post(&mut alice, "1", b"x").await, None);
    write(&store, "[limits]\nqueue_messages = 1");
    logged(&server, "limits.queue_messages = 1 (was 2000000)").await;
    let full = Some("bob: queue full, limit 1 messages".to_owned());
    assert_eq!(post(&mut alice, "2", b"x").await, full);
    // What is left out has its default again.
    write(&store, "");
    logged(&server, "limits.queue_messages = 2000000 (was 1)").await;
    assert_eq!(post(&mut alice, "3", b"x").await, None);
}

#[tokio::test]
async fn a_limit_of_the_door_that_changes_is_felt_by_the_next_and_by_nobody_who_is_in() {
    let (store, server) = start("").await;
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    write(&store, "[limits]\nconnections = 1");
    logged(&server, "limits.connections = 1 (was 16384)").await;
    let mut bob = Client::connect(server.address, Framing::WebSocket).await;
    assert_eq!(bob.quit().await, "too many connections");
    assert_eq!(post(&mut alice, "1", b"x").await, None);

    write(&store, "[limits]\nlogin_timeout_s = 1");
    logged(&server, "limits.login_timeout_s = 1 (was 6)").await;
    let start = Instant::now();
    let mut silent = Client::connect(server.address, Framing::WebSocket).await;
    assert_eq!(silent.quit().await, "close timeout");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    write(&store, "[limits]\nmax_message_mib = 1");
    logged(&server, "limits.max_message_mib = 1 (was 16)").await;
    let mut bob = Client::login(&server, Framing::WebSocket, "bob", "n0").await;
    assert_eq!(bob.take_data().await, "x");
    bob.send(&json!({"op": "post", "id": "1", "to": {"alice": 1}}), &[b'x'; 2 << 20]).await;
    assert_eq!(bob.quit().await, "message too large");
    assert_eq!(post(&mut alice, "2", &[b'x'; 2 << 20]).await, None, "her link is older");
}

#[tokio::test]
async fn who_may_register_changes_at_once() {
    let (store, server) = start("").await;
    write(&store, "[accounts]\nregistration = \"closed\"");
    logged(&server, "accounts.registration = \"closed\" (was \"open\")").await;
    let mut carol = Client::connect(server.address, Framing::Raw).await;
    carol
        .send(&json!({"op": "register", "userId": "carol", "newNode": "n0", "aliases": ""}), b"")
        .await;
    assert_eq!(carol.reply().await.error.as_deref(), Some("registration closed"));
    let output = run(&["invite", "--store", &store.text()]);
    assert!(stderr(&output).contains("registration is closed"), "{}", stderr(&output));
    write(&store, "");
    logged(&server, "accounts.registration = \"open\" (was \"closed\")").await;
    Client::register(&server, "carol", "").await;
}

#[tokio::test]
async fn how_long_messages_wait_for_their_files_changes_at_once() {
    let (store, server) = start("[spool]\nlinger_ms = 60000").await;
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    assert_eq!(post(&mut alice, "1", b"x").await, None);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(store.files("bob,0").len(), 0);
    write(&store, "[spool]\nlinger_ms = 0");
    logged(&server, "spool.linger_ms = 0 (was 60000)").await;
    assert_eq!(post(&mut alice, "2", b"x").await, None);
    // The one that waits, too.
    store.filed("bob,0", 2).await;
}

#[tokio::test]
async fn an_invalid_file_changes_nothing_and_its_line_and_reason_are_logged_once() {
    let (store, server) = start("[limits]\nqueue_messages = 1").await;
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    assert_eq!(post(&mut alice, "1", b"x").await, None);
    for (settings, why) in [
        (
            "[limits]\nqueue_messages = 5\nqueue_mesages = 5",
            "mqserver.toml:3:1: there is no setting `queue_mesages` in [limits]; did you mean \
             `queue_messages`?",
        ),
        (
            "[limits]\nqueue_messages = 0",
            "mqserver.toml:2:18: limits.queue_messages = 0 is out of bounds: 1 to 1000000000",
        ),
        ("\n\n[limits]\nqueue_messages = ", "mqserver.toml:4:"),
        ("insecure = 5\n[limits]\nqueue_messages = 5", "mqserver.toml:1:12: insecure = 5 is not"),
    ] {
        write(&store, settings);
        logged(&server, why).await;
        let full = Some("bob: queue full, limit 1 messages".to_owned());
        assert_eq!(post(&mut alice, why, b"x").await, full, "{settings}");
    }
    let warnings = |server: &Server| server.log().matches("stays as it was before").count();
    assert_eq!(warnings(&server), 4, "{}", server.log());
    write(&store, "[limits]\nqueue_messages = 3");
    logged(&server, "limits.queue_messages = 3 (was 1)").await;
    assert_eq!(post(&mut alice, "2", b"x").await, None);
    assert_eq!(warnings(&server), 4, "{}", server.log());
}

#[tokio::test]
async fn what_cannot_change_is_named_and_waits_for_the_next_start() {
    let (store, server) = start("").await;
    let path = store.path().join("mqserver.toml");
    let text = "listen = [\"127.0.0.1:1\"]\nadmin = \"127.0.0.1:2\"\n[limits]\nto = 7\n\
                [journal]\nsegments = 4\nsegment_mib = 2\n";
    std::fs::write(path, text).unwrap();
    // The addresses are the command line's here, which goes above the file.
    logged(&server, "takes effect at the next start settings=journal.segments\n").await;
    assert!(server.log().contains("changed=limits.to = 7 (was 10000)\n"), "{}", server.log());
    Client::register(&server, "carol", "").await;
}

#[tokio::test]
async fn listen_addresses_of_the_file_wait_for_the_next_start() {
    let store = Store::with(&format!("listen = [\"127.0.0.1:0\"]\nadmin = \"off\"\n{SMALL}"));
    let mut command = program();
    command.arg("--store").arg(store.path());
    let log = std::fs::File::create(store.outside().join("log")).unwrap();
    let mut child = command.stdout(std::process::Stdio::null()).stderr(log).spawn().unwrap();
    let logged = || std::fs::read_to_string(store.outside().join("log")).unwrap_or_default();
    eventually("a server", || store.path().join(".control").exists()).await;
    write(&store, "listen = [\"127.0.0.1:1\"]\nlisten_tls = [\"127.0.0.1:2\"]\nadmin = \"off\"");
    eventually("the names", || {
        logged().contains("takes effect at the next start settings=listen, listen_tls\n")
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn a_hangup_has_it_read_again_and_the_supervisor_hears_of_it() {
    let store = Store::new();
    let path = store.outside().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut text = [0; 256];
        let len = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..len].to_vec()).unwrap()
    };
    let mut command = program();
    command.env("NOTIFY_SOCKET", &path);
    let server = Server::start_with(&store, command, "off");
    assert_eq!(told().trim_end(), "READY=1");
    let reload = |problem: &str| {
        server.signal(Signal::HUP);
        let reloading = told();
        let mut lines = reloading.lines();
        assert_eq!(lines.next(), Some("RELOADING=1"), "{reloading}");
        let at = lines.next().unwrap().strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(at.parse::<u64>().unwrap() > 0);
        assert_eq!(told().trim_end(), "READY=1");
        assert!(server.log().contains(problem), "{}", server.log());
    };
    // Asked, it answers even if all is as before, or wrong.
    reload("the configuration was read again changed=nothing");
    std::fs::write(store.path().join("mqserver.toml"), "wrong").unwrap();
    reload("mqserver.toml:1:");
    write(&store, "");
    reload("");
    Client::register(&server, "alice", "").await;
    server.stop();
}

#[tokio::test]
async fn editors_that_rename_and_stores_behind_links_are_followed() {
    let real = tempfile::tempdir().unwrap();
    std::fs::create_dir(real.path().join("store")).unwrap();
    let store = Store::absent();
    symlink(real.path().join("store"), store.path()).unwrap();
    // It begins without a file at all.
    let server = Server::start(&store);
    for most in [7, 8, 9] {
        let settings = format!("[limits]\nto = {most}\n");
        let new = real.path().join("store/.mqserver.toml.swp");
        std::fs::write(&new, settings).unwrap();
        std::fs::rename(new, store.path().join("mqserver.toml")).unwrap();
        logged(&server, &format!("limits.to = {most} (was")).await;
    }
    std::fs::remove_file(store.path().join("mqserver.toml")).unwrap();
    logged(&server, "limits.to = 10000 (was 9)").await;
}

#[tokio::test]
async fn what_a_server_would_not_start_with_is_refused_at_a_reload_too() {
    let store = Store::new();
    let mut command = program();
    command.args(["--listen-tls", "0.0.0.0:0"]);
    assert!(run(&["cert", "--store", &store.text()]).status.success());
    let server = Server::start_with(&store, command, "off");
    write(&store, "[accounts]\nregistration = \"open\"");
    logged(&server, "stays as it was before error=whoever reaches 0.0.0.0:0 may register").await;
    let mut carol = Client::connect(server.address, Framing::Raw).await;
    carol
        .send(&json!({"op": "register", "userId": "carol", "newNode": "n0", "aliases": ""}), b"")
        .await;
    assert_eq!(carol.reply().await.error.as_deref(), Some("registration closed"));
    write(&store, "insecure = true\n[accounts]\nregistration = \"open\"");
    logged(&server, "accounts.registration = \"open\" (was \"closed\")").await;
    Client::register(&server, "carol", "").await;
}

#[tokio::test]
async fn the_log_says_more_when_it_is_told_to() {
    let (store, server) = start("").await;
    write(&store, "[log]\nlevel = \"debug\"");
    logged(&server, "log.level = \"debug\" (was \"info\")").await;
    assert!(!server.log().contains("DEBUG"), "{}", server.log());
    let mut tcp = tokio::net::TcpStream::connect(server.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut tcp, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    logged(&server, "DEBUG").await;
}

#[tokio::test]
async fn other_paths_of_a_certificate_are_followed() {
    let store = Store::new();
    assert!(run(&["cert", "--store", &store.text()]).status.success());
    let server = Server::start_with_tls(&store);
    std::fs::rename(store.path().join("tls"), store.path().join("other")).unwrap();
    logged(&server, "new links get the certificate from before").await;
    write(&store, "[tls]\ncertificate = \"other/certificate.pem\"\nkey = \"other/key.pem\"");
    logged(&server, "new links get the certificate that was read again").await;
}

#[test]
fn the_environment_goes_above_the_file_and_the_command_line_above_both() {
    let store = Store::with("admin = \"127.0.0.1:1\"\n[limits]\nto = 1\nto_one = 1");
    let output = program()
        .args(["config", "check", "--json", "--admin", "off", "--store", &store.text()])
        .env("MQSERVER_LIMITS_TO", "2")
        .env("MQSERVER_ADMIN", "127.0.0.1:2")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let file = store.path().join("mqserver.toml");
    let row = |name: &str, value: Value, default: Value, unit: &str, from: Value| json!({"name": name, "value": value, "default": default, "unit": unit, "from": from});
    let expected = json!({"ok": true, "file": file, "errors": [], "settings": [
        row("admin", json!("off"), json!("127.0.0.1:8080"), "", json!({"option": "--admin"})),
        row("limits.to", json!(2), json!(10_000), "names",
            json!({"variable": "MQSERVER_LIMITS_TO"})),
        row("limits.to_one", json!(1), json!(1_000), "names",
            json!({"file": file, "line": 4, "column": 1})),
    ]});
    assert_eq!(report, expected);
}

#[test]
fn the_store_may_be_named_by_the_environment() {
    let store = Store::with("[limits]\nto = 1");
    let output = program().args(["config", "check"]).env("MQSERVER_STORE", store.path()).output();
    assert!(stdout(&output.unwrap()).contains("limits.to = 1"));
}

#[test]
fn check_names_all_that_is_wrong_and_fails_and_a_server_does_not_start() {
    let store = Store::with("lisen = []\n[limits]\nto = 0");
    let file = store.path().join("mqserver.toml");
    let check = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).args(["--store", &store.text()]).env("MQSERVER_LIMITS_FROM", "1");
        command.output().unwrap()
    };
    let told = format!(
        "{file}:1:1: there is no setting `lisen` above all sections; did you mean `listen`?\n\
         {file}:3:6: limits.to = 0 is out of bounds: 1 to 50000 names\n\
         MQSERVER_LIMITS_FROM: no setting has this name; did you mean `MQSERVER_LIMITS_TO`?\n",
        file = file.display()
    );
    let output = check(&["config", "check"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), told.clone()));
    let output = check(&["config", "check", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["ok"]), (Some(1), &json!(false)));
    assert_eq!(
        report["errors"][0],
        json!({"file": file, "line": 1, "column": 1, "suggestion": "listen",
               "error": "there is no setting `lisen` above all sections"})
    );
    let output = check(&["run"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(1), format!("mqserver: {told}")));
}

#[test]
fn check_says_what_a_server_would_refuse_to_start_with() {
    let store = Store::with("listen = [\"0.0.0.0:1\"]");
    let output = run(&["config", "check", "--store", &store.text()]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("passwords go there in clear (insecure = true allows it)"), "{text}");
    // What follows from others is told, too.
    assert!(text.contains("accounts.registration = \"closed\""), "{text}");
    let output = run(&["config", "check", "--insecure", "--store", &store.text()]);
    assert!(output.status.success(), "{}", stdout(&output));
}

#[test]
fn show_prints_every_setting_and_where_it_was_made() {
    let store = Store::with("[limits]\nto = 7");
    let output = run(&["config", "show", "--store", &store.text()]);
    assert!(output.status.success());
    let text = stdout(&output);
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mqstore.example/mqserver.toml");
    let settings = std::fs::read_to_string(example).unwrap();
    let settings = settings.lines().filter(|line| line.contains(" = ") && !line.starts_with("# "));
    assert_eq!(text.lines().filter(|line| line.contains(" = ")).count(), settings.count());
    let line = text.lines().find(|line| line.starts_with("limits.to = ")).unwrap();
    assert!(line.starts_with("limits.to = 7 names "), "{line}");
    assert!(line.ends_with("mqserver.toml:2:1 (default 10000)"), "{line}");
}
