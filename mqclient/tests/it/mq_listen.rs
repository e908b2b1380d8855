//! `mq listen`: what is printed, what is acked and when, and that it goes on.

use crate::shell;

use rustix::process::Signal;
use serde_json::Value;
use shell::{Server, Shell, eventually, run};
use std::fs;
use std::time::{Duration, Instant};

/// What was not acked comes again after a second, then two, then four.
const SOON: &str = "[limits]\nredelivery_s = 1";

fn alice_and_bob(server: &Server) -> Shell {
    Shell::with_users(server, &["alice", "bob"])
}

/// Nothing waits for the profile any more.
fn is_drained(shell: &Shell, profile: &str) {
    shell.mq(&["-p", profile, "listen", "-n", "1", "--timeout", "1"]).fails(9);
}

#[test]
fn messages_are_printed_in_order_and_acked() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    for text in ["one", "two", "three"] {
        shell.mq(&["post", "bob", text]).ok();
    }
    let heard = shell.mq(&["-p", "bob", "listen", "--count", "2"]).ok();
    assert_eq!(heard, "alice: one\nalice: two\n");
    let rest = shell.mq(&["-p", "bob", "listen", "--body", "-n", "1"]).ok();
    assert_eq!(rest, "three\n");
    let said = shell.mq(&["-p", "bob", "listen", "-n", "1", "--timeout", "1"]).fails(9);
    assert!(said.contains("0 of 1"), "{said}");
}

#[test]
fn what_was_acked_is_kept_in_the_profile_for_the_next_start() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    let id = shell.mq(&["post", "bob", "one"]).ok();
    shell.mq(&["-p", "bob", "listen", "-n", "1"]).ok();
    let kept = fs::read_to_string(shell.config().join("profiles/bob/acked")).unwrap();
    assert!(kept.contains(id.trim()), "{kept}");
}

#[test]
fn no_message_commands_the_terminal_or_looks_like_another() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    shell.mq(&["post", "bob", "hi \x1b[31m\nroot: do it"]).ok();
    let heard = shell.mq(&["-p", "bob", "listen", "-n", "1"]).ok();
    assert_eq!(heard, "alice: hi \\u{1b}[31m\n    root: do it\n");
}

#[test]
fn as_json_even_what_is_no_text_is_there() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    shell.mq_reading(&["post", "bob", "--etc", r#"{"a": 1}"#], b"\xff\x00").ok();
    let heard = shell.mq(&["-p", "bob", "listen", "--json", "-n", "1"]).ok();
    let letter: Value = serde_json::from_str(&heard).unwrap();
    assert_eq!((&letter["from"], &letter["kind"]), (&"alice".into(), &"deliver".into()));
    assert_eq!((&letter["base64"], &letter["etc"]["a"]), (&"/wA=".into(), &1.into()));
    assert_eq!(letter.get("data"), None);
}

#[test]
fn colours_are_for_terminals_only() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    for (variable, coloured) in [("NO_COLOR", false), ("CLICOLOR_FORCE", true)] {
        shell.mq(&["post", "bob", "x"]).ok();
        let mut command = shell.command(&["-p", "bob", "listen", "-n", "1"]);
        command.env(variable, "1");
        let heard = run(command, b"").ok();
        assert_eq!(heard.contains('\x1b'), coloured, "{heard:?}");
    }
}

#[test]
fn a_command_gets_the_message_and_no_secret() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    let id = shell.mq(&["post", "bob", "--etc", "7", "the data"]).ok();
    let script = "cat > data; env | grep ^MQ_ > variables";
    let mut command = shell.command(&["-p", "bob", "listen", "-n", "1", "--exec", script]);
    command.env("MQ_SECRET", "s3cret");
    run(command, b"").ok();
    assert_eq!(fs::read_to_string(shell.file("data")).unwrap(), "the data");
    let variables = fs::read_to_string(shell.file("variables")).unwrap();
    let id = format!("MQ_ID={}", id.trim());
    for line in [
        id.as_str(),
        "MQ_FROM=alice",
        "MQ_KIND=deliver",
        "MQ_ETC=7",
        "MQ_REDELIVERED=0",
        "MQ_USER=bob",
        "MQ_PROFILE=bob",
    ] {
        assert!(variables.lines().any(|variable| variable == line), "{line} in {variables}");
    }
    assert!(!variables.contains("s3cret"), "{variables}");
    is_drained(&shell, "bob");
}

#[test]
fn a_message_whose_command_fails_stays_and_comes_again_without_haste() {
    let server = Server::start_with(SOON);
    let shell = alice_and_bob(&server);
    shell.mq(&["post", "bob", "bad"]).ok();
    shell.mq(&["post", "bob", "good"]).ok();
    let script = "read word; echo $word >> tried; [ $word = good ]";
    let listener = shell.listen("bob", &["--exec", script]);
    let tried = || fs::read_to_string(shell.file("tried")).unwrap_or_default();
    let start = Instant::now();
    eventually("a second try", || tried().matches("bad").count() >= 2);
    assert!(start.elapsed() > Duration::from_millis(700), "{:?}", start.elapsed());
    assert_eq!(tried(), "bad\ngood\nbad\n");
    listener.stop();
    // The one that failed is still there for a command that succeeds.
    let heard = shell.mq(&["-p", "bob", "listen", "-n", "1"]).ok();
    assert_eq!(heard, "alice: bad\n");
    is_drained(&shell, "bob");
}

#[test]
fn with_a_window_of_one_a_failing_command_holds_back_the_rest() {
    let server = Server::start_with(SOON);
    let shell = alice_and_bob(&server);
    for text in ["one", "two"] {
        shell.mq(&["post", "bob", text]).ok();
    }
    let script = "cat >> heard; [ \"$MQ_REDELIVERED\" = 1 ] || [ -e ok ] || { touch ok; exit 1; }";
    shell.mq(&["-p", "bob", "listen", "-n", "2", "--window", "1", "--exec", script]).ok();
    assert_eq!(fs::read_to_string(shell.file("heard")).unwrap(), "oneonetwo");
}

#[test]
fn a_command_that_reads_nothing_is_no_obstacle() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    fs::write(shell.file("large"), vec![b'x'; 3 << 20]).unwrap();
    shell.mq(&["post", "bob", "-f", "large"]).ok();
    shell.mq(&["post", "bob", "-f", "large"]).ok();
    // Nor is a child of it that keeps its standard input.
    let script = "(sleep 60 <&0 >&- 2>&-) & echo $! >> sleepers";
    shell.mq(&["-p", "bob", "listen", "-n", "1", "--exec", "true"]).ok();
    shell.mq(&["-p", "bob", "listen", "-n", "1", "--exec", script]).ok();
    let sleepers = fs::read_to_string(shell.file("sleepers")).unwrap();
    run(shell.script(&format!("kill {}", sleepers.trim())), b"").ok();
    is_drained(&shell, "bob");
}

#[test]
fn while_it_listens_the_same_profile_posts_by_way_of_it() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    let bob = shell.listen("bob", &["--exec", "echo got; wc -c | mq post \"$MQ_FROM\""]);
    let alice = shell.listen("alice", &[]);
    shell.mq(&["post", "bob", "12345"]).ok();
    assert_eq!(alice.line(), "bob: 5");
    // What goes wrong is told as it is without a listener.
    shell.mq(&["post", "carol", "x"]).fails(4);
    shell.mq(&["post", "bob", "carol", "x"]).fails(3);
    shell.mq(&["ping", "nobody@example.org", "x"]).fails(4);
    fs::write(shell.file("large"), vec![b'x'; 3 << 20]).unwrap();
    shell.mq(&["post", "bob", "-f", "large"]).ok();
    let answers = [alice.line(), alice.line()];
    assert_eq!(answers, ["bob: 1", "bob: 3145728"]);
    bob.stop();
    alice.stop();
    shell.mq(&["post", "bob", "without a listener"]).ok();
}

#[test]
fn a_second_listener_of_a_profile_is_told_who_the_first_is() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    let first = shell.listen("bob", &[]);
    let said = shell.mq(&["-p", "bob", "listen"]).fails(6);
    assert!(said.contains("process "), "{said}");
    shell.mq(&["post", "bob", "x"]).ok();
    assert_eq!(first.line(), "alice: x");
}

#[test]
fn one_that_was_killed_leaves_nothing_in_the_way() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    drop(shell.listen("bob", &[]));
    assert!(shell.config().join("profiles/bob/socket").exists());
    shell.mq(&["-p", "bob", "post", "bob", "x"]).ok();
    let next = shell.listen("bob", &[]);
    assert_eq!(next.line(), "bob: x");
}

#[test]
fn a_server_that_comes_back_finds_it_listening() {
    let mut server = Server::start();
    let shell = alice_and_bob(&server);
    let listener = shell.listen("bob", &[]);
    server.stop();
    listener.says("the link is lost");
    server.start_again();
    listener.says("stands again");
    shell.mq(&["post", "bob", "again"]).ok();
    assert_eq!(listener.line(), "alice: again");
    listener.stop();
}

#[test]
fn a_terminate_ends_it_as_ctrl_c_does_and_the_command_is_waited_for() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    shell.mq(&["post", "bob", "x"]).ok();
    let script = "touch begun; sleep 1; touch done";
    let mut listener = shell.listen("bob", &["--exec", script]);
    eventually("the command", || shell.file("begun").exists());
    listener.signal(Signal::TERM);
    assert_eq!(listener.ended().code(), Some(0));
    assert!(shell.file("done").exists());
    is_drained(&shell, "bob");
}

#[test]
fn what_nobody_reads_any_more_is_not_acked() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    for text in ["one", "two", "three"] {
        shell.mq(&["post", "bob", text]).ok();
    }
    // The second finds nobody, and ends it.
    let script = "mq -p bob listen --body --window 1 | { read first; echo $first; }";
    let taken = run(shell.script(script), b"");
    assert!(!taken.err.contains("panic"), "{taken:?}");
    assert_eq!(taken.out, "one\n");
    let rest = shell.mq(&["-p", "bob", "listen", "--body", "--timeout", "3"]).ok();
    assert!(rest == "two\nthree\n" || rest == "three\n", "{rest}");
}

#[test]
fn what_could_not_be_written_is_not_acked() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    shell.mq(&["post", "bob", "x"]).ok();
    let full = shell.script("mq -p bob listen --body > /dev/full");
    assert!(run(full, b"").fails(1).contains("standard output"));
    assert_eq!(shell.mq(&["-p", "bob", "listen", "-n", "1", "--body"]).ok(), "x\n");
}

#[test]
fn the_first_time_a_server_that_is_not_there_ends_it() {
    let mut server = Server::start();
    let shell = alice_and_bob(&server);
    server.stop();
    shell.mq(&["listen"]).fails(5);
}

#[test]
fn a_copy_of_a_profile_fights_only_when_told_to() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    let mut here = shell.listen("bob", &[]);
    let elsewhere = Shell::new(&server);
    let copy = format!("cp -r {} {}", shell.config().display(), elsewhere.config().display());
    run(shell.script(&copy), b"").ok();
    let said = elsewhere.mq(&["-p", "bob", "post", "bob", "x"]).fails(6);
    assert!(said.contains("--takeover"), "{said}");
    let there = elsewhere.listen("bob", &["--takeover"]);
    assert_eq!(here.ended().code(), Some(6));
    shell.mq(&["post", "bob", "y"]).ok();
    assert_eq!(there.line(), "alice: y");
}

#[test]
fn told_twice_to_end_it_waits_for_no_command() {
    let server = Server::start();
    let shell = alice_and_bob(&server);
    shell.mq(&["post", "bob", "x"]).ok();
    let script = "echo $$ > begun; exec sleep 60";
    let mut listener = shell.listen("bob", &["--exec", script]);
    eventually("the command", || shell.file("begun").exists());
    listener.signal(Signal::TERM);
    listener.says("once more");
    listener.signal(Signal::TERM);
    assert_eq!(listener.ended().code(), Some(1));
    eventually("the command's end", || {
        let still = shell.script("kill -0 $(cat begun)");
        run(still, b"").code != Some(0)
    });
    assert_eq!(shell.mq(&["-p", "bob", "listen", "-n", "1"]).ok(), "alice: x\n");
}
