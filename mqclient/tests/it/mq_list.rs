//! `mq list`: lists from the shell.

use crate::shell;

use shell::{Server, Shell};

/// The messages that wait for a profile, as they are printed.
fn heard(shell: &Shell, profile: &str, count: usize) -> String {
    let count = count.to_string();
    shell.mq(&["-p", profile, "listen", "-n", &count, "--timeout", "10"]).ok()
}

#[test]
fn a_list_is_created_posted_to_and_left() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice", "bob", "carol"]);
    shell.mq(&["list", "create", "team", "bob"]).ok();
    shell.mq(&["list", "add", "@team", "carol"]).ok();
    shell.mq(&["post", "@team", "hello, all"]).ok();
    assert!(heard(&shell, "bob", 3).ends_with("alice: hello, all\n"));
    assert!(heard(&shell, "carol", 2).ends_with("alice: hello, all\n"));
    shell.mq(&["-p", "bob", "list", "leave", "team"]).ok();
    shell.mq(&["list", "remove", "team", "carol"]).ok();
    assert!(heard(&shell, "carol", 2).contains("(listEdited)"));
    shell.mq(&["-p", "carol", "post", "@team", "x"]).fails(4);
    shell.mq(&["-p", "bob", "list", "add", "team", "bob"]).fails(4);
    let said = shell.mq(&["list", "add", "team", "nobody"]).fails(4);
    assert!(said.contains("nobody"), "{said}");
}

#[test]
fn an_invitation_is_a_message_and_accepted_by_its_list() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    shell.mq(&["register", "--alias", "bob@example.org", "bob"]).ok();
    shell.mq(&["list", "create", "team"]).ok();
    shell.mq(&["list", "invite", "team", "bob@example.org", "-m", "join us"]).ok();
    let invitation = heard(&shell, "bob", 1);
    assert!(invitation.starts_with("alice: join us"), "{invitation}");
    shell.mq(&["-p", "bob", "list", "accept", "team"]).ok();
    shell.mq(&["post", "@team", "welcome"]).ok();
    assert!(heard(&shell, "bob", 2).ends_with("alice: welcome\n"));
    shell.mq(&["list", "invite", "team", "carol@example.org"]).fails(4);
    shell.mq(&["list", "invite", "team"]).fails(2);
}
