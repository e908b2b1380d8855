//! `mqserver check` finds what is wrong with a store, changes nothing unless it is told to, and mends
//! what can be mended without a loss that it does not tell.

use crate::common;

use common::{Client, Framing, Server, Store, run, stderr, stdout};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Output;

/// The bytes of a file of the store are changed.
fn change(store: &Store, path: &str, act: impl FnOnce(&mut Vec<u8>)) {
    let path = store.path().join(path);
    let mut content = fs::read(&path).unwrap();
    act(&mut content);
    fs::write(path, content).unwrap();
}

/// Where these bytes stand in a file of the store for the last time.
fn place(store: &Store, path: &str, bytes: &[u8]) -> usize {
    let content = fs::read(store.path().join(path)).unwrap();
    content.windows(bytes.len()).rposition(|window| window == bytes).unwrap()
}

fn check(store: &Store, options: &[&str]) -> Output {
    run(&[&["check", "--store", &store.text()], options].concat())
}

#[track_caller]
fn is_well(store: &Store) {
    let output = check(store, &[]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

/// It is found and told, and then mended and told. The repair's words.
#[track_caller]
fn is_found_and_mended(store: &Store, path: &str, what: &str) -> String {
    is_found(store, path, what);
    let output = check(store, &["--repair"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    assert!(text.contains(&format!("mended: {path}")), "{text}");
    is_well(store);
    text
}

#[track_caller]
fn is_found(store: &Store, path: &str, what: &str) {
    let before = tree(&store.path());
    let output = check(store, &[]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    let told = |line: &str| line.starts_with(&format!("{path}: ")) && line.contains(what);
    assert!(text.lines().any(told), "{path}: {what} is not in {text}");
    assert_eq!(before, tree(&store.path()), "a look changed something");
}

/// What is below a directory: all that a look might change, and the content.
fn tree(root: &Path) -> BTreeMap<PathBuf, (Vec<i64>, Vec<u8>)> {
    let mut tree = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let times = vec![
            metadata.atime_nsec(),
            metadata.mtime_nsec(),
            metadata.ctime_nsec(),
            metadata.mode().into(),
            metadata.ino() as i64,
        ];
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        tree.insert(path, (times, Vec::new()));
    }
    // The times first: this changes them.
    for (path, (_, content)) in &mut tree {
        if fs::symlink_metadata(path).unwrap().is_file() {
            *content = fs::read(path).unwrap();
        }
    }
    // What this look changed is not to count.
    for (path, (times, _)) in &mut tree {
        times[0] = fs::symlink_metadata(path).unwrap().atime_nsec();
    }
    tree
}

/// A store with users, a list, and messages for bob: one filed, the last in the journal only. Killed
/// or stopped.
async fn used(kill: bool) -> Store {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "al").await;
    Client::register(&server, "bob", "").await;
    Client::register(&server, "carol", "").await;
    Client::register(&server, "zoe", "").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    alice.post(&json!({"bob": 1, "carol": 1}), b"filed").await;
    store.filed("bob,0", 1).await;
    alice.post(&json!({"bob": 1}), b"the last one").await;
    if kill {
        server.kill();
        let _ = fs::remove_file(store.path().join(".control"));
    } else {
        server.stop();
    }
    store
}

/// Bob gets these, and nothing else.
async fn bob_gets(store: &Store, bodies: &[&str]) {
    let server = Server::start(store);
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    for body in bodies {
        assert_eq!(bob.take_data().await, body.as_bytes());
    }
    bob.barrier().await;
    server.stop();
}

#[tokio::test]
async fn a_store_that_was_stopped_or_killed_is_well_and_left_as_it_was() {
    for kill in [false, true] {
        let store = used(kill).await;
        let before = tree(&store.path());
        is_well(&store);
        assert_eq!(before, tree(&store.path()), "a look changed something");
        let output = check(&store, &["--repair"]);
        assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
        bob_gets(&store, &["filed", "the last one"]).await;
    }
}

#[tokio::test]
async fn a_store_on_which_a_server_runs_is_not_checked() {
    let store = Store::new();
    let _server = Server::start(&store);
    for options in [&[][..], &["--repair"]] {
        let output = check(&store, options);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stderr(&output), "mqserver: server already running\n");
    }
    let absent = Store::absent();
    assert_eq!(check(&absent, &[]).status.code(), Some(2));
    assert!(!absent.path().exists());
}

#[tokio::test]
async fn a_damaged_message_is_found_and_its_repair_keeps_it() {
    let store = used(false).await;
    let file = store.files("bob,0")[0].clone();
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let path = format!("spool/bob,0/{name}");
    change(&store, &path, |content| *content.last_mut().unwrap() ^= 1);
    let damaged = fs::read(&file).unwrap();
    is_found(&store, &path, "its checksum is wrong");
    is_found_and_mended(&store, &format!("spool/carol,0/{name}"), "its checksum is wrong");
    let kept = store.path().join("quarantine");
    for node in ["bob,0", "carol,0"] {
        assert_eq!(fs::read(kept.join(format!("{node}.{name}"))).unwrap(), damaged);
        let why = fs::read_to_string(kept.join(format!("{node}.{name}.why"))).unwrap();
        assert!(why.contains("its checksum is wrong"), "{why}");
    }
}

#[tokio::test]
async fn a_file_that_a_kill_left_unfinished_is_noted_and_the_next_start_finishes_it() {
    let store = used(false).await;
    let file = store.files("bob,0")[0].clone();
    let whole = fs::read(&file).unwrap();
    let path = format!("spool/bob,0/{}", file.file_name().unwrap().to_str().unwrap());
    change(&store, &path, |content| content.truncate(20));
    let output = check(&store, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("the next start does it again"), "{}", stdout(&output));
    let server = Server::start(&store);
    common::eventually("the file", || fs::read(&file).is_ok_and(|now| now == whole)).await;
    server.stop();
    // Of what the journal does not hold any more it is damage.
    fs::write(&file, &whole[..20]).unwrap();
    fs::rename(&file, file.with_file_name("0".repeat(31) + "1")).unwrap();
    is_found(&store, &format!("spool/bob,0/{}1", "0".repeat(31)), "shorter than its first line");
}

#[tokio::test]
async fn a_damaged_record_is_found_and_the_others_are_taken_up() {
    for kill in [false, true] {
        let store = used(kill).await;
        let at = place(&store, "journal/0", b"the last one");
        change(&store, "journal/0", |content| content[at] ^= 1);
        is_found_and_mended(&store, "journal/0", "damaged bytes");
        bob_gets(&store, &["filed"]).await;
        let kept = fs::read_dir(store.path().join("quarantine")).unwrap();
        let kept: Vec<_> = kept.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
        assert!(kept.iter().any(|file| file.windows(12).any(|w| w == b"\x75he last one")));
    }
}

#[tokio::test]
async fn a_segment_whose_head_is_lost_is_kept_and_the_ring_is_whole_again() {
    let store = used(true).await;
    change(&store, "journal/0", |content| {
        content[3] ^= 1;
        content[2051] ^= 1;
    });
    let damaged = fs::read(store.path().join("journal/0")).unwrap();
    is_found_and_mended(&store, "journal/0", "no server starts on it");
    assert_eq!(fs::read(store.path().join("quarantine/journal.0")).unwrap(), damaged);
    assert!(store.path().join("quarantine/journal.0.why").exists());
    bob_gets(&store, &["filed"]).await;
}

#[tokio::test]
async fn a_segment_that_was_cut_is_whole_again_and_what_it_held_is_delivered() {
    for (len, bodies) in [(100, &["filed"][..]), (1 << 20, &["filed", "the last one"])] {
        let store = used(true).await;
        change(&store, "journal/0", |content| content.truncate(len));
        is_found_and_mended(&store, "journal/0", "cut");
        assert_eq!(fs::metadata(store.path().join("journal/0")).unwrap().len(), 2 << 20);
        bob_gets(&store, bodies).await;
    }
}

#[tokio::test]
async fn a_damaged_directory_is_salvaged_entry_by_entry() {
    for kill in [false, true] {
        let store = used(kill).await;
        let at = place(&store, "directory.redb", b"\"name\":\"zoe\"");
        let content = fs::read(store.path().join("directory.redb")).unwrap();
        // Wherever it stands; the header, too.
        change(&store, "directory.redb", |content| {
            content[0] ^= 1;
            content[at + 9] ^= 1;
        });
        let text = is_found_and_mended(&store, "directory.redb", "no server starts on it");
        assert!(text.contains("the old one is in quarantine/directory.redb"), "{text}");
        let kept = fs::read(store.path().join("quarantine/directory.redb")).unwrap();
        assert_eq!(kept.len(), content.len());
        bob_gets(&store, &["filed", "the last one"]).await;
        let server = Server::start(&store);
        Client::login(&server, Framing::Raw, "alice", "n0").await.barrier().await;
        // A number that was anybody's is nobody else's.
        Client::register(&server, "dave", "").await;
        let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
        alice.post(&json!({"dave": 1}), b"to dave").await;
        let mut dave = Client::login(&server, Framing::Raw, "dave", "n0").await;
        assert_eq!(dave.take_data().await, "to dave");
    }
}

#[tokio::test]
async fn a_mode_that_lets_others_in_is_found_and_mended() {
    let store = used(false).await;
    let queue = store.queue("bob,0");
    fs::set_permissions(&queue, fs::Permissions::from_mode(0o755)).unwrap();
    let file = store.files("bob,0")[0].clone();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    is_found(&store, "spool/bob,0", "its mode is 755 and should be 700");
    is_found_and_mended(&store, "spool/bob,0", "its mode is 755");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_none_of_ours_is_told_and_stays() {
    let store = used(false).await;
    fs::write(store.path().join("notes.txt"), "mine").unwrap();
    is_well(&store);
    let text = stdout(&check(&store, &[]));
    assert!(text.contains("note: notes.txt: it is none of ours"), "{text}");
    let queue = store.queue("bob,0");
    fs::write(queue.join("README"), "mine").unwrap();
    symlink("/etc/hostname", queue.join("0".repeat(32))).unwrap();
    fs::create_dir(store.queue("nobody,0")).unwrap();
    fs::set_permissions(store.queue("nobody,0"), fs::Permissions::from_mode(0o700)).unwrap();
    let before = tree(&queue);
    is_found(&store, "spool/bob,0/README", "it is no message");
    is_found(&store, &format!("spool/bob,0/{}", "0".repeat(32)), "it is not a regular file");
    is_found(&store, "spool/nobody,0", "there is no such node");
    let output = check(&store, &["--repair"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert_eq!(before.keys().collect::<Vec<_>>(), tree(&queue).keys().collect::<Vec<_>>());
    assert!(store.queue("nobody,0").exists());
}

#[tokio::test]
async fn json_is_a_line_for_each_finding_and_one_with_the_counts() {
    let store = used(false).await;
    fs::write(store.path().join("notes.txt"), "mine").unwrap();
    let lines = stdout(&check(&store, &["--json"]));
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["path"], "notes.txt");
    assert_eq!(lines[0]["weight"], "note");
    let counts = &lines[1];
    assert_eq!((&counts["users"], &counts["wrong"]), (&json!(4), &json!(0)));
}
