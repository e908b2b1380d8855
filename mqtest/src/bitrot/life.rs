//! A server without threads and sockets: broker and store as `mqserver` drives them, step by step.

use bytes::Bytes;
use mqlib::broker::{Asked, Broker, Input, LinkId, Names, Output};
use mqlib::credential::NodeKey;
use mqlib::directory::Credential;
use mqlib::disk::Disk;
use mqlib::limits::Limits;
use mqlib::now::Now;
use mqlib::registry::Birth;
use mqlib::reply::Reply;
use mqlib::request::Incoming;
use mqlib::spool::Job;
use mqlib::store::{OpenError, Store, StoreConfig};
use mqlib::testing::disk::SimDisk;
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;

/// A body of more bytes is staged.
pub(super) const LARGE: usize = 2_000;
/// How long a step takes.
const STEP: Duration = Duration::from_millis(20);
/// More steps than anything takes.
const STEPS: usize = 2_000;

/// The store's sizes.
pub(super) fn config() -> StoreConfig {
    StoreConfig {
        segments: 3,
        segment_len: 32 << 10,
        linger: Duration::ZERO,
        ..StoreConfig::default()
    }
}

/// What a new store is born with.
pub(super) fn birth() -> Birth {
    Birth { salt: [7; 32], tag: 7 }
}

/// A server at work.
pub(super) struct Life {
    pub(super) broker: Broker,
    store: Store,
    disk: SimDisk,
    now: Now,
    links: u64,
    /// Messages are filed.
    pub(super) files: bool,
    held: Vec<Job>,
    heard: VecDeque<(LinkId, Reply)>,
    /// What the operator was told.
    pub(super) told: Vec<String>,
}

impl Life {
    pub(super) fn open(disk: &SimDisk) -> Result<Self, OpenError> {
        let disk = disk.mount();
        let (store, opened) = Store::open(&disk, config(), birth())?;
        let told = opened.damage.clone();
        let limits = Limits { large: LARGE, ..Limits::default() };
        Ok(Self {
            broker: Broker::new(limits, opened),
            store,
            disk,
            now: Now { mono: Duration::ZERO, wall: 1_700_000_000_000 },
            links: 0,
            files: true,
            held: Vec::new(),
            heard: VecDeque::new(),
            told,
        })
    }

    /// A new connection.
    pub(super) fn connect(&mut self) -> LinkId {
        self.links += 1;
        let link = LinkId(self.links);
        self.broker.handle(self.now, Input::Opened(link, self.now.mono));
        link
    }

    /// A connection ends.
    pub(super) fn leave(&mut self, link: LinkId) {
        self.broker.handle(self.now, Input::Closed(link));
    }

    /// Sends a request; a node's name is a number.
    pub(super) fn send(&mut self, link: LinkId, header: &Value, body: &[u8]) {
        let header = header.to_string();
        let mut message = format!("{:<4x}{header}", header.len()).into_bytes();
        message.extend_from_slice(body);
        let Ok(incoming) = Incoming::parse(&Bytes::from(message)) else { return };
        let key = |name: &str| {
            let value: Value = serde_json::from_str(&header).unwrap_or_default();
            match value[name].as_str().and_then(|text| text.parse().ok()) {
                Some(number) => Credential::Key(NodeKey([number; 32])),
                None => Credential::Empty,
            }
        };
        let node = match key("nodeId") {
            Credential::Empty => key("prevNode"),
            node => node,
        };
        let names = Names { new_node: key("newNode"), node, ..Names::default() };
        let asked = Asked { incoming, names: Some(Box::new(names)), read: None };
        self.broker.handle(self.now, Input::Request(link, asked));
    }

    /// Works until nothing is left to be done; what was sent to clients.
    pub(super) fn work(&mut self) -> anyhow::Result<Vec<(LinkId, Reply)>> {
        for _ in 0..STEPS {
            self.now.mono += STEP;
            self.now.wall += 20;
            let mut busy = self.broker_works()?;
            if self.store.next_timeout().is_some_and(|at| at <= self.now.mono) {
                self.store.handle_timeout(self.now.mono);
            }
            busy |= self.store.commit(self.now.mono)?;
            while let Some(job) = self.store.poll_job() {
                busy = true;
                if !self.files && matches!(job, Job::File(_)) {
                    self.held.push(job);
                    continue;
                }
                let told = &mut self.told;
                let done = job.run(&self.disk, &mut |text| told.push(text));
                self.store.job_done(self.now.mono, done)?;
            }
            // At the same moment, as the server does: a look at the disk is soon out of date.
            busy |= self.store.commit(self.now.mono)?;
            while let Some(done) = self.store.poll_done() {
                busy = true;
                if let mqlib::store::SpoolDone::Trouble(text) = &done {
                    self.told.push(text.clone());
                }
                self.broker.handle(self.now, Input::Spool(done));
            }
            if !busy && self.store.is_acked() {
                break;
            }
        }
        Ok(self.heard.drain(..).collect())
    }

    fn broker_works(&mut self) -> anyhow::Result<bool> {
        let mut busy = false;
        while let Some(output) = self.broker.poll() {
            busy = true;
            match output {
                Output::Spool(op) => self.store.submit(self.now.mono, op),
                Output::Send(link, message) => {
                    self.heard.push_back((link, Reply::parse(&message)?));
                }
                Output::Deliver(link, delivery) => {
                    self.heard.push_back((link, Reply::parse(&delivery.to_bytes())?));
                }
                Output::Close(link, _) => self.broker.handle(self.now, Input::Closed(link)),
                Output::Trouble(text) => self.told.push(text),
                Output::Mark(link, bytes) => {
                    self.broker.handle(self.now, Input::Written(link, bytes));
                }
                Output::Settled(..) | Output::Operated(..) => {}
            }
        }
        Ok(busy)
    }

    /// Ends it in good order, or at once.
    pub(super) fn end(mut self, kill: bool) -> anyhow::Result<()> {
        if !kill {
            self.store.finish(self.now.mono)?;
            return Ok(());
        }
        let disk: &dyn Disk = &self.disk;
        disk.sync_all()?;
        self.disk.kill();
        Ok(())
    }
}
