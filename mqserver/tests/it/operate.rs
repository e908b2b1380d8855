//! What an operator does to users, nodes and queues, by the commands, while clients are at work.

use crate::common;

use common::{Client, Framing, Server, Store, run, stderr, stdout};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Output, Stdio};

fn command(store: &Store, args: &[&str]) -> Output {
    run(&[args, &["--store", &store.text()]].concat())
}

/// A command that does what it says; its words.
#[track_caller]
fn done(store: &Store, args: &[&str]) -> String {
    let output = command(store, args);
    assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    stdout(&output)
}

#[track_caller]
fn shown(store: &Store, user: &str) -> Value {
    serde_json::from_str(&done(store, &["user", "show", user, "--json"])).unwrap()
}

/// The answer to a stranger's request.
async fn asked(server: &Server, header: Value) -> mqlib::reply::Reply {
    let mut client = Client::connect(server.address, Framing::Raw).await;
    client.send(&header, b"").await;
    client.reply().await
}

async fn list_add(client: &mut Client, list: &str, member: &str) {
    let edit = json!({"op": "listEdit", "id": "l", "type": "add", "to": list, "member": member});
    client.send(&edit, b"").await;
    assert_eq!(client.reply().await.error, None);
}

#[tokio::test]
async fn a_deleted_user_is_gone_its_lists_are_told_and_who_takes_its_name_inherits_nothing() {
    let store = Store::new();
    let server = Server::start(&store);
    for user in ["alice", "bob", "carol"] {
        Client::register(&server, user, &format!("al-{user}")).await;
    }
    Client::add_node(&server, "bob", "n1").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    list_add(&mut alice, "team", "bob").await;
    alice.post(&json!({"bob": 1, "carol": 1}), b"for both").await;
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    assert_eq!(done(&store, &["user", "delete", "bob", "--yes"]), "User bob is deleted.\n");
    while let Some(message) = bob.next_or_end().await {
        assert!(message.from.is_some() || message.op == "quit", "{message:?}");
    }
    let output = command(&store, &["user", "show", "bob"]);
    assert_eq!(stderr(&output), "mqserver: there is no user bob\n");
    let lists = done(&store, &["lists", "team"]);
    assert_eq!(lists, "USER   IS\nalice  member\n");
    // Nothing is left of its queues, and nobody else's are touched.
    assert!(store.files("bob,0").is_empty() && store.files("bob,1").is_empty());
    assert_eq!(shown(&store, "carol")["nodes"][0]["queued"], 1);
    let login = json!({"op": "login", "userId": "bob", "nodeId": "n0"});
    assert_eq!(asked(&server, login).await.op, "quit");
    Client::register(&server, "bob", "al-bob").await;
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    bob.barrier().await;
    alice.post(&json!({"bob": 1}), b"for the new one").await;
    assert_eq!(bob.take_data().await, "for the new one");
    let told = shown(&store, "bob");
    assert_eq!((&told["lists"], told["nodes"].as_array().unwrap().len()), (&json!([]), 1));
    // The ack is durable with whatever is committed behind it.
    alice.post(&json!({"carol": 1}), b"").await;
    server.kill();
    let server = Server::start(&store);
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    bob.barrier().await;
}

#[tokio::test]
async fn a_disabled_user_is_logged_out_and_gets_what_waited_when_it_is_enabled() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    let mut bob = Client::login(&server, Framing::WebSocket, "bob", "n0").await;
    assert_eq!(done(&store, &["user", "disable", "bob"]), "User bob is disabled.\n");
    let quit = bob.quit().await;
    assert!(quit.contains("disabled"), "{quit}");
    let login = json!({"op": "login", "userId": "bob", "nodeId": "n0"});
    assert_eq!(asked(&server, login).await.op, "quit");
    alice.post(&json!({"bob": 1}), b"waits").await;
    assert_eq!(shown(&store, "bob")["disabled"], true);
    assert!(done(&store, &["users", "--search", "bob"]).contains("disabled"));
    server.kill();
    let server = Server::start(&store);
    assert_eq!(shown(&store, "bob")["disabled"], true);
    assert_eq!(done(&store, &["user", "enable", "bob", "--json"]), "{}\n");
    let mut bob = Client::login(&server, Framing::WebSocket, "bob", "n0").await;
    assert_eq!(bob.take_data().await, "waits");
}

#[tokio::test]
async fn a_dropped_node_is_gone_and_the_others_keep_what_they_have() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    Client::add_node(&server, "bob", "n1").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    alice.post(&json!({"bob": 1}), b"for both").await;
    assert_eq!(done(&store, &["node", "drop", "bob,0", "--yes"]), "Node bob,0 is dropped.\n");
    assert!(store.files("bob,0").is_empty());
    let nodes = shown(&store, "bob")["nodes"].clone();
    assert_eq!((nodes.as_array().unwrap().len(), &nodes[0]["offset"]), (1, &json!(1)));
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n1").await;
    assert_eq!(bob.take_data().await, "for both");
    let output = command(&store, &["node", "drop", "bob,0", "--yes"]);
    let told = (output.status.code(), stderr(&output));
    assert_eq!(told, (Some(1), "mqserver: there is no node bob,0\n".into()));
}

#[tokio::test]
async fn a_purged_queue_is_empty_and_its_senders_are_told_if_that_is_wanted() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    for text in ["one", "two", "three"] {
        alice.post(&json!({"bob": 1}), text.as_bytes()).await;
    }
    let listed: Value =
        serde_json::from_str(&done(&store, &["queue", "ls", "bob,0", "--json"])).unwrap();
    let first = listed["messages"][0]["id"].as_str().unwrap();
    let purged = done(&store, &["queue", "purge", "bob,0", "--up-to", first, "--yes"]);
    assert_eq!(purged, "1 message removed from the queue of bob,0.\n");
    alice.barrier().await;
    let purged = done(&store, &["queue", "purge", "bob,0", "--bounce", "--yes", "--json"]);
    assert_eq!(purged, "{\"purged\":2}\n");
    assert_eq!(done(&store, &["queue", "ls", "bob,0"]), "Nothing waits for bob,0.\n");
    for _ in 0..2 {
        let bounce = alice.take().await;
        assert!(bounce.from.is_some(), "{bounce:?}");
    }
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    bob.barrier().await;
}

#[tokio::test]
async fn what_destroys_something_is_refused_without_a_terminal_and_without_yes() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "bob", "").await;
    for args in
        [&["user", "delete", "bob"][..], &["node", "drop", "bob,0"], &["queue", "purge", "bob,0"]]
    {
        let output = command(&store, args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
    }
    assert_eq!(shown(&store, "bob")["name"], "bob");
    server.stop();
    for args in [&["user", "delete", "bob", "--yes"][..], &["user", "disable", "bob"]] {
        let output = command(&store, args);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("this needs one"), "{}", stderr(&output));
    }
}

/// A command on a terminal of its own, on which this is typed; what is shown there, and its exit code.
fn typed(store: &Store, command: &str, answer: &str) -> (String, Option<i32>) {
    let command = format!("{} {command} --store {}", env!("CARGO_BIN_EXE_mqserver"), store.text());
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &command, "/dev/null"]);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (stdout(&output), output.status.code())
}

#[tokio::test]
async fn what_destroys_something_asks_on_a_terminal_and_no_is_no() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    alice.post(&json!({"bob": 1}), b"x").await;
    let question = "Delete user bob, with 1 node and 1 message? [y/N]";
    for no in ["n\n", "\n"] {
        let (text, code) = typed(&store, "user delete bob", no);
        assert!(text.contains(question) && text.contains("nothing was changed"), "{text}");
        assert_eq!(code, Some(1));
    }
    assert_eq!(shown(&store, "bob")["nodes"][0]["queued"], 1);
    let (text, code) = typed(&store, "queue purge bob,0", "y\n");
    assert!(text.contains("1 message removed from the queue of bob,0."), "{text}");
    assert_eq!(code, Some(0));
    let (text, code) = typed(&store, "user delete bob", "y\n");
    assert!(text.contains("User bob is deleted."), "{text}");
    assert_eq!(code, Some(0));
}

/// A backup holds back the emptying of a dropped node's directory, and only that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_dropped_during_a_backup_is_dropped_when_that_is_over() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    Client::add_node(&server, "bob", "n1").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    for _ in 0..20 {
        alice.post(&json!({"bob": 1}), &[b'x'; 400_000]).await;
    }
    // A client that takes its time: more than fits into sockets and channels is to come.
    let mut slow = std::os::unix::net::UnixStream::connect(store.path().join(".control")).unwrap();
    let request = b"POST /api/v1/backup HTTP/1.0\r\nHost: x\r\nContent-Length: 0\r\n\r\n";
    slow.write_all(request).unwrap();
    let mut begun = [0; 1];
    std::io::Read::read_exact(&mut slow, &mut begun).unwrap();
    let path = store.text();
    let drop =
        std::thread::spawn(move || run(&["node", "drop", "bob,1", "--yes", "--store", &path]));
    alice.post(&json!({"bob": 1}), b"meanwhile").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!drop.is_finished() && store.files("bob,1").len() >= 20);
    let output = command(&store, &["backup", "-"]);
    assert!(stderr(&output).contains("a backup is being taken"), "{}", stderr(&output));
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut slow, &mut rest).unwrap();
    let output = drop.join().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(store.files("bob,1").is_empty());
    assert!(rest.windows(13).any(|window| window == b"manifest.json"));
}
