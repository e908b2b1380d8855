//! Strangers: a task for each socket, which does one kind of harm over and over.

use super::flood::{VICTIM, wrong_login};
use crate::bench::origin::Origin;
use crate::bench::people;
use clap::ValueEnum;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Between two bytes of one who is slow.
const DRIP: Duration = Duration::from_secs(1);
/// After a connection that was refused.
const AGAIN: Duration = Duration::from_millis(100);
/// Sockets of those that are as fast as it goes: more would only wait for each other.
const FAST: u32 = 64;
/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(10);

/// What strangers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Heads,
    Frames,
    Silent,
    Churn,
    Registrations,
    Logins,
    Posts,
    Descriptors,
}

impl Kind {
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    /// How long the server may hold one of its connections, with a second or two for a busy machine.
    pub(crate) fn longest(self) -> Option<Duration> {
        match self {
            Self::Heads => Some(Duration::from_secs(13)),
            Self::Frames | Self::Silent => Some(Duration::from_secs(10)),
            _ => None,
        }
    }

    /// The last number of the address it comes from.
    fn address(self) -> u8 {
        10 + self as u8
    }

    fn is_fast(self) -> bool {
        matches!(self, Self::Churn | Self::Registrations | Self::Logins | Self::Posts)
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Connections made, or requests.
    pub(crate) attempts: u64,
    /// Connections that the server closed.
    pub(crate) closed: u64,
    /// The longest that the server kept one.
    pub(crate) longest: Duration,
}

/// All strangers of an attack.
pub(crate) struct Strangers {
    tasks: JoinSet<()>,
    done: Rc<RefCell<Done>>,
}

impl Strangers {
    /// Lets them loose.
    pub(crate) fn start(kind: Kind, addr: SocketAddr, sockets: u32) -> Self {
        let done = Rc::<RefCell<Done>>::default();
        let mut tasks = JoinSet::new();
        let count = if kind.is_fast() { sockets.min(FAST) } else { sockets };
        for number in 0..count {
            let stranger = Stranger { kind, addr, number, done: done.clone() };
            tasks.spawn_local(stranger.attack());
        }
        Self { tasks, done }
    }

    /// Ends them, and says what they have done.
    pub(crate) async fn stop(&mut self) -> Done {
        self.tasks.shutdown().await;
        self.done.take()
    }
}

struct Stranger {
    kind: Kind,
    addr: SocketAddr,
    number: u32,
    done: Rc<RefCell<Done>>,
}

impl Stranger {
    async fn attack(self) {
        let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, self.kind.address()));
        let origin = Origin { ip: Some(ip), ..Origin::default() };
        for round in 0.. {
            let Ok(stream) = origin.connect(self.addr).await else {
                sleep(AGAIN).await;
                continue;
            };
            self.done.borrow_mut().attempts += 1;
            let start = Instant::now();
            let closed = self.harm(stream, round).await;
            if closed {
                let mut done = self.done.borrow_mut();
                done.closed += 1;
                done.longest = done.longest.max(start.elapsed());
            }
        }
    }

    /// `true` if it was the server that ended it.
    async fn harm(&self, mut stream: TcpStream, round: u32) -> bool {
        let number = self.number * 100_000 + round % 100_000;
        match self.kind {
            Kind::Heads => {
                let _ = stream.write_all(b"GET /mq HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
                drip(&mut stream).await
            }
            Kind::Frames => {
                let _ = stream.write_all(&[0x85, 0x7e, 0x40, 0x00, b'2']).await;
                drip(&mut stream).await
            }
            Kind::Silent | Kind::Descriptors => {
                let mut scrap = [0; 64];
                while matches!(stream.read(&mut scrap).await, Ok(1..)) {}
                true
            }
            Kind::Churn => false,
            Kind::Registrations => {
                let (op, name) = ("register", format!("s{number}"));
                let json = format!(
                    r#"{{"op":"{op}","userId":"{name}","newNode":"node of {name}","aliases":""}}"#
                );
                self.say(&mut stream, &json, "").await
            }
            Kind::Logins => self.say(&mut stream, &wrong_login(number), "").await,
            Kind::Posts => self.post(stream, number).await,
        }
    }

    /// Says something and waits for an answer.
    async fn say(&self, stream: &mut TcpStream, json: &str, data: &str) -> bool {
        if stream.write_all(&frame(json, data)).await.is_err() {
            return true;
        }
        let mut answer = [0; 512];
        !matches!(timeout(ANSWER, stream.read(&mut answer)).await, Ok(Ok(1..)))
    }

    /// Registers, logs in, and posts without end.
    async fn post(&self, mut stream: TcpStream, number: u32) -> bool {
        let (user, victim) = (format!("s{number}"), people::user(VICTIM));
        let register = format!(
            r#"{{"op":"register","userId":"{user}","newNode":"{user} node","aliases":""}}"#
        );
        let login = format!(r#"{{"op":"login","userId":"{user}","nodeId":"{user} node"}}"#);
        if self.say(&mut stream, &register, "").await || self.say(&mut stream, &login, "").await {
            return true;
        }
        let post = frame(&format!(r#"{{"op":"post","id":"1","to":{{"{victim}":1}}}}"#), "flood");
        let (mut read, mut write) = stream.split();
        let mut scrap = [0; 4096];
        loop {
            if write.write_all(&post).await.is_err() {
                return true;
            }
            match timeout(ANSWER, read.read(&mut scrap)).await {
                Ok(Ok(1..)) => self.done.borrow_mut().attempts += 1,
                _ => return true,
            }
        }
    }
}

/// A byte now and then, until the server ends it.
async fn drip(stream: &mut TcpStream) -> bool {
    let mut scrap = [0; 64];
    loop {
        match timeout(DRIP, stream.read(&mut scrap)).await {
            Ok(Ok(1..)) => {}
            Ok(_) => return true,
            Err(_) => {
                if stream.write_all(b"x").await.is_err() {
                    return true;
                }
            }
        }
    }
}

/// A message in the original's framing.
fn frame(json: &str, data: &str) -> Vec<u8> {
    let len = 4 + json.len() + data.len();
    let mut frame = vec![0x85, 0x7e];
    frame.extend_from_slice(&(len as u16).to_be_bytes());
    frame.extend_from_slice(format!("{:<4x}{json}{data}", json.len()).as_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_the_server_reads() {
        let frame = frame("{}", "data");
        assert_eq!(frame, b"\x85\x7e\x00\x0a2   {}data");
    }
}
