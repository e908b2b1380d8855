//! The store's threads: one that commits, and workers that do what touches many files.

use crate::engine::Event;
use crate::mailbox::Mailbox;
use mqlib::disk::Disk;
use mqlib::spool::{Job, JobDone, Lane};
use mqlib::store::{Fatal, SpoolDone, SpoolOp, Store, StoreConfig};
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Threads, each with the jobs that it does: two file and remove, one reads, one syncs.
const WORKERS: [(&str, Lane); 4] = [
    ("spool-0", Lane::Change),
    ("spool-1", Lane::Change),
    ("read", Lane::Read),
    ("sync", Lane::Sync),
];

/// Filing and removing give way to clients: what they leave behind waits in the journal, and posters
/// wait only when it is full.
const NICENESS: i32 = 10;

#[derive(Debug)]
enum Mail {
    Op(SpoolOp),
    Done(JobDone),
    /// These are its sizes and times from now on.
    Configure(StoreConfig),
    /// How many messages are in the journal only, counted for each node?
    Unfiled(oneshot::Sender<usize>),
}

/// Asks the store, while it works.
#[derive(Debug, Clone)]
pub(crate) struct Inquiry(Mailbox<Mail>);

impl Inquiry {
    /// How many messages are in the journal only, counted for each node. `None` when the store has
    /// ended.
    pub(crate) async fn unfiled(&self) -> Option<usize> {
        let (answer, unfiled) = oneshot::channel();
        self.0.put([Mail::Unfiled(answer)]);
        unfiled.await.ok()
    }
}

/// The store at work.
pub(crate) struct StoreThread {
    mailbox: Mailbox<Mail>,
    threads: Vec<JoinHandle<()>>,
}

impl StoreThread {
    /// Starts the threads. What the store answers goes to `events`; so does the error that ends it.
    pub(crate) fn start(
        store: Store,
        disk: Arc<dyn Disk>,
        start: Instant,
        events: UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let mailbox = Mailbox::new();
        let jobs = Jobs { change: Mailbox::new(), read: Mailbox::new(), sync: Mailbox::new() };
        let mut threads = Vec::new();
        for (name, lane) in WORKERS {
            let (jobs, disk, mailbox) = (jobs.of(lane).clone(), disk.clone(), mailbox.clone());
            let work = move || {
                if lane == Lane::Change {
                    // Fine if refused: it only says who comes first when the processors are busy.
                    let _ = rustix::process::nice(NICENESS);
                }
                while let Some(job) = jobs.take() {
                    let done = job.run(&*disk, &mut |text| tracing::warn!("{text}"));
                    mailbox.put([Mail::Done(done)]);
                }
            };
            let thread = Builder::new().name(name.to_owned());
            threads.push(thread.spawn(|| or_abort(work))?);
        }
        let mut work = Work { store, mailbox: mailbox.clone(), jobs, start, events };
        let work = move || {
            if let Err(fatal) = work.run() {
                // If nobody listens any more, the server is going down anyway.
                let _ = work.events.send(Event::Fatal(fatal));
            }
            for lane in [Lane::Change, Lane::Read, Lane::Sync] {
                work.jobs.of(lane).close();
            }
        };
        threads.push(Builder::new().name("commit".into()).spawn(|| or_abort(work))?);
        Ok(Self { mailbox, threads })
    }

    /// Hands operations to the store.
    pub(crate) fn submit(&self, ops: impl IntoIterator<Item = SpoolOp>) {
        self.mailbox.put(ops.into_iter().map(Mail::Op));
    }

    /// Gives the store other sizes and times, as far as they can change while it works.
    pub(crate) fn configure(&self, config: StoreConfig) {
        self.mailbox.put([Mail::Configure(config)]);
    }

    /// A way to ask the store.
    pub(crate) fn inquiry(&self) -> Inquiry {
        Inquiry(self.mailbox.clone())
    }

    /// Commits what was submitted, and ends. What is not filed yet stays in the journal.
    pub(crate) fn stop(self) {
        self.mailbox.close();
        for thread in self.threads {
            // A panic would have ended the process.
            let _ = thread.join();
        }
    }
}

/// A thread of the store that panicked would leave the rest waiting for it; a restart recovers.
fn or_abort(work: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err() {
        std::process::abort();
    }
}

/// What waits for the workers of each lane.
struct Jobs {
    change: Mailbox<Job>,
    read: Mailbox<Job>,
    sync: Mailbox<Job>,
}

impl Jobs {
    fn of(&self, lane: Lane) -> &Mailbox<Job> {
        match lane {
            Lane::Change => &self.change,
            Lane::Read => &self.read,
            Lane::Sync => &self.sync,
        }
    }
}

struct Work {
    store: Store,
    mailbox: Mailbox<Mail>,
    jobs: Jobs,
    start: Instant,
    events: UnboundedSender<Event>,
}

impl Work {
    fn run(&mut self) -> Result<(), Fatal> {
        let mut more = false;
        loop {
            self.hand_out();
            let mail = if more {
                self.mailbox.take_all_now()
            } else {
                let now = self.start.elapsed();
                let timeout = self.store.next_timeout().map(|at| at.saturating_sub(now));
                self.mailbox.take_all(timeout)
            };
            let now = self.start.elapsed();
            let Some(mail) = mail else { return self.store.finish(now) };
            for mail in mail {
                match mail {
                    Mail::Op(op) => self.store.submit(now, op),
                    Mail::Done(done) => self.store.job_done(now, done)?,
                    Mail::Configure(config) => self.store.configure(now, config),
                    // Whoever asked may have gone.
                    Mail::Unfiled(answer) => drop(answer.send(self.store.unfiled())),
                }
            }
            if self.store.next_timeout().is_some_and(|at| at <= now) {
                self.store.handle_timeout(now);
            }
            more = self.store.commit(now)?;
        }
    }

    fn hand_out(&mut self) {
        let done: Vec<SpoolDone> = std::iter::from_fn(|| self.store.poll_done()).collect();
        if !done.is_empty() {
            // If nobody listens any more, the server is going down anyway.
            let _ = self.events.send(Event::Spool(done));
        }
        while let Some(job) = self.store.poll_job() {
            self.jobs.of(job.lane()).put([job]);
        }
    }
}
