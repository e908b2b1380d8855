use super::*;

const fn node(user: u32, node: u32) -> NodeRef {
    NodeRef { user, node }
}

const A: NodeRef = node(0, 0);
const A2: NodeRef = node(0, 1);
const B: NodeRef = node(1, 0);
const B2: NodeRef = node(1, 1);
const C: NodeRef = node(2, 0);

fn post(from: NodeRef, seq: u64) -> PostRef {
    PostRef { from, seq }
}

/// A ledger that knows two nodes of users 0 and 1 each, and one of user 2.
fn ledger() -> Ledger {
    let mut ledger = Ledger::default();
    for node in [A, A2, B, B2, C] {
        ledger.joined(node);
    }
    ledger
}

/// A posts to user 1, with a copy to its own other node.
fn post_to_b(ledger: &mut Ledger, seq: u64) -> PostRef {
    let post = post(A, seq);
    ledger.posted(post, Audience { users: [1].into(), copies: true, ..Audience::default() });
    post
}

fn arrive(ledger: &mut Ledger, post: PostRef, nodes: &[NodeRef]) {
    for &node in nodes {
        ledger.arrived(node, post);
    }
}

#[test]
fn a_clean_history_passes_and_leaves_nothing_in_memory() {
    let mut ledger = ledger();
    for seq in 1..100 {
        let post = post_to_b(&mut ledger, seq);
        arrive(&mut ledger, post, &[B]);
        ledger.acked(post);
        assert_eq!(ledger.missing(), 2);
        arrive(&mut ledger, post, &[A2, B2]);
        assert_eq!((ledger.missing(), ledger.in_flight()), (0, 0));
    }
    assert!(ledger.posts.values().all(BTreeMap::is_empty));
    let (counts, examples) = ledger.close_books();
    assert!(counts.are_clean() && examples.is_empty());
    assert_eq!((counts.posts, counts.acked, counts.deliveries), (99, 99, 297));
}

#[test]
fn an_acked_post_that_one_node_never_got_is_lost_there() {
    let mut ledger = ledger();
    let post = post_to_b(&mut ledger, 1);
    ledger.acked(post);
    arrive(&mut ledger, post, &[B, A2]);
    let (counts, examples) = ledger.close_books();
    assert_eq!(counts.lost, 1);
    assert_eq!(examples, ["lost: post 1 of user 0 node 0 never arrived at user 1 node 1"]);
}

#[test]
fn a_post_that_was_never_acked_may_arrive_somewhere_or_nowhere() {
    let mut ledger = ledger();
    let first = post_to_b(&mut ledger, 1);
    let second = post_to_b(&mut ledger, 2);
    arrive(&mut ledger, second, &[B]);
    ledger.abandoned(first);
    ledger.abandoned(second);
    post_to_b(&mut ledger, 3);
    let (counts, _) = ledger.close_books();
    assert!(counts.are_clean());
    assert_eq!(counts.abandoned, 2);
}

#[test]
fn a_first_arrival_behind_a_later_post_is_out_of_order() {
    let mut ledger = ledger();
    let posts = [post_to_b(&mut ledger, 1), post_to_b(&mut ledger, 2)];
    arrive(&mut ledger, posts[1], &[B, B2, A2]);
    arrive(&mut ledger, posts[0], &[B]);
    assert_eq!(ledger.counts().out_of_order, 1);
    // Acked or not, and whoever settles first.
    ledger.acked(posts[0]);
    arrive(&mut ledger, posts[0], &[B2]);
    assert_eq!(ledger.counts().out_of_order, 2);
}

#[test]
fn the_order_of_one_sender_says_nothing_about_anothers() {
    let mut ledger = ledger();
    let to_c = Audience { users: [2].into(), ..Audience::default() };
    let posts = [post(A, 7), post(A2, 1), post(B, 3)];
    posts.iter().for_each(|&post| ledger.posted(post, to_c.clone()));
    posts.iter().for_each(|&post| ledger.acked(post));
    posts.iter().for_each(|&post| ledger.arrived(C, post));
    assert!(ledger.close_books().0.are_clean());
}

#[test]
fn duplicates_are_counted_and_allowed_even_behind_later_posts() {
    let mut ledger = ledger();
    let posts = [post_to_b(&mut ledger, 1), post_to_b(&mut ledger, 2)];
    for post in posts {
        arrive(&mut ledger, post, &[B, B2, A2]);
        ledger.acked(post);
    }
    arrive(&mut ledger, posts[0], &[B]);
    arrive(&mut ledger, posts[1], &[B]);
    let (counts, _) = ledger.close_books();
    assert!(counts.are_clean());
    assert_eq!((counts.duplicates, counts.deliveries), (2, 6));
}

#[test]
fn what_is_not_what_was_posted_is_corrupted() {
    let mut ledger = ledger();
    ledger.corrupted(B, "2 bytes of data in place of 3");
    let (counts, examples) = ledger.close_books();
    assert_eq!(counts.corrupted, 1);
    assert_eq!(examples, ["corrupted: at user 1 node 0: 2 bytes of data in place of 3"]);
}

#[test]
fn a_post_at_a_node_of_no_recipient_is_astray() {
    let mut ledger = ledger();
    let post = post_to_b(&mut ledger, 1);
    arrive(&mut ledger, post, &[C]);
    assert_eq!(ledger.counts().astray, 1);
    let no_copies = PostRef { from: A, seq: 2 };
    ledger.posted(no_copies, Audience { users: [1].into(), ..Audience::default() });
    arrive(&mut ledger, no_copies, &[A2]);
    assert_eq!(ledger.counts().astray, 2);
}

#[test]
fn somebody_whom_another_adds_to_a_list_meanwhile_may_get_it_or_not() {
    for arrives in [true, false] {
        let mut ledger = ledger();
        let post = post(A, 1);
        let audience = Audience { users: [1].into(), perhaps: [2].into(), copies: false };
        ledger.posted(post, audience);
        if arrives {
            arrive(&mut ledger, post, &[C]);
        }
        ledger.acked(post);
        arrive(&mut ledger, post, &[B, B2]);
        assert!(ledger.close_books().0.are_clean());
    }
}

#[test]
fn a_node_added_while_a_post_is_in_flight_may_get_it_or_not() {
    for arrives in [true, false] {
        let mut ledger = ledger();
        let post = post_to_b(&mut ledger, 1);
        let new = node(1, 2);
        ledger.joined(new);
        ledger.acked(post);
        arrive(&mut ledger, post, &[B, B2, A2]);
        if arrives {
            arrive(&mut ledger, post, &[new]);
        }
        assert!(ledger.close_books().0.are_clean());
    }
}

#[test]
fn the_sending_node_gets_its_own_post_only_when_it_is_addressed() {
    let mut ledger = ledger();
    let own = post(A, 1);
    ledger.posted(own, Audience { users: [0].into(), copies: true, ..Audience::default() });
    ledger.acked(own);
    assert_eq!(ledger.missing(), 2);
    let copies = post(A, 2);
    ledger.posted(copies, Audience { copies: true, ..Audience::default() });
    ledger.acked(copies);
    assert_eq!(ledger.missing(), 3);
}

#[test]
fn posts_of_unknown_fate_do_not_pile_up() {
    let mut ledger = ledger();
    for seq in 1..=2 * ABANDONED as u64 {
        let post = post_to_b(&mut ledger, seq);
        ledger.abandoned(post);
    }
    assert_eq!(ledger.posts[&A].len(), ABANDONED);
    assert_eq!(ledger.in_flight(), 0);
}

#[test]
fn what_was_not_waited_for_is_not_called_lost() {
    let mut ledger = ledger();
    let post = post_to_b(&mut ledger, 1);
    ledger.acked(post);
    ledger.forgive();
    assert!(ledger.close_books().0.are_clean());
}
