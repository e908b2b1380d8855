//! A backup of a server at work, and the store that is made of it: nothing that was acked is missing.

use crate::common;

use common::node::Node;
use common::{Client, Framing, PATIENCE, SMALL, Server, Store, program, run, stderr, stdout};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::time::timeout;

fn file(store: &Store) -> PathBuf {
    store.outside().join("backup.tar")
}

fn backup(store: &Store) -> Output {
    run(&["backup", file(store).to_str().unwrap(), "--json", "--store", &store.text()])
}

fn restore(from: &Store, to: &Store) -> Output {
    run(&["restore", file(from).to_str().unwrap(), "--store", &to.text()])
}

#[track_caller]
fn is_well(store: &Store) {
    let output = run(&["check", "--store", &store.text()]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

/// What posters were acked, and readers have acked, by the text of the message.
#[derive(Default)]
struct Book {
    posted: Mutex<HashSet<String>>,
    /// The same of what was for one node of the idler's only.
    single: Mutex<HashSet<String>>,
    read: Mutex<HashMap<&'static str, HashSet<String>>>,
    stop: AtomicBool,
    count: AtomicU64,
}

/// Posts to everyone until it is told to stop.
async fn post(server_address: std::net::SocketAddr, name: &'static str, book: Arc<Book>) {
    let mut client = Client::connect(server_address, Framing::Raw).await;
    client.log_in("poster", name).await;
    let mut number = 0;
    while !book.stop.load(Ordering::Relaxed) {
        number += 1;
        let text = format!("{name} {number}");
        let mut body = text.clone().into_bytes();
        if number % 50 == 0 {
            // Its body is staged.
            body.resize(600 << 10, b' ');
        }
        client.post(&json!({"reader": 1, "idler": 1}), &body).await;
        book.posted.lock().unwrap().insert(text);
        let text = format!("{name} {number} for one");
        client.post(&json!({"idler": 0}), text.as_bytes()).await;
        book.single.lock().unwrap().insert(text);
        book.count.fetch_add(1, Ordering::Relaxed);
    }
}

fn text_of(body: &[u8]) -> String {
    String::from_utf8(body.trim_ascii_end().to_vec()).unwrap()
}

/// Takes and acks what comes for a node until it is told to stop.
async fn read(server: std::net::SocketAddr, user: &'static str, book: Arc<Book>) {
    let mut client = Client::connect(server, Framing::WebSocket).await;
    client.log_in(user, "n0").await;
    while !book.stop.load(Ordering::Relaxed) {
        let next = timeout(std::time::Duration::from_millis(50), client.delivery()).await;
        let Ok(delivery) = next else { continue };
        // Noted first: what is acked may be missing, nothing else.
        let text = text_of(&delivery.data());
        book.read.lock().unwrap().entry(user).or_default().insert(text);
        client.ack(delivery.id.as_deref().unwrap()).await;
    }
    client.close().await;
}

/// Changes the directory all the time.
async fn edit(server: std::net::SocketAddr, book: Arc<Book>) {
    let mut client = Client::connect(server, Framing::Raw).await;
    client.log_in("member", "n0").await;
    let mut number = 0;
    while !book.stop.load(Ordering::Relaxed) {
        number += 1;
        let aliases = format!("m{number}");
        let header =
            json!({"op": "register", "userId": "member", "newNode": "", "aliases": aliases});
        client.send(&header, b"").await;
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// A server with posters and a reader at work.
async fn under_load() -> (Store, Server, Arc<Book>, Vec<tokio::task::JoinHandle<()>>) {
    let store = Store::with("[journal]\nsegments = 4\nsegment_mib = 4\n");
    let server = Server::start(&store);
    for user in ["poster", "reader", "idler", "member"] {
        Client::register(&server, user, "").await;
    }
    for node in ["p1", "p2", "p3"] {
        Client::add_node(&server, "poster", node).await;
    }
    Client::add_node(&server, "idler", "n1").await;
    let book = Arc::new(Book::default());
    let mut tasks = Vec::new();
    for name in ["p1", "p2", "p3"] {
        tasks.push(tokio::spawn(post(server.address, name, book.clone())));
    }
    tasks.push(tokio::spawn(read(server.address, "reader", book.clone())));
    tasks.push(tokio::spawn(edit(server.address, book.clone())));
    let count = || book.count.load(Ordering::Relaxed);
    common::eventually("posts", || count() > 200).await;
    (store, server, book, tasks)
}

/// All that a node of a restored store gets, acked; none of it twice.
async fn drain(server: &Server, user: &str, node: &str) -> HashSet<String> {
    let login = json!({"v": 2, "window": 1000});
    let (mut client, info) = Node::login(server, Framing::WebSocket, user, node, &login).await;
    let queued = info["queued"].as_u64().unwrap() as usize;
    let mut got = HashSet::new();
    for _ in 0..queued {
        for (id, body) in client.take(1).await {
            assert!(got.insert(text_of(&body)), "twice");
            client.ack(&[&id]).await;
        }
    }
    client.is_left_alone().await;
    client.close().await;
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_all_that_was_acked_before_it_and_is_not_read_by_its_end() {
    let (store, server, book, tasks) = under_load().await;
    for _ in 0..2 {
        let before = book.posted.lock().unwrap().clone();
        let single = book.single.lock().unwrap().clone();
        let at = book.count.load(Ordering::Relaxed);
        let output = tokio::task::block_in_place(|| backup(&store));
        assert!(output.status.success(), "{}", stderr(&output));
        let read = book.read.lock().unwrap().clone();
        assert!(book.count.load(Ordering::Relaxed) > at, "nobody posted meanwhile");
        let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!((&told["users"], &told["nodes"]), (&json!(4), &json!(8)));
        assert_eq!(fs::metadata(file(&store)).unwrap().permissions().mode() & 0o777, 0o600);

        let copy = Store::absent();
        let output = restore(&store, &copy);
        assert!(output.status.success(), "{}", stderr(&output));
        is_well(&copy);
        // Nodes that wait for one message have one file of it.
        let [first, second] = ["idler,0", "idler,1"].map(|node| copy.files(node));
        assert!(!first.is_empty() && first.len() == second.len());
        let inode = |path: &PathBuf| fs::metadata(path).unwrap().ino();
        assert!(first.iter().zip(&second).all(|(a, b)| inode(a) == inode(b)));

        let server = Server::start(&copy);
        let none = HashSet::new();
        let mut got_single = HashSet::new();
        for (user, node) in [("idler", "n0"), ("idler", "n1"), ("reader", "n0")] {
            let got = drain(&server, user, node).await;
            let done = read.get(user).unwrap_or(&none);
            let lost: Vec<_> =
                before.difference(&got).filter(|text| !done.contains(*text)).collect();
            assert!(lost.is_empty(), "{user},{node}: {} of {} are lost", lost.len(), before.len());
            got_single.extend(got.into_iter().filter(|text| text.ends_with("for one")));
        }
        let lost = single.difference(&got_single).count();
        assert!(lost == 0, "for one node: {lost} of {} are lost", single.len());
        is_well_after(server, &copy);
        fs::remove_file(file(&store)).unwrap();
    }
    book.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        timeout(PATIENCE, task).await.unwrap().unwrap();
    }
    drop(server);
}

fn is_well_after(server: Server, store: &Store) {
    server.stop();
    is_well(store);
}

/// The next message that is an ack.
async fn ack(node: &mut Node) -> Value {
    loop {
        let next = node.next().await;
        if next["op"] == "ack" {
            return next;
        }
    }
}

#[tokio::test]
async fn a_restored_store_goes_on_with_users_lists_ids_and_repeated_posts() {
    let store = Store::with(&format!("{SMALL}[limits]\nredelivery_s = 7\n"));
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "al-bob").await;
    let (mut alice, _) = Node::login(&server, Framing::Raw, "alice", "n0", &json!({"v": 2})).await;
    let post = |id: &str| json!({"op": "post", "id": id, "to": {"bob": 1}, "noNodes": true});
    alice.send_with(&post("p1"), b"one").await;
    let first = ack(&mut alice).await;
    alice.send(&json!({"op": "listEdit", "id": "l", "type": "invite", "to": "team", "member": "al-bob"})).await;
    ack(&mut alice).await;
    let output = backup(&store);
    assert!(output.status.success(), "{}", stderr(&output));
    alice.close().await;
    server.stop();

    let copy = Store::absent();
    let output = restore(&store, &copy);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("2 users, 2 nodes, 1 list, 3 waiting messages"), "{output:?}");
    assert!(fs::read_to_string(copy.path().join("mqserver.toml")).unwrap().contains("= 7"));
    assert_eq!(fs::metadata(copy.path()).unwrap().permissions().mode() & 0o777, 0o700);
    let server = Server::start(&copy);
    let (mut alice, _) = Node::login(&server, Framing::Raw, "alice", "n0", &json!({"v": 2})).await;
    alice.send_with(&post("p1"), b"one").await;
    let again = ack(&mut alice).await;
    assert_eq!((&again["msgid"], &again["dup"]), (&first["msgid"], &json!(true)), "{again}");
    alice.send_with(&post("p2"), b"two").await;
    let second = ack(&mut alice).await;
    let id = |ack: &Value| ack["msgid"].as_str().unwrap().to_owned();
    assert!(id(&second) > id(&first));
    // The last digits tell one store's ids from another's.
    assert_ne!(id(&second)[24..], id(&first)[24..]);
    let (mut bob, info) = Node::login(&server, Framing::Raw, "bob", "n0", &json!({"v": 2})).await;
    assert_eq!(info["queued"], 3);
    let got = bob.take(3).await;
    assert_eq!((&got[0].1[..], &got[2].1[..]), (&b"one"[..], &b"two"[..]));
}

#[tokio::test]
async fn a_backup_goes_to_the_standard_output_and_comes_from_the_standard_input() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    let tar = run(&["backup", "-", "--store", &store.text()]);
    assert!(tar.status.success(), "{}", stderr(&tar));
    server.stop();
    let copy = Store::absent();
    let mut command = program();
    command.args(["restore", "-", "--store", &copy.text()]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &tar.stdout).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let server = Server::start(&copy);
    Client::login(&server, Framing::Raw, "alice", "n0").await;
    // Any tar reads it.
    fs::write(file(&store), &tar.stdout).unwrap();
    let listed = Command::new("tar").arg("-tf").arg(file(&store)).output().unwrap();
    assert_eq!(stdout(&listed), "directory.redb\nmqserver.toml\nmanifest.json\n");
}

#[tokio::test]
async fn a_file_that_is_damaged_or_cut_short_is_refused_and_leaves_nothing() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    for _ in 0..3 {
        alice.post(&json!({"alice": 1}), &[b'x'; 3000]).await;
    }
    assert!(backup(&store).status.success());
    let whole = fs::read(file(&store)).unwrap();
    let copy = Store::absent();
    let around = || fs::read_dir(copy.outside()).unwrap().count();
    let message = whole.windows(8).rposition(|window| window == b"xxxxxxxx").unwrap();
    for (what, damage) in [
        (
            "cut in the middle",
            &(|tar: &mut Vec<u8>| tar.truncate(tar.len() / 2)) as &dyn Fn(&mut Vec<u8>),
        ),
        ("without its end", &|tar| tar.truncate(tar.len() - 2048)),
        ("a bit of a message", &|tar| tar[message] ^= 1),
        ("a bit of the directory", &|tar| tar[5000] ^= 1),
        ("a name", &|tar| tar[0] = b'/'),
        ("nothing", &Vec::clear),
    ] {
        let mut tar = whole.clone();
        damage(&mut tar);
        fs::write(file(&store), tar).unwrap();
        let output = restore(&store, &copy);
        assert_eq!(output.status.code(), Some(1), "{what}");
        assert!(stderr(&output).contains("no whole backup"), "{what}: {}", stderr(&output));
        assert_eq!(around(), 0, "{what}");
    }
    fs::write(file(&store), &whole).unwrap();
    // What is there stays as it is.
    let output = restore(&store, &store);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is not empty"), "{}", stderr(&output));
    // An empty directory is fine, and so is what a restore left that was killed.
    fs::create_dir(copy.path()).unwrap();
    let left = copy.outside().join("store.restoring");
    fs::create_dir_all(left.join("spool/alice,0")).unwrap();
    fs::write(left.join("directory.redb"), "half").unwrap();
    assert!(restore(&store, &copy).status.success());
    assert_eq!(around(), 1);
    is_well(&copy);
}

#[tokio::test]
async fn a_damaged_message_is_told_and_all_others_are_in_the_backup() {
    let store = Store::with(&format!("{SMALL}[spool]\nlinger_ms = 0\n"));
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    Client::register(&server, "bob", "").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    for text in ["one", "two", "three"] {
        alice.post(&json!({"bob": 1}), text.as_bytes()).await;
    }
    store.filed("bob,0", 3).await;
    let damaged = &store.files("bob,0")[1];
    let whole = || fs::read(damaged).unwrap();
    common::eventually("a file", || whole().ends_with(b"two")).await;
    fs::write(damaged, [&whole()[..], b"x"].concat()).unwrap();
    let output = backup(&store);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("1 damaged file or post"), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((&told["messages"], &told["damaged"]), (&json!(2), &json!(1)));
    // The look left it where it is.
    assert!(damaged.exists() && server.log().contains("is not in the backup"));
    let copy = Store::absent();
    assert!(restore(&store, &copy).status.success());
    let server = Server::start(&copy);
    assert_eq!(drain(&server, "bob", "n0").await, ["one", "three"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_backup_that_has_no_room_leaves_no_file_and_the_server_goes_on() {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "alice", "").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    alice.post(&json!({"alice": 1}), &[b'x'; 300_000]).await;
    fs::write(file(&store), "an older one").unwrap();
    let output = backup(&store);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("--force"), "{}", stderr(&output));
    // In blocks of 512 bytes or 1 KiB; a write beyond is an error, as on a full disk.
    let script = "ulimit -f 100; trap '' XFSZ; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_mqserver"), "backup", "--force"]);
    let output = command.arg(file(&store)).args(["--store", &store.text()]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("no backup: "), "{}", stderr(&output));
    assert_eq!(fs::read_to_string(file(&store)).unwrap(), "an older one");
    assert!(!store.outside().join("backup.tar.part").exists());
    // The next one is taken, and what was to be kept is kept.
    fs::remove_file(file(&store)).unwrap();
    common::eventually("the end of the first", || backup(&store).status.success()).await;
    alice.post(&json!({"alice": 1}), b"x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_midst_neither_side_leaves_a_backup_that_is_none() {
    let (store, server, book, tasks) = under_load().await;
    let start = || {
        let mut command = program();
        command.arg("backup").arg(file(&store)).args(["--store", &store.text()]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let part = store.outside().join("backup.tar.part");
    let begun = || fs::metadata(&part).is_ok_and(|metadata| metadata.len() > 0);
    // The command is killed: the server goes on, and takes another.
    let mut child = start();
    common::eventually("a part of the file", begun).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let was_whole = file(&store).exists();
    let mut taken = was_whole;
    while !taken {
        taken = backup(&store).status.success();
    }
    fs::remove_file(file(&store)).unwrap();
    // The server is killed: the command says so, and leaves nothing.
    let child = start();
    common::eventually("a part of the file", begun).await;
    for task in &tasks {
        task.abort();
    }
    book.stop.store(true, Ordering::Relaxed);
    server.kill();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        // It was done already.
        assert!(file(&store).exists());
    } else {
        assert!(stderr(&output).contains("no backup: "), "{}", stderr(&output));
        assert!(!file(&store).exists() && !part.exists());
    }
    Server::start(&store).stop();
    is_well(&store);
}
