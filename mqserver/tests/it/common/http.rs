//! One request to the control socket.

use super::{PATIENCE, Store};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The status and the body of the answer. In HTTP/1.0, so that it ends where it ends.
pub(crate) fn ask(store: &Store, method: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
    ask_at(&store.path(), method, path, body)
}

fn ask_at(store: &Path, method: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
    let mut socket = UnixStream::connect(store.join(".control")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.0\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    socket.write_all((head + body).as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer[end..].to_vec())
}

/// The JSON that is at a path.
#[track_caller]
pub(crate) fn get(store: &Store, path: &str) -> Value {
    get_at(&store.path(), path)
}

/// The same, of the server on a directory.
#[track_caller]
pub(crate) fn get_at(store: &Path, path: &str) -> Value {
    let (status, body) = ask_at(store, "GET", path, "");
    let json = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 200, "{path}: {json}");
    json
}
