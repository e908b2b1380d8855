//! What a crowd of strangers who log in with wrong names can spoil.
//!
//! The bounds are generous, for the machine is shared with whoever tests: what they are to catch is
//! a server that hashes all at once, or first comes first served, where the figures are seconds and
//! gigabytes.

use super::stranger::{self, Connection, ELSEWHERE, User};
use crate::bench::process::Process;
use anyhow::ensure;
use serde_json::{Value, json};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How long a post of somebody who is online may take, nearly always.
const POST: Duration = Duration::from_millis(500);
/// How long the login of somebody from elsewhere may take, whose node's name must be hashed.
const LOGIN: Duration = Duration::from_secs(1);
/// How much memory a hash takes, and how much besides all may, in MiB.
const HASH: f64 = 19.0;
const BESIDES: f64 = 64.0;
/// Between two looks at the memory, and between two posts.
const PAUSE: Duration = Duration::from_millis(5);

/// What was measured.
pub(super) struct Crowd {
    strangers: u32,
    refused: u64,
    seconds: f64,
    /// Sorted.
    posts: Vec<Duration>,
    login: Duration,
    /// More memory than before, at most, in MiB.
    grown: f64,
    cores: usize,
}

pub(super) async fn measure(
    server: SocketAddr,
    pid: u32,
    user: &User,
    strangers: u32,
    lasts: Duration,
) -> anyhow::Result<Crowd> {
    let mut online = Connection::open(server, Ipv4Addr::LOCALHOST).await?;
    let info = online.log_in(&user.name, &user.node).await?;
    ensure!(info == "ok login", "not let in: {info}");
    // Who is not online, so that nothing comes back but acks.
    let friend = stranger::register(server).await?;
    let process = Process::Id(pid);
    let before = process.rss_kib()?;
    let start = Instant::now();
    let mut crowd = JoinSet::new();
    for _ in 0..strangers {
        let user = user.name.clone();
        crowd.spawn(async move {
            let mut refused = 0;
            while start.elapsed() < lasts {
                let node = stranger::chosen()?;
                stranger::refused(server, &user, &node, "nodeId unknown").await?;
                refused += 1;
            }
            anyhow::Ok(refused)
        });
    }
    let elsewhere = tokio::spawn({
        let user = user.name.clone();
        async move {
            // When all are there.
            sleep(lasts / 2).await;
            let mut connection = Connection::open(server, ELSEWHERE).await?;
            let start = Instant::now();
            let info = connection.log_in(&user, &stranger::chosen()?).await?;
            ensure!(info == "nodeId unknown", "{info}");
            anyhow::Ok(start.elapsed())
        }
    });
    let (mut posts, mut most) = (Vec::new(), before);
    while start.elapsed() < lasts {
        let request = json!({"op": "post", "id": "p", "to": {&*friend.name: 1}});
        let posted = Instant::now();
        let reply = online.ask(&request, b"hello").await?;
        ensure!(reply.kind.as_deref() == Some("ok"), "not posted: {reply:?}");
        posts.push(posted.elapsed());
        most = most.max(process.rss_kib()?);
        sleep(PAUSE).await;
    }
    let login = elsewhere.await??;
    let mut refused = 0;
    while let Some(ended) = crowd.join_next().await {
        refused += ended??;
    }
    posts.sort_unstable();
    Ok(Crowd {
        strangers,
        refused,
        seconds: start.elapsed().as_secs_f64(),
        posts,
        login,
        grown: (most - before) / 1024.0,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
    })
}

impl Crowd {
    fn post(&self, share: f64) -> Duration {
        let last = self.posts.len().saturating_sub(1);
        self.posts.get((last as f64 * share) as usize).copied().unwrap_or(Duration::MAX)
    }

    fn memory_bound(&self) -> f64 {
        HASH * self.cores as f64 + BESIDES
    }

    /// Did the others hardly notice?
    pub(super) fn is_bounded(&self) -> bool {
        self.post(0.99) <= POST && self.login <= LOGIN && self.grown <= self.memory_bound()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "strangers": self.strangers,
            "refused": self.refused,
            "seconds": self.seconds,
            "posts": self.posts.len(),
            "post_p50_ms": millis(self.post(0.5)),
            "post_p99_ms": millis(self.post(0.99)),
            "post_bound_ms": millis(POST),
            "login_ms": millis(self.login),
            "login_bound_ms": millis(LOGIN),
            "grown_mib": self.grown,
            "grown_bound_mib": self.memory_bound(),
        })
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl fmt::Display for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { strangers, refused, seconds, grown, .. } = self;
        write!(
            f,
            "{strangers} strangers, {refused} logins refused in {seconds:.1} s: a post takes {:.1} ms, \
             99 of 100 at most {:.1} ({:.0} are allowed); a login from elsewhere {:.0} ms ({:.0}); {:.0} \
             MiB more memory ({:.0})",
            millis(self.post(0.5)),
            millis(self.post(0.99)),
            millis(POST),
            millis(self.login),
            millis(LOGIN),
            grown,
            self.memory_bound(),
        )
    }
}
