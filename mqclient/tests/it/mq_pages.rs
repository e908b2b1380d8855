//! What `mq` says of itself: help, version, manual pages, completions.

use crate::shell;

use shell::{Shell, run};

fn shell() -> Shell {
    Shell::at("ws://127.0.0.1:1")
}

#[test]
fn every_commands_help_has_an_example() {
    let shell = shell();
    let all = "register login post listen ping status chat completions man list node profile";
    let lists = ["create", "invite", "accept", "add", "remove", "leave", "show"];
    let mut commands: Vec<Vec<&str>> = all.split(' ').map(|command| vec![command]).collect();
    commands.extend(lists.map(|command| vec!["list", command]));
    commands.extend(["add", "drop", "ls"].map(|command| vec!["node", command]));
    commands.extend(["ls", "use", "rm"].map(|command| vec!["profile", command]));
    for command in commands {
        let help = shell.mq(&[command.as_slice(), &["--help"]].concat()).ok();
        assert!(help.contains("Example"), "{command:?}: {help}");
    }
    let help = shell.mq(&["--help"]).ok();
    assert!(help.contains("Exit codes:"), "{help}");
    let version = shell.mq(&["--version"]).ok();
    assert_eq!(version, format!("mq {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_know_the_commands() {
    let shell = shell();
    for (name, word) in [("bash", "_mq"), ("zsh", "#compdef mq"), ("fish", "complete -c mq")] {
        let script = shell.mq(&["completions", name]).ok();
        assert!(script.contains(word) && script.contains("listen"), "{name}");
    }
    let script = shell.script("mq completions bash | bash -n");
    run(script, b"").ok();
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let shell = shell();
    let page = shell.mq(&["man"]).ok();
    assert!(page.contains(".TH mq 1") && page.contains("Exit codes"), "{page}");
    shell.mq(&["man", "--out", "man1"]).ok();
    for page in ["mq.1", "mq-post.1", "mq-list-invite.1"] {
        assert!(shell.file("man1").join(page).exists(), "{page}");
    }
}

#[test]
fn nobody_reading_it_is_no_panic() {
    let shell = shell();
    for command in ["mq man", "mq completions bash", "mq --help"] {
        let output = run(shell.script(&format!("{command} | exec true")), b"");
        assert_eq!((output.code, output.err.as_str()), (Some(0), ""), "{command}");
    }
}
