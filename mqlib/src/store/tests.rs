//! What the simulation found, small enough to read.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::id::IdSource;
use crate::node::{NodeId, UserId};
use crate::testing::disk::{Op, SimDisk};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rustix::io::Errno;

fn open(disk: &SimDisk) -> (Store, MessageId) {
    let config = StoreConfig { segments: 3, segment_len: 64 << 10, ..StoreConfig::default() };
    let (store, opened) =
        Store::open(&disk.mount(), config, Birth { salt: [1; 32], tag: 7 }).unwrap();
    (store, IdSource::new(7, opened.last_id).next(0))
}

fn post(id: MessageId) -> SpoolOp {
    let node = NodeId { user: UserId(0), offset: 0 };
    let content = Content::Whole((&b"2   {}"[..]).into());
    let nodes = vec![node];
    SpoolOp::Commit(Post {
        id,
        origin: node,
        nodes,
        to_one: false,
        content,
        key: None,
        goes_on: false,
    })
}

#[test]
fn a_server_that_dies_again_and_again_before_its_first_commit_can_commit_at_last() {
    let disk = SimDisk::new(0);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    for _ in 0..10 {
        let (mut store, next) = open(&disk);
        // The head of a segment is written, and the record behind it is not.
        disk.fail_next(Some(Op::SegmentWrite), 1, Errno::IO);
        store.submit(Duration::ZERO, post(next));
        let _ = store.commit(Duration::ZERO);
        disk.crash_keeping(0.0, &mut rng);
    }
    let (mut store, next) = open(&disk);
    store.submit(Duration::ZERO, post(next));
    for second in 0..10 {
        let now = Duration::from_secs(second);
        store.commit(now).unwrap();
        while let Some(job) = store.poll_job() {
            store.job_done(now, job.run(&disk, &mut |_| ())).unwrap();
        }
    }
    let mut done = std::iter::from_fn(|| store.poll_done());
    assert!(done.any(|done| matches!(done, SpoolDone::Committed(id) if id == next)));
}
