//! What a supervisor such as systemd is told.

use crate::common;

use common::{PATIENCE, Server, Store, program};
use rustix::process::Signal;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// What the server says next, to whoever listens at this socket.
fn told(socket: &UnixDatagram) -> Option<String> {
    let mut text = [0; 256];
    let len = socket.recv(&mut text).ok()?;
    Some(String::from_utf8(text[..len].to_vec()).unwrap().trim_end().to_owned())
}

fn start(store: &Store, watchdog: Duration) -> (UnixDatagram, Server) {
    let path = store.outside().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = program();
    command.env("NOTIFY_SOCKET", &path);
    command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
    (socket, Server::start_with(store, command, "off"))
}

#[test]
fn it_hears_when_the_server_serves_lives_and_stops() {
    let store = Store::new();
    let (socket, server) = start(&store, Duration::from_millis(200));
    let mut ready = false;
    let mut signs = 0;
    while !ready || signs < 5 {
        match told(&socket).as_deref() {
            Some("READY=1") => ready = true,
            Some("WATCHDOG=1") => signs += 1,
            other => panic!("{other:?}"),
        }
    }
    server.signal(Signal::TERM);
    let start = Instant::now();
    while told(&socket).as_deref() != Some("STOPPING=1") {
        assert!(start.elapsed() < PATIENCE);
    }
    server.stop();
}

#[test]
fn a_server_that_hangs_gives_no_sign_of_life() {
    let store = Store::new();
    let (socket, server) = start(&store, Duration::from_millis(200));
    while told(&socket).as_deref() != Some("WATCHDOG=1") {}
    server.signal(Signal::STOP);
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    // What it had said before.
    while told(&socket).is_some() {}
    assert_eq!(told(&socket), None);
    server.signal(Signal::CONT);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(told(&socket).as_deref(), Some("WATCHDOG=1"));
}
