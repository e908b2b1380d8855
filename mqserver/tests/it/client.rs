//! The Rust client and the server, both killed again and again: every post that was accepted is stored
//! once, and shown, in its order; and nothing that was acked is shown again.
//!
//! `POSTS=10000 KILL_EVERY=2000 cargo test --release -p mqserver client::` makes it longer: so many
//! posts, and the server is killed every so many milliseconds.

use crate::common;

use common::{PATIENCE, Server, Store, eventually, program, run};
use mqclient::{Client, Config, Credentials, Error, Tls, To};
use std::collections::{BTreeMap, BTreeSet};
use std::env::{current_exe, var};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long a client lives, in ms, before it is killed: in turn.
const LIVES: [u64; 5] = [900, 300, 1500, 600, 2000];

fn number(name: &str, otherwise: u64) -> u64 {
    var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// Of a user whose files are in `dir`.
fn config(url: &str, user: &str, dir: &Path) -> Config {
    let config = Config::new(url, user, format!("{user}-laptop"));
    let mut config = config.outbox(dir.join(user)).memory(dir.join(format!("{user}.acked")));
    config.begin_offline = true;
    config
}

fn own_config(user: &str) -> Config {
    config(&var("URL").unwrap(), user, Path::new(&var("DIR").unwrap()))
}

/// What a client in a process of its own says, a line each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Trying(u64),
    Accepted(u64),
    Shown(u64),
    Acked(u64),
    Done,
}

impl Word {
    fn parse(line: &str) -> Self {
        let (word, number) = line.split_once(' ').unwrap_or((line, "0"));
        let number = || number.parse().unwrap();
        match word {
            "trying" => Self::Trying(number()),
            "accepted" => Self::Accepted(number()),
            "shown" => Self::Shown(number()),
            "acked" => Self::Acked(number()),
            "done" => Self::Done,
            _ => panic!("a client says: {line}"),
        }
    }
}

/// In one write, so that a kill cuts no line in two.
fn say(word: &str) {
    std::io::stderr().write_all(format!("{word}\n").as_bytes()).unwrap();
}

#[tokio::test]
#[ignore = "a process of the test below"]
async fn poster() {
    let (from, posts) = (number("FROM", 0), number("POSTS", 0));
    let mut client = Client::connect(own_config("alice")).await.unwrap();
    let restored = client.restored();
    assert!(restored.damaged.is_empty(), "{restored:?}");
    let mut postings = restored.postings;
    for number in from..posts {
        say(&format!("trying {number}"));
        let (to, text) = (To::user("bob"), mqclient::Message::data(number.to_string()));
        postings.push(client.outbox().start_post(&to, text).await.unwrap());
        say(&format!("accepted {number}"));
    }
    for posting in postings {
        let receipt = posting.await.unwrap();
        assert!(receipt.failed.is_empty(), "{receipt:?}");
    }
    client.close().await;
    say("done");
}

#[tokio::test]
#[ignore = "a process of the test below"]
async fn reader() {
    let mut client = Client::connect(own_config("bob")).await.unwrap();
    loop {
        let delivery = client.next().await.unwrap();
        let text = String::from_utf8(delivery.data.to_vec()).unwrap();
        say(&format!("shown {text}"));
        delivery.ack().await.unwrap();
        say(&format!("acked {text}"));
    }
}

/// A client in a process of its own.
struct Life(Child);

impl Life {
    fn begin(role: &str, settings: &[(&str, String)]) -> Self {
        let mut command = Command::new(current_exe().unwrap());
        command.args(["--exact", &format!("client::{role}"), "--ignored", "--nocapture"]);
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Kills it after a while, and hands on what it said.
    fn end(mut self, after: u64, words: &mpsc::Sender<Word>) -> Vec<Word> {
        let lines = BufReader::new(self.0.stderr.take().unwrap()).lines();
        let words = words.clone();
        let listening = thread::spawn(move || {
            let said = lines.map_while(Result::ok).map(|line| Word::parse(&line));
            said.inspect(|&word| _ = words.send(word)).collect::<Vec<_>>()
        });
        let until = Instant::now() + Duration::from_millis(after);
        while Instant::now() < until && !listening.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        // It may have ended by itself.
        let _ = self.0.kill();
        self.0.wait().unwrap();
        listening.join().unwrap()
    }
}

#[tokio::test]
async fn accepted_posts_arrive_once_and_in_order_whoever_is_killed() {
    let (posts, kill_every) = (number("POSTS", 400), number("KILL_EVERY", 500));
    let store = Store::new();
    let dir = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let start = move |store: &Store| {
        let mut command = program();
        command.args(["--listen", &address.to_string()]);
        Server::start_with(store, command, "off")
    };
    let server = start(&store);
    let url = format!("ws://{address}");
    for user in ["alice", "bob"] {
        Client::register(&url, user, &format!("{user}-laptop"), &[]).await.unwrap();
    }

    let over = Arc::new(AtomicBool::new(false));
    let kills = Arc::new(AtomicU32::new(0));
    let settings = [
        ("URL", url.clone()),
        ("DIR", dir.path().to_str().unwrap().to_owned()),
        ("POSTS", posts.to_string()),
    ];
    let (words, said) = mpsc::channel();
    let killing = {
        let (over, kills) = (over.clone(), kills.clone());
        thread::spawn(move || {
            let mut server = server;
            while !over.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(kill_every));
                server.kill();
                kills.fetch_add(1, Ordering::Relaxed);
                server = start(&store);
            }
            (store, server)
        })
    };
    let posting = {
        let (settings, words, kills) = (settings.clone(), words.clone(), kills.clone());
        thread::spawn(move || {
            let mut from = 0;
            for life in LIVES.iter().cycle() {
                let from_now_on = [&settings[..], &[("FROM", from.to_string())]].concat();
                let said = Life::begin("poster", &from_now_on).end(*life, &words);
                kills.fetch_add(1, Ordering::Relaxed);
                if said.contains(&Word::Done) {
                    return;
                }
                let tried = said.iter().filter_map(|word| match word {
                    Word::Trying(number) => Some(number + 1),
                    _ => None,
                });
                from = tried.max().unwrap_or(from);
            }
        })
    };
    let reading = {
        let (over, kills) = (over.clone(), kills.clone());
        thread::spawn(move || {
            for life in LIVES.iter().rev().cycle() {
                Life::begin("reader", &settings).end(*life, &words);
                kills.fetch_add(1, Ordering::Relaxed);
                if over.load(Ordering::Relaxed) {
                    return;
                }
            }
        })
    };

    let mut ledger = Ledger::default();
    while !ledger.is_complete() {
        let word = said.recv_timeout(PATIENCE);
        ledger.enter(word.unwrap_or_else(|_| panic!("nothing moves: {ledger:?}")));
    }
    over.store(true, Ordering::Relaxed);
    posting.join().unwrap();
    reading.join().unwrap();
    let (_store, server) = killing.join().unwrap();
    said.try_iter().for_each(|word| ledger.enter(word));
    eprintln!("{} posts, {} kills", ledger.accepted, kills.load(Ordering::Relaxed));

    // What was shown and not acked when its reader was killed comes once more; then nothing is left.
    let mut bob = Client::connect(config(&url, "bob", dir.path())).await.unwrap();
    while let Ok(delivery) = tokio::time::timeout(Duration::from_secs(1), bob.next()).await {
        let delivery = delivery.unwrap();
        ledger.enter(Word::parse(&format!("shown {}", String::from_utf8_lossy(&delivery.data))));
        delivery.ack().await.unwrap();
    }
    bob.close().await;
    let mut config = config(&url, "bob", dir.path());
    config.begin_offline = false;
    let bob = Client::connect(config).await.unwrap();
    assert_eq!(bob.login().queued, Some(0));
    bob.close().await;
    let names = std::fs::read_dir(dir.path().join("alice")).unwrap();
    let left: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
    server.stop();
}

#[tokio::test]
async fn a_wrong_secret_and_a_certificate_nobody_trusts_are_told_and_lose_no_post() {
    let store = Store::new();
    assert!(run(&["cert", "--store", &store.text(), "--name", "localhost"]).status.success());
    let server = Server::start_with_tls(&store);
    let (url, dir) = (format!("ws://{}", server.address), tempfile::tempdir().unwrap());
    Client::register(&url, "alice", "alice-laptop", &[]).await.unwrap();
    let wrong = Client::connect((&url, Credentials::new("alice", "guessed"))).await.unwrap_err();
    assert!(matches!(wrong, Error::NodeUnknown), "{wrong}");

    let url = format!("wss://localhost:{}", server.tls.unwrap().port());
    let credentials = Credentials::new("alice", "alice-laptop");
    let strange = Client::connect((&url, credentials)).await.unwrap_err();
    assert!(matches!(strange, Error::Untrusted { .. }), "{strange}");
    // Begun offline it goes on trying, and says why there is no link.
    let mut own = config(&url, "alice", dir.path());
    let client = Client::connect(own.clone()).await.unwrap();
    drop(client.outbox().start_post(&To::user("alice"), "kept").await.unwrap());
    eventually("a reason", || matches!(client.trouble(), Some(Error::Untrusted { .. }))).await;
    client.close().await;

    let roots = std::fs::read(store.path().join("tls/certificate.pem")).unwrap();
    own.server.tls = Some(Tls::with_roots(&roots).unwrap());
    let mut client = Client::connect(own).await.unwrap();
    let posting = client.restored().postings.remove(0);
    assert!(posting.await.unwrap().failed.is_empty());
    assert_eq!(&client.next().await.unwrap().data[..], b"kept");
    client.close().await;
    server.stop();
}

/// What the clients said, and whether it may be.
#[derive(Debug, Default)]
struct Ledger {
    accepted: u64,
    done: bool,
    /// Those that were accepted and are not shown yet.
    missing: BTreeSet<u64>,
    /// Those that were shown, and whether they were acked since.
    shown: BTreeMap<u64, bool>,
}

impl Ledger {
    fn enter(&mut self, word: Word) {
        match word {
            Word::Trying(_) => {}
            Word::Accepted(number) => {
                self.accepted += 1;
                if !self.shown.contains_key(&number) {
                    self.missing.insert(number);
                }
            }
            Word::Shown(number) => {
                let last = self.shown.last_key_value().map(|(&last, _)| last);
                match self.shown.get(&number) {
                    Some(acked) => assert!(!acked, "{number} was acked, and is shown again"),
                    None => assert!(last < Some(number), "{number} after {last:?}"),
                }
                self.shown.insert(number, false);
                self.missing.remove(&number);
            }
            Word::Acked(number) => _ = self.shown.insert(number, true),
            Word::Done => self.done = true,
        }
    }

    fn is_complete(&self) -> bool {
        self.done && self.missing.is_empty()
    }
}
