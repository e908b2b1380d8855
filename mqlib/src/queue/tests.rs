use super::*;
use crate::id::IdSource;
use crate::node::UserId;

const PATIENCE: Patience =
    Patience { first: Duration::from_secs(10), most: Duration::from_secs(300) };

/// With less for a link than the queue keeps in memory.
fn limits() -> Limits {
    Limits { unwritten: 16 << 10, warm: 32 << 10, ..Limits::default() }
}

/// A queue of a node that is online, for which 100 messages of 1 KiB were committed, and what
/// is done at first: bytes sent, and bytes marked.
fn clogged(limits: &Limits) -> (Queue, usize, usize) {
    let mut queue =
        Queue::new(NodeId { user: UserId(0), offset: 0 }, Version::V2 { window: 100 }, PATIENCE);
    let now = Duration::ZERO;
    assert!(matches!(queue.next(now, &mut Owners::new(), limits), Some(Step::List(_))));
    queue.listed(Vec::new(), None, limits);
    let mut ids = IdSource::new(0, MessageId::ZERO);
    for nth in 1..=100 {
        let message = Some(Bytes::from(vec![0; 1024]));
        let read = Some(now);
        queue.push(Item { id: ids.next(nth), to_one: false, message, read }, limits);
    }
    let (sent, marked) = steps(&mut queue, now, limits);
    (queue, sent, marked)
}

fn steps(queue: &mut Queue, now: Duration, limits: &Limits) -> (usize, usize) {
    let (mut sent, mut marked) = (0, 0);
    while let Some(step) = queue.next(now, &mut Owners::new(), limits) {
        match step {
            Step::Send { message, .. } => sent += message.len(),
            Step::Mark(bytes) => marked += bytes,
            Step::Settle => queue.settled(),
            Step::Read(..) | Step::List(_) => {}
        }
    }
    (sent, marked)
}

#[test]
fn a_link_that_writes_nothing_gets_no_more_than_its_limit() {
    let limits = limits();
    let (mut queue, sent, marked) = clogged(&limits);
    assert_eq!((sent, marked), (limits.unwritten, limits.unwritten));
    assert_eq!(steps(&mut queue, Duration::ZERO, &limits), (0, 0));
    queue.written(marked / 2);
    assert_eq!(steps(&mut queue, Duration::ZERO, &limits).0, limits.unwritten / 2);
}

#[test]
fn what_is_purged_in_flight_keeps_its_place_until_its_ack_which_counts_no_more_or_until_it_is_due()
{
    let limits = Limits { unwritten: 1 << 20, ..limits() };
    let mut queue =
        Queue::new(NodeId { user: UserId(0), offset: 0 }, Version::V2 { window: 2 }, PATIENCE);
    let now = Duration::ZERO;
    assert!(matches!(queue.next(now, &mut Owners::new(), &limits), Some(Step::List(_))));
    queue.listed(Vec::new(), None, &limits);
    let mut ids = IdSource::new(0, MessageId::ZERO);
    let ids: Vec<_> = (1..=5).map(|nth| ids.next(nth)).collect();
    for &id in &ids {
        let message = Some(Bytes::from(vec![0; 10]));
        queue.push(Item { id, to_one: false, message, read: None }, &limits);
    }
    assert_eq!(steps(&mut queue, now, &limits).0, 20);
    queue.purge(ids[0]);
    queue.purge(ids[2]);
    assert_eq!(steps(&mut queue, now, &limits).0, 0);
    assert_eq!(queue.ack(ids[0]), None);
    assert_eq!(steps(&mut queue, now, &limits).0, 10);
    assert!(queue.ack(ids[3]).is_some());
    queue.purge(ids[1]);
    assert_eq!(steps(&mut queue, now, &limits).0, 10);
    let late = Duration::from_secs(11);
    assert!(queue.next_retry().is_some_and(|at| at <= late));
    assert!(queue.ack(ids[4]).is_some());
    queue.retry(late, &limits);
    assert!(queue.is_empty());
}

#[test]
fn what_is_acked_keeps_its_place_until_that_is_durable() {
    let limits = Limits::default();
    let mut queue =
        Queue::new(NodeId { user: UserId(0), offset: 0 }, Version::V2 { window: 4 }, PATIENCE);
    let mut ids = IdSource::new(0, MessageId::ZERO);
    let ids: Vec<_> = (1..=10).map(|nth| ids.next(nth)).collect();
    // How many are sent, and whether acks are to be made durable.
    let go_on = |queue: &mut Queue| {
        let steps = std::iter::from_fn(|| queue.next(Duration::ZERO, &mut Owners::new(), &limits));
        let steps: Vec<_> = steps.filter(|step| !matches!(step, Step::List(_))).collect();
        let sent = steps.iter().filter(|step| matches!(step, Step::Send { .. })).count();
        (sent, steps.contains(&Step::Settle))
    };
    // What was acked on a link before may not be durable.
    assert_eq!(go_on(&mut queue), (0, true));
    queue.listed(Vec::new(), None, &limits);
    for &id in &ids {
        let message = Some(Bytes::from_static(b"message"));
        queue.push(Item { id, to_one: false, message, read: None }, &limits);
    }
    assert_eq!(go_on(&mut queue), (0, false));
    queue.settled();
    assert_eq!(go_on(&mut queue), (4, false));
    queue.ack(ids[0]);
    assert_eq!(go_on(&mut queue), (0, true));
    queue.ack(ids[1]);
    queue.ack(ids[2]);
    assert_eq!(go_on(&mut queue), (0, false));
    queue.settled();
    // Of the four places one is in flight, and two were acked meanwhile.
    assert_eq!(go_on(&mut queue), (1, true));
    queue.settled();
    assert_eq!(go_on(&mut queue), (2, false));
    // Nobody waits for the places of the last ones.
    for &id in &ids[3..7] {
        queue.ack(id);
    }
    assert_eq!(go_on(&mut queue), (0, true));
    queue.settled();
    assert_eq!(go_on(&mut queue), (3, false));
    for &id in &ids[7..] {
        queue.ack(id);
    }
    assert_eq!(go_on(&mut queue), (0, false));
    assert!(queue.is_empty());
}

#[test]
fn what_is_due_again_waits_for_a_link_that_writes_nothing_and_bodies_are_forgotten() {
    let limits = limits();
    let (mut queue, ..) = clogged(&limits);
    assert!(queue.warm > 0);
    let late = Duration::from_secs(11);
    queue.retry(late, &limits);
    assert_eq!(steps(&mut queue, late, &limits), (0, 0));
    assert_eq!((queue.warm, queue.pending.len()), (0, REMEMBERED));
    assert!(queue.next_retry() > Some(late));
}

#[test]
fn what_was_read_for_a_link_that_writes_nothing_is_forgotten_and_read_again() {
    let limits = limits();
    let (now, late) = (Duration::ZERO, Duration::from_secs(11));
    let mut owners = Owners::new();
    let mut queue =
        Queue::new(NodeId { user: UserId(0), offset: 0 }, Version::V2 { window: 100 }, PATIENCE);
    queue.next(now, &mut owners, &limits);
    let mut ids = IdSource::new(0, MessageId::ZERO);
    let found = (1..=40).map(|nth| (ids.next(nth), false)).collect();
    queue.listed(found, None, &limits);
    let body = || Some(Bytes::from(vec![0; 1024]));
    let read = |queue: &Queue| {
        queue.flights.iter().filter(|flight| matches!(flight.place, Place::Ready(_))).count()
    };
    for _ in 0..40 {
        let mut asked = Vec::new();
        while let Some(step) = queue.next(now, &mut Owners::new(), &limits) {
            match step {
                Step::Read(id, _) => asked.push(id),
                Step::Settle => queue.settled(),
                _ => {}
            }
        }
        asked.into_iter().for_each(|id| queue.loaded(id, body(), &mut owners, &limits));
    }
    assert!(read(&queue) > 0);
    queue.retry(late, &limits);
    assert_eq!(read(&queue), 0);
    queue.written(limits.unwritten);
    assert!(matches!(queue.next(late, &mut owners, &limits), Some(Step::Read(..))));
}

#[test]
fn a_node_that_acks_has_more_in_hand_until_it_is_late() {
    let limits = Limits { flying: 1 << 30, ..limits() };
    let (mut queue, sent, marked) = clogged(&limits);
    assert_eq!(sent, limits.unwritten);
    queue.written(marked);
    let first = queue.flights.front().map(|flight| flight.id).unwrap();
    assert!(queue.ack(first).is_some());
    // What was read again is not in memory.
    queue.pending.iter_mut().for_each(|waiting| waiting.item.message = None);
    queue.warm = 0;
    let late = Duration::from_secs(11);
    let mut handed = 0;
    loop {
        let mut asked = Vec::new();
        while let Some(step) = queue.next(Duration::ZERO, &mut Owners::new(), &limits) {
            match step {
                Step::Send { message, .. } => handed += message.len(),
                Step::Read(id, _) => asked.push(id),
                Step::Settle => queue.settled(),
                Step::Mark(_) | Step::List(_) => {}
            }
        }
        if asked.is_empty() {
            break;
        }
        let body = || Some(Bytes::from(vec![0; 1024]));
        asked.into_iter().for_each(|id| queue.loaded(id, body(), &mut Owners::new(), &limits));
    }
    assert_eq!(handed, PROMPT * limits.unwritten);
    assert!(queue.prompt);
    queue.retry(late, &limits);
    assert!(!queue.prompt);
}
