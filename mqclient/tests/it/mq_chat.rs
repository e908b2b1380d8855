//! `mq chat`: a conversation over pipes.

use crate::shell;

use shell::{Server, Shell};

#[test]
fn two_talk_line_by_line() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice", "bob"]);
    let mut alice = shell.start(&["-p", "alice", "chat", "bob"]);
    let mut bob = shell.start(&["-p", "bob", "chat", "alice"]);
    alice.write("hello, bob\n");
    assert_eq!(bob.line(), "alice: hello, bob");
    bob.write("hello\nhow are you?\n");
    assert_eq!([alice.line(), alice.line()], ["bob: hello", "bob: how are you?"]);
    // Other commands of the same profile go by way of it.
    shell.mq(&["-p", "bob", "post", "alice", "by post"]).ok();
    assert_eq!(alice.line(), "bob: by post");
    drop((alice.input.take(), bob.input.take()));
    assert_eq!((alice.ended().code(), bob.ended().code()), (Some(0), Some(0)));
}

#[test]
fn what_is_piped_into_it_is_posted_and_what_others_say_stays() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice", "bob", "carol"]);
    shell.mq(&["-p", "carol", "post", "alice", "not for the chat"]).ok();
    let mut alice = shell.start(&["chat", "bob"]);
    shell.mq(&["-p", "bob", "post", "alice", "for the chat"]).ok();
    assert_eq!(alice.line(), "bob: for the chat");
    alice.write("one\n\ntwo");
    drop(alice.input.take());
    alice.says("1 other messages wait");
    assert_eq!(alice.ended().code(), Some(0));
    assert!(alice.is_silent());
    assert_eq!(shell.mq(&["-p", "bob", "listen", "-n", "2", "--body"]).ok(), "one\ntwo\n");
    assert_eq!(shell.mq(&["listen", "-n", "1"]).ok(), "carol: not for the chat\n");
}

#[test]
fn whom_nobody_knows_is_told_and_the_conversation_goes_on() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    let said = shell.mq_reading(&["chat", "nobody"], b"one\ntwo\n");
    assert_eq!(said.err.matches("nobody: userId unknown").count(), 2, "{said:?}");
    assert_eq!(said.code, Some(0));
}
