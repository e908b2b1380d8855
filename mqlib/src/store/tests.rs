//! What the simulation found, small enough to read.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::directory::{Member, User};
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

const NODE: NodeId = NodeId { user: UserId(0), offset: 0 };

/// A second device of `NODE`'s user.
const OTHER: NodeId = NodeId { user: UserId(0), offset: 1 };

fn add_bob(store: &mut Store) {
    let user = User { name: "bob".into(), ..User::default() };
    store.submit(Duration::ZERO, SpoolOp::Edit(1, vec![Edit::User(UserId(0), user)]));
}

fn post(id: MessageId) -> SpoolOp {
    post_to(id, vec![NODE])
}

fn post_to(id: MessageId, nodes: Vec<NodeId>) -> SpoolOp {
    let content = Content::Whole((&b"2   {}"[..]).into());
    SpoolOp::Commit(Post {
        id,
        origin: NODE,
        nodes,
        to_one: false,
        content,
        key: None,
        goes_on: false,
    })
}

fn edit() -> SpoolOp {
    SpoolOp::Edit(1, vec![Edit::Member("list".into(), UserId(0), Some(Member::Full))])
}

/// Lets the store work in these seconds; what it answers.
fn work(store: &mut Store, disk: &SimDisk, seconds: std::ops::Range<u64>) -> Vec<SpoolDone> {
    for now in seconds.map(Duration::from_secs) {
        store.handle_timeout(now);
        for _ in 0..5 {
            store.commit(now).unwrap();
            while let Some(job) = store.poll_job() {
                store.job_done(now, job.run(disk, &mut |_| ())).unwrap();
            }
        }
    }
    std::iter::from_fn(|| store.poll_done()).collect()
}

#[test]
fn the_directory_is_not_changed_on_a_disk_that_fills_up_meanwhile_and_posts_behind_are_refused() {
    let disk = SimDisk::new(0);
    let (mut store, next) = open(&disk);
    // It had room a moment ago.
    work(&mut store, &disk, 0..2);
    disk.set_full(true);
    store.submit(Duration::ZERO, edit());
    store.submit(Duration::ZERO, post(next));
    let done = work(&mut store, &disk, 2..4);
    assert!(done.iter().any(|done| matches!(done, SpoolDone::Full(true))), "{done:?}");
    assert!(done.iter().any(|done| matches!(done, SpoolDone::Refused(id, _) if *id == next)));
    assert!(!done.iter().any(|done| matches!(done, SpoolDone::Edited(_))), "{done:?}");
    disk.set_full(false);
    let done = work(&mut store, &disk, 4..6);
    assert!(done.iter().any(|done| matches!(done, SpoolDone::Edited(1))), "{done:?}");
}

#[test]
fn a_directory_whose_sync_failed_opens_whatever_a_power_cut_leaves_of_the_start_behind_it() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(0);
    for (seed, cut) in (0..20).flat_map(|seed| (1..25).map(move |cut| (seed, cut))) {
        let disk = SimDisk::new(seed);
        let (mut store, _) = open(&disk);
        store.submit(Duration::ZERO, edit());
        store.commit(Duration::ZERO).unwrap();
        while let Some(job) = store.poll_job() {
            store.job_done(Duration::ZERO, job.run(&disk, &mut |_| ())).unwrap();
        }
        disk.fail_next(Some(Op::DatabaseSync), 0, Errno::IO);
        assert!(store.commit(Duration::ZERO).is_err());
        drop(store);
        disk.kill();
        disk.crash_at(cut);
        let config = StoreConfig { segments: 3, segment_len: 64 << 10, ..StoreConfig::default() };
        drop(Store::open(&disk.mount(), config, Birth { salt: [1; 32], tag: 7 }));
        disk.crash_keeping(0.1, &mut rng);
        open(&disk);
    }
}

#[test]
fn a_damaged_message_is_told_as_lost_to_its_node_whoever_asked() {
    let disk = SimDisk::new(0);
    let (mut store, next) = open(&disk);
    add_bob(&mut store);
    store.submit(Duration::ZERO, post(next));
    work(&mut store, &disk, 0..3);
    let file = format!("{}/{next}", spool::directory("bob", NODE));
    assert!(disk.exists(&file).unwrap());
    disk.patch(&file, 0, b"X").unwrap();
    store.submit(Duration::ZERO, SpoolOp::Read(NODE, next, false));
    let done = work(&mut store, &disk, 3..5);
    let lost =
        |done: &SpoolDone| matches!(done, SpoolDone::Lost(NODE, len) if *len == b"2   {}".len());
    assert!(done.iter().any(lost), "{done:?}");
}

/// Does a message of `NODE`'s wait for `OTHER` as well?
fn waits_for_other(store: &mut Store, disk: &SimDisk, id: MessageId) -> bool {
    let now = Duration::from_secs(5);
    store.submit(now, SpoolOp::Glance(9, NODE, vec![(id, false)], true, vec![OTHER]));
    work(store, disk, 5..6)
        .into_iter()
        .find_map(|done| match done {
            SpoolDone::Glanced(9, seen) => Some(seen[0].by_others),
            _ => None,
        })
        .unwrap()
}

#[test]
fn a_node_that_was_copied_to_before_a_crash_has_what_is_to_be_filed_again_until_it_acks() {
    let disk = SimDisk::new(0);
    let (mut store, id) = open(&disk);
    add_bob(&mut store);
    store.submit(Duration::ZERO, post(id));
    store.submit(Duration::ZERO, SpoolOp::Copy(2, NODE, OTHER));
    work(&mut store, &disk, 0..3);
    disk.crash_keeping(1.0, &mut Xoshiro256PlusPlus::seed_from_u64(0));
    let (mut store, _) = open(&disk);
    assert!(store.index.get(id).is_some(), "it is to be filed again");
    assert!(waits_for_other(&mut store, &disk, id));

    disk.crash_keeping(1.0, &mut Xoshiro256PlusPlus::seed_from_u64(0));
    let (mut store, _) = open(&disk);
    store.submit(Duration::from_secs(5), SpoolOp::Delete(vec![id], vec![OTHER]));
    assert!(!waits_for_other(&mut store, &disk, id));
}

#[test]
fn what_is_not_filed_yet_waits_for_the_other_nodes_it_was_posted_to() {
    let disk = SimDisk::new(0);
    let (mut store, id) = open(&disk);
    add_bob(&mut store);
    work(&mut store, &disk, 0..1);
    store.submit(Duration::ZERO, post_to(id, vec![NODE, OTHER]));
    store.commit(Duration::ZERO).unwrap();
    assert!(waits_for_other(&mut store, &disk, id));
}

#[test]
fn what_another_node_acks_while_it_is_filed_waits_for_that_node_no_more() {
    let disk = SimDisk::new(0);
    let (mut store, id) = open(&disk);
    add_bob(&mut store);
    work(&mut store, &disk, 0..1);
    let now = Duration::from_secs(4);
    store.submit(Duration::ZERO, post_to(id, vec![NODE, OTHER]));
    store.commit(Duration::ZERO).unwrap();
    store.handle_timeout(now);
    let filing = std::iter::from_fn(|| store.poll_job()).find(|job| matches!(job, Job::File(_)));
    store.submit(now, SpoolOp::Delete(vec![id], vec![OTHER]));
    assert!(!waits_for_other(&mut store, &disk, id));
    assert!(store.index.get(id).is_some_and(Entry::is_filing), "{filing:?}");
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
    let done = work(&mut store, &disk, 0..10);
    assert!(done.iter().any(|done| matches!(done, SpoolDone::Committed(id) if *id == next)));
}

#[test]
fn a_message_that_the_disk_refuses_to_read_is_tried_again_and_passed_over_only_in_the_end() {
    let disk = SimDisk::new(0);
    let (mut store, next) = open(&disk);
    add_bob(&mut store);
    store.submit(Duration::ZERO, post(next));
    work(&mut store, &disk, 0..3);
    let loaded = |done: Vec<SpoolDone>| {
        done.into_iter().find_map(|done| match done {
            SpoolDone::Loaded(NODE, id, message) if id == next => Some(message),
            _ => None,
        })
    };
    for (refusals, at) in [(1, 10), (100, 20)] {
        disk.fail_next(Some(Op::Read), 0, Errno::IO);
        store.submit(Duration::from_secs(at), SpoolOp::Read(NODE, next, false));
        assert!(loaded(work(&mut store, &disk, at..at + 1)).is_none(), "{refusals}");
        let mut found = None;
        for second in at + 1..at + 6 {
            if second - at < refusals {
                disk.fail_next(Some(Op::Read), 0, Errno::IO);
            }
            found = found.or(loaded(work(&mut store, &disk, second..second + 1)));
        }
        assert_eq!(found.expect("an answer").is_some(), refusals == 1);
    }
}
