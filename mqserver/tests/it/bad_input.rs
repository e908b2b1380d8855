//! Whatever bytes come, on either framing: an error as the protocol says, or a close; and nobody
//! else notices.

use crate::common;

use common::{Client, Framing, PATIENCE, Server, Store, message};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const BOTH: [Framing; 2] = [Framing::Raw, Framing::WebSocket];
const UPGRADE: &str = "GET /mq HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// SplitMix64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

/// The head of a frame as a client sends it; on a WebSocket with a mask of zeros, which changes
/// nothing.
fn head(framing: Framing, first: u8, len: u64) -> Vec<u8> {
    let (mut head, mask) = (vec![first], if framing == Framing::WebSocket { 0x80 } else { 0 });
    match len {
        0..=125 => head.push(mask | len as u8),
        126..=0xffff => {
            head.push(mask | 126);
            head.extend((len as u16).to_be_bytes());
        }
        _ => {
            head.push(mask | 127);
            head.extend(len.to_be_bytes());
        }
    }
    if mask != 0 {
        head.extend([0; 4]);
    }
    head
}

/// A whole binary message in one frame.
fn frame(framing: Framing, message: &[u8]) -> Vec<u8> {
    let first = if framing == Framing::WebSocket { 0x82 } else { 0x85 };
    [head(framing, first, message.len() as u64), message.to_vec()].concat()
}

/// A connection below the level of messages.
struct Socket {
    stream: TcpStream,
    framing: Framing,
}

impl Socket {
    async fn bare(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Past the handshake, if there is one.
    async fn open(address: SocketAddr, framing: Framing) -> Self {
        let mut stream = Self::bare(address).await;
        if framing == Framing::WebSocket {
            stream.write_all(UPGRADE.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap());
            }
            assert!(answer.starts_with(b"HTTP/1.1 101 "));
        }
        Self { stream, framing }
    }

    /// Logged in as the user who sends nothing but nonsense.
    async fn login(address: SocketAddr, framing: Framing, node: &str) -> Self {
        loop {
            let mut socket = Self::open(address, framing).await;
            let header = json!({"op": "login", "userId": "mallory", "nodeId": node});
            socket.send(&frame(framing, &message(&header.to_string(), b""))).await;
            let mut answer = [0; 4];
            timeout(PATIENCE, socket.stream.read_exact(&mut answer)).await.unwrap().unwrap();
            let mut answer = vec![0; usize::from(answer[1]) - 2];
            timeout(PATIENCE, socket.stream.read_exact(&mut answer)).await.unwrap().unwrap();
            let text = String::from_utf8(answer).unwrap();
            if text.contains("ok login") {
                return socket;
            }
            // The connection before this one is not over yet.
            assert!(text.contains("node already active"), "{text}");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// The server may have hung up already.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes)).await.expect("it is taken");
    }

    /// Sends nothing more, and reads to the end: the server closes.
    async fn rest(mut self) -> Vec<u8> {
        let _ = self.stream.shutdown().await;
        self.read().await
    }

    /// Reads to the end, which is the server's to make.
    async fn read(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 4096];
        let read = async {
            while let Ok(count) = self.stream.read(&mut buffer).await
                && count > 0
            {
                all.extend_from_slice(&buffer[..count]);
            }
        };
        timeout(PATIENCE, read).await.expect("the server closes");
        all
    }

    /// What the server says before it closes by itself: the frames' payloads, without the close.
    async fn said(&mut self) -> Vec<String> {
        let close = if self.framing == Framing::WebSocket { 0x88 } else { 0x81 };
        let mut said = Vec::new();
        loop {
            let first = timeout(PATIENCE, self.stream.read_u8()).await.expect("the server closes");
            let first = first.expect("a close frame comes first");
            let len = match self.stream.read_u8().await.unwrap() {
                126 => usize::from(self.stream.read_u16().await.unwrap()),
                len => usize::from(len),
            };
            let mut payload = vec![0; len];
            self.stream.read_exact(&mut payload).await.unwrap();
            if first == close {
                break;
            }
            said.push(String::from_utf8(payload).unwrap());
        }
        let _ = self.stream.shutdown().await;
        assert_eq!(self.read().await, b"", "something behind the close frame");
        said
    }
}

fn quit(text: &str) -> String {
    let header = format!(r#"{{"op":"quit","info":"{text}"}}"#);
    String::from_utf8(message(&header, b"")).unwrap()
}

/// Two clients that are no trouble: alice posts to bob all the time.
struct Healthy {
    enough: Arc<AtomicBool>,
    posting: JoinHandle<usize>,
    taking: JoinHandle<usize>,
}

impl Healthy {
    async fn start(server: &Server) -> Self {
        Client::register(server, "alice", "").await;
        Client::register(server, "bob", "").await;
        let mut alice = Client::login(server, Framing::WebSocket, "alice", "n0").await;
        let mut bob = Client::login(server, Framing::Raw, "bob", "n0").await;
        let enough = Arc::new(AtomicBool::new(false));
        let stop = enough.clone();
        let posting = tokio::spawn(async move {
            let mut posted = 0;
            while !stop.load(Ordering::Relaxed) || posted < 100 {
                alice.post(&json!({"bob": 1}), posted.to_string().as_bytes()).await;
                posted += 1;
            }
            alice.post(&json!({"bob": 1}), b"end").await;
            posted
        });
        let taking = tokio::spawn(async move {
            let mut taken = 0;
            loop {
                let data = bob.take_data().await;
                if data == "end" {
                    return taken;
                }
                assert_eq!(data, taken.to_string().as_bytes(), "in order, each once");
                taken += 1;
            }
        });
        Self { enough, posting, taking }
    }

    /// Everything that was posted has arrived, and the server is the one it was.
    async fn were_not_disturbed(self, server: &mut Server) {
        self.enough.store(true, Ordering::Relaxed);
        let posted = self.posting.await.unwrap();
        assert_eq!(self.taking.await.unwrap(), posted);
        assert!(server.is_alive());
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}

async fn server() -> (Store, Server) {
    let store = Store::new();
    let server = Server::start(&store);
    Client::register(&server, "mallory", "").await;
    (store, server)
}

#[tokio::test]
async fn a_stranger_is_told_the_first_thing_wrong() {
    let (_store, server) = server().await;
    let deep = format!("{{\"op\":{}1{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let open = format!("{{\"op\":{}", "[".repeat(60_000));
    let long = format!(r#"{{"op":"login","userId":"{}","nodeId":"n"}}"#, "x".repeat(65_000));
    let full = format!(r#"{{"op":"login","nodeId":"n","userId":"{}"}}"#, "x".repeat(0xffff - 39));
    assert_eq!(full.len(), 0xffff);
    let keys: String = (0..5_000).map(|key| format!(r#""k{key}":[],"#)).collect();
    let many = format!(r#"{{{keys}"op":"post","id":"1"}}"#);
    let unauthenticated = "illegal op on unauthenticated socket";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"2".into(), "invalid length header"),
        (b"2  ".into(), "invalid length header"),
        (b"xyz {}".into(), "invalid length header"),
        (b"-2  {}".into(), "invalid length header"),
        (b"3   {}".into(), "invalid length header"),
        (b"ffff{}".into(), "invalid length header"),
        (b"\0\0\0\0{}".into(), "invalid length header"),
        (b"0   ".into(), "invalid JSON"),
        (message("{", b""), "invalid JSON"),
        (message("{}}", b""), "invalid JSON"),
        (message(r#"{"op":"login",}"#, b""), "invalid JSON"),
        (message("{\"op\":\"log\nin\"}", b""), "invalid JSON"),
        (message(r#"{"op":"\ud800"}"#, b""), "invalid request op"),
        ([b"c   {\"op\":\"".as_slice(), b"\xff\xff", b"\"}"].concat(), "invalid length header"),
        ([b"b   {\"op\":\"".as_slice(), b"\xff\xff", b"\"}"].concat(), "invalid JSON"),
        ([b"b   {\"op\":\"".as_slice(), b"\xc0\x80", b"\"}"].concat(), "invalid JSON"),
        (message(&open, b""), "invalid JSON"),
        (message(&deep, b""), "invalid JSON"),
        (message("[]", b""), "invalid request op"),
        (message("null", b""), "invalid request op"),
        (message(r#"{"op":"toString"}"#, b""), "invalid request op"),
        (message(r#"{"op":"LOGIN"}"#, b""), "invalid request op"),
        (message(r#"{"op":["login"]}"#, b""), "invalid request op"),
        (message(r#"{"op":"post"}"#, b""), unauthenticated),
        (message(r#"{"op":"ack","id":"x","type":"ok"}"#, b"body"), unauthenticated),
        (message(&many, b""), unauthenticated),
        (message(r#"{"op":"login","userId":"u"}"#, b""), "login request missing param nodeId"),
        (
            message(r#"{"op":"login","userId":{},"nodeId":"n"}"#, b""),
            "login request missing param userId",
        ),
        (
            message(r#"{"op":"register","userId":"u","newNode":"n"}"#, b""),
            "register request missing param aliases",
        ),
        (
            message(r#"{"op":"addNode","userId":"u","newNode":"n"}"#, b""),
            "addNode request missing param prevNode",
        ),
        (
            message(r#"{"op":"login","userId":"u","nodeId":"n"}"#, b"x"),
            "message body disallowed for login",
        ),
        (
            message(r#"{"op":"register","userId":"u","newNode":"n","aliases":""}"#, b"x"),
            "message body disallowed for register",
        ),
        (
            message(r#"{"op":"addNode","userId":"u","newNode":"n","prevNode":"p"}"#, b"x"),
            "message body disallowed for addNode",
        ),
        (message(r#"{"op":"login","userId":"nobody","nodeId":"n"}"#, b""), "userId unknown"),
        (message(&long, b""), "userId unknown"),
        (message(&full, b""), "userId unknown"),
        (message(r#"{"op":"login","userId":"mallory","nodeId":"x"}"#, b""), "nodeId unknown"),
        (message(r#"{"op":"login","userId":"mallory","nodeId":""}"#, b""), "nodeId unknown"),
        (
            message(r#"{"op":"login","userId":"mallory","nodeId":"a\u0000b"}"#, b""),
            "nodeId unknown",
        ),
    ];
    for framing in BOTH {
        for (bytes, wanted) in &cases {
            let mut socket = Socket::open(server.address, framing).await;
            socket.send(&frame(framing, bytes)).await;
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
            assert_eq!(socket.said().await, [quit(wanted)], "{framing:?} {shown:?}");
        }
    }
}

#[tokio::test]
async fn a_user_is_told_too() {
    let (_store, server) = server().await;
    let deep =
        format!(r#"{{"op":"post","id":"1","to":{}{}}}"#, "[".repeat(30_000), "]".repeat(30_000));
    let open = format!(r#"{{"op":"post","id":"1","to":{}"#, "[".repeat(60_000));
    let etc = format!(
        r#"{{"op":"post","id":"etc","to":{{}},"etc":{}{}}}"#,
        "[".repeat(30_000),
        "]".repeat(30_000)
    );
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (message(&deep, b""), "invalid JSON"),
        (message(&etc, b""), "invalid JSON"),
        (message(r#"{"op":"login","userId":"mallory","nodeId":"n0"}"#, b""), "already logged in"),
        (message(r#"{"op":"post","id":"1","to":{},"etc":5}"#, b"{}"), "invalid etc"),
        (message(r#"{"op":"post","id":"1","to":{},"etc":-1}"#, b"{}"), "invalid etc"),
        (message(r#"{"op":"post","id":"1","to":{},"etc":1e1}"#, b"1234567890"), "invalid etc"),
        (
            message(r#"{"op":"post","id":"1","to":{},"etc":99999999999999999999}"#, b"{}"),
            "invalid etc",
        ),
        (message(r#"{"op":"post","id":"1","to":{},"etc":2}"#, b"{x}"), "invalid etc"),
        (message(r#"{"op":"post","id":"1","to":{},"etc":2}"#, b"\xff\xff"), "invalid etc"),
        (message(r#"{"op":"ping","id":"1","alias":"a","etc":3}"#, b"{}"), "invalid etc"),
        (message(r#"{"op":"post","id":"1"}"#, b""), "post request missing param to"),
        (message(r#"{"op":"post","id":1,"to":{}}"#, b""), "post request missing param id"),
        (message(r#"{"op":"post","id":"1","to":null}"#, b""), "post request missing param to"),
        (message(r#"{"op":"post","id":"1","to":"bob"}"#, b""), "post request missing param to"),
        (message(&open, b""), "invalid JSON"),
        (message(r#"{"op":"ping","id":"1"}"#, b""), "ping request missing param alias"),
        (message(r#"{"op":"ack","id":"1"}"#, b""), "ack request missing param type"),
        (message(r#"{"op":"ack","id":"1","type":"ok"}"#, b"x"), "message body disallowed for ack"),
        (
            message(r#"{"op":"listEdit","id":"1","to":"l","type":"add"}"#, b""),
            "listEdit request missing param member",
        ),
        (
            message(r#"{"op":"addNode","userId":"","newNode":"n","prevNode":"n0"}"#, b"x"),
            "message body disallowed for addNode",
        ),
    ];
    for framing in BOTH {
        for (bytes, wanted) in &cases {
            let mut socket = Socket::login(server.address, framing, "n0").await;
            socket.send(&frame(framing, bytes)).await;
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
            assert_eq!(socket.said().await, [quit(wanted)], "{framing:?} {shown:?}");
        }
        // Names without number: what is no error is answered as usual.
        let many: String = (0..4_000).map(|name| format!(r#""user {name}":1,"#)).collect();
        let many =
            format!(r#"{{"op":"post","id":"many","to":{{{}}}}}"#, many.trim_end_matches(','));
        let mut client = Client::login(&server, framing, "mallory", "n0").await;
        client.send_bytes(message(&many, b"")).await;
        assert_eq!(client.reply().await.op, "ack", "{}", &many[..60]);
        client.barrier().await;
        client.close().await;
    }
}

#[tokio::test]
async fn an_ack_of_what_was_never_delivered_is_ignored() {
    let (_store, server) = server().await;
    let mut client = Client::login(&server, Framing::WebSocket, "mallory", "n0").await;
    client.post(&json!({"mallory": 1}), b"to myself").await;
    let id = client.delivery().await.id.unwrap();
    for id in ["", "x", &"0".repeat(32), &"f".repeat(32), &id.to_uppercase(), &format!("{id} ")] {
        client.ack(id).await;
    }
    client.send(&json!({"op": "ack", "id": id, "type": "error"}), b"").await;
    client.post(&json!({"mallory": 1}), b"again").await;
    client.close().await;
    let mut client = Client::login(&server, Framing::WebSocket, "mallory", "n0").await;
    assert_eq!(client.take_data().await, "to myself");
    assert_eq!(client.take_data().await, "again");
}

#[tokio::test]
async fn an_oversize_message_is_refused_from_its_announced_length() {
    let (_store, server) = server().await;
    let most = 16 << 20;
    let lengths = [most + 1, 0x7fff_ffff, 0xffff_ffff, 0xffff_ffff_ffff];
    for (framing, lengths) in [(Framing::Raw, &lengths[..3]), (Framing::WebSocket, &lengths)] {
        for len in lengths {
            for login in [false, true] {
                let mut socket = match login {
                    false => Socket::open(server.address, framing).await,
                    true => Socket::login(server.address, framing, "n0").await,
                };
                let first = if framing == Framing::WebSocket { 0x82 } else { 0x85 };
                socket.send(&head(framing, first, *len)).await;
                assert_eq!(socket.said().await, [quit("message too large")], "{framing:?} {len}");
            }
        }
        // One that is just allowed gets through, header and all.
        let header = json!({"op": "post", "id": "1", "to": {"mallory": 1}}).to_string();
        let mut large = message(&header, b"");
        large.resize(most as usize, b'x');
        let mut client = Client::login(&server, framing, "mallory", "n0").await;
        client.send_bytes(large).await;
        let ack = client.reply().await;
        assert_eq!((ack.kind.as_deref(), ack.error), (Some("ok"), None));
        assert_eq!(client.take_data().await.len(), most as usize - 4 - header.len());
        client.barrier().await;
        client.close().await;
    }
}

#[tokio::test]
async fn fragments_that_add_up_to_too_much_are_refused() {
    let store = Store::with(&format!("{}[limits]\nmax_message_mib = 1\n", common::SMALL));
    let server = Server::start(&store);
    let mut socket = Socket::open(server.address, Framing::WebSocket).await;
    let part = vec![b' '; 300 << 10];
    for first in [0x02, 0x00, 0x00] {
        socket.send(&head(Framing::WebSocket, first, part.len() as u64)).await;
        socket.send(&part).await;
    }
    socket.send(&head(Framing::WebSocket, 0x80, part.len() as u64)).await;
    assert_eq!(socket.said().await, [quit("message too large")]);
}

#[tokio::test]
async fn a_frame_that_breaks_the_rfc_is_refused() {
    let (_store, server) = server().await;
    let text = |payload: &[u8]| {
        [head(Framing::WebSocket, 0x81, payload.len() as u64), payload.to_vec()].concat()
    };
    for (bytes, what) in [
        (b"\x82\x02{}".to_vec(), "no mask"),
        (head(Framing::WebSocket, 0x83, 0), "an opcode that is reserved"),
        (head(Framing::WebSocket, 0xc2, 0), "a bit that is reserved"),
        (head(Framing::WebSocket, 0x80, 0), "a continuation of nothing"),
        (head(Framing::WebSocket, 0x09, 0), "a ping in fragments"),
        (head(Framing::WebSocket, 0x89, 126), "a long ping"),
        (
            [head(Framing::WebSocket, 0x02, 0), head(Framing::WebSocket, 0x82, 0)].concat(),
            "a message in a message",
        ),
        (text(b"2   \xff\xff"), "text that is no UTF-8"),
        (text(b"2   \xed\xa0\x80"), "text with a surrogate"),
    ] {
        let mut socket = Socket::open(server.address, Framing::WebSocket).await;
        socket.send(&bytes).await;
        assert_eq!(socket.said().await, [quit("invalid frame")], "{what}");
    }
}

#[tokio::test]
async fn what_came_before_a_bad_frame_is_answered_and_the_quit_says_what_was_wrong() {
    let (_store, server) = server().await;
    let taken = json!({"op": "register", "userId": "mallory", "newNode": "n0", "aliases": ""});
    for framing in BOTH {
        let first = if framing == Framing::WebSocket { 0x82 } else { 0x85 };
        let mut bad = vec![(head(framing, first, (16 << 20) + 1), "message too large")];
        if framing == Framing::WebSocket {
            bad.push((head(framing, 0x83, 0), "invalid frame"));
        }
        for (bad, text) in bad {
            let mut socket = Socket::open(server.address, framing).await;
            // In one segment, so that the server reads all of it at once.
            let begun = frame(framing, &message(&taken.to_string(), b""));
            socket.send(&[begun, bad].concat()).await;
            let said = socket.said().await;
            assert_eq!(said.len(), 2, "{framing:?} {text} {said:?}");
            assert!(said[0].contains("user exists"), "{said:?}");
            assert_eq!(said[1], quit(text), "{framing:?}");
        }
    }
}

#[tokio::test]
async fn an_empty_message_is_an_error() {
    let (_store, server) = server().await;
    for framing in BOTH {
        let mut socket = Socket::open(server.address, framing).await;
        socket.send(&frame(framing, b"")).await;
        assert_eq!(socket.said().await, [quit("invalid length header")], "{framing:?}");
    }
}

#[tokio::test]
async fn http_that_is_no_upgrade_gets_a_proper_answer() {
    let (_store, server) = server().await;
    let upgrade = |path: &str, version: &str, key: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: {version}\r\n{key}\r\n"
        )
    };
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1_000));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "426"),
        ("GET /mq HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\r\n".to_owned(), "426"),
        ("GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "404"),
        (upgrade("/else", "13", key), "404"),
        (upgrade("/mq", "8", key), "4"),
        (upgrade("/mq", "13", ""), "400"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "4"),
        ("GET\r\n\r\n".to_owned(), "400"),
        ("G\0\0\0\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), "400"),
        (large, "4"),
        (headers, "400"),
    ] {
        let mut stream = Socket::bare(server.address).await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut socket = Socket { stream, framing: Framing::WebSocket };
        let answer = String::from_utf8(socket.read().await).unwrap();
        let shown = &request[..request.len().min(60)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown:?}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
        assert!(head.to_lowercase().contains("connection: close"), "{answer}");
    }
    // Other methods are taken for the framing of the original's clients, and are no message of it.
    let mut stream = Socket::bare(server.address).await;
    stream
        .write_all(format!("POST / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(50)).as_bytes())
        .await
        .unwrap();
    let mut socket = Socket { stream, framing: Framing::Raw };
    assert_eq!(socket.said().await, [quit("invalid length header")]);
}

#[tokio::test]
async fn a_handshake_or_a_frame_cut_short_ends_without_a_word() {
    let (_store, server) = server().await;
    for cut in [1, 3, 14, 40, UPGRADE.len() - 1] {
        let mut stream = Socket::bare(server.address).await;
        stream.write_all(&UPGRADE.as_bytes()[..cut]).await.unwrap();
        let rest = Socket { stream, framing: Framing::WebSocket }.rest().await;
        assert_eq!(String::from_utf8_lossy(&rest), "", "cut at {cut}");
    }
    for framing in BOTH {
        let whole =
            frame(framing, &message(r#"{"op":"login","userId":"mallory","nodeId":"n0"}"#, b""));
        for cut in [1, 2, 5, whole.len() - 1] {
            let mut socket = Socket::open(server.address, framing).await;
            socket.send(&whole[..cut]).await;
            let rest = socket.rest().await;
            assert_eq!(String::from_utf8_lossy(&rest), "", "{framing:?} cut at {cut}");
        }
    }
}

#[tokio::test]
async fn who_says_nothing_or_only_half_is_sent_away_in_time() {
    let store = Store::with(&format!("{}[limits]\nlogin_timeout_s = 1\n", common::SMALL));
    let server = Server::start(&store);
    let mut silent = Socket::open(server.address, Framing::Raw).await;
    let mut half = Socket::open(server.address, Framing::Raw).await;
    half.send(b"\x85\x7e\x40\x00half").await;
    let mut web = Socket::open(server.address, Framing::WebSocket).await;
    for socket in [&mut silent, &mut half, &mut web] {
        assert_eq!(socket.said().await, [quit("close timeout")]);
    }
}

/// One of many kinds of nonsense, as bytes behind the handshake of its framing.
fn nonsense(random: &mut Random, framing: Framing) -> Vec<u8> {
    let valid = || {
        let headers = [
            r#"{"op":"register","userId":"mallory","newNode":"n0","aliases":"m n"}"#,
            r#"{"op":"login","userId":"mallory","nodeId":"n0"}"#,
            r#"{"op":"post","id":"1","to":{"mallory":1,"nobody":0,"list":2},"etc":2}"#,
            r#"{"op":"ping","id":"1","alias":"m","etc":{"a":[1,"\u00e9"]}}"#,
            r#"{"op":"listEdit","id":"1","to":"list","type":"add","member":"mallory"}"#,
            r#"{"op":"ack","id":"01a1fcfec3eb7000800000008e08e8cc","type":"ok"}"#,
        ];
        headers.map(|header| {
            let body: &[u8] = if header.contains("etc") { b"{}data" } else { b"" };
            message(header, body)
        })
    };
    match random.below(7) {
        0 => {
            let len = 1 + random.below(2_000);
            random.bytes(len)
        }
        // Frames that are right, with messages that are not.
        1 => (0..1 + random.below(5))
            .flat_map(|_| {
                let len = random.below(300);
                frame(framing, &random.bytes(len))
            })
            .collect(),
        // Random opcodes and flags.
        2 => (0..1 + random.below(10))
            .flat_map(|_| {
                let len = random.below(125);
                let first = random.next() as u8;
                [head(framing, first, len as u64), random.bytes(len)].concat()
            })
            .collect(),
        // Bytes flipped in messages that are right.
        3 => valid()
            .into_iter()
            .flat_map(|mut message| {
                for _ in 0..1 + random.below(4) {
                    let at = random.below(message.len());
                    message[at] = random.next() as u8;
                }
                frame(framing, &message)
            })
            .collect(),
        // Bytes flipped in the frames.
        4 => {
            let mut bytes: Vec<u8> =
                valid().into_iter().flat_map(|message| frame(framing, &message)).collect();
            for _ in 0..1 + random.below(8) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
            bytes
        }
        // Cut short.
        5 => {
            let messages = valid();
            let mut bytes = frame(framing, &messages[random.below(messages.len())]);
            bytes.truncate(random.below(bytes.len()));
            bytes
        }
        // Lengths without substance.
        _ => {
            let len = random.next() >> random.below(64);
            let mut bytes = head(framing, random.next() as u8, len);
            bytes.extend(random.bytes(10));
            bytes
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_disturbs_nobody() {
    const CONNECTIONS: usize = 1_200;
    const AT_ONCE: usize = 12;
    let (_store, mut server) = server().await;
    for node in 0..AT_ONCE {
        Client::add_node(&server, "mallory", &format!("m{node}")).await;
    }
    let healthy = Healthy::start(&server).await;
    let address = server.address;
    let attacks: Vec<_> = (0..AT_ONCE)
        .map(|number| {
            tokio::spawn(async move {
                for round in 0..CONNECTIONS / AT_ONCE {
                    let seed = (number * CONNECTIONS + round) as u64;
                    let mut random = Random(seed);
                    let framing = BOTH[random.below(2)];
                    let mut socket = match random.below(4) {
                        // Also before the handshake.
                        0 => Socket { stream: Socket::bare(address).await, framing },
                        1 => Socket::login(address, framing, &format!("m{number}")).await,
                        _ => Socket::open(address, framing).await,
                    };
                    let bytes = nonsense(&mut random, framing);
                    socket.send(&bytes).await;
                    if random.below(4) == 0 {
                        // Gone with what the server says unread: a reset.
                        continue;
                    }
                    socket.rest().await;
                }
            })
        })
        .collect();
    for attack in attacks {
        attack.await.unwrap();
    }
    healthy.were_not_disturbed(&mut server).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_posted_before_garbage_on_the_same_connection_arrives() {
    let (_store, mut server) = server().await;
    let healthy = Healthy::start(&server).await;
    for (number, framing) in BOTH.into_iter().cycle().take(10).enumerate() {
        let mut socket = Socket::login(server.address, framing, "n0").await;
        let header = json!({"op": "post", "id": "1", "to": {"mallory": 1}}).to_string();
        let post = message(&header, number.to_string().as_bytes());
        socket.send(&[frame(framing, &post), frame(framing, b"garbage")].concat()).await;
        let said = socket.said().await;
        assert_eq!(said.last(), Some(&quit("invalid length header")));
        let mut client = Client::login(&server, framing, "mallory", "n0").await;
        assert_eq!(client.take_data().await, number.to_string().as_bytes());
        client.barrier().await;
        client.close().await;
    }
    healthy.were_not_disturbed(&mut server).await;
}

/// The most memory that the server has had at a time, in KiB: what it touched (`VmHWM`), or what it
/// asked for (`VmPeak`).
fn peak(server: &Server, which: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
    let line = line.strip_prefix(':').unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_that_are_announced_cost_no_memory() {
    let (_store, mut server) = server().await;
    let healthy = Healthy::start(&server).await;
    let before = ["VmHWM", "VmPeak"].map(|which| peak(&server, which));
    let mut sockets = Vec::new();
    for number in 0..100 {
        let framing = BOTH[number % 2];
        let mut socket = Socket::open(server.address, framing).await;
        let first = if framing == Framing::WebSocket { 0x82 } else { 0x85 };
        socket.send(&head(framing, first, 16 << 20)).await;
        socket.send(b"2   {}").await;
        sockets.push(socket);
    }
    // The peak is looked at when the server has read all this: it closes behind it.
    for socket in sockets {
        socket.rest().await;
    }
    let touched = peak(&server, "VmHWM").saturating_sub(before[0]);
    assert!(touched < 64 << 10, "{touched} KiB more");
    // All that was announced is 1600 MiB; each thread's heap may reserve 64 MiB.
    let reserved = peak(&server, "VmPeak").saturating_sub(before[1]);
    assert!(reserved < 800 << 10, "{reserved} KiB more");
    healthy.were_not_disturbed(&mut server).await;
}

#[tokio::test]
async fn who_never_reads_costs_little_memory_and_disturbs_nobody() {
    let (_store, mut server) = server().await;
    Client::register(&server, "alice", "").await;
    let mut alice = Client::login(&server, Framing::Raw, "alice", "n0").await;
    let mut deaf = Socket::login(server.address, Framing::Raw, "n0").await;
    let before = peak(&server, "VmHWM");
    // Its own posts to nobody, each with an answer that it does not take, until it is read no more.
    let id = "x".repeat(60_000);
    let header = json!({"op": "post", "id": id, "to": {}, "noNodes": true}).to_string();
    let post = frame(Framing::Raw, &message(&header, b""));
    let wait = std::time::Duration::from_secs(1);
    let mut sent = 0;
    while sent < 4_000 && timeout(wait, deaf.stream.write_all(&post)).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 4_000, "it read all of {} MiB", (sent * post.len()) >> 20);
    for number in 0..20 {
        alice.post(&json!({"alice": 1}), b"x").await;
        assert_eq!(alice.take_data().await, "x", "{number}");
    }
    let grown = peak(&server, "VmHWM").saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more");
    assert!(server.is_alive());
}
