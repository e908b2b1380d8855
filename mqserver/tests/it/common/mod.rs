//! A server in a process of its own, on a store that goes away with the test, and a small client.

pub(crate) mod http;
pub(crate) mod node;
pub(crate) mod words;

use bytes::Bytes;
use mqlib::reply::Reply;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;
pub(crate) use wsstream::Framing;
use wsstream::{Limits, Link, Stream};

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration of a store that takes little room.
pub(crate) const SMALL: &str = "[journal]\nsegments = 3\nsegment_mib = 2\n";

/// A store below a directory of its own.
pub(crate) struct Store {
    dir: tempfile::TempDir,
}

impl Store {
    /// A store that has nothing but a configuration for little room.
    pub(crate) fn new() -> Self {
        Self::with(SMALL)
    }

    pub(crate) fn with(config: &str) -> Self {
        let store = Self::absent();
        std::fs::create_dir(store.path()).unwrap();
        std::fs::write(store.path().join("mqserver.toml"), config).unwrap();
        store
    }

    /// A store that the server is to make.
    pub(crate) fn absent() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    pub(crate) fn text(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    /// What is around the store, which the server has no business with.
    pub(crate) fn outside(&self) -> &Path {
        self.dir.path()
    }

    /// The directory of a node's queue, `user,offset`.
    pub(crate) fn queue(&self, node: &str) -> PathBuf {
        self.path().join("spool").join(node)
    }

    /// The files that wait in it, the oldest first.
    pub(crate) fn files(&self, node: &str) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.queue(node)) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// Waits until that many messages have their files in a node's queue.
    pub(crate) async fn filed(&self, node: &str, count: usize) {
        // A file has its name a moment before its content.
        let written = |path: &PathBuf| std::fs::metadata(path).map_or(true, |file| file.len() > 0);
        let filed = |files: Vec<PathBuf>| files.len() == count && files.iter().all(written);
        eventually("files in the spool", || filed(self.files(node))).await;
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }
}

/// The program, with what every test gives it.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mqserver"));
    command.stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

/// `mqserver` with these arguments, to its end. One that does not end is killed and fails the test.
pub(crate) fn run(args: &[&str]) -> Output {
    let mut command = program();
    command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match ended.recv_timeout(PATIENCE) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            kill_process(pid, Signal::KILL).unwrap();
            panic!("mqserver {args:?} has not ended in {PATIENCE:?}");
        }
    }
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A server that serves; killed when dropped.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}

impl Server {
    pub(crate) fn start(store: &Store) -> Self {
        Self::start_with(store, program(), "off")
    }

    /// A server that listens with TLS, too.
    pub(crate) fn start_with_tls(store: &Store) -> Self {
        let mut command = program();
        command.args(["--listen-tls", "127.0.0.1:0"]);
        Self::start_with(store, command, "off")
    }

    pub(crate) fn start_with_admin(store: &Store) -> Self {
        Self::start_with(store, program(), "127.0.0.1:0")
    }

    /// Starts `command`, which runs `mqserver` with the arguments added to it.
    pub(crate) fn start_with(store: &Store, mut command: Command, admin: &str) -> Self {
        let log = File::options().create(true).append(true).open(store.log()).unwrap();
        command.arg("--store").arg(store.path()).args(["--listen", "127.0.0.1:0"]);
        command.args(["--admin", admin]).stdout(Stdio::piped()).stderr(log);
        let with_tls = command.get_args().any(|argument| argument == "--listen-tls");
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let address = SocketAddr::from(([0; 4], 0));
        let mut server = Self { child, log: store.log(), address, tls: None, admin: None };
        // It says so when it is ready, and nothing after.
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let next = |start: &str| {
            let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| {
                panic!("mqserver did not start: {}", server.log());
            });
            let address = line.strip_prefix(start).unwrap_or_else(|| panic!("{line}"));
            address.parse().unwrap()
        };
        let address = next("listening on ");
        let tls = with_tls.then(|| next("listening with TLS on "));
        let page = (admin != "off").then(|| next("admin on "));
        (server.address, server.tls, server.admin) = (address, tls, page);
        server
    }

    /// What it has written to its standard error.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended(PATIENCE).expect("it has stopped");
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// Waits for its end; `None` if it still runs then.
    pub(crate) fn ended(&mut self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if start.elapsed() > patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// Waits until `is` is so.
pub(crate) async fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A message: a header behind its length, and a body.
pub(crate) fn message(header: &str, body: &[u8]) -> Vec<u8> {
    let mut message = format!("{:<4x}{header}", header.len()).into_bytes();
    message.extend_from_slice(body);
    message
}

/// One connection of a client.
pub(crate) struct Client {
    link: Link<Stream>,
    deliveries: VecDeque<Reply>,
    posts: u64,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, framing: Framing) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream.into(), framing).await
    }

    /// A client over a connection that is there.
    pub(crate) async fn over(stream: Stream, framing: Framing) -> Self {
        let limits = Limits { max_message: 32 << 20, ..Limits::default() };
        let link = match framing {
            Framing::Raw => Link::connect_raw(stream, &limits).await,
            Framing::WebSocket => Link::connect_ws(stream, "ws://localhost/mq", &limits).await,
        };
        Self { link: link.unwrap(), deliveries: VecDeque::new(), posts: 0 }
    }

    /// Creates a user whose node 0 is named `n0`.
    pub(crate) async fn register(server: &Server, user: &str, aliases: &str) {
        let mut client = Self::connect(server.address, Framing::Raw).await;
        let header = json!({"op": "register", "userId": user, "newNode": "n0", "aliases": aliases});
        client.send(&header, b"").await;
        let reply = client.reply().await;
        assert_eq!((reply.op.as_str(), reply.error), ("registered", None), "{user}");
    }

    /// Gives a user a node more; its offset.
    pub(crate) async fn add_node(server: &Server, user: &str, node: &str) -> u8 {
        let mut client = Self::connect(server.address, Framing::Raw).await;
        let header = json!({"op": "addNode", "userId": user, "newNode": node, "prevNode": "n0"});
        client.send(&header, b"").await;
        client.reply().await.offset.unwrap()
    }

    /// A connection that is logged in.
    pub(crate) async fn login(server: &Server, framing: Framing, user: &str, node: &str) -> Self {
        let start = Instant::now();
        loop {
            let mut client = Self::connect(server.address, framing).await;
            client.send(&json!({"op": "login", "userId": user, "nodeId": node}), b"").await;
            let info = client.reply().await.info;
            // The server learns of the end of an earlier connection when it does.
            if info.as_deref() == Some("node already active") && start.elapsed() < PATIENCE {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            assert_eq!(info.as_deref(), Some("ok login"), "{user}");
            return client;
        }
    }

    /// Logs in over this connection.
    pub(crate) async fn log_in(&mut self, user: &str, node: &str) {
        self.send(&json!({"op": "login", "userId": user, "nodeId": node}), b"").await;
        assert_eq!(self.reply().await.info.as_deref(), Some("ok login"), "{user}");
    }

    pub(crate) async fn send(&mut self, header: &Value, body: &[u8]) {
        self.send_bytes(message(&header.to_string(), body)).await;
    }

    pub(crate) async fn send_bytes(&mut self, message: Vec<u8>) {
        timeout(PATIENCE, self.link.send(message.into())).await.expect("it is sent").unwrap();
    }

    /// The next message; `None` when the server is done.
    pub(crate) async fn next(&mut self) -> Option<Reply> {
        let message = timeout(PATIENCE, self.link.message()).await.expect("a message comes");
        message.map(|message| Reply::parse(&message.unwrap()).unwrap())
    }

    /// The next message; `None` also when the connection broke.
    pub(crate) async fn next_or_end(&mut self) -> Option<Reply> {
        let message = timeout(PATIENCE, self.link.message()).await.expect("a message comes");
        message.and_then(Result::ok).map(|message| Reply::parse(&message).unwrap())
    }

    /// Sends unless the connection has ended.
    pub(crate) async fn try_send_bytes(&mut self, message: Vec<u8>) -> bool {
        timeout(PATIENCE, self.link.send(message.into())).await.expect("it is sent").is_ok()
    }

    /// The next message that is no delivery.
    pub(crate) async fn reply(&mut self) -> Reply {
        loop {
            let reply = self.next().await.expect("the server goes on");
            if reply.from.is_none() {
                return reply;
            }
            self.deliveries.push_back(reply);
        }
    }

    /// The next delivery.
    pub(crate) async fn delivery(&mut self) -> Reply {
        if let Some(delivery) = self.deliveries.pop_front() {
            return delivery;
        }
        let reply = self.next().await.expect("the server goes on");
        assert!(reply.from.is_some(), "{reply:?}");
        reply
    }

    /// The next delivery, acked.
    pub(crate) async fn take(&mut self) -> Reply {
        let delivery = self.delivery().await;
        self.ack(delivery.id.as_deref().unwrap()).await;
        delivery
    }

    /// The data of the next delivery, acked.
    pub(crate) async fn take_data(&mut self) -> Bytes {
        self.take().await.data()
    }

    pub(crate) async fn ack(&mut self, id: &str) {
        self.send(&json!({"op": "ack", "id": id, "type": "ok"}), b"").await;
    }

    /// Posts to users and lists, and waits for the server's ack, which says ok.
    pub(crate) async fn post(&mut self, to: &Value, data: &[u8]) {
        self.posts += 1;
        let id = self.posts.to_string();
        self.send(&json!({"op": "post", "id": id, "to": to}), data).await;
        let ack = self.reply().await;
        assert_eq!((ack.op.as_str(), ack.kind.as_deref()), ("ack", Some("ok")), "{ack:?}");
        assert_eq!((ack.id, ack.error), (Some(id), None));
    }

    /// Returns when the server has handled all that was sent before: a post to nobody is refused
    /// behind it.
    pub(crate) async fn barrier(&mut self) {
        self.send(&json!({"op": "post", "id": "barrier", "to": {}, "noNodes": true}), b"").await;
        let ack = self.reply().await;
        assert_eq!(ack.id.as_deref(), Some("barrier"), "{ack:?}");
        assert_eq!(ack.error.as_deref(), Some("msg lacks recipients"));
    }

    /// Hangs up in good order, and waits for the server to do so.
    pub(crate) async fn close(self) {
        self.link.close(None, PATIENCE).await;
    }

    /// The text of the quit that comes, and then nothing.
    pub(crate) async fn quit(&mut self) -> String {
        let quit = self.reply().await;
        assert_eq!(quit.op, "quit", "{quit:?}");
        assert_eq!(self.next().await, None);
        quit.info.unwrap()
    }
}
