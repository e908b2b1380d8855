//! Accounts, as clients and operators meet them: secrets that the server issues, who may register,
//! what a user may have, and what a careless operator is told.

use crate::common;

use common::{Client, Framing, SMALL, Server, Store, program, run, stderr, stdout};
use mqlib::reply::Reply;
use serde_json::{Value, json};

const INVITE: &str = "[accounts]\nregistration = \"invite\"\n";

/// One request of a stranger's, and the answer.
async fn ask(server: &Server, header: &Value) -> Reply {
    let mut client = Client::connect(server.address, Framing::Raw).await;
    client.send(header, b"").await;
    client.reply().await
}

/// Registers in version 2, with a node that the server names; its name.
async fn issued(server: &Server, user: &str) -> String {
    let header = json!({"op": "register", "userId": user, "newNode": "", "aliases": "", "v": 2});
    let reply = ask(server, &header).await;
    assert_eq!((reply.op.as_str(), &reply.error), ("registered", &None));
    reply.issued.expect("a node's name").reveal().to_owned()
}

async fn register(server: &Server, user: &str, more: &Value) -> Option<String> {
    let mut header = json!({"op": "register", "userId": user, "newNode": "n0", "aliases": ""});
    header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = ask(server, &header).await;
    assert_eq!(reply.op, "registered");
    reply.error
}

fn invite(store: &Store, more: &[&str]) -> Vec<String> {
    let output = run(&[&["invite", "--store", &store.text()], more].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_node_without_a_name_is_issued_one_that_logs_in_now_and_after_a_restart() {
    let store = Store::new();
    let server = Server::start(&store);
    let first = issued(&server, "alice").await;
    assert!(first.len() == 36 && first.starts_with("mqs_"), "{first}");
    let header = json!({
        "op": "addNode", "userId": "alice", "newNode": "", "prevNode": first, "v": 2
    });
    let added = ask(&server, &header).await;
    assert_eq!((added.offset, &added.error), (Some(1), &None));
    let second = added.issued.unwrap().reveal().to_owned();
    assert_ne!(first, second);
    // Logged in, too.
    let mut alice = Client::login(&server, Framing::Raw, "alice", &second).await;
    alice.send(&header, b"").await;
    let added = alice.reply().await;
    assert_eq!(added.offset, Some(2));
    let third = added.issued.unwrap().reveal().to_owned();
    server.kill();
    let server = Server::start(&store);
    for secret in [&first, &second, &third] {
        Client::login(&server, Framing::WebSocket, "alice", secret).await;
    }
    let other = json!({"op": "login", "userId": "alice", "nodeId": format!("mqs_{:032x}", 5)});
    assert_eq!(ask(&server, &other).await.info.as_deref(), Some("nodeId unknown"));
}

#[tokio::test]
async fn version_1_is_told_that_a_node_needs_a_name_as_ever() {
    let store = Store::new();
    let server = Server::start(&store);
    for more in [json!({}), json!({"v": 1}), json!({"v": "2"})] {
        let mut header = json!({"op": "register", "userId": "alice", "newNode": "", "aliases": ""});
        header.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let reply = ask(&server, &header).await;
        assert_eq!(reply.error.as_deref(), Some("new nodename required"), "{more}");
        assert_eq!(reply.issued, None);
    }
}

#[tokio::test]
async fn nobody_chooses_a_name_that_looks_issued() {
    let store = Store::new();
    let server = Server::start(&store);
    let name = format!("mqs_{}", "0".repeat(32));
    let header = json!({"op": "register", "userId": "bob", "newNode": name, "aliases": ""});
    assert_eq!(ask(&server, &header).await.error.as_deref(), Some("new nodename reserved"));
    Client::register(&server, "bob", "").await;
    let header = json!({"op": "addNode", "userId": "bob", "newNode": name, "prevNode": "n0"});
    assert_eq!(ask(&server, &header).await.error.as_deref(), Some("new nodename reserved"));
    // One that only begins like it is a name like any other.
    Client::add_node(&server, "bob", "mqs_bob").await;
    Client::login(&server, Framing::Raw, "bob", "mqs_bob").await;
}

#[tokio::test]
async fn replacing_aliases_in_version_2_issues_nothing() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    let header =
        json!({"op": "register", "userId": "alice", "newNode": "", "aliases": "al", "v": 2});
    alice.send(&header, b"").await;
    let told = alice.take().await;
    assert_eq!((told.op.as_str(), told.issued), ("registered", None));
    assert_eq!(told.body, "\"al\"");
}

#[tokio::test]
async fn an_invitation_lets_one_user_register_and_survives_kill_9() {
    let store = Store::with(&format!("{SMALL}{INVITE}"));
    let server = Server::start(&store);
    let tokens = invite(&store, &["--count", "2"]);
    assert_eq!(tokens.len(), 2);
    server.kill();
    let server = Server::start(&store);
    let text = |error: Option<String>| error.unwrap_or_default();
    assert_eq!(text(register(&server, "alice", &json!({})).await), "invite required");
    let wrong = json!({"invite": format!("mqi_{:032x}", 1)});
    assert_eq!(text(register(&server, "alice", &wrong).await), "invite invalid");
    let token = json!({"invite": tokens[0]});
    assert_eq!(register(&server, "alice", &token).await, None);
    assert_eq!(text(register(&server, "bob", &token).await), "invite invalid");
    // What did not come about does not use it up, and who is not invited is not told who exists.
    let token = json!({"invite": tokens[1]});
    assert_eq!(text(register(&server, "alice", &token).await), "user exists");
    assert_eq!(text(register(&server, "alice", &json!({})).await), "invite required");
    assert_eq!(register(&server, "bob", &token).await, None);
    server.kill();
    let server = Server::start(&store);
    assert_eq!(text(register(&server, "carol", &token).await), "invite invalid");
    // A node more is no registration.
    assert_eq!(Client::add_node(&server, "bob", "n1").await, 1);
}

#[tokio::test]
async fn an_invitation_expires() {
    let store = Store::with(&format!("{SMALL}{INVITE}"));
    let server = Server::start(&store);
    let tokens = invite(&store, &["--expires", "1s"]);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let error = register(&server, "alice", &json!({"invite": tokens[0]})).await;
    assert_eq!(error.as_deref(), Some("invite invalid"));
}

#[tokio::test]
async fn invitations_are_told_as_json_too_and_not_without_a_server() {
    let store = Store::with(SMALL);
    let output = run(&["invite", "--store", &store.text()]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("no server runs on"), "{}", stderr(&output));
    let _server = Server::start(&store);
    let output = run(&["invite", "--store", &store.text(), "--count", "3", "--json"]);
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(told["invites"].as_array().unwrap().len(), 3);
    assert_eq!(told["registration"], "open");
    assert!(stderr(&output).contains("nobody needs them"), "{}", stderr(&output));
}

#[tokio::test]
async fn closed_is_closed() {
    let store = Store::with(&format!("{SMALL}[accounts]\nregistration = \"closed\"\n"));
    let server = Server::start(&store);
    let tokens = invite(&store, &[]);
    let error = register(&server, "alice", &json!({"invite": tokens[0]})).await;
    assert_eq!(error.as_deref(), Some("registration closed"));
}

#[test]
fn beyond_the_loopback_it_does_not_start_unless_told_to_be_insecure() {
    let store = Store::with(SMALL);
    let text = store.text();
    let args = ["--store", &text, "--listen", "0.0.0.0:0", "--admin", "off"];
    let output = run(&args);
    assert!(!output.status.success());
    let said = stderr(&output);
    assert!(said.contains("passwords go there in clear") && said.contains("--insecure"), "{said}");
    assert!(!store.path().join("directory.redb").exists(), "nothing was touched");
}

#[tokio::test]
async fn told_to_be_insecure_it_warns_and_registers_nobody_unless_told_so() {
    for (config, may) in [("", false), ("[accounts]\nregistration = \"open\"\n", true)] {
        let store = Store::with(&format!("insecure = true\n{SMALL}{config}"));
        let mut command = program();
        command.args(["--listen", "0.0.0.0:0"]);
        let mut server = Server::start_with(&store, command, "off");
        server.address.set_ip([127, 0, 0, 1].into());
        assert!(server.log().contains("insecure: 0.0.0.0:0"), "{}", server.log());
        assert_eq!(server.log().contains("may register"), may);
        let error = register(&server, "alice", &json!({})).await;
        assert_eq!(error.is_none(), may, "{error:?}");
    }
}

#[tokio::test]
async fn what_a_user_may_have_is_limited_and_the_limit_named() {
    let limits = "[limits]\nnodes_per_user = 2\naliases_per_user = 2\nlists_per_user = 2\n\
                  members_per_list = 2\n";
    let store = Store::with(&format!("{SMALL}{limits}"));
    let server = Server::start(&store);
    let header = json!({"op": "register", "userId": "x", "newNode": "n", "aliases": "a b c"});
    let error = ask(&server, &header).await.error;
    assert_eq!(error.as_deref(), Some("too many aliases: aliases_per_user is 2"));
    for user in ["alice", "bob", "carol"] {
        Client::register(&server, user, &format!("{user}-1 {user}-2")).await;
    }
    Client::add_node(&server, "alice", "n1").await;
    let header = json!({"op": "addNode", "userId": "alice", "newNode": "n2", "prevNode": "n0"});
    let error = ask(&server, &header).await.error;
    assert_eq!(error.as_deref(), Some("too many nodes: nodes_per_user is 2"));
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    for (list, edit, member, error) in [
        ("L1", "add", "bob", None),
        ("L1", "add", "carol", Some("list L1 has too many members: members_per_list is 2")),
        ("L1", "invite", "carol-1", Some("list L1 has too many members: members_per_list is 2")),
        ("L2", "invite", "bob-1", None),
        ("L3", "add", "carol", Some("alice is in too many lists: lists_per_user is 2")),
        ("L2", "remove", "bob", None),
        ("L2", "add", "carol", None),
        ("L2", "remove", "alice", None),
        ("L3", "add", "bob", None),
        ("L4", "add", "bob", Some("alice is in too many lists: lists_per_user is 2")),
    ] {
        let header =
            json!({"op": "listEdit", "id": "e", "to": list, "type": edit, "member": member});
        alice.send(&header, b"").await;
        let ack = alice.reply().await;
        assert_eq!(ack.error.as_deref(), error, "{list} {edit} {member}");
        assert_eq!(ack.kind.as_deref(), Some(if error.is_some() { "error" } else { "ok" }));
    }
}
