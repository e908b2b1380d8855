//! `mq node` and `mq status`: one's own user, as the server knows it.

use crate::fake;
use crate::shell;

use fake::{Fake, Peer};
use serde_json::{Value, json};
use shell::{Outcome, Server, Shell};
use std::sync::Arc;

/// A profile on a server whose every word is the test's.
async fn logged_in(fake: &Fake) -> Arc<Shell> {
    let shell = Arc::new(Shell::at(&fake.url("ws")));
    let theirs = shell.clone();
    let login = tokio::task::spawn_blocking(move || theirs.mq_reading(&["login", "alice"], b"s"));
    fake.log_in().await.close().await;
    login.await.unwrap().ok();
    shell
}

/// Runs `mq`, whose link `answer` serves.
async fn run(
    shell: &Arc<Shell>,
    fake: &Fake,
    args: &[&str],
    answer: impl AsyncFn(Peer),
) -> Outcome {
    let (shell, args) = (shell.clone(), args.join(" "));
    let run = tokio::task::spawn_blocking(move || shell.mq(&args.split(' ').collect::<Vec<_>>()));
    answer(fake.log_in().await).await;
    run.await.unwrap()
}

/// Answers a request for the status.
async fn tell(peer: &mut Peer) {
    let (asked, _) = peer.hear().await;
    assert_eq!(asked, json!({"op": "status", "id": asked["id"]}));
    let seen = "2026-11-21T08:00:00.000Z";
    let etc = json!({
        "nodes": [
            {"offset": 0, "online": true, "queued": 0, "bytes": 0, "lastSeen": seen},
            {"offset": 3, "online": false, "queued": 12, "bytes": 2048},
        ],
        "aliases": ["alice@example.org"],
        "lists": ["team"],
    })
    .to_string();
    peer.say(&json!({"op": "status", "id": asked["id"], "etc": etc.len()}).to_string(), &etc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_nodes_aliases_and_lists() {
    let fake = Fake::bind().await;
    let shell = logged_in(&fake).await;
    let answer = async |mut peer: Peer| {
        tell(&mut peer).await;
        peer.close().await;
    };
    let text = run(&shell, &fake, &["status"], answer).await.ok();
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "profile alice",
        "user alice",
        "aliases alice@example.org",
        "lists @team",
        "0* yes 0 0 B 2026-11-21T08:00:00.000Z",
        "3 no 12 2.00 KiB -",
    ] {
        assert!(lines.iter().any(|there| there == line), "{line:?} in {lines:?}");
    }
    let json = run(&shell, &fake, &["status", "--json"], answer).await.ok();
    let status: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&status["server"], &status["node"]), (&json!("fake 1"), &json!(0)));
    assert_eq!(status["nodes"][1]["queued"], 12);
    let json = run(&shell, &fake, &["node", "ls", "--json"], answer).await.ok();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()[1]["offset"], 3);
    assert_eq!(run(&shell, &fake, &["list", "show"], answer).await.ok(), "@team\n");
    run(&shell, &fake, &["list", "show", "@team"], answer).await.ok();
    run(&shell, &fake, &["list", "show", "other"], answer).await.fails(4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_old_to_tell_is_named_and_a_listener_goes_on() {
    let fake = Fake::bind().await;
    let shell = logged_in(&fake).await;
    let answer = async |mut peer: Peer| {
        assert_eq!(peer.hear().await.0["op"], "status");
        peer.say(r#"{"op":"quit","info":"invalid request op"}"#, "").await;
        peer.close().await;
    };
    assert!(run(&shell, &fake, &["status"], answer).await.fails(4).contains("too old"));
    let theirs = shell.clone();
    let listening = tokio::task::spawn_blocking(move || theirs.listen("alice", &[]));
    let mut peer = fake.log_in().await;
    let listener = listening.await.unwrap();
    let theirs = shell.clone();
    let asking = tokio::task::spawn_blocking(move || theirs.mq(&["status"]));
    assert_eq!(peer.hear().await.0["op"], "status");
    peer.say(r#"{"op":"quit","info":"invalid request op"}"#, "").await;
    drop(peer);
    assert!(asking.await.unwrap().fails(4).contains("too old"));
    let mut peer = fake.log_in().await;
    peer.say(r#"{"op":"deliver","id":"m","from":"bob"}"#, "hello").await;
    assert_eq!(listener.line(), "bob: hello");
}

#[test]
fn a_node_that_is_added_logs_in_with_the_secret_that_is_printed() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    let added = shell.mq(&["node", "add"]);
    assert!(!added.err.contains("mqs_"), "{added:?}");
    let laptop = Shell::new(&server);
    laptop.mq_reading(&["login", "alice"], added.ok().as_bytes()).ok();
    shell.mq(&["node", "add", "--save-as", "bot"]).ok();
    let json = shell.mq(&["node", "add", "--json"]).ok();
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["offset"], 3);
    let listener = shell.listen("bot", &[]);
    laptop.mq(&["post", "alice", "to all nodes"]).ok();
    assert_eq!(listener.line(), "alice: to all nodes");
    shell.mq(&["node", "add", "--save-as", "bot"]).fails(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_removed_takes_its_node_along_unless_told_otherwise() {
    let fake = Fake::bind().await;
    let shell = logged_in(&fake).await;
    let removing = shell.clone();
    let removed = tokio::task::spawn_blocking(move || removing.mq(&["profile", "rm", "alice"]));
    let mut peer = fake.log_in().await;
    tell(&mut peer).await;
    peer.close().await;
    let mut peer = fake.log_in().await;
    let (dropped, _) = peer.hear().await;
    assert_eq!((&dropped["op"], &dropped["node"]), (&json!("dropNode"), &json!(0)));
    // It is refused at first: then the profile stays.
    let refused =
        json!({"op": "ack", "id": dropped["id"], "type": "error", "error": "the last one"});
    peer.say(&refused.to_string(), "").await;
    peer.close().await;
    let said = removed.await.unwrap().fails(4);
    assert!(said.contains("the last one") && said.contains("--keep-node"), "{said}");
    assert!(!shell.mq(&["profile", "ls"]).ok().is_empty());
    shell.mq(&["profile", "rm", "--keep-node", "alice"]).ok();
    assert!(shell.mq(&["profile", "ls"]).ok().is_empty());
    assert!(!shell.config().join("current").exists());
}

#[test]
fn a_profile_in_use_is_not_removed() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    let listener = shell.listen("alice", &[]);
    shell.mq(&["profile", "rm", "alice"]).fails(1);
    shell.mq(&["profile", "rm", "--keep-node", "alice"]).fails(1);
    shell.mq(&["post", "alice", "x"]).ok();
    assert_eq!(listener.line(), "alice: x");
}

/// A node's row of `mq node ls`, its words.
fn row(shell: &Shell, node: &str) -> Option<Vec<String>> {
    let table = shell.mq(&["node", "ls"]).ok();
    let rows = table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect());
    rows.into_iter().find(|row: &Vec<String>| row[0] == node)
}

#[test]
fn what_waits_for_each_node_is_shown_and_a_node_is_dropped_with_it() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    shell.mq(&["node", "add", "--save-as", "bot"]).ok();
    shell.mq(&["post", "alice", "x"]).ok();
    assert_eq!(row(&shell, "1").unwrap()[1..3], ["no", "1"]);
    assert_eq!(row(&shell, "0*").unwrap()[1..3], ["yes", "1"]);
    shell.mq(&["node", "drop", "0"]).fails(2);
    shell.mq(&["node", "drop", "7"]).fails(4);
    shell.mq(&["node", "drop", "1"]).ok();
    assert_eq!(row(&shell, "1"), None);
    shell.mq(&["-p", "bot", "listen"]).fails(6);
    assert_eq!(shell.mq(&["listen", "-n", "1"]).ok(), "alice: x\n");
}

#[test]
fn a_profile_that_is_removed_takes_its_node_along_but_never_the_last() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    shell.mq(&["node", "add", "--save-as", "bot"]).ok();
    shell.mq(&["profile", "rm", "bot"]).ok();
    assert_eq!(row(&shell, "1"), None);
    assert!(shell.mq(&["-p", "bot", "listen"]).fails(1).contains("no profile"));
    assert!(shell.mq(&["profile", "rm", "alice"]).fails(4).contains("--keep-node"));
    shell.mq(&["post", "alice", "x"]).ok();
}

#[test]
fn a_listener_tells_the_status_too_and_ends_when_its_node_is_dropped() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    shell.mq(&["node", "add", "--save-as", "bot"]).ok();
    shell.mq(&["list", "create", "team"]).ok();
    let mut bot = shell.listen("bot", &["--exec", "false"]);
    let status = shell.mq(&["-p", "bot", "status", "--json"]).ok();
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!((&status["node"], &status["lists"]), (&json!(1), &json!(["team"])));
    assert_eq!(status["nodes"][1]["online"], true);
    assert_eq!(shell.mq(&["list", "show"]).ok(), "@team\n");
    shell.mq(&["node", "drop", "1"]).ok();
    assert_eq!(bot.ended().code(), Some(6));
}
