mod vectors;
mod version2;

use super::*;
use crate::message::{Message, To};

/// A session whose clock and peer are the test's.
struct World {
    session: Session,
    now: Instant,
}

const WELCOME: &str = r#"{"op":"info","info":"ok login","v":2,"server":"s 1","node":3,"window":4,"queued":5,"maxMessage":200,"time":"t"}"#;
const OLD_WELCOME: &str = r#"{"op":"info","info":"ok login"}"#;

impl World {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let now = Instant::now();
        let mut config = Config::new("ws://h", "alice", "s3cret");
        config.max_unacked = 3;
        config.window = 4;
        change(&mut config);
        Self { session: Session::new(config, now, Saved::default()), now }
    }

    fn online() -> Self {
        let mut world = Self::new();
        world.log_in();
        world
    }

    /// Online with a server that speaks only version 1.
    fn original() -> Self {
        let mut world = Self::new();
        world.log_in_to(OLD_WELCOME);
        world
    }

    fn log_in(&mut self) {
        self.log_in_to(WELCOME);
    }

    fn log_in_to(&mut self, welcome: &str) {
        self.session.connected(self.now);
        let login = r#"{"op":"login","userId":"alice","nodeId":"s3cret","v":2,"window":4}"#;
        assert_eq!(self.sent(), [login]);
        self.hear(welcome);
        assert!(matches!(self.session.phase(), Phase::Online));
        self.session.events.retain(|event| !matches!(event, Event::LoggedIn(_)));
    }

    fn reconnect(&mut self) {
        self.lose();
        self.wait();
        self.log_in();
    }

    fn deliver(&mut self, ids: impl IntoIterator<Item = impl std::fmt::Display>) {
        for id in ids {
            self.hear(&format!(r#"{{"op":"deliver","id":"{id}","from":"bob"}}"#));
        }
    }

    fn hear(&mut self, header: &str) {
        let message = Bytes::from(format!("{:<4x}{header}", header.len()));
        self.session.received(self.now, &message, 0.0);
    }

    /// What was sent, without the lengths of the headers.
    fn sent(&mut self) -> Vec<String> {
        let messages = std::iter::from_fn(|| self.session.poll_transmit(self.now));
        messages.map(|message| String::from_utf8_lossy(&message[4..]).into_owned()).collect()
    }

    fn post(&mut self, text: &'static str) -> u64 {
        let request = Request::Post { to: To::user("bob"), message: Message::data(text) };
        self.session.submit(self.now, &request, None).unwrap()
    }

    /// The data of the posts that were sent.
    fn posted(&mut self) -> Vec<String> {
        let posts = self.sent().into_iter();
        posts.map(|post| post.rsplit_once('}').unwrap().1.to_owned()).collect()
    }

    fn settled(&mut self) -> Vec<(u64, bool)> {
        std::iter::from_fn(|| self.session.poll_event())
            .filter_map(|event| match event {
                Event::Settled(id, result) => Some((id, result.is_ok())),
                _ => None,
            })
            .collect()
    }

    fn letters(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.session.poll_event())
            .filter_map(|event| match event {
                Event::Letter(letter) => Some(letter.id),
                _ => None,
            })
            .collect()
    }

    fn lose(&mut self) {
        self.session.lost(self.now, Error::Lost("test".into()), 0.0);
    }

    /// Lets time pass up to the next timeout; how long that was.
    fn wait(&mut self) -> Duration {
        let before = self.now;
        self.now = self.session.next_timeout().unwrap();
        self.session.timed_out(self.now, 1.0);
        self.now - before
    }

    fn ended(&self) -> bool {
        matches!(self.session.phase(), Phase::Ended(_))
    }
}

#[test]
fn unacked_posts_are_sent_again_in_their_order_after_a_lost_link() {
    let mut world = World::online();
    let ids = [world.post("a"), world.post("b")];
    assert_eq!(world.posted(), ["a", "b"]);
    world.hear(&format!(r#"{{"op":"ack","id":"{}","type":"ok"}}"#, ids[0]));
    assert_eq!(world.settled(), [(ids[0], true)]);
    world.lose();
    world.post("c");
    assert!(world.sent().is_empty());
    world.wait();
    world.log_in();
    assert_eq!(world.posted(), ["b", "c"]);
    assert_eq!((world.session.stats().resent, world.session.stats().reconnects), (1, 1));
}

#[test]
fn no_more_requests_are_on_a_link_than_the_server_knows_again() {
    let mut world = World::online();
    let ids: Vec<_> = (0..1500).map(|_| world.post("x")).collect();
    assert_eq!(world.sent().len(), 1024);
    for id in [ids[3], ids[1200]] {
        world.hear(&format!(r#"{{"op":"ack","id":"{id}","type":"ok"}}"#));
    }
    // One is off the link; the other was not on it.
    assert_eq!(world.sent().len(), 1);
    world.reconnect();
    assert_eq!(world.sent().len(), 1024);
}

#[test]
fn a_second_ack_of_a_post_sent_twice_is_ignored() {
    let mut world = World::online();
    let id = world.post("a");
    let ack = format!(r#"{{"op":"ack","id":"{id}","type":"ok"}}"#);
    world.hear(&ack);
    world.hear(&ack);
    world.hear(r#"{"op":"ack","id":"x","type":"ok"}"#);
    assert_eq!(world.settled(), [(id, true)]);
}

#[test]
fn the_first_attempt_fails_at_once_and_later_ones_are_repeated_with_growing_pauses() {
    let mut world = World::new();
    world.lose();
    assert!(world.ended());

    let mut world = World::online();
    world.lose();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        world.lose();
        pauses.push(world.wait().as_millis());
        assert!(matches!(world.session.phase(), Phase::Connecting { .. }));
        world.session.lost(world.now, Error::NodeActive, 1.0);
    }
    assert_eq!(pauses, [50, 200, 400, 800, 1600, 3200, 5000, 5000]);
}

#[test]
fn a_node_held_by_a_dead_link_is_waited_for_but_an_unknown_one_is_final() {
    let mut world = World::online();
    world.lose();
    for (text, ended) in
        [("node already active", false), ("shutdown", false), ("nodeId unknown", true)]
    {
        world.wait();
        world.session.connected(world.now);
        world.hear(&format!(r#"{{"op":"quit","info":"{text}"}}"#));
        assert_eq!(world.ended(), ended, "{text}");
    }
    let mut first = World::new();
    first.session.connected(first.now);
    first.hear(r#"{"op":"quit","info":"node already active"}"#);
    assert!(matches!(first.session.phase(), Phase::Ended(Error::NodeActive)));
}

#[test]
fn a_refusal_that_would_repeat_itself_ends_the_client_and_fails_what_is_unacked() {
    let mut world = World::online();
    let id = world.post("a");
    world.hear(r#"{"op":"quit","info":"invalid name"}"#);
    assert!(world.ended());
    assert_eq!(world.settled(), [(id, false)]);
    let request = Request::Ping { alias: "a".into(), message: Message::default() };
    assert!(matches!(world.session.submit(world.now, &request, None), Err(Error::Refused(_))));
}

#[test]
fn of_the_posts_sent_the_largest_is_the_one_that_was_too_large() {
    let mut world = World::online();
    let ids = [world.post("small"), world.post("larger than others"), world.post("small")];
    world.sent();
    world.hear(r#"{"op":"quit","info":"message too large"}"#);
    assert_eq!(world.settled(), [(ids[1], false)]);
    world.wait();
    world.log_in();
    assert_eq!(world.posted(), ["small", "small"]);
}

#[test]
fn a_message_held_or_acked_is_not_shown_again_but_a_dropped_one_is() {
    let mut world = World::online();
    let deliver = r#"{"op":"deliver","id":"m1","from":"bob"}"#;
    world.hear(deliver);
    assert_eq!(world.letters(), ["m1"]);
    world.hear(deliver);
    assert!(world.letters().is_empty() && world.sent().is_empty());
    world.session.release("m1");
    world.hear(deliver);
    assert_eq!(world.letters(), ["m1"]);
    world.session.ack("m1");
    let ack = [r#"{"op":"ack","ids":["m1"]}"#];
    assert_eq!(world.sent(), ack);
    world.hear(deliver);
    assert!(world.letters().is_empty());
    assert_eq!(world.sent(), ack);
    assert_eq!(world.session.stats().redelivered, 2);
}

#[test]
fn a_message_acked_while_the_link_was_down_is_acked_when_it_comes_again() {
    let mut world = World::online();
    world.hear(r#"{"op":"deliver","id":"m1","from":"bob"}"#);
    world.lose();
    world.session.ack("m1");
    world.wait();
    world.log_in();
    assert!(world.sent().is_empty());
    world.hear(r#"{"op":"deliver","id":"m1","from":"bob"}"#);
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn new_aliases_are_confirmed_by_the_message_to_all_nodes() {
    let mut world = World::online();
    let id = world.session.submit(world.now, &Request::Aliases("a b".into()), None).unwrap();
    world.sent();
    world.hear(r#"{"op":"registered","id":"m1","from":"alice"}"#);
    assert_eq!(world.settled(), [(id, true)]);
}

#[test]
fn there_is_room_again_when_a_post_is_acked() {
    let mut world = World::online();
    let id = world.post("a");
    world.post("b");
    assert!(world.session.has_room());
    world.post("c");
    assert!(!world.session.has_room());
    world.hear(&format!(r#"{{"op":"ack","id":"{id}","type":"error","error":"e"}}"#));
    assert_eq!(world.settled(), [(id, false)]);
    assert!(world.session.has_room());
}

#[test]
fn a_server_that_owes_an_ack_and_is_silent_is_left() {
    let mut world = World::online();
    assert_eq!(world.wait(), PING_AFTER);
    assert!(matches!(world.session.poll_event(), Some(Event::Ping)));
    world.session.heard(world.now);
    world.now += Duration::from_secs(20);
    world.post("a");
    world.sent();
    assert_eq!(world.wait(), Duration::from_secs(60));
    assert!(matches!(world.session.phase(), Phase::Pause { .. }));
}

#[test]
fn a_ping_that_is_not_answered_ends_the_link_unless_the_framing_has_none() {
    let mut world = World::online();
    world.wait();
    world.session.cannot_ping();
    assert_eq!(world.wait(), PING_AFTER);
    assert!(matches!(world.session.phase(), Phase::Online));
    assert_eq!(world.wait(), Duration::from_secs(60));
    assert!(matches!(world.session.phase(), Phase::Pause { .. }));
}

#[test]
fn what_is_no_message_of_ours_ends_the_link() {
    let mut world = World::online();
    world.session.received(world.now, &Bytes::from_static(b"HTTP/1.1 400"), 0.0);
    assert!(matches!(world.session.phase(), Phase::Pause { .. }));
    let mut world = World::online();
    world.hear(r#"{"op":"deliver","from":"bob"}"#);
    assert!(matches!(world.session.phase(), Phase::Pause { .. }));
    let mut world = World::online();
    world.hear(r#"{"op":"news of a later version"}"#);
    assert!(matches!(world.session.phase(), Phase::Online));
}
