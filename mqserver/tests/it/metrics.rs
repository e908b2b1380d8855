//! What a monitor is told: metrics, health, readiness, the series, and the log.

use crate::common;

use common::node::Node;
use common::{Client, Framing, PATIENCE, SMALL, Server, Store, eventually, program, run};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The status, the headers, and the body of a page.
async fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    get_with(address, path, "").await
}

async fn get_with(address: SocketAddr, path: &str, headers: &str) -> (u16, String, String) {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let headers = format!("Host: {address}\r\nConnection: close\r\n{headers}");
    let request = format!("GET {path} HTTP/1.1\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, socket.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

async fn get_json(server: &Server, path: &str) -> (u16, Value) {
    let (status, head, body) = get(server.admin.unwrap(), path).await;
    assert!(head.contains("content-type: application/json"), "{head}");
    (status, serde_json::from_str(&body).unwrap())
}

/// The samples of a server, by their names with labels.
async fn samples(server: &Server) -> BTreeMap<String, f64> {
    let text = scrape(server).await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    lines.map(sample).collect()
}

async fn scrape(server: &Server) -> String {
    let (status, head, text) = get(server.admin.unwrap(), "/metrics").await;
    assert_eq!(status, 200);
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(kind), "{head}");
    // Of one answer in parts, there are none: it is short.
    assert!(text.ends_with("# EOF\n"), "{text}");
    text
}

/// The samples, once they are as they should be.
async fn samples_when(
    server: &Server,
    what: &str,
    is: impl Fn(&BTreeMap<String, f64>) -> bool,
) -> BTreeMap<String, f64> {
    let start = Instant::now();
    loop {
        let samples = samples(server).await;
        if is(&samples) {
            return samples;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}: {samples:#?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// The metrics of a text, by the names of their samples.
fn metrics(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let name = |line: &str| match line.split_once(' ').unwrap() {
        (name, "counter") => format!("{name}_total"),
        (name, _) => name.to_owned(),
    };
    types.map(name).collect()
}

/// The words of a text that are names of metrics; those of a histogram's parts stand for it.
fn named(text: &str) -> BTreeSet<String> {
    let word = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let words = text.split(word).filter(|word| {
        word.starts_with("mqserver_") || word.starts_with("process_") && *word != "process_"
    });
    let whole = |word: &str| {
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| word.strip_suffix(part));
        part.unwrap_or(word).to_owned()
    };
    words.map(whole).collect()
}

fn file(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All metrics there are: those of a server with TLS that has counted its spool.
async fn all_metrics() -> BTreeSet<String> {
    let store = Store::new();
    assert!(run(&["cert", "--store", &store.text()]).status.success());
    let mut command = program();
    command.args(["--listen-tls", "127.0.0.1:0"]);
    let server = Server::start_with(&store, command, "127.0.0.1:0");
    let counted = |samples: &BTreeMap<_, _>| samples.contains_key("mqserver_messages_waiting");
    let samples = samples_when(&server, "a count of the spool", counted).await;
    let expires = samples["mqserver_tls_certificate_expiry_timestamp_seconds"];
    let days = (expires - samples["process_start_time_seconds"]) / 86_400.0;
    assert!((363.0..366.0).contains(&days), "{days}");
    metrics(&scrape(&server).await)
}

#[tokio::test]
async fn every_metric_is_documented_and_the_documents_and_the_dashboard_name_no_other() {
    let metrics = all_metrics().await;
    assert!(metrics.len() > 40, "{metrics:?}");
    let document = file("doc/metrics.md");
    // Described, not only mentioned: alone, or with others, in the first column of a table.
    let cells = document.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let name =
        |part: &str| part.trim_matches('`').bytes().all(|c| c == b'_' || c.is_ascii_lowercase());
    let described: BTreeSet<_> =
        cells.filter(|cell| cell.split(", ").all(name)).flat_map(named).collect();
    let missing: Vec<_> = metrics.difference(&described).collect();
    assert!(missing.is_empty(), "not in doc/metrics.md: {missing:?}");
    let unknown: Vec<_> = named(&document).difference(&metrics).cloned().collect();
    assert!(unknown.is_empty(), "in doc/metrics.md, and nowhere else: {unknown:?}");
    let dashboard = file("../packaging/grafana/websocket-mq.json");
    let shown = named(&dashboard);
    let unknown: Vec<_> = shown.difference(&metrics).collect();
    assert!(unknown.is_empty(), "in the dashboard, and nowhere else: {unknown:?}");
    let hidden: Vec<_> = metrics.difference(&shown).collect();
    assert!(hidden.is_empty(), "not in the dashboard: {hidden:?}");
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}

#[tokio::test]
async fn traffic_is_counted_once_and_by_what_it_was() {
    let store = Store::with(&format!("{SMALL}[limits]\nto = 1\nqueue_messages = 4\n"));
    let server = Server::start_with_admin(&store);
    for user in ["alice", "bob", "carol"] {
        Client::register(&server, user, "").await;
    }
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    for _ in 0..3 {
        alice.post(&json!({"bob": 1}), b"hello").await;
        bob.take().await;
        alice.post(&json!({"carol": 1}), b"for later").await;
    }
    // A limit of the request, one of a queue, a mistake, and a wrong password.
    let two = json!({"bob": 1, "carol": 1});
    alice.send(&json!({"op": "post", "id": "2", "to": two}), b"").await;
    assert_eq!(alice.reply().await.error.unwrap(), "too many recipients: limit 1 names");
    for _ in 0..2 {
        alice.send(&json!({"op": "post", "id": "q", "to": {"carol": 1}}), b"").await;
        alice.reply().await;
    }
    alice.barrier().await;
    let mut stranger = Client::connect(server.address, Framing::WebSocket).await;
    stranger.send(&json!({"op": "login", "userId": "bob", "nodeId": "wrong"}), b"").await;
    assert_eq!(stranger.quit().await, "nodeId unknown");
    drop(stranger);
    bob.barrier().await;

    let done = |samples: &BTreeMap<String, f64>| {
        samples["mqserver_connections{framing=\"websocket\",tls=\"false\"}"] == 1.0
            && samples.get("mqserver_messages_waiting") == Some(&4.0)
    };
    let samples = samples_when(&server, "the stranger's end, and a count", done).await;
    for (name, value) in [
        ("mqserver_connections{framing=\"raw\",tls=\"false\"}", 1.0),
        ("mqserver_connections_opened_total{framing=\"websocket\",tls=\"false\"}", 2.0),
        ("mqserver_connections_opened_total{framing=\"raw\",tls=\"true\"}", 0.0),
        ("mqserver_nodes_online", 2.0),
        ("mqserver_users", 3.0),
        ("mqserver_nodes", 3.0),
        ("mqserver_lists", 0.0),
        ("mqserver_requests_total{op=\"post\"}", 11.0),
        ("mqserver_requests_total{op=\"ack\"}", 3.0),
        ("mqserver_requests_total{op=\"login\"}", 3.0),
        ("mqserver_requests_total{op=\"register\"}", 3.0),
        ("mqserver_requests_total{op=\"listEdit\"}", 0.0),
        ("mqserver_refusals_total{reason=\"limit\"}", 1.0),
        ("mqserver_refusals_total{reason=\"request\"}", 2.0),
        ("mqserver_refusals_total{reason=\"disk\"}", 0.0),
        ("mqserver_limit_hits_total{limit=\"limits.to\"}", 1.0),
        ("mqserver_limit_hits_total{limit=\"limits.queue_messages\"}", 1.0),
        ("mqserver_limit_hits_total{limit=\"limits.connections\"}", 0.0),
        ("mqserver_quits_total{reason=\"node_unknown\"}", 1.0),
        ("mqserver_quits_total{reason=\"user_unknown\"}", 0.0),
        ("mqserver_deliveries_total", 3.0),
        ("mqserver_redeliveries_total", 0.0),
        ("mqserver_acks_total", 3.0),
        ("mqserver_messages_committed_total", 7.0),
        ("mqserver_directory_edits_total", 3.0),
        ("mqserver_post_ack_seconds_count", 7.0),
        ("mqserver_post_ack_seconds_bucket{le=\"+Inf\"}", 7.0),
        ("mqserver_post_delivery_seconds_count", 3.0),
        ("mqserver_commit_messages_sum", 7.0),
        ("mqserver_hash_seconds_count", 4.0),
        ("mqserver_hashes_pending", 0.0),
        ("mqserver_journal_segments", 3.0),
        ("mqserver_journal_segments_used", 1.0),
        ("mqserver_store_full", 0.0),
        ("mqserver_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name}");
    }
    let at_least = |name: &str, least: f64| {
        assert!(samples[name] >= least, "{name} is {}", samples[name]);
    };
    at_least("mqserver_commit_seconds_count", 7.0);
    at_least("mqserver_commit_seconds_sum", 1e-6);
    at_least("mqserver_post_ack_seconds_sum", 1e-5);
    at_least("mqserver_post_delivery_seconds_sum", 1e-5);
    at_least("mqserver_hash_seconds_sum", 1e-3);
    at_least("mqserver_journal_used_bytes", 4096.0);
    at_least("mqserver_disk_free_bytes", 1.0);
    at_least("process_resident_memory_bytes", 1e6);
    at_least("process_open_fds", 10.0);
    assert_eq!(
        samples["mqserver_journal_written_bytes_total"],
        samples["mqserver_commit_bytes_sum"]
    );
    // No ack was faster than the write that it waited for.
    assert!(samples["mqserver_post_ack_seconds_sum"] < PATIENCE.as_secs_f64());
    let text = scrape(&server).await;
    for name in ["alice", "bob", "carol"] {
        assert!(!text.contains(name), "{name}");
    }
}

#[tokio::test]
async fn what_is_posted_or_delivered_again_is_counted_apart() {
    let store = Store::with(&format!("{SMALL}[limits]\nredelivery_s = 1\n"));
    let server = Server::start_with_admin(&store);
    Client::register(&server, "alice", "").await;
    let v2 = json!({"v": 2});
    let (mut alice, _) = Node::login(&server, Framing::WebSocket, "alice", "n0", &v2).await;
    let post = json!({"op": "post", "id": "1", "to": {"alice": 1}});
    alice.send(&post).await;
    let (mut acks, mut deliveries) = (Vec::new(), Vec::new());
    while deliveries.len() < 2 {
        let message = alice.next().await;
        match message["op"].as_str().unwrap() {
            "deliver" => deliveries.push(message),
            "ack" => {
                if acks.is_empty() {
                    alice.send(&post).await;
                }
                acks.push(message);
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!((acks.len(), &acks[1]["dup"]), (2, &json!(true)), "{acks:?}");
    assert_eq!(deliveries[1]["redelivered"], 1, "{deliveries:?}");
    alice.ack(&[&deliveries[0]["id"]]).await;
    alice.barrier().await;
    let samples = samples(&server).await;
    for (name, value) in [
        ("mqserver_reposts_total", 1.0),
        ("mqserver_messages_committed_total", 1.0),
        ("mqserver_deliveries_total", 1.0),
        ("mqserver_redeliveries_total", 1.0),
        ("mqserver_acks_total", 1.0),
        // A delivery is timed when it is first sent.
        ("mqserver_post_delivery_seconds_count", 1.0),
    ] {
        assert_eq!(samples[name], value, "{name}");
    }
}

#[tokio::test]
async fn what_waits_is_known_after_a_restart_and_grows_and_shrinks_with_the_queues() {
    let store = Store::new();
    let server = Server::start_with_admin(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    Client::add_node(&server, "bob", "n1").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    for _ in 0..5 {
        alice.post(&json!({"bob": 1}), b"for later").await;
    }
    store.filed("bob,0", 5).await;
    server.stop();
    let server = Server::start_with_admin(&store);
    let waiting = |count: f64| {
        move |samples: &BTreeMap<String, f64>| {
            samples.get("mqserver_messages_waiting") == Some(&count)
        }
    };
    samples_when(&server, "ten that wait", waiting(10.0)).await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    alice.post(&json!({"bob": 1}), b"for later").await;
    let samples = samples_when(&server, "two more", waiting(12.0)).await;
    assert_eq!(samples["mqserver_nodes"], 3.0);
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n1").await;
    for _ in 0..6 {
        bob.take().await;
    }
    samples_when(&server, "six less", waiting(6.0)).await;
    // What is purged is in no queue, but its sender is told.
    let store = store.text();
    let purged = run(&["queue", "purge", "bob,0", "--yes", "--bounce", "--store", &store]);
    assert!(purged.status.success(), "{purged:?}");
    let samples = samples_when(&server, "six bounces in their place", |samples| {
        waiting(6.0)(samples) && samples["mqserver_bounces_total"] == 6.0
    });
    assert_eq!(samples.await["mqserver_messages_removed_total"], 6.0);
}

#[tokio::test]
async fn it_is_ready_until_its_disk_is_full_or_it_stops() {
    let store = Store::new();
    let mut server = Server::start_with_admin(&store);
    assert_eq!(get_json(&server, "/ready").await, (200, json!({"ready": true, "why": []})));
    assert_eq!(get_json(&server, "/health").await, (200, json!({"status": "ok"})));
    // Whose link is not closed by its peer, which a stop waits for.
    Client::register(&server, "alice", "").await;
    let _alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    server.signal(Signal::TERM);
    let start = Instant::now();
    let why = loop {
        if let (503, answer) = get_json(&server, "/ready").await {
            break answer;
        }
        assert!(start.elapsed() < PATIENCE);
    };
    assert_eq!(why["ready"], false);
    assert_eq!(why["why"][0], "the server is stopping");
    assert!(server.ended(PATIENCE).unwrap().success());

    let store = Store::with(&format!("{SMALL}[spool]\nmin_free_mib = 1048576\n"));
    let server = Server::start_with_admin(&store);
    let (status, answer) = get_json(&server, "/ready").await;
    assert_eq!((status, &answer["ready"]), (503, &json!(false)));
    let why = answer["why"][0].as_str().unwrap();
    assert!(why.starts_with("the disk is full: "), "{why}");
    assert!(why.ends_with(" MiB are free, spool.min_free_mib is 1048576"), "{why}");
    // It lives all the same.
    assert_eq!(get_json(&server, "/health").await, (200, json!({"status": "ok"})));
    // The first has it looked at, and waits for room; the next is refused.
    let header = json!({"op": "register", "userId": "bob", "newNode": "n0", "aliases": ""});
    let mut first = Client::connect(server.address, Framing::Raw).await;
    first.send(&header, b"").await;
    samples_when(&server, "a look at the disk", |now| now["mqserver_store_full"] == 1.0).await;
    let mut next = Client::connect(server.address, Framing::Raw).await;
    next.send(&header, b"").await;
    assert_eq!(next.reply().await.error.as_deref(), Some("storage failure: disk full"));
    let samples = samples(&server).await;
    assert_eq!(samples["mqserver_refusals_total{reason=\"disk\"}"], 1.0);
    assert_eq!(samples["mqserver_limit_hits_total{limit=\"spool.min_free_mib\"}"], 1.0);
}

#[tokio::test]
async fn the_series_has_rates_and_times_and_what_comes_after_a_point() {
    let store = Store::new();
    let server = Server::start_with_admin(&store);
    Client::register(&server, "alice", "").await;
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    let token = common::stdout(&run(&["admin-token", "--store", &store.text()]));
    let bearer = format!("Authorization: Bearer {token}\r\n", token = token.trim_end());
    let series = async |path: &str| {
        let (status, _, body) = get_with(server.admin.unwrap(), path, &bearer).await;
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let start = Instant::now();
    let busy = loop {
        alice.post(&json!({"alice": 1}), b"to myself").await;
        alice.take().await;
        let (status, found) = series("/api/v1/series").await;
        assert_eq!((status, &found["intervalS"]), (200, &json!(2)));
        let points = found["points"].as_array().unwrap().clone();
        let busy = points.iter().find(|point| point["posts"].as_f64() > Some(0.0));
        if let Some(busy) = busy.filter(|_| points.len() > 1) {
            break busy.clone();
        }
        assert!(start.elapsed() < PATIENCE, "{found}");
    };
    for name in ["posts", "deliveries", "acks"] {
        assert!(busy[name].as_f64() > Some(0.0), "{name}: {busy}");
    }
    for [half, most] in [["ackP50", "ackP99"], ["deliverP50", "deliverP99"]] {
        let (half, most) = (busy[half].as_f64().unwrap(), busy[most].as_f64().unwrap());
        assert!(0.0 < half && half <= most && most < PATIENCE.as_secs_f64(), "{busy}");
    }
    assert_eq!((&busy["links"], &busy["online"]), (&json!(1), &json!(1)), "{busy}");
    assert!(busy["diskFree"].as_u64() > Some(0) && busy["journalUsed"].as_u64() > Some(0));
    let time = busy["time"].as_str().unwrap();
    let (_, later) = series(&format!("/api/v1/series?after={time}")).await;
    let later = later["points"].as_array().unwrap().clone();
    assert!(later.iter().all(|point| point["time"].as_str() > Some(time)), "{later:?}");
    let (_, all) = series("/api/v1/series").await;
    assert!(all["points"].as_array().unwrap().len() > later.len());
}

/// Passwords, tokens and bodies that are not to be found in a log.
const SECRETS: [&str; 4] = ["correct horse", "the wrong one", "a body to be kept", "mqs_"];

#[tokio::test]
async fn each_line_of_the_log_is_json_without_a_secret_whatever_happens() {
    let store = Store::with(&format!(
        "{SMALL}[log]\nformat = \"json\"\nlevel = \"trace\"\n[limits]\nconnections = 3\n\
         handshake_timeout_s = 1\n"
    ));
    let server = Server::start_with_admin(&store);
    let mut stranger = Client::connect(server.address, Framing::WebSocket).await;
    let header = json!({"op": "register", "userId": "alice", "newNode": SECRETS[0], "aliases": ""});
    stranger.send(&header, b"").await;
    assert_eq!(stranger.reply().await.error, None);
    let header =
        json!({"op": "addNode", "userId": "alice", "newNode": "", "prevNode": SECRETS[0], "v": 2});
    stranger.send(&header, b"").await;
    assert!(stranger.reply().await.issued.is_some());
    stranger.send(&json!({"op": "login", "userId": "alice", "nodeId": SECRETS[1]}), b"").await;
    assert_eq!(stranger.quit().await, "nodeId unknown");
    for framing in [Framing::Raw, Framing::WebSocket] {
        let mut alice = Client::login(&server, framing, "alice", SECRETS[0]).await;
        alice.post(&json!({"alice": 1}), SECRETS[2].as_bytes()).await;
        alice.delivery().await;
        // No JSON, but with all that is secret.
        let garbage = format!("{}{:?}", SECRETS[0], SECRETS[2]);
        alice.send_bytes(common::message(&garbage, garbage.as_bytes())).await;
        assert_eq!(alice.quit().await, "invalid JSON");
    }
    let gone = |now: &BTreeMap<String, f64>| {
        let links = now.iter().filter(|(name, _)| name.starts_with("mqserver_connections{"));
        links.map(|(_, count)| count).sum::<f64>() == 0.0
    };
    samples_when(&server, "they are gone", gone).await;
    // Noise, and too many.
    let mut noisy = TcpStream::connect(server.address).await.unwrap();
    noisy.write_all(b"GET / HTTP/1.1\r\nno header at all\r\n\r\n").await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..5 {
        crowd.push(TcpStream::connect(server.address).await.unwrap());
    }
    eventually("a warning", || server.log().contains("connections are refused")).await;
    drop(crowd);
    drop(noisy);
    for name in [
        "mqserver_limit_hits_total{limit=\"limits.connections\"}",
        "mqserver_quits_total{reason=\"too_many_connections\"}",
        "mqserver_quits_total{reason=\"invalid_json\"}",
        "mqserver_handshakes_failed_total{handshake=\"websocket\"}",
    ] {
        samples_when(&server, name, |now| now[name] >= 1.0).await;
    }
    server.signal(Signal::TERM);
    eventually("the stop", || server.log().contains("\"stopping\"")).await;
    let log = server.log();
    let mut levels = BTreeSet::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        assert!(line["timestamp"].is_string() && line["target"].is_string(), "{line}");
        assert!(line["message"].is_string(), "{line}");
        levels.insert(line["level"].as_str().unwrap().to_owned());
    }
    // It is as talkative as it was asked to be.
    assert!(levels.contains("DEBUG") && levels.contains("WARN"), "{levels:?}");
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    let refused = log.lines().find(|line| line.contains("connections are refused")).unwrap();
    let refused: Value = serde_json::from_str(refused).unwrap();
    assert_eq!(refused["reason"], "too many connections");
    assert_eq!(refused["address"], "127.0.0.1");
}

#[tokio::test]
async fn the_level_of_the_log_is_what_the_configuration_says_unless_the_environment_says_more() {
    for (level, variable, info) in
        [("info", None, true), ("error", None, false), ("error", Some("info"), true)]
    {
        let store = Store::with(&format!("{SMALL}[log]\nlevel = \"{level}\"\n"));
        let mut command = program();
        if let Some(level) = variable {
            command.env("RUST_LOG", level);
        }
        let mut server = Server::start_with(&store, command, "off");
        server.signal(Signal::TERM);
        assert!(server.ended(PATIENCE).unwrap().success());
        let log = server.log();
        assert_eq!(log.contains(" INFO mqserver: stopping"), info, "{level} {variable:?}: {log}");
    }
    let store = Store::with("[log]\nlevel = \"loud\"\n");
    let output = run(&["run", "--store", &store.text()]);
    assert!(!output.status.success());
    assert!(
        common::stderr(&output).contains("log.level = \"loud\" is not \"error\", \"warn\""),
        "{output:?}"
    );
}

#[tokio::test]
async fn the_journal_is_told_how_serious_a_line_is_and_knows_the_time_itself() {
    let store = Store::with(&format!("{SMALL}[spool]\nmin_free_mib = 1048576\n"));
    // The journal's socket is known by its numbers; here they are the log's.
    let log = std::fs::File::create(store.outside().join("log")).unwrap().metadata().unwrap();
    let mut command = program();
    command.env("JOURNAL_STREAM", format!("{}:{}", log.dev(), log.ino()));
    let mut server = Server::start_with(&store, command, "off");
    let header = json!({"op": "register", "userId": "bob", "newNode": "n0", "aliases": ""});
    let mut first = Client::connect(server.address, Framing::Raw).await;
    first.send(&header, b"").await;
    eventually("a warning", || server.log().contains("disk is full")).await;
    server.signal(Signal::TERM);
    assert!(server.ended(PATIENCE).unwrap().success());
    let log = server.log();
    let starts =
        ["<6> INFO mqserver::server: serving version=", "<4> WARN mqserver::post_office: "];
    for (line, start) in log.lines().zip(starts) {
        assert!(line.starts_with(start), "{log}");
    }
}

#[cfg(feature = "otel")]
#[tokio::test]
async fn metrics_are_pushed_to_a_collector_that_the_environment_names() {
    let collector = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = collector.local_addr().unwrap();
    let store = Store::new();
    let mut command = program();
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}"));
    command.env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    let server = Server::start_with(&store, command, "off");
    Client::register(&server, "alice", "").await;
    for answer in ["500 No", "200 OK", "200 OK"] {
        let (mut socket, _) = timeout(PATIENCE, collector.accept()).await.unwrap().unwrap();
        let mut request = Vec::new();
        let message: Value = loop {
            timeout(PATIENCE, socket.read_buf(&mut request)).await.unwrap().unwrap();
            let text = String::from_utf8_lossy(&request);
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Ok(message) = serde_json::from_str(body)
            {
                assert!(head.starts_with("POST /v1/metrics HTTP/1.1"), "{head}");
                assert!(head.to_lowercase().contains("content-type: application/json"), "{head}");
                break message;
            }
        };
        let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
        socket.write_all(answer.as_bytes()).await.unwrap();
        let metrics = &message["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        let metrics = metrics.as_array().unwrap();
        assert!(metrics.len() > 40, "{message}");
        let users = metrics.iter().find(|metric| metric["name"] == "mqserver_users").unwrap();
        assert!(users["gauge"]["dataPoints"][0]["asInt"].is_string(), "{users}");
    }
    eventually("it works again", || server.log().contains("metrics are pushed again")).await;
    assert_eq!(server.log().matches("metrics cannot be pushed").count(), 1, "{}", server.log());
}
