//! `mq post` and `mq ping`: what is sent, and what the exit code says.

use crate::fake;
use crate::shell;

use fake::Fake;
use serde_json::{Value, json};
use shell::{Server, Shell, run};
use std::fs;
use std::process::Stdio;

/// What waits for a profile's node.
fn inbox(shell: &Shell, profile: &str, count: usize) -> Vec<String> {
    let count = count.to_string();
    let args = ["-p", profile, "listen", "--json", "-n", &count, "--timeout", "10"];
    let text = shell.mq(&args).ok();
    let letter = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    text.lines().map(|line| letter(line)["data"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_text_comes_from_the_command_line_a_file_or_the_standard_input() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice", "bob"]);
    fs::write(shell.file("report"), "from a file\n").unwrap();
    shell.mq(&["post", "bob", "as a word"]).ok();
    shell.mq(&["post", "-m", "as an option", "bob"]).ok();
    shell.mq(&["post", "bob", "-f", "report"]).ok();
    shell.mq_reading(&["post", "bob"], b"piped").ok();
    shell.mq_reading(&["post", "alice", "bob", "-"], b"piped to two").ok();
    shell.mq_reading(&["post", "bob", "-f", "-"], b"").ok();
    let expected = ["as a word", "as an option", "from a file\n", "piped", "piped to two", ""];
    assert_eq!(inbox(&shell, "bob", 6), expected);
    assert_eq!(inbox(&shell, "alice", 1), ["piped to two"]);
    let missing = shell.mq(&["post", "bob", "-f", "nowhere"]).fails(1);
    assert!(missing.contains("nowhere"), "{missing}");
}

#[test]
fn the_id_that_is_printed_is_the_one_that_the_recipient_sees() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice", "bob"]);
    let id = shell.mq(&["post", "bob", "x"]).ok();
    let ack: Value =
        serde_json::from_str(&shell.mq(&["post", "--json", "--etc", "[1]", "bob", "y"]).ok())
            .unwrap();
    assert_eq!(ack["failed"], json!({}));
    let heard = shell.mq(&["-p", "bob", "listen", "--json", "-n", "2"]).ok();
    let heard: Vec<Value> = heard.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(heard[0]["id"], id.trim());
    assert_eq!((&heard[1]["id"], &heard[1]["posted"]), (&ack["msgid"], &ack["posted"]));
    assert_eq!(heard[1]["etc"], json!([1]));
    shell.mq(&["post", "--etc", "{", "bob", "y"]).fails(2);
}

#[test]
fn some_who_do_not_get_it_are_told_by_another_code_than_all() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice", "bob"]);
    let some = shell.mq(&["post", "bob", "carol", "x"]);
    assert!(!some.out.is_empty(), "{some:?}");
    assert!(some.fails(3).contains("carol: userId unknown"));
    shell.mq(&["post", "carol", "x"]).fails(4);
    shell.mq(&["post", "carol", "@nolist", "x"]).fails(4);
    assert_eq!(inbox(&shell, "bob", 1), ["x"]);
    assert!(shell.mq(&["post", "bob", "@bob", "x"]).fails(2).contains("post twice"));
    shell.mq(&["post"]).fails(2);
}

#[test]
fn with_one_a_single_node_of_the_user_gets_it() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice", "bob"]);
    shell.mq(&["-p", "bob", "node", "add", "--save-as", "bob2"]).ok();
    shell.mq(&["post", "--one", "bob", "for one"]).ok();
    shell.mq(&["post", "bob", "for all"]).ok();
    assert_eq!(inbox(&shell, "bob2", 2), ["for one", "for all"]);
    assert_eq!(inbox(&shell, "bob", 1), ["for all"]);
}

#[test]
fn ones_other_nodes_get_copies_unless_they_are_not_to() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice", "bob"]);
    shell.mq(&["node", "add", "--save-as", "phone"]).ok();
    shell.mq(&["post", "--no-copies", "bob", "one"]).ok();
    shell.mq(&["post", "bob", "two"]).ok();
    assert_eq!(inbox(&shell, "phone", 1), ["two"]);
    assert_eq!(inbox(&shell, "bob", 2), ["one", "two"]);
    // Nothing gathers for the node that posts.
    shell.mq(&["listen", "-n", "1", "--timeout", "1"]).fails(9);
}

#[test]
fn a_ping_goes_to_whoever_has_the_alias() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    let registered = shell.mq(&["register", "--alias", "bob@example.org", "bob"]);
    assert_eq!(registered.code, Some(0), "{registered:?}");
    let taken = shell.mq(&["register", "--alias", "bob@example.org", "carol"]);
    assert!(taken.err.contains("is taken"), "{taken:?}");
    shell.mq(&["ping", "bob@example.org", "hello"]).ok();
    shell.mq(&["ping", "bob@example.org"]).ok();
    shell.mq_reading(&["ping", "bob@example.org", "-"], b"piped").ok();
    assert_eq!(inbox(&shell, "bob", 3), ["hello", "", "piped"]);
    assert!(shell.mq(&["ping", "dave@example.org"]).fails(4).contains("alias not defined"));
}

#[test]
fn a_message_that_is_too_large_for_the_server_is_refused_and_the_next_is_not() {
    let server = Server::start_with("[limits]\nmax_message_mib = 1");
    let shell = Shell::with_users(&server, &["alice", "bob"]);
    fs::write(shell.file("large"), vec![b'x'; 2 << 20]).unwrap();
    let said = shell.mq(&["post", "bob", "-f", "large"]).fails(4);
    assert!(said.contains("larger than 1048576 bytes"), "{said}");
    shell.mq(&["post", "bob", "small"]).ok();
    // By way of a listener, too, which goes on.
    let listener = shell.listen("alice", &[]);
    shell.mq(&["post", "bob", "-f", "large"]).fails(4);
    shell.mq(&["post", "alice", "-m", "still here"]).ok();
    assert_eq!(listener.line(), "alice: still here");
}

#[test]
fn when_the_server_is_gone_it_says_that_nothing_was_sent() {
    let mut server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    server.stop();
    assert!(shell.mq(&["post", "alice", "x"]).fails(5).contains("nothing was sent"));
    // With a listener that waits for the server, too.
    server.start_again();
    let listener = shell.listen("alice", &[]);
    server.stop();
    listener.says("the link is lost");
    let said = shell.mq(&["--patience", "0", "post", "alice", "x"]).fails(5);
    assert!(said.contains("nothing was sent"), "{said}");
    server.start_again();
    listener.says("stands again");
    shell.mq(&["post", "alice", "y"]).ok();
    assert_eq!(listener.line(), "alice: y");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_link_is_lost_before_the_ack_it_says_that_nobody_knows() {
    let fake = Fake::bind().await;
    let shell = Shell::at(&fake.url("ws"));
    let (logged_in, ()) = tokio::join!(
        tokio::task::spawn_blocking(move || {
            let outcome = shell.mq_reading(&["login", "alice"], b"secret");
            (shell, outcome)
        }),
        async { fake.log_in().await.close().await }
    );
    let (shell, outcome) = logged_in.unwrap();
    outcome.ok();
    let posting =
        tokio::task::spawn_blocking(move || shell.mq(&["--patience", "1", "post", "bob", "x"]));
    let mut peer = fake.log_in().await;
    assert_eq!(peer.hear().await.0["op"], "post");
    drop((peer, fake));
    assert!(posting.await.unwrap().fails(8).contains("may have done it or not"));
}

#[test]
fn posts_of_one_profile_at_the_same_time_are_all_stored() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice", "bob"]);
    let script = "for i in 1 2 3 4 5 6 7 8; do mq post bob $i & done; wait";
    assert_eq!(run(shell.script(script), b"").ok().lines().count(), 8);
    let mut heard = inbox(&shell, "bob", 8);
    heard.sort();
    assert_eq!(heard, ["1", "2", "3", "4", "5", "6", "7", "8"]);
}

#[test]
fn nobody_reading_its_output_is_no_failure_of_the_post() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    let mut posting = shell.start(&["post", "alice"]);
    let script = shell.script("mq post alice x | exec true");
    run(script, b"").ok();
    posting.write("late");
    drop(posting.input.take());
    assert_eq!(posting.ended().code(), Some(0));
    let mut closed = shell.script("exec mq post alice y >&-");
    closed.stdout(Stdio::null());
    assert_eq!(run(closed, b"").code, Some(0));
    let mut all = inbox(&shell, "alice", 3);
    all.sort();
    assert_eq!(all, ["late", "x", "y"]);
}
