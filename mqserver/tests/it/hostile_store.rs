//! A store in which somebody has planted something in the place of something else: links, pipes,
//! sockets, devices, directories for files and files for directories. It is refused, or the thing is
//! set aside or left alone; it is never followed, never waited for, and never removed.

use crate::common;

use common::{Client, Framing, PATIENCE, Server, Store, program, run};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

const SECRET: &str = "nobody = \"touches this\"\n";

/// What is planted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Thing {
    LinkToDirectory,
    LinkToFile,
    DanglingLink,
    Pipe,
    Socket,
    Device,
    Directory,
    File,
}

const ALL: [Thing; 8] = [
    Thing::LinkToDirectory,
    Thing::LinkToFile,
    Thing::DanglingLink,
    Thing::Pipe,
    Thing::Socket,
    Thing::Device,
    Thing::Directory,
    Thing::File,
];

impl Thing {
    /// `false` if only root may.
    fn plant(self, path: &Path, outside: &Path) -> bool {
        match self {
            Self::LinkToDirectory => symlink(outside.join("directory"), path).unwrap(),
            Self::LinkToFile => symlink(outside.join("file"), path).unwrap(),
            Self::DanglingLink => symlink(outside.join("nothing"), path).unwrap(),
            Self::Pipe => mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            Self::Socket => drop(UnixListener::bind(path).unwrap()),
            // That of /dev/zero: it can be read for ever.
            Self::Device => {
                let zero = makedev(1, 5);
                return mknodat(CWD, path, FileType::CharacterDevice, Mode::RWXU, zero).is_ok();
            }
            Self::Directory => {
                fs::create_dir(path).unwrap();
                fs::write(path.join("mine"), "mine").unwrap();
            }
            Self::File => fs::write(path, "mine").unwrap(),
        }
        true
    }

    /// Is it what stands there?
    fn is_at(self, path: &Path) -> bool {
        let Ok(there) = fs::symlink_metadata(path) else { return false };
        let kind = there.file_type();
        match self {
            Self::LinkToDirectory | Self::LinkToFile | Self::DanglingLink => kind.is_symlink(),
            Self::Pipe => kind.is_fifo(),
            Self::Socket => kind.is_socket(),
            Self::Device => kind.is_char_device(),
            Self::Directory => fs::read(path.join("mine")).is_ok_and(|text| text == b"mine"),
            Self::File => fs::read(path).is_ok_and(|text| text == b"mine"),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Starts a server; when it has said that it listens, `Ok` with it; when it has ended, what it said.
fn start(store: &Path, log: &Path) -> Result<(Running, std::net::SocketAddr), String> {
    let mut command: Command = program();
    command.arg("--store").arg(store).args(["--listen", "127.0.0.1:0", "--admin", "off"]);
    let log_file = fs::File::create(log).unwrap();
    let mut child = command.stdout(Stdio::piped()).stderr(log_file).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let running = Running(child);
    let (send, line) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        out.read_line(&mut text).unwrap();
        send.send(text).unwrap();
        let _ = out.read_to_string(&mut String::new());
    });
    let line = line.recv_timeout(PATIENCE).expect("it neither starts nor ends: it hangs");
    match line.trim().strip_prefix("listening on ") {
        Some(address) => Ok((running, address.parse().unwrap())),
        None => Err(fs::read_to_string(log).unwrap()),
    }
}

/// Killed when dropped.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A store with alice, bob and carol, where two messages wait for bob, in files.
async fn used() -> (Store, String) {
    let store = Store::new();
    let server = Server::start(&store);
    for user in ["alice", "bob", "carol"] {
        Client::register(&server, user, "").await;
    }
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    for data in [b"1", b"2"] {
        alice.post(&json!({"bob": 1}), data).await;
    }
    store.filed("bob,0", 2).await;
    let file = store.files("bob,0")[0].file_name().unwrap().to_str().unwrap().to_owned();
    server.stop();
    (store, file)
}

async fn log_in(address: std::net::SocketAddr, user: &str) -> Client {
    let mut client = Client::connect(address, Framing::Raw).await;
    client.send(&json!({"op": "login", "userId": user, "nodeId": "n0"}), b"").await;
    assert_eq!(client.reply().await.info.as_deref(), Some("ok login"));
    client
}

/// Plants each thing in a place, and tries to serve.
async fn plant(place: &str) {
    let (store, file) = used().await;
    let place = place.replace("FILE", &file);
    for thing in ALL {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path();
        fs::create_dir(outside.join("directory")).unwrap();
        fs::write(outside.join("file"), SECRET).unwrap();
        let root = outside.join("store");
        copy(&store.path(), &root);
        let path = root.join(&place);
        if let Ok(there) = fs::symlink_metadata(&path) {
            if there.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                .unwrap();
            if there.is_dir() && thing == Thing::Directory
                || there.is_file() && thing == Thing::File
            {
                // Not in the place of something else; what is damaged is tested elsewhere.
                continue;
            }
        }
        if place == ".pid" && thing == Thing::File {
            // The file of a server that was killed.
            continue;
        }
        if !thing.plant(&path, outside) {
            eprintln!("skipped: {thing:?} at {place}, for which one has to be root");
            continue;
        }
        let what = format!("{thing:?} at {place}");
        println!("{what}");
        // None of the commands hangs, either.
        let text = root.to_str().unwrap();
        run(&["status", "--store", text]);
        run(&["stop", "--store", text]);
        match start(&root, &outside.join("log")) {
            Err(said) => {
                let name = place.split('/').next().unwrap();
                assert!(said.contains("mqserver: ") && said.contains(name), "{what}: {said}");
                assert!(!said.contains("nobody"), "{what} was followed: {said}");
                assert!(thing.is_at(&path), "{what} is no longer there: {said}");
            }
            Ok((running, address)) => {
                let mut alice = log_in(address, "alice").await;
                // Whatever becomes of bob's.
                for to in ["bob", "carol"] {
                    alice.send(&json!({"op": "post", "id": to, "to": {to: 1}}), b"x").await;
                    assert_eq!(alice.reply().await.op, "ack", "{what}");
                }
                let mut carol = log_in(address, "carol").await;
                assert_eq!(carol.take_data().await, "x", "{what}");
                log_in(address, "bob").await.barrier().await;
                drop(running);
                let set_aside = fs::read_dir(root.join("quarantine")).into_iter().flatten();
                let mut kept = set_aside.map(|entry| entry.unwrap().path());
                // What a server leaves that is killed, and what is in a place for leftovers.
                let replaced = place == ".control" && thing == Thing::Socket
                    || place.starts_with("spool/.staged/") && thing != Thing::Directory;
                let stays = thing.is_at(&path) || kept.any(|path| thing.is_at(&path));
                assert!(stays || replaced, "{what} is gone");
            }
        }
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), SECRET, "{what}");
        assert_eq!(fs::read_dir(outside.join("directory")).unwrap().count(), 0, "{what}");
        assert!(!outside.join("nothing").exists(), "{what}");
    }
}

macro_rules! places {
    ($($name:ident: $place:expr),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            plant($place).await;
        })*
    };
}

places! {
    in_the_place_of_the_journal: "journal",
    in_the_place_of_a_segment: "journal/1",
    in_the_place_of_the_spool: "spool",
    in_the_place_of_a_queue: "spool/bob,0",
    in_the_place_of_a_message: "spool/bob,0/FILE",
    in_the_place_of_what_is_staged: "spool/.staged",
    among_what_is_staged: "spool/.staged/7",
    in_the_place_of_the_quarantine: "quarantine",
    in_the_place_of_the_directory: "directory.redb",
    in_the_place_of_the_lock: ".pid",
    in_the_place_of_the_control_socket: ".control",
    in_the_place_of_the_configuration: "mqserver.toml",
}

#[tokio::test]
async fn whatever_the_umask_the_store_is_its_owners_only() {
    for umask in ["000", "022", "077"] {
        let store = Store::absent();
        let mut command = Command::new("sh");
        let line = format!("umask {umask}; exec \"$0\" \"$@\"");
        command.args(["-c", &line, env!("CARGO_BIN_EXE_mqserver")]).env_remove("RUST_LOG");
        let server = Server::start_with(&store, command, "off");
        Client::register(&server, "alice", "").await;
        let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
        alice.post(&json!({"alice": 1}), b"small").await;
        alice.delivery().await;
        alice.post(&json!({"alice": 1}), &vec![b'x'; 600 << 10]).await;
        store.filed("alice,0", 2).await;
        let mut left = vec![store.path()];
        let mut seen = 0;
        while let Some(path) = left.pop() {
            let there = fs::symlink_metadata(&path).unwrap();
            let mode = if there.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(there.mode() & 0o7777, mode, "{} with umask {umask}", path.display());
            seen += 1;
            if there.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        assert!(seen > 12, "{seen}");
    }
}
