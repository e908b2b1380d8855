//! The examples of `mq` do what their pages say.

use crate::shell;

use shell::{Server, Shell, eventually};
use std::fs;

#[test]
fn the_agents_inbox_keeps_what_comes_and_answers_it() {
    let server = Server::start_with("[limits]\nredelivery_s = 1");
    let shell = Shell::with_users(&server, &["alice", "counter"]);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/agent-inbox");
    let agent = format!("{folder}/agent.sh");
    shell.mq(&["post", "counter", "how many words are these?"]).ok();
    let listener = shell.listen("counter", &["--exec", &agent]);
    assert_eq!(shell.mq(&["listen", "-n", "1", "--timeout", "20"]).ok(), "counter: 5\n");
    // Commands of its own profile go by way of it, and what it posts to itself it does not answer.
    shell.mq(&["-p", "counter", "post", "counter", "myself"]).ok();
    shell.mq(&["post", "counter", "one more"]).ok();
    assert_eq!(shell.mq(&["listen", "-n", "1", "--timeout", "20"]).ok(), "counter: 2\n");
    listener.stop();
    let kept = fs::read_dir(shell.file("inbox")).unwrap().count();
    assert_eq!(kept, 4, "two messages and their answers");
    // An agent that fails is asked again.
    fs::write(shell.file("moody"), "#!/bin/sh\ntouch asked\n[ -e ready ] && cat\n").unwrap();
    shell.mq(&["post", "counter", "echo"]).ok();
    let moody = format!("AGENT='sh moody' {agent}");
    let listener = shell.listen("counter", &["--exec", &moody]);
    listener.says("the command failed");
    eventually("the agent", || shell.file("asked").exists());
    fs::write(shell.file("ready"), "").unwrap();
    assert_eq!(shell.mq(&["listen", "-n", "1", "--timeout", "20"]).ok(), "counter: echo\n");
    drop(listener);
}
