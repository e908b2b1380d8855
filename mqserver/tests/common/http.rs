//! One request to the control socket.

use super::{PATIENCE, Store};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

/// The status and the body of the answer. In HTTP/1.0, so that it ends where it ends.
pub(crate) fn ask(store: &Store, method: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
    let mut socket = UnixStream::connect(store.path().join(".control")).unwrap();
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
    let (status, body) = ask(store, "GET", path, "");
    let json = serde_json::from_slice(&body).unwrap();
    assert_eq!(status, 200, "{path}: {json}");
    json
}
