//! What a client keeps on disk, over restarts and on a full one: real sockets, real files.

use crate::fake;

use fake::{Fake, Peer};
use mqclient::{Client, Config, Error, Message, Outbox, Posting, To};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

struct World {
    fake: Fake,
    dir: TempDir,
}

impl World {
    async fn new() -> Self {
        Self { fake: Fake::bind().await, dir: tempfile::tempdir().unwrap() }
    }

    fn outbox(&self) -> PathBuf {
        self.dir.path().join("outbox")
    }

    fn memory(&self) -> PathBuf {
        self.dir.path().join("acked")
    }

    fn config(&self) -> Config {
        let config = Config::new(self.fake.url("ws"), "alice", "laptop");
        config.outbox(self.outbox()).memory(self.memory())
    }

    async fn log_in(&self) -> (Client, Peer) {
        let (client, peer) = tokio::join!(Client::connect(self.config()), self.fake.log_in());
        (client.unwrap(), peer)
    }

    /// The posts in the outbox, by their files' names.
    fn posts(&self) -> Vec<String> {
        let entries = fs::read_dir(self.outbox()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    }
}

async fn post(outbox: &Outbox, text: &'static str) -> Posting {
    outbox.start_post(&To::user("bob"), text).await.unwrap()
}

async fn deliver(peer: &mut Peer, id: &str) {
    peer.say(&json!({"op": "deliver", "id": id, "from": "bob"}).to_string(), "").await;
}

/// What the next post is called, and its text.
async fn hear(peer: &mut Peer) -> (String, String) {
    let (header, body) = peer.hear().await;
    let id = header["id"].as_str().unwrap().to_owned();
    (id, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn posts_of_a_client_that_was_offline_are_sent_by_the_next_one_under_the_same_ids() {
    let world = World::new().await;
    let (client, peer) = world.log_in().await;
    drop(peer);
    let (outbox, mut ids) = (client.outbox(), Vec::new());
    for text in ["a", "b"] {
        // Nobody waits for them.
        drop(post(&outbox, text).await);
    }
    for (name, text) in world.posts().iter().zip(["a", "b"]) {
        let file = fs::read_to_string(world.outbox().join(name)).unwrap();
        assert!(file.starts_with("mqpost 1 ") && file.ends_with(text), "{file}");
        ids.push(name.trim_start_matches('0').to_owned());
    }
    drop(client);
    let (mut client, mut peer) = world.log_in().await;
    let new = post(&client.outbox(), "c").await;
    let mut restored = client.restored();
    assert!(restored.damaged.is_empty());
    for text in ["a", "b"] {
        let (header, body) = peer.hear().await;
        assert_eq!((header["id"].as_str().unwrap(), &body[..]), (&*ids.remove(0), text.as_bytes()));
        peer.ack(&header).await;
        restored.postings.remove(0).await.unwrap();
    }
    assert!(restored.postings.is_empty());
    let (header, body) = peer.hear().await;
    assert_eq!(body, "c");
    peer.ack(&header).await;
    new.await.unwrap();
    client.close().await;
    assert!(world.posts().is_empty());
}

#[tokio::test]
async fn no_client_gives_an_id_that_another_gave() {
    let world = World::new().await;
    let mut last = 0;
    for round in 0..6 {
        let (client, mut peer) = world.log_in().await;
        let posting = post(&client.outbox(), "a").await;
        let (header, _) = peer.hear().await;
        let id: u64 = header["id"].as_str().unwrap().parse().unwrap();
        assert!(id > last, "{round}: {id} after {last}");
        last = id;
        peer.ack(&header).await;
        posting.await.unwrap();
        drop(client);
    }
}

#[tokio::test]
async fn a_damaged_post_is_put_aside_and_told_and_the_others_are_sent() {
    let world = World::new().await;
    let (client, peer) = world.log_in().await;
    drop(peer);
    for text in ["a", "b", "c"] {
        drop(post(&client.outbox(), text).await);
    }
    client.close().await;
    let names = world.posts();
    let path = world.outbox().join(&names[1]);
    let mut file = fs::read(&path).unwrap();
    *file.last_mut().unwrap() ^= 1;
    fs::write(&path, &file).unwrap();
    // What a crash left of one that was not accepted.
    fs::write(world.outbox().join("4503599628369921.unfinished"), "mqpost 1 ").unwrap();

    let (mut client, mut peer) = world.log_in().await;
    let restored = client.restored();
    assert_eq!(restored.postings.len(), 2);
    let [Error::Disk { path, .. }] = &restored.damaged[..] else { panic!("{restored:?}") };
    assert_eq!(fs::read(path).unwrap(), file);
    assert_eq!((hear(&mut peer).await.1, hear(&mut peer).await.1), ("a".into(), "c".into()));
    assert_eq!(
        world.posts(),
        [names[0].clone(), format!("{}.damaged", names[1]), names[2].clone()]
    );
}

#[tokio::test]
async fn a_directory_and_a_memory_are_one_clients_and_one_users() {
    let world = World::new().await;
    let (client, _peer) = world.log_in().await;
    for config in [
        Config::new(world.fake.url("ws"), "alice", "laptop").outbox(world.outbox()),
        Config::new(world.fake.url("ws"), "alice", "laptop").memory(world.memory()),
    ] {
        let second = Client::connect(config).await.unwrap_err();
        assert!(second.to_string().contains("another client uses it"), "{second}");
    }
    client.close().await;
    for config in [
        Config::new(world.fake.url("ws"), "bob", "phone").outbox(world.outbox()),
        // Her other node has not acked what this one has.
        Config::new(world.fake.url("ws"), "alice", "phone").memory(world.memory()),
    ] {
        let other = Client::connect(config).await.unwrap_err();
        assert!(other.to_string().contains("it is alice"), "{other}");
    }
}

#[tokio::test]
async fn what_was_acked_before_a_restart_is_acked_again_and_not_shown() {
    let world = World::new().await;
    let (mut client, mut peer) = world.log_in().await;
    for id in ["m1", "m2", "m3"] {
        deliver(&mut peer, id).await;
    }
    client.next().await.unwrap().ack().await.unwrap();
    drop(client.next().await.unwrap());
    // Remembered though there is no link to tell the server by.
    let third = client.next().await.unwrap();
    assert_eq!(peer.hear().await.0["ids"], json!(["m1"]));
    drop(peer);
    third.ack().await.unwrap();
    drop(client);
    assert_eq!(fs::read_to_string(world.memory()).unwrap(), "\"m1\"\n\"m3\"\n");
    // A crash tore the last line.
    let torn = [fs::read(world.memory()).unwrap(), b"\"m4".to_vec()].concat();
    fs::write(world.memory(), torn).unwrap();

    let (mut client, mut peer) = world.log_in().await;
    for id in ["m1", "m2", "m3", "m4"] {
        deliver(&mut peer, id).await;
    }
    let shown = [client.next().await.unwrap(), client.next().await.unwrap()];
    assert_eq!(shown.each_ref().map(|delivery| &*delivery.id), ["m2", "m4"]);
    let mut acked = Vec::new();
    while acked.len() < 2 {
        let ids = peer.hear().await.0["ids"].take();
        acked.extend(serde_json::from_value::<Vec<String>>(ids).unwrap());
    }
    assert_eq!(acked, ["m1", "m3"]);
    for delivery in shown {
        delivery.ack().await.unwrap();
    }
    let remembered = fs::read_to_string(world.memory()).unwrap();
    assert_eq!(remembered, "\"m1\"\n\"m3\"\n\"m2\"\n\"m4\"\n");
}

#[tokio::test]
async fn the_memory_does_not_grow_without_end() {
    let world = World::new().await;
    let (mut client, mut peer) = world.log_in().await;
    // Four windows of 100 are remembered.
    for window in 0..10 {
        for number in 0..100 {
            deliver(&mut peer, &(100 * window + number).to_string()).await;
        }
        let mut ackings = Vec::new();
        for _ in 0..100 {
            ackings.push(client.next().await.unwrap().ack());
        }
        for acking in ackings {
            acking.await.unwrap();
        }
    }
    client.close().await;
    let text = fs::read_to_string(world.memory()).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!((400..=800).contains(&lines.len()), "{}", lines.len());
    assert_eq!((lines[lines.len() - 400], lines[lines.len() - 1]), ("\"600\"", "\"999\""));
}

#[tokio::test]
async fn a_deadline_holds_over_a_restart() {
    let world = World::new().await;
    let (client, peer) = world.log_in().await;
    drop(peer);
    let message = Message::data("late").within(Duration::from_millis(300));
    drop(client.outbox().start_post(&To::user("bob"), message).await.unwrap());
    drop(post(&client.outbox(), "in time").await);
    client.close().await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (mut client, mut peer) = world.log_in().await;
    let mut restored = client.restored().postings.into_iter();
    let late = restored.next().unwrap().await;
    assert!(matches!(late, Err(Error::Deadline { maybe_stored: true })), "{late:?}");
    assert_eq!(hear(&mut peer).await.1, "in time");
}

#[tokio::test]
async fn an_outbox_that_cannot_be_written_refuses_the_post_and_all_else_goes_on() {
    let world = World::new().await;
    let (client, mut peer) = world.log_in().await;
    let outbox = client.outbox();
    let first = post(&outbox, "a").await;
    fs::remove_dir_all(world.outbox()).unwrap();
    let refused = outbox.start_post(&To::user("bob"), "b").await.unwrap_err();
    assert!(matches!(&refused, Error::Disk { path, .. } if path.contains("outbox")), "{refused}");
    fs::create_dir(world.outbox()).unwrap();
    let third = post(&outbox, "c").await;
    for text in ["a", "c"] {
        let (header, body) = peer.hear().await;
        assert_eq!(body, text);
        peer.ack(&header).await;
    }
    first.await.unwrap();
    third.await.unwrap();
    assert_eq!(client.stats().reconnects, 0);
}

/// The largest file that a process may write, in blocks of 512 bytes.
const BLOCKS: &str = "64";

#[test]
fn a_post_that_the_disk_has_no_room_for_is_refused_and_smaller_ones_go() {
    // A limit on files, which the process ignores the signal for, makes a disk full in its own way.
    let limited = format!(r#"trap "" XFSZ; ulimit -f {BLOCKS}; exec "$0" "$@""#);
    let program = std::env::current_exe().unwrap();
    let arguments = ["--exact", "disk::on_a_full_disk", "--ignored", "--nocapture"];
    let shell = Command::new("sh").args(["-c", &limited]).arg(program).args(arguments).output();
    let output = shell.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

#[tokio::test]
#[ignore = "of the test above, in a process of its own"]
async fn on_a_full_disk() {
    let world = World::new().await;
    let (client, mut peer) = world.log_in().await;
    let large = Message::data(vec![b'x'; 64 << 10]);
    let refused = client.post(&To::user("bob"), large).await.unwrap_err();
    let Error::Disk { reason, .. } = &refused else { panic!("{refused}") };
    assert!(reason.contains("File too large"), "{reason}");
    assert!(world.posts().is_empty() && unfinished(&world.outbox()) == 0);
    let small = post(&client.outbox(), "small").await;
    let (header, body) = peer.hear().await;
    assert_eq!(body, "small");
    peer.ack(&header).await;
    small.await.unwrap();
}

fn unfinished(dir: &Path) -> usize {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".unfinished")).count()
}
