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

/// A history that knows two nodes of users 0 and 1 each, and one of user 2.
fn history() -> History {
    let mut history = History::default();
    for node in [A, A2, B, B2, C] {
        history.joined(node);
    }
    history
}

/// A posts to user 1, with a copy to its own other node.
fn post_to_b(history: &mut History, seq: u64) -> PostRef {
    let post = post(A, seq);
    history.posted(post, Some(Audience { users: [1].into(), copies: true, ..Audience::default() }));
    post
}

fn arrive(history: &mut History, post: PostRef, nodes: &[NodeRef]) {
    for &node in nodes {
        history.delivered(Arrival { node, post: Some(post), id: None, marked: None });
        history.client_acked(node, Some(post), None);
    }
}

#[test]
fn a_clean_history_passes_and_leaves_nothing_in_memory() {
    let mut history = history();
    for seq in 1..100 {
        let post = post_to_b(&mut history, seq);
        arrive(&mut history, post, &[B]);
        history.acked(post, None);
        assert_eq!(history.missing(), 2);
        arrive(&mut history, post, &[A2, B2]);
        assert_eq!((history.missing(), history.in_flight()), (0, 0));
    }
    assert!(history.posts.values().all(BTreeMap::is_empty));
    let (counts, examples) = history.close();
    assert!(counts.are_clean() && examples.is_empty());
    assert_eq!((counts.posts, counts.acked, counts.deliveries), (99, 99, 297));
}

#[test]
fn an_acked_post_that_one_node_never_got_is_lost_there() {
    let mut history = history();
    let post = post_to_b(&mut history, 1);
    history.acked(post, None);
    arrive(&mut history, post, &[B, A2]);
    let (counts, examples) = history.close();
    assert_eq!(counts.lost, 1);
    assert_eq!(examples, [Violation::Lost { post, node: B2 }]);
}

#[test]
fn a_post_that_was_never_acked_may_arrive_somewhere_or_nowhere() {
    let mut history = history();
    let first = post_to_b(&mut history, 1);
    let second = post_to_b(&mut history, 2);
    arrive(&mut history, second, &[B]);
    history.abandoned(first);
    history.abandoned(second);
    post_to_b(&mut history, 3);
    let (counts, _) = history.close();
    assert!(counts.are_clean());
    assert_eq!(counts.abandoned, 2);
}

#[test]
fn a_first_arrival_behind_a_later_post_is_out_of_order() {
    let mut history = history();
    let posts = [post_to_b(&mut history, 1), post_to_b(&mut history, 2)];
    arrive(&mut history, posts[1], &[B, B2, A2]);
    arrive(&mut history, posts[0], &[B]);
    assert_eq!(history.counts().out_of_order, 1);
    // Acked or not, and whoever settles first.
    history.acked(posts[0], None);
    arrive(&mut history, posts[0], &[B2]);
    assert_eq!(history.counts().out_of_order, 2);
}

#[test]
fn the_order_of_one_sender_says_nothing_about_anothers() {
    let mut history = history();
    let to_c = Audience { users: [2].into(), ..Audience::default() };
    let posts = [post(A, 7), post(A2, 1), post(B, 3)];
    posts.iter().for_each(|&post| history.posted(post, Some(to_c.clone())));
    posts.iter().for_each(|&post| history.acked(post, None));
    posts.iter().for_each(|&post| arrive(&mut history, post, &[C]));
    assert!(history.close().0.are_clean());
}

#[test]
fn duplicates_are_counted_and_allowed_even_behind_later_posts() {
    let mut history = history();
    let posts = [post_to_b(&mut history, 1), post_to_b(&mut history, 2)];
    for post in posts {
        arrive(&mut history, post, &[B, B2, A2]);
        history.acked(post, None);
    }
    arrive(&mut history, posts[0], &[B]);
    arrive(&mut history, posts[1], &[B]);
    let (counts, _) = history.close();
    assert!(counts.are_clean());
    assert_eq!((counts.duplicates, counts.deliveries), (2, 6));
}

#[test]
fn what_is_not_what_was_posted_is_corrupted() {
    let mut history = history();
    history.corrupted(B, "2 bytes of data in place of 3");
    let (counts, examples) = history.close();
    assert_eq!(counts.corrupted, 1);
    assert_eq!(
        examples[0].to_string(),
        "corrupted: at user 1 node 0: 2 bytes of data in place of 3"
    );
}

#[test]
fn a_post_at_a_node_of_no_recipient_is_astray() {
    let mut history = history();
    let post = post_to_b(&mut history, 1);
    arrive(&mut history, post, &[C]);
    assert_eq!(history.counts().astray, 1);
    let no_copies = PostRef { from: A, seq: 2 };
    history.posted(no_copies, Some(Audience { users: [1].into(), ..Audience::default() }));
    arrive(&mut history, no_copies, &[A2]);
    assert_eq!(history.counts().astray, 2);
}

#[test]
fn somebody_whom_another_adds_to_a_list_meanwhile_may_get_it_or_not() {
    for arrives in [true, false] {
        let mut history = history();
        let post = post(A, 1);
        let audience = Audience { users: [1].into(), perhaps: [2].into(), copies: false };
        history.posted(post, Some(audience));
        if arrives {
            arrive(&mut history, post, &[C]);
        }
        history.acked(post, None);
        arrive(&mut history, post, &[B, B2]);
        assert!(history.close().0.are_clean());
    }
}

#[test]
fn a_node_added_while_a_post_is_in_flight_may_get_it_or_not() {
    for arrives in [true, false] {
        let mut history = history();
        let post = post_to_b(&mut history, 1);
        let new = node(1, 2);
        history.joined(new);
        history.acked(post, None);
        arrive(&mut history, post, &[B, B2, A2]);
        if arrives {
            arrive(&mut history, post, &[new]);
        }
        assert!(history.close().0.are_clean());
    }
}

#[test]
fn the_sending_node_gets_its_own_post_only_when_it_is_addressed() {
    let mut history = history();
    let own = post(A, 1);
    history.posted(own, Some(Audience { users: [0].into(), copies: true, ..Audience::default() }));
    history.acked(own, None);
    assert_eq!(history.missing(), 2);
    let copies = post(A, 2);
    history.posted(copies, Some(Audience { copies: true, ..Audience::default() }));
    history.acked(copies, None);
    assert_eq!(history.missing(), 3);
}

#[test]
fn posts_of_unknown_fate_do_not_pile_up() {
    let mut history = history();
    for seq in 1..=2 * ABANDONED as u64 {
        let post = post_to_b(&mut history, seq);
        history.abandoned(post);
    }
    assert_eq!(history.posts[&A].len(), ABANDONED);
    assert_eq!(history.in_flight(), 0);
}

#[test]
fn what_was_not_waited_for_is_not_called_lost() {
    let mut history = history();
    let post = post_to_b(&mut history, 1);
    history.acked(post, None);
    history.forgive();
    assert!(history.close().0.are_clean());
}

fn id(number: u128) -> MessageId {
    MessageId::from_bits(number)
}

/// A message arrives at a node for the first time on this connection.
fn get(history: &mut History, node: NodeRef, post: PostRef, number: u128) {
    let (post, id) = (Some(post), Some(id(number)));
    history.delivered(Arrival { node, post, id, marked: Some(false) });
}

fn ack(history: &mut History, node: NodeRef, post: PostRef, number: u128) {
    history.client_acked(node, Some(post), Some(id(number)));
}

fn to_b_alone() -> Option<Audience> {
    Some(Audience { users: [1].into(), ..Audience::default() })
}

#[test]
fn what_arrived_once_and_was_not_acked_must_arrive_again() {
    let mut history = History::default();
    history.joined(B);
    let first = post(A, 1);
    history.posted(first, to_b_alone());
    history.acked(first, None);
    get(&mut history, B, first, 1);
    assert_eq!((history.missing(), history.close().0.lost), (1, 1));
}

#[test]
fn a_message_behind_a_later_one_is_out_of_order_whoever_sent_it() {
    let mut history = history();
    let posts = [post(A, 1), post(C, 1)];
    for post in posts {
        history.posted(post, to_b_alone());
    }
    get(&mut history, B, posts[0], 8);
    get(&mut history, B, posts[1], 7);
    let (counts, examples) = history.close();
    assert_eq!(counts.out_of_order, 1);
    assert_eq!(examples, [Violation::Order { id: id(7), node: B, later: id(8) }]);
}

#[test]
fn an_id_that_is_given_to_two_messages_is_found_out() {
    let mut history = history();
    let posts = [post(A, 1), post(C, 1)];
    for post in posts {
        history.posted(post, to_b_alone());
        get(&mut history, B, post, 8);
        ack(&mut history, B, post, 8);
    }
    assert_eq!(history.counts().ids, 1);
    let posts = [post(B, 1), post(B, 2)];
    for (post, number) in posts.into_iter().zip([20, 19]) {
        history.posted(post, to_b_alone());
        history.acked(post, Some(id(number)));
    }
    assert_eq!(history.counts().ids, 2);
}

#[test]
fn what_a_node_acked_before_a_post_that_was_acked_never_comes_again() {
    for posts_after in [true, false] {
        let mut history = history();
        let first = post(A, 1);
        history.logged_in(B, 10);
        history.posted(first, to_b_alone());
        history.acked(first, Some(id(1)));
        get(&mut history, B, first, 1);
        if posts_after {
            ack(&mut history, B, first, 1);
        }
        let own = post(B, 1);
        history.posted(own, Some(Audience { users: [2].into(), ..Audience::default() }));
        if !posts_after {
            ack(&mut history, B, first, 1);
        }
        history.acked(own, Some(id(2)));
        history.crashed(None);
        history.logged_in(B, 10);
        get(&mut history, B, first, 1);
        assert_eq!(history.counts().deleted, u64::from(posts_after));
        assert_eq!(history.counts().most_duplicates, u64::from(!posts_after));
    }
}

#[test]
fn no_more_than_the_largest_window_comes_again_on_a_connection() {
    let mut history = history();
    let posts: Vec<_> = (1..=3).map(|seq| post(A, seq)).collect();
    history.logged_in(B, 2);
    for (&first, number) in posts.iter().zip(1..) {
        history.posted(first, to_b_alone());
        history.acked(first, Some(id(number)));
        get(&mut history, B, first, number);
        ack(&mut history, B, first, number);
    }
    history.crashed(None);
    history.logged_in(B, 1);
    for (&first, number) in posts.iter().zip(1..) {
        assert_eq!(history.verdict(), Ok(()));
        get(&mut history, B, first, number);
        ack(&mut history, B, first, number);
    }
    let broken = Violation::Again { node: B, again: 3, window: 2 };
    assert_eq!(history.verdict(), Err(broken));
}

#[test]
fn an_ack_on_a_lost_connection_is_no_delete() {
    let mut history = history();
    let first = post(A, 1);
    history.logged_in(B, 10);
    history.posted(first, to_b_alone());
    history.acked(first, Some(id(1)));
    get(&mut history, B, first, 1);
    ack(&mut history, B, first, 1);
    history.logged_in(B, 10);
    let own = post(B, 1);
    history.posted(own, Some(Audience { users: [2].into(), ..Audience::default() }));
    history.acked(own, Some(id(2)));
    get(&mut history, B, first, 1);
    assert!(history.counts().are_clean(), "{:?}", history.counts());
}

#[test]
fn a_window_that_is_exceeded_is_found_out_and_acks_make_room_in_it() {
    let mut history = history();
    history.logged_in(B, 2);
    for number in 1..=4 {
        let post = post(A, number);
        history.posted(post, to_b_alone());
        get(&mut history, B, post, number.into());
        if number == 1 {
            ack(&mut history, B, post, 1);
        }
        assert_eq!(history.counts().beyond_window, u64::from(number == 4));
    }
}

#[test]
fn what_comes_again_on_a_connection_must_say_so() {
    for marked in [Some(true), None, Some(false)] {
        let mut history = history();
        history.logged_in(B, 2);
        let post = post(A, 1);
        history.posted(post, to_b_alone());
        get(&mut history, B, post, 1);
        history.delivered(Arrival { node: B, post: Some(post), id: Some(id(1)), marked });
        assert_eq!(history.counts().unmarked, u64::from(marked == Some(false)));
    }
}

#[test]
fn a_repost_is_one_message_where_the_server_knows_reposts() {
    for once in [true, false] {
        let mut history = if once { History::of_reposts() } else { History::default() };
        history.joined(B);
        let post = post(A, 1);
        history.posted(post, to_b_alone());
        get(&mut history, B, post, 1);
        history.abandoned(post);
        history.reposted(post);
        history.acked(post, Some(id(2)));
        get(&mut history, B, post, 2);
        assert_eq!(history.counts().stored_twice, u64::from(once));
    }
}

#[test]
fn a_repost_of_what_was_settled_is_found_out_by_its_new_id() {
    let mut history = History::of_reposts();
    history.joined(B);
    let post = post(A, 1);
    history.posted(post, to_b_alone());
    history.acked(post, Some(id(1)));
    get(&mut history, B, post, 1);
    ack(&mut history, B, post, 1);
    get(&mut history, B, post, 2);
    assert_eq!(history.close().0.stored_twice, 1);
}

#[test]
fn a_refused_post_must_not_arrive() {
    let mut history = history();
    let post = post(A, 1);
    history.posted(post, to_b_alone());
    history.refused(post);
    get(&mut history, B, post, 1);
    let (counts, _) = history.close();
    assert_eq!((counts.refused, counts.refused_and_delivered), (1, 1));
}

#[test]
fn what_is_seen_inside_the_server_is_held_against_it_to_the_node() {
    let mut history = History::default();
    let post = post(A, 1);
    history.posted(post, None);
    history.committing(Some(post), id(1), &[B], false);
    get(&mut history, B2, post, 1);
    get(&mut history, B, post, 2);
    assert_eq!(history.counts().astray, 2);
    history.acked(post, Some(id(1)));
    history.committing(None, id(1), &[B], false);
    assert_eq!((history.counts().ids, history.close().0.lost), (1, 1));
}

#[test]
fn a_post_to_one_node_is_lost_only_if_none_has_acked_it() {
    for acks in [true, false] {
        let mut history = History::default();
        let post = post(A, 1);
        history.posted(post, None);
        history.committing(Some(post), id(1), &[B, B2], true);
        history.acked(post, Some(id(1)));
        get(&mut history, B2, post, 1);
        if acks {
            ack(&mut history, B2, post, 1);
        }
        assert_eq!(history.close().0.lost, u64::from(!acks));
    }
}

#[test]
fn a_crash_takes_acks_that_were_not_durable_and_ids_that_nobody_saw() {
    let mut history = History::default();
    let posts = [post(A, 1), post(A, 2)];
    for (post, number) in posts.into_iter().zip(1..) {
        history.posted(post, None);
        history.committing(Some(post), id(number), &[B], false);
    }
    history.acked(posts[0], Some(id(1)));
    get(&mut history, B, posts[0], 1);
    history.deleting(B, id(1));
    history.crashed(Some(id(1)));
    get(&mut history, B, posts[0], 1);
    history.committing(None, id(2), &[B2], false);
    assert!(history.verdict().is_ok());
    history.deleting(B, id(1));
    history.deletes_are_durable();
    history.crashed(Some(id(2)));
    get(&mut history, B, posts[0], 1);
    assert_eq!(history.verdict(), Err(Violation::Deleted { id: id(1), node: B }));
}

#[test]
fn what_waited_when_a_queue_was_copied_is_promised_to_the_other_node_too() {
    let mut history = History::default();
    let post = post(A, 1);
    history.posted(post, None);
    history.committing(Some(post), id(1), &[B], false);
    history.acked(post, Some(id(1)));
    history.copying(B2);
    let waiting = history.waiting_for(B);
    history.copied(B, B2, &waiting);
    get(&mut history, B, post, 1);
    ack(&mut history, B, post, 1);
    assert_eq!(history.close().1, [Violation::Lost { post, node: B2 }]);
}

#[test]
fn what_was_given_up_and_comes_again_after_it_was_settled_is_a_duplicate() {
    let mut history = History::default();
    history.joined(B);
    let posts = [post(A, 1), post(A, 2)];
    for (post, number) in posts.into_iter().zip(1..) {
        history.logged_in(B, 10);
        history.posted(post, to_b_alone());
        history.abandoned(post);
        get(&mut history, B, post, number);
        ack(&mut history, B, post, number);
    }
    for (post, number) in posts.into_iter().zip(1..) {
        history.logged_in(B, 10);
        get(&mut history, B, post, number);
    }
    let (counts, _) = history.close();
    assert!(counts.are_clean());
    assert_eq!((counts.deliveries, counts.duplicates), (2, 2));
}

#[test]
fn what_a_repeat_stores_for_fewer_takes_the_place_of_all_that_was_cut_off() {
    let mut history = History::default();
    let post = post(A, 1);
    history.posted(post, None);
    history.committing(Some(post), id(1), &[B], true);
    history.committing(Some(post), id(2), &[C], true);
    history.crashed(Some(id(2)));
    history.reposted(post);
    history.committing(Some(post), id(3), &[C], true);
    history.acked(post, Some(id(3)));
    get(&mut history, C, post, 3);
    ack(&mut history, C, post, 3);
    assert!(history.close().0.are_clean());
}
