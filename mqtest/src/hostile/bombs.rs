//! Messages that announce more than they are, or unfold to more: what they cost the server's memory.

use super::flood::{Friend, VICTIM};
use crate::bench::common::{Common, Framing};
use crate::bench::dial::Dial;
use crate::bench::gang::gang;
use crate::bench::origin::Origin;
use crate::bench::people;
use crate::bench::population;
use crate::bench::report::Report;
use crate::bench::rig::Rig;
use anyhow::Context;
use clap::Args;
use clap::value_parser as range;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long the server may take to end a connection with a bomb on it; its login timeout is 6 s.
const ENDED: Duration = Duration::from_secs(15);
/// Between two bytes of a message that never comes, and between two logins.
const DRIP: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(200);
/// Between a connection's first message and the next one.
const SOON: Duration = Duration::from_millis(300);
/// Where memory can be limited; version 1 of control groups.
const CGROUPS: &str = "/sys/fs/cgroup/memory";

const EXAMPLES: &str = "\
Shows that what is too large is refused from its announced length, and that memory follows what has
arrived: lengths up to 2^63 in both framings, fragments that add up, compressed frames, HTTP heads
without end, deep JSON in headers and in `etc`, thousands of recipients, and connections that
announce 16 MiB and send a byte a second. Meanwhile a client logs in and posts. The server runs below
a memory control group (version 1) of --limit-mib; that needs root, and is skipped without. It fails
if the server dies, if its memory is ever more than the limit, if a bomb is not ended, or if the
client is not served.

Examples:
  mqtest bombs
  mqtest bombs --limit-mib 150 --announcing 3000 --seconds 60";

/// Oversize messages and bombs, below a limit of memory
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BombsArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// MiB of memory that the server gets
    #[arg(long, value_name = "MIB", default_value_t = 200, value_parser = range!(u64).range(64..=65_536))]
    limit_mib: u64,
    /// How many connections send each bomb
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = range!(u32).range(1..=1000))]
    each: u32,
    /// How many announce 16 MiB and send a byte a second
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = range!(u32).range(1..=15_000))]
    announcing: u32,
    /// How long they do
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = crate::bench::report::seconds)]
    seconds: f64,
}

/// What is sent on a new connection.
struct Bomb {
    name: &'static str,
    framing: Framing,
    /// After a login?
    logged_in: bool,
    bytes: Vec<u8>,
    /// Is the connection to be ended for it?
    fatal: bool,
}

fn bombs() -> Vec<Bomb> {
    let stranger =
        |name, framing, bytes| Bomb { name, framing, logged_in: false, bytes, fatal: true };
    let user =
        |name, bytes, fatal| Bomb { name, framing: Framing::Raw, logged_in: true, bytes, fatal };
    let mask = [0_u8; 4];
    let length = |first: u8, len: u64| [&[first, 0xff], &len.to_be_bytes()[..], &mask].concat();
    let mut fragments = Vec::new();
    for first in std::iter::once(0x02).chain(std::iter::repeat_n(0x00, 17)) {
        fragments.extend(length(first, 1 << 20));
        fragments.resize(fragments.len() + (1 << 20), b' ');
    }
    let raw = |message: &[u8]| {
        let mut bytes = vec![0x85, 0x7f];
        bytes.extend((message.len() as u64).to_be_bytes());
        bytes.extend(message);
        bytes
    };
    let deep = [b"ffff".to_vec(), vec![b'['; 0xffff]].concat();
    let to = Vec::from_iter((0..5000).map(|nth| format!(r#""n{nth}":1"#))).join(",");
    let to = format!(r#"{{"op":"post","id":"1","to":{{{to}}}}}"#);
    let to = format!("{:<4x}{to}", to.len());
    let etc_len = (16 << 20) - 200;
    let victim = people::user(VICTIM);
    let etc = format!(r#"{{"op":"post","id":"1","to":{{"{victim}":1}},"etc":{etc_len}}}"#);
    let etc = [format!("{:<4x}{etc}", etc.len()).into_bytes(), vec![b'['; etc_len]].concat();
    vec![
        stranger("raw_length", Framing::Raw, [&[0x85, 0x7f][..], &[0x7f; 8], b"x"].concat()),
        stranger("length_2_62", Framing::Ws, length(0x82, 1 << 62)),
        stranger("length_2_63", Framing::Ws, length(0x82, 1 << 63)),
        stranger("length_17_mib", Framing::Ws, length(0x82, 17 << 20)),
        stranger("fragments", Framing::Ws, fragments),
        stranger("compressed", Framing::Ws, [&[0xc2, 0x81][..], &mask, b"x"].concat()),
        stranger(
            "endless_head",
            Framing::Raw,
            [&b"GET / HTTP/1.1\r\nX: "[..], &[b'x'; 99_999]].concat(),
        ),
        stranger("deep_header", Framing::Raw, raw(&deep)),
        user("recipients", raw(to.as_bytes()), false),
        user("deep_etc", raw(&etc), true),
    ]
}

pub(crate) async fn measure(args: BombsArgs, command: String) -> anyhow::Result<Report> {
    let (users, links) = (VICTIM + 1 + args.each, args.announcing + args.each);
    let make = |store: &Path| population::make(store, users, users);
    let mut rig = Rig::start_on(&args.common, links, make).await?;
    let outcome = attack(&rig, &args, command.clone()).await;
    Ok(rig.survived(outcome)?.unwrap_or_else(|ended| {
        let mut report = Report::new("bombs", command);
        report.broken(ended);
        report
    }))
}

async fn attack(rig: &Rig, args: &BombsArgs, command: String) -> anyhow::Result<Report> {
    let mut report = Report::new("bombs", command);
    let limit = args.limit_mib << 20;
    let _cgroup = match Cgroup::confine(rig.server.pid(), limit) {
        Ok(cgroup) => Some(cgroup),
        Err(error) => {
            report.note(&format!("skipped: the memory control group ({error:#})"));
            None
        }
    };
    let mut friend = Friend::new(rig.dial())?;
    for bomb in bombs() {
        let name = bomb.name;
        let (held, dial) = (drop_bomb(rig, args.each, bomb), rig.dial());
        let held = tokio::select! {
            held = held => held.with_context(|| format!("bomb {name}"))?,
            () = friend.go_on(PAUSE) => unreachable_friend(dial.addr)?,
        };
        report.broken_if(held.into(), &format!("connections held on to after {name}"));
    }
    let announcing = async {
        let mut tasks = JoinSet::new();
        for _ in 0..args.announcing {
            tasks.spawn_local(announce(rig.addr()));
        }
        sleep(Duration::from_secs_f64(args.seconds)).await;
        tasks.shutdown().await;
    };
    tokio::select! {
        () = announcing => {}
        () = friend.go_on(PAUSE) => unreachable_friend(rig.addr())?,
    }
    let peak = rig.process().peak_kib()? / 1024.0;
    report.put("bombs", "kinds of bombs", bombs().len() as f64, "");
    report.put("each", "connections with each", args.each.into(), "");
    report.put("announcing", "connections that announced 16 MiB", args.announcing.into(), "");
    report.put("tries", "logins with a post meanwhile", friend.tries.into(), "");
    report.put("peak_mib", "server memory at most", peak, "MiB");
    if peak > args.limit_mib as f64 {
        report.broken(format!("the server has taken {peak:.0} MiB"));
    }
    for fault in friend.faults.drain(..).take(3) {
        report.broken(fault);
    }
    Ok(report)
}

fn unreachable_friend<T>(addr: SocketAddr) -> anyhow::Result<T> {
    anyhow::bail!("the client of {addr} has stopped")
}

/// Sends it on so many connections, and says how many the server has not ended that it should have.
async fn drop_bomb(rig: &Rig, count: u32, bomb: Bomb) -> anyhow::Result<u32> {
    let bomb = std::rc::Rc::new(bomb);
    let dial = Dial { framing: bomb.framing, origin: Origin::default(), ..rig.dial() };
    let held = gang(count, count as usize, |nth| {
        let (bomb, dial) = (bomb.clone(), dial.clone());
        async move {
            let start = Instant::now();
            let mut wire = if bomb.logged_in {
                dial.log_in(VICTIM + 1 + nth).await?.wire
            } else {
                crate::bench::dial::connect(dial.addr, dial.framing, dial.origin).await?
            };
            let stream = wire.stream_mut();
            // A server that has seen enough takes no more.
            let sent = timeout(ENDED, stream.write_all(&bomb.bytes)).await;
            let ended = async {
                let mut scrap = vec![0; 64 << 10];
                while matches!(stream.read(&mut scrap).await, Ok(1..)) {}
            };
            if !bomb.fatal {
                sleep(SOON).await;
                return Ok(0);
            }
            let left = ENDED.saturating_sub(start.elapsed());
            Ok(u32::from(sent.is_err() || timeout(left, ended).await.is_err()))
        }
    });
    Ok(held.await?.into_iter().sum())
}

/// Announces 16 MiB and sends a byte now and then, again and again.
async fn announce(addr: SocketAddr) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(addr).await {
            let mut frame = vec![0x85, 0x7f];
            frame.extend((16_u64 << 20).to_be_bytes());
            let mut sent = stream.write_all(&frame).await;
            while sent.is_ok() {
                sleep(DRIP).await;
                sent = stream.write_all(b"x").await;
            }
        }
        sleep(PAUSE).await;
    }
}

/// A control group with one process in it; gone when it is dropped.
struct Cgroup {
    path: PathBuf,
    pid: u32,
}

impl Cgroup {
    fn confine(pid: u32, bytes: u64) -> anyhow::Result<Self> {
        let path = Path::new(CGROUPS).join(format!("mqtest-{pid}"));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let cgroup = Self { path, pid };
        let write = |file: &str, value: String| {
            let path = cgroup.path.join(file);
            fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))
        };
        write("memory.limit_in_bytes", bytes.to_string())?;
        write("cgroup.procs", pid.to_string())?;
        Ok(cgroup)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that has ended has left it already.
        let _ = fs::write(Path::new(CGROUPS).join("cgroup.procs"), self.pid.to_string());
        let _ = fs::remove_dir(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use mqlib::request::Incoming;

    #[test]
    fn what_users_send_is_what_it_should_be() {
        for bomb in bombs().iter().filter(|bomb| bomb.logged_in) {
            let parsed = Incoming::parse(&Bytes::copy_from_slice(&bomb.bytes[10..]));
            let sound = parsed.is_ok_and(|incoming| incoming.request.is_ok());
            assert_eq!(sound, !bomb.fatal, "{}", bomb.name);
        }
    }
}
