//! A store that cannot be opened is refused in one sentence and left as it was; one that can be is
//! for its owner only, and nothing that a client or a planted link says leads out of it.

use crate::common;

use common::{Client, Framing, SMALL, Server, Store, program, run, stderr};
use redb::{Database, TableDefinition};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What is below a directory: mode, and content or target.
type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if metadata.is_file() {
            fs::read(&path).unwrap()
        } else if metadata.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else {
            Vec::new()
        };
        tree.insert(path, (metadata.permissions().mode(), content));
    }
    tree
}

/// Which paths are not as they were.
fn changes(before: &Tree, after: &Tree) -> Vec<PathBuf> {
    let paths = before.keys().chain(after.keys());
    let mut changed: Vec<_> =
        paths.filter(|path| before.get(*path) != after.get(*path)).cloned().collect();
    changed.dedup();
    changed
}

/// A start on this store fails, says `reason` in one sentence, and changes nothing around it.
#[track_caller]
fn is_refused(store: &Store, reason: &str) {
    is_refused_at(store, &store.path(), reason);
}

#[track_caller]
fn is_refused_at(store: &Store, path: &Path, reason: &str) {
    let before = tree(store.outside());
    let args = ["--store", path.to_str().unwrap(), "--listen", "127.0.0.1:0", "--admin", "off"];
    let output = run(&args);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(output.stdout.is_empty(), "it said that it listens");
    assert!(error.starts_with("mqserver: "), "{error}");
    assert!(error.contains(reason), "{reason:?} is not in {error:?}");
    // The TOML parser shows the place, which takes lines; all else is one.
    assert!(error.trim_end().lines().count() == 1 || reason.contains(".toml"), "{error}");
    let changed = changes(&before, &tree(store.outside()));
    assert!(changed.is_empty(), "changed: {changed:?}");
}

/// A store with two users and messages, stopped in good order.
async fn used() -> Store {
    let store = Store::new();
    let server = Server::start(&store);
    fill(&store, &server).await;
    server.stop();
    store
}

/// The same, killed.
async fn killed() -> Store {
    let store = Store::new();
    let server = Server::start(&store);
    fill(&store, &server).await;
    server.kill();
    // What a start does with these is another matter.
    let _ = fs::remove_file(store.path().join(".pid"));
    let _ = fs::remove_file(store.path().join(".control"));
    store
}

async fn fill(store: &Store, server: &Server) {
    Client::register(server, "alice", "al").await;
    Client::register(server, "bob", "").await;
    let mut alice = Client::login(server, Framing::Raw, "alice", "n0").await;
    alice.post(&json!({"bob": 1}), b"filed").await;
    store.filed("bob,0", 1).await;
    alice.post(&json!({"bob": 1}), b"last").await;
}

/// Overwrites a part of a file of the store.
fn damage(store: &Store, path: &str, offset: u64, bytes: &[u8]) {
    let file = fs::File::options().write(true).open(store.path().join(path)).unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

/// Where the copies of a segment's head begin.
const HEADS: [u64; 2] = [0, 2048];

/// The segment of the journal that was used last.
fn used_segment(store: &Store) -> String {
    let is_used = |path: &String| {
        let content = fs::read(store.path().join(path)).unwrap();
        content[..16].iter().any(|&byte| byte != 0)
    };
    (0..3).rev().map(|number| format!("journal/{number}")).find(is_used).unwrap()
}

#[tokio::test]
async fn a_second_server_is_refused_and_the_first_goes_on() {
    let store = Store::new();
    let mut server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    is_refused(&store, "mqserver: server already running\n");
    assert!(server.is_alive());
    Client::login(&server, Framing::Raw, "alice", "n0").await.barrier().await;
}

#[tokio::test]
async fn a_journal_whose_head_is_damaged_in_both_copies_is_refused() {
    for store in [used().await, killed().await] {
        let segment = used_segment(&store);
        for copy in HEADS {
            damage(&store, &segment, copy + 20, &[0xff]);
        }
        is_refused(&store, &format!("{segment} is damaged: its head is neither empty nor right"));
        damage(&store, &segment, 0, b"garbage!");
        is_refused(&store, &format!("{segment} is damaged"));
    }
}

#[tokio::test]
async fn a_journal_whose_head_is_damaged_in_one_copy_is_served() {
    for store in [used().await, killed().await] {
        damage(&store, &used_segment(&store), HEADS[0] + 20, &[0xff]);
        let server = Server::start(&store);
        assert!(server.log().contains("one copy of the head is damaged"), "{}", server.log());
        let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
        assert_eq!(bob.take_data().await, "filed");
        assert_eq!(bob.take_data().await, "last");
    }
}

#[tokio::test]
async fn a_journal_of_a_newer_version_is_refused() {
    for store in [used().await, killed().await] {
        let segment = used_segment(&store);
        for copy in HEADS {
            damage(&store, &segment, copy + 8, &9u32.to_le_bytes());
        }
        is_refused(&store, &format!("{segment} is of version 9; this program knows version"));
    }
}

#[tokio::test]
async fn a_damaged_directory_is_refused() {
    for store in [used().await, killed().await] {
        let original = fs::read(store.path().join("directory.redb")).unwrap();
        damage(&store, "directory.redb", 0, b"garbage garbage garbage garbage");
        is_refused(&store, "directory.redb");
        // The root of the user's tables, in both commit slots, behind a good magic number.
        fs::write(store.path().join("directory.redb"), &original).unwrap();
        damage(&store, "directory.redb", 64, &[0xa5; 256]);
        is_refused(&store, "directory.redb");
    }
}

#[tokio::test]
async fn a_directory_that_was_cut_is_refused() {
    for store in [used().await, killed().await] {
        let path = store.path().join("directory.redb");
        let original = fs::read(&path).unwrap();
        for len in [0, 100, 4096, original.len() / 2] {
            fs::write(&path, &original[..len]).unwrap();
            is_refused(&store, "directory.redb");
        }
    }
}

#[tokio::test]
async fn a_directory_of_a_newer_version_is_refused() {
    let store = used().await;
    {
        let database = Database::open(store.path().join("directory.redb")).unwrap();
        let write = database.begin_write().unwrap();
        let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
        write.open_table(meta).unwrap().insert("version", 9).unwrap();
        write.commit().unwrap();
    }
    is_refused(&store, "directory.redb is of version 9; this program knows versions up to");
}

#[tokio::test]
async fn a_store_below_a_file_is_refused() {
    let store = Store::absent();
    let file = store.outside().join("file");
    fs::write(&file, "not a directory").unwrap();
    is_refused_at(&store, &file.join("store"), "Not a directory");
    is_refused_at(&store, &file, "Not a directory");
}

/// Root may do all but this: write to a file that is not to be changed. So it is no directory that
/// stands where the store wants one.
#[tokio::test]
async fn a_file_in_the_place_of_a_directory_is_refused() {
    for name in ["journal", "spool"] {
        let store = Store::new();
        fs::write(store.path().join(name), "not a directory").unwrap();
        is_refused(&store, name);
    }
    let store = Store::new();
    fs::create_dir(store.path().join(".pid")).unwrap();
    is_refused(&store, ".pid");
}

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let store = used().await;
    let before = tree(store.outside());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for args in
        [["--listen", &address, "--admin", "off"], ["--listen", "127.0.0.1:0", "--admin", &address]]
    {
        let path = store.text();
        let output = run(&[&["--store", &path], &args[..]].concat());
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.starts_with(&format!("mqserver: cannot listen on {address}: ")), "{error}");
        assert!(changes(&before, &tree(store.outside())).is_empty());
    }
}

#[tokio::test]
async fn an_invalid_configuration_is_refused() {
    for (config, reason) in [
        ("[journal", "mqserver.toml"),
        ("[journal]\nsegment = 3\n", "mqserver.toml:2:1: there is no setting"),
        ("[journal]\nsegments = 1\n", "journal.segments = 1 is out of bounds: 3 to 64"),
        ("admin = 5\n", "mqserver.toml"),
    ] {
        is_refused(&Store::with(config), reason);
    }
    let store = used().await;
    fs::write(store.path().join("mqserver.toml"), b"listen = [\"\xff\"]").unwrap();
    is_refused(&store, "mqserver.toml");
}

#[tokio::test]
async fn all_that_a_server_makes_is_for_its_owner_only() {
    let store = Store::new();
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(store.path().join("mqserver.toml"), fs::Permissions::from_mode(0o600))
        .unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "umask 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_mqserver")]);
    let server = Server::start_with(&store, shell, "off");
    fill(&store, &server).await;
    let mut alice = Client::login(&server, Framing::WebSocket, "alice", "n0").await;
    alice.post(&json!({"bob": 1}), &vec![b'x'; 600 << 10]).await;
    // While the large one is staged, or linked already; it is the same file.
    let tree = tree(&store.path());
    for name in [".control", ".pid", "directory.redb", "journal/0", "spool/.staged", "spool/bob,0"]
    {
        assert!(tree.contains_key(&store.path().join(name)), "{name}");
    }
    for (path, (mode, _)) in tree {
        let wanted = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode & 0o7777, wanted, "{}: {mode:o}", path.display());
    }
}

#[tokio::test]
async fn a_store_that_is_made_is_for_its_owner_only() {
    let store = Store::absent();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "umask 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_mqserver")]);
    let _server = Server::start_with(&store, shell, "off");
    let mode = fs::metadata(store.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700, "{mode:o}");
}

#[tokio::test]
async fn no_name_leads_out_of_the_store_and_no_two_share_a_directory() {
    let store = Store::new();
    let outside = tree(store.outside());
    let server = Server::start(&store);
    let names = [
        "../../evil",
        "..",
        ".",
        "/",
        "/etc/evil",
        "A",
        "a",
        "é",
        "É",
        "e\u{301}",
        "a,0",
        "a%2c0",
        "%",
        ".staged",
        "a b",
        "*",
        "~",
        "-rf",
        "con",
        "a/b",
        "a\\b",
        "日本語",
        "🦀",
    ];
    for name in names {
        Client::register(&server, name, "").await;
    }
    Client::register(&server, "poster", "").await;
    let mut poster = Client::login(&server, Framing::Raw, "poster", "n0").await;
    for name in names {
        poster.post(&json!({name: 1}), name.as_bytes()).await;
    }
    let queues = || -> Vec<PathBuf> {
        let entries = fs::read_dir(store.path().join("spool")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.file_name().unwrap() != ".staged").collect()
    };
    let files = |path: &PathBuf| fs::read_dir(path).unwrap().count();
    common::eventually("a directory for each", || {
        let queues = queues();
        queues.len() == names.len() && queues.iter().all(|queue| files(queue) == 1)
    })
    .await;
    for queue in queues() {
        let name = queue.file_name().unwrap().to_str().unwrap().to_owned();
        let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'%' | b',');
        assert!(name.bytes().all(plain), "{name}");
    }
    let inside = store.path();
    let log = store.outside().join("log");
    let now = tree(store.outside());
    let strangers: Vec<_> = changes(&outside, &now)
        .into_iter()
        .filter(|path| !path.starts_with(&inside) && *path != log)
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    for name in names {
        let mut client = Client::login(&server, Framing::Raw, name, "n0").await;
        assert_eq!(client.take_data().await, name.as_bytes(), "{name}");
    }
}

#[tokio::test]
async fn names_with_control_characters_or_none_at_all_are_refused() {
    let store = Store::new();
    let server = Server::start(&store);
    let long = "x".repeat(65);
    for name in ["", "a\nb", "a\0b", "\u{7f}", "\u{85}", &long] {
        let mut client = Client::connect(server.address, Framing::Raw).await;
        let header = json!({"op": "register", "userId": name, "newNode": "n", "aliases": ""});
        client.send(&header, b"").await;
        assert_eq!(client.reply().await.error.as_deref(), Some("invalid name"), "{name:?}");
    }
}

#[tokio::test]
async fn a_link_planted_in_the_place_of_a_queue_is_not_followed() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    Client::register(&server, "carol", "").await;
    server.stop();
    let target = store.outside().join("target");
    fs::create_dir(&target).unwrap();
    symlink(&target, store.queue("bob,0")).unwrap();
    let server = Server::start(&store);
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    // Whatever becomes of bob's, carol's arrives.
    for to in ["bob", "carol"] {
        alice.send(&json!({"op": "post", "id": to, "to": {to: 1}}), b"x").await;
        assert_eq!(alice.reply().await.op, "ack");
    }
    store.filed("carol,0", 1).await;
    let mut carol = Client::login(&server, Framing::Raw, "carol", "n0").await;
    assert_eq!(carol.take_data().await, "x");
    carol.barrier().await;
    server.stop();
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "a file went through the link");
    let server = Server::start(&store);
    let mut bob = Client::connect(server.address, Framing::Raw).await;
    bob.send(&json!({"op": "login", "userId": "bob", "nodeId": "n0"}), b"").await;
    assert_eq!(bob.reply().await.info.as_deref(), Some("ok login"));
    let mut carol = Client::login(&server, Framing::Raw, "carol", "n0").await;
    carol.post(&json!({"carol": 1}), b"y").await;
    assert_eq!(carol.take_data().await, "y");
    server.stop();
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0, "a file went through the link");
}

#[tokio::test]
async fn files_that_are_no_messages_are_left_alone_and_in_nobodys_way() {
    let store = used().await;
    let queue = store.queue("bob,0");
    let strange = "0".repeat(32);
    symlink("/etc/hostname", queue.join(&strange)).unwrap();
    fs::create_dir(queue.join(format!("{}1", "0".repeat(31)))).unwrap();
    fs::write(queue.join("README"), "mine").unwrap();
    let server = Server::start(&store);
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    assert_eq!(bob.take_data().await, "filed");
    assert_eq!(bob.take_data().await, "last");
    bob.barrier().await;
    bob.close().await;
    server.stop();
    assert_eq!(fs::read_to_string(queue.join("README")).unwrap(), "mine");
}

#[tokio::test]
async fn a_damaged_message_is_set_aside_and_its_neighbours_are_served() {
    let store = used().await;
    let server = Server::start(&store);
    store.filed("bob,0", 2).await;
    // Until the journal, three segments of 2 MiB, has forgotten them.
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    for _ in 0..20 {
        alice.post(&json!({"alice": 1}), &vec![b'x'; 400 << 10]).await;
        alice.take().await;
    }
    alice.barrier().await;
    server.stop();
    let files = store.files("bob,0");
    let mut content = fs::read(&files[0]).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(&files[0], &content).unwrap();
    let server = Server::start(&store);
    let mut bob = Client::login(&server, Framing::Raw, "bob", "n0").await;
    assert_eq!(bob.take_data().await, "last");
    let kept = store.path().join("quarantine");
    let name = format!("bob,0.{}", files[0].file_name().unwrap().to_str().unwrap());
    assert_eq!(fs::read(kept.join(&name)).unwrap(), content);
    let why = fs::read_to_string(kept.join(format!("{name}.why"))).unwrap();
    assert!(why.ends_with(": damaged: its checksum is wrong\n"), "{why}");
    assert_eq!(fs::read_dir(&kept).unwrap().count(), 2);
    assert!(server.log().contains("damaged"), "{}", server.log());
}

#[tokio::test]
async fn the_smallest_configuration_serves() {
    let store = Store::with(SMALL);
    let server = Server::start_with(&store, program(), "off");
    let journal = tree(&store.path().join("journal"));
    // The directory and its three segments.
    assert_eq!(journal.len(), 4);
    assert_eq!(journal.values().map(|(_, content)| content.len()).sum::<usize>(), 6 << 20);
    server.stop();
}
