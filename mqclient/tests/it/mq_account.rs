//! `mq register`, `mq login` and `mq profile`: accounts, and what is kept of them.

use crate::shell;

use mqserver::api::invitations::{Invitations, Wanted};
use mqserver::control::{Client, path};
use shell::{Server, Shell, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn secret(shell: &Shell, profile: &str) -> String {
    fs::read_to_string(shell.config().join("profiles").join(profile).join("secret")).unwrap()
}

#[test]
fn register_keeps_the_secret_that_the_server_issues_where_nobody_else_reads_it() {
    let server = Server::start();
    let shell = Shell::new(&server);
    let registered = shell.mq(&["register", "alice"]);
    let profile = shell.config().join("profiles/alice");
    assert!(secret(&shell, "alice").starts_with("mqs_"));
    assert!(!registered.err.contains("mqs_"), "{registered:?}");
    assert_eq!((registered.code, registered.out.as_str()), (Some(0), ""));
    assert_eq!(mode(&profile.join("secret")), 0o600);
    assert_eq!((mode(&profile), mode(&shell.config())), (0o700, 0o700));
    // It is used from then on.
    shell.mq(&["post", "alice", "me"]).ok();
    assert_eq!(shell.mq(&["listen", "--count", "1"]).ok(), "alice: me\n");
}

#[test]
fn the_first_profile_is_the_current_one_until_another_is_chosen() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["mary", "alice"]);
    let user = |args: &[&str]| {
        let to_me = shell.mq(&[args, &["post", "mary", "x"]].concat());
        to_me.ok();
        let heard = shell.mq(&["-p", "mary", "listen", "-n", "1"]).ok();
        heard.split(':').next().unwrap().to_owned()
    };
    assert_eq!(user(&[]), "mary");
    assert_eq!(user(&["--profile", "alice"]), "alice");
    shell.mq(&["profile", "use", "alice"]).ok();
    assert_eq!(user(&[]), "alice");
    let list = shell.mq(&["profile", "ls"]).ok();
    assert!(list.starts_with("* alice  alice on ws://"), "{list}");
    assert!(list.contains("\n  mary  mary on ws://"), "{list}");
    shell.mq(&["profile", "use", "nobody"]).fails(1);
    let mut command = shell.command(&["post", "mary", "x"]);
    command.env("MQ_PROFILE", "nobody");
    assert!(run(command, b"").fails(1).contains("no profile \"nobody\""));
}

#[test]
fn a_user_that_exists_is_not_registered_again_and_leaves_no_profile() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    let other = Shell::new(&server);
    assert!(other.mq(&["register", "alice"]).fails(4).contains("mq login"));
    assert_eq!(fs::read_dir(other.config().join("profiles")).unwrap().count(), 0);
    // Nor is a profile overwritten.
    let before = secret(&shell, "alice");
    assert!(shell.mq(&["register", "-p", "alice", "carol"]).fails(1).contains("exists"));
    assert_eq!(secret(&shell, "alice"), before);
    other.mq(&["register", "carol"]).ok();
}

#[test]
fn nobody_is_registered_whose_secret_could_not_be_kept() {
    let server = Server::start();
    let shell = Shell::new(&server);
    // No file may grow: the disk is as good as full.
    let full = shell.script("trap '' XFSZ; ulimit -f 0; exec mq register alice");
    run(full, b"").fails(1);
    shell.mq(&["register", "alice"]).ok();
}

#[test]
fn login_reads_the_secret_from_a_pipe_or_the_environment_and_tries_it() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    let secret = secret(&shell, "alice");
    let other = Shell::new(&server);
    let refused = other.mq_reading(&["login", "alice"], b"wrong\n").fails(6);
    assert!(refused.contains("the secret is wrong"), "{refused}");
    assert!(
        other.mq_reading(&["login", "nobody"], secret.as_bytes()).fails(6).contains("no such user")
    );
    other.mq_reading(&["login", "alice"], b"").fails(2);
    assert!(other.mq(&["profile", "ls"]).ok().is_empty());
    other.mq_reading(&["login", "alice"], secret.as_bytes()).ok();
    let mut command = other.command(&["login", "-p", "again", "alice"]);
    command.env("MQ_SECRET", secret.trim());
    run(command, b"").ok();
    for profile in ["alice", "again"] {
        assert_eq!(mode(&other.config().join("profiles").join(profile).join("secret")), 0o600);
        other.mq(&["-p", profile, "post", "alice", "x"]).ok();
    }
}

#[test]
fn login_with_a_new_node_leaves_the_old_one_to_its_program() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    let listener = shell.listen("alice", &[]);
    let other = Shell::new(&server);
    let first = secret(&shell, "alice");
    other.mq_reading(&["login", "--new-node", "alice"], first.as_bytes()).ok();
    assert_ne!(secret(&other, "alice"), first);
    other.mq(&["post", "alice", "from there"]).ok();
    assert_eq!(listener.line(), "alice: from there");
    assert_eq!(other.mq(&["listen", "-n", "1"]).ok(), "alice: from there\n");
}

#[test]
fn a_secret_that_others_may_read_is_not_used() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    let path = shell.config().join("profiles/alice/secret");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(shell.mq(&["post", "alice", "x"]).fails(1).contains("chmod 600"));
}

#[test]
fn a_profile_that_makes_no_sense_is_named() {
    let server = Server::start();
    let shell = Shell::with_users(&server, &["alice"]);
    let path = shell.config().join("profiles/alice/profile.toml");
    fs::write(&path, "server = 7").unwrap();
    let said = shell.mq(&["post", "alice", "x"]).fails(1);
    assert!(said.contains("profile.toml"), "{said}");
    shell.mq(&["-p", "../alice", "post", "alice", "x"]).fails(2);
}

#[test]
fn without_a_profile_one_is_told_how_to_come_by_one() {
    let server = Server::start();
    assert!(Shell::new(&server).mq(&["post", "bob", "x"]).fails(1).contains("mq register"));
}

#[test]
fn an_invitation_is_read_from_a_pipe() {
    let server = Server::start_with("[accounts]\nregistration = \"invite\"");
    let shell = Shell::new(&server);
    shell.mq(&["register", "alice"]).fails(4);
    let wanted = Wanted { count: 1, expires_s: 3600 };
    let mut operator = Client::connect(server.store()).unwrap();
    let made: Invitations = operator.post(&path(&["invitations"]), &wanted).unwrap();
    shell.mq_reading(&["register", "--invite", "alice"], made.invites[0].as_bytes()).ok();
    shell.mq(&["post", "alice", "x"]).ok();
}

#[test]
fn over_tls_the_server_is_trusted_by_the_roots_that_the_profile_names() {
    let store = tempfile::tempdir().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let made = mqserver::cert::make(store.path(), names, false).unwrap();
    let (certificate, key) = (made.certificate.display(), made.key.display());
    let server = Server::start_with(&format!(
        "listen_tls = [\"127.0.0.1:0\"]\n[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\""
    ));
    let shell = Shell::at(&server.tls_url());
    let certificate = certificate.to_string();
    let untrusted = shell.mq(&["register", "alice"]);
    assert_eq!(untrusted.code, Some(7), "{untrusted:?}");
    shell.mq(&["register", "--ca", &certificate, "alice"]).ok();
    shell.mq(&["post", "alice", "x"]).ok();
    // A root that is gone is named.
    fs::remove_file(&certificate).unwrap();
    assert!(shell.mq(&["post", "alice", "x"]).fails(1).contains(&certificate));
    shell.mq(&["register", "--cert", &certificate, "bob"]).fails(2);
}

#[test]
fn secrets_over_a_network_in_clear_text_are_warned_of() {
    let shell = Shell::at("ws://mq.invalid:1");
    assert!(shell.mq(&["register", "alice"]).fails(5).contains("clear text"));
}
