//! The store's threads: one that commits, and workers that do what touches many files.

use crate::engine::Event;
use crate::mailbox::Mailbox;
use crate::metrics::figures::{StoreFigures, StoreWork};
use mqlib::disk::Disk;
use mqlib::spool::{Job, JobDone, Lane};
use mqlib::store::{Fatal, SpoolDone, SpoolOp, Store, StoreConfig};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
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
    /// A worker has done a job. If it was a sync of the file system, how long that took.
    Done(JobDone, Option<Duration>),
    /// These are its sizes and times from now on.
    Configure(StoreConfig),
    /// What was done, and how does it stand?
    Figures(oneshot::Sender<StoreFigures>),
    /// Somebody wants to ask the store something. Nothing is committed meanwhile.
    Ask(Ask),
}

struct Ask(Box<dyn FnOnce(&mut Store) + Send>);

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

/// Asks the store, while it works.
#[derive(Debug, Clone)]
pub(crate) struct Inquiry(Mailbox<Mail>);

impl Inquiry {
    /// Of a store that does not answer.
    #[cfg(test)]
    pub(crate) fn unanswered() -> Self {
        Self(Mailbox::new())
    }

    /// Tells the store something, on the thread that commits.
    pub(crate) fn tell(&self, tell: impl FnOnce(&mut Store) + Send + 'static) {
        self.0.put([Mail::Ask(Ask(Box::new(tell)))]);
    }

    /// Asks the store something, on the thread that commits. `None` when it has ended.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Store) -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        // Whoever asked may have gone.
        self.tell(move |store| drop(answer.send(ask(store))));
        answered.await.ok()
    }

    /// What was done, and how it stands. `None` when the store has ended.
    pub(crate) async fn figures(&self) -> Option<StoreFigures> {
        let (answer, figures) = oneshot::channel();
        self.0.put([Mail::Figures(answer)]);
        figures.await.ok()
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
                    let begun = matches!(job, Job::Checkpoint { .. }).then(Instant::now);
                    let done = job.run(&*disk, &mut |text| tracing::warn!("{text}"));
                    mailbox.put([Mail::Done(done, begun.map(|begun| begun.elapsed()))]);
                }
            };
            let thread = Builder::new().name(name.to_owned());
            threads.push(thread.spawn(|| or_abort(work))?);
        }
        let work = StoreWork::new();
        let mut work = Work { store, mailbox: mailbox.clone(), jobs, start, events, work };
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
    work: StoreWork,
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
                    Mail::Done(done, sync) => {
                        sync.into_iter().for_each(|took| self.work.syncs.add_time(took));
                        self.store.job_done(now, done)?;
                    }
                    Mail::Configure(config) => self.store.configure(now, config),
                    Mail::Figures(answer) => drop(answer.send(self.figures())),
                    Mail::Ask(Ask(ask)) => ask(&mut self.store),
                }
            }
            if self.store.next_timeout().is_some_and(|at| at <= now) {
                self.store.handle_timeout(now);
            }
            more = self.commit(now)?;
        }
    }

    fn commit(&mut self, now: Duration) -> Result<bool, Fatal> {
        let (begun, before) = (self.start.elapsed(), *self.store.totals());
        let more = self.store.commit(now)?;
        let after = self.store.totals();
        if after.written > before.written {
            self.work.commits.add_time(self.start.elapsed() - begun);
            self.work.messages.add(after.committed - before.committed);
            self.work.bytes.add(after.written - before.written);
        }
        Ok(more)
    }

    fn figures(&self) -> StoreFigures {
        let (totals, state) = (*self.store.totals(), self.store.state());
        StoreFigures { totals, state, work: self.work }
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
