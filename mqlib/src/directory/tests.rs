use super::*;

fn key(byte: u8) -> Credential {
    Credential::Key(NodeKey([byte; 32]))
}

fn registered(directory: &mut Directory, name: &str, aliases: &str) -> Option<String> {
    directory.register(name, key(0), aliases, MessageId::ZERO).unwrap().0
}

#[test]
fn of_doubled_aliases_the_last_is_kept_and_taken_ones_are_dropped() {
    let mut directory = Directory::default();
    assert_eq!(registered(&mut directory, "u1", "  a   a\tb\n "), Some("a b".into()));
    assert_eq!(registered(&mut directory, "u2", "b c u1"), Some("c u1".into()));
    assert_eq!(registered(&mut directory, "u3", "   "), Some(String::new()));
    assert_eq!(registered(&mut directory, "u4", ""), None);
    assert_eq!(registered(&mut directory, "u5", "x y x"), Some("y x".into()));
    let exists = directory.register("u1", key(0), "z", MessageId::ZERO);
    assert_eq!(exists.unwrap_err(), RegisterError::Exists("a b".into()));
}

#[test]
fn replacing_aliases_frees_the_old_ones_and_may_keep_some() {
    let mut directory = Directory::default();
    registered(&mut directory, "u1", "a b");
    let own = directory.user_id("u1").unwrap();
    let (aliases, _) = directory.set_aliases(own, "u1", Credential::Empty, "c b").unwrap();
    assert_eq!(aliases, Some("c b".into()));
    assert_eq!(directory.alias("a"), None);
    assert_eq!(directory.alias("c"), Some(own));
    let unchanged = directory.set_aliases(own, "u1", Credential::Empty, "").unwrap();
    assert_eq!(unchanged, (None, vec![]));
}

#[test]
fn nobody_replaces_anothers_aliases() {
    let mut directory = Directory::default();
    registered(&mut directory, "u1", "a");
    registered(&mut directory, "u2", "b");
    let own = directory.user_id("u1").unwrap();
    let refused = directory.set_aliases(own, "u2", Credential::Empty, "c");
    assert_eq!(refused.unwrap_err(), RegisterError::NotOneself);
    assert_eq!(directory.alias("b"), directory.user_id("u2"));
}

#[test]
fn a_user_has_at_most_a_hundred_nodes_and_a_known_name_tells_its_offset() {
    let mut directory = Directory::default();
    registered(&mut directory, "u1", "");
    let user = directory.user_id("u1").unwrap();
    for offset in 1..100 {
        assert_eq!(directory.add_node(user, key(offset)).unwrap().0.offset, offset);
    }
    assert_eq!(directory.add_node(user, key(100)).unwrap_err(), AddNodeError::NoOffsets);
    assert_eq!(directory.add_node(user, key(7)).unwrap_err(), AddNodeError::Exists(7));
}

#[test]
fn a_dropped_nodes_offset_and_name_are_free_when_nothing_of_it_is_left() {
    let mut directory = Directory::default();
    registered(&mut directory, "u1", "");
    let user = directory.user_id("u1").unwrap();
    assert_eq!(directory.drop_node(user, 0), Err(DropNodeError::Last(0)));
    directory.add_node(user, key(1)).unwrap();
    assert_eq!(directory.drop_node(user, 2), Err(DropNodeError::NotFound(2)));
    assert_eq!(directory.drop_node(user, 256), Err(DropNodeError::NotFound(256)));
    let (dropped, _) = directory.drop_node(user, 0).unwrap();
    assert!(directory.dropped(user).eq([dropped]));
    assert_eq!(directory.drop_node(user, 0), Err(DropNodeError::NotFound(0)));
    assert_eq!(directory.add_node(user, key(0)).unwrap().0.offset, 2);
    assert_eq!(directory.free(dropped).len(), 1);
    assert_eq!(directory.free(dropped), []);
    assert_eq!(directory.add_node(user, key(2)).unwrap().0.offset, 0);
}

#[test]
fn a_deleted_user_is_gone_at_once_and_its_name_is_free_when_nothing_of_its_nodes_is_left() {
    let mut directory = Directory::default();
    registered(&mut directory, "u1", "a");
    let user = directory.user_id("u1").unwrap();
    directory.add_node(user, key(1)).unwrap();
    let (dropped, _) = directory.add_node(user, key(2)).unwrap();
    directory.drop_node(user, 2).unwrap();
    directory.saw(NodeId { user, offset: 0 }, 7_000);
    assert_eq!(directory.delete_user(user).len(), 1);
    assert_eq!((directory.user_id("u1"), directory.alias("a")), (None, None));
    assert_eq!((directory.users().count(), directory.leaving().count()), (0, 1));
    // Node 0 was online, so it may have got what still waits for the others.
    let left: Vec<_> = directory.dropped(user).collect();
    let node = |offset| NodeId { user, offset };
    assert_eq!(left, [dropped, node(1), node(0)]);
    assert_eq!(
        left.iter().map(|n| directory.heir(*n)).collect::<Vec<_>>(),
        [Some(node(0)), Some(node(0)), None]
    );
    for at in left {
        let exists = directory.register("u1", key(0), "", MessageId::ZERO);
        assert_eq!(exists.unwrap_err(), RegisterError::Exists(String::new()));
        directory.free(at);
    }
    assert_eq!(directory.leaving().count(), 0);
    let last = MessageId::from_bits(9);
    directory.register("u1", key(0), "a", last).unwrap();
    let next = directory.user_id("u1").unwrap();
    assert_ne!(next, user);
    assert_eq!(directory.user(next).unwrap().since.as_deref(), Some(&last));
}

#[test]
fn users_nodes_and_lists_are_counted_as_they_come_and_go() {
    let mut directory = Directory::default();
    let counts = |directory: &Directory| {
        let nodes: usize = directory.users().map(|(_, user)| user.nodes.len()).sum();
        assert_eq!(
            (directory.user_count(), directory.node_count()),
            (directory.users().count(), nodes)
        );
        (directory.user_count(), nodes, directory.list_count())
    };
    assert_eq!(counts(&directory), (0, 0, 0));
    registered(&mut directory, "u1", "a");
    registered(&mut directory, "u2", "");
    let (own, other) = (directory.user_id("u1").unwrap(), directory.user_id("u2").unwrap());
    directory.add_node(own, key(1)).unwrap();
    directory.set_aliases(own, "u1", Credential::Empty, "b c").unwrap();
    assert_eq!(counts(&directory), (2, 3, 0));
    directory.edit_list(own, "list", "add", &["u2"]).unwrap();
    let (dropped, _) = directory.drop_node(own, 0).unwrap();
    assert_eq!(counts(&directory), (2, 2, 1));
    directory.free(dropped);
    directory.edit_list(own, "list", "remove", &["u1"]).unwrap();
    directory.edit_list(other, "list", "remove", &["u2"]).unwrap();
    assert_eq!(counts(&directory), (2, 2, 0));
    directory.delete_user(own);
    assert_eq!(counts(&directory), (1, 1, 0));
    // Until all that is left of it is gone, nothing of it counts any more; nor after.
    directory.free(NodeId { user: own, offset: 1 });
    assert!(directory.user(own).is_none());
    assert_eq!(counts(&directory), (1, 1, 0));
}

#[test]
fn edits_applied_to_an_empty_directory_make_the_same_one() {
    let mut directory = Directory::default();
    let mut copy = Directory::default();
    let mut edits = directory.register("u1", key(0), "a b", MessageId::ZERO).unwrap().1;
    let own = directory.user_id("u1").unwrap();
    edits.extend(directory.set_aliases(own, "u1", Credential::Empty, "c").unwrap().1);
    edits.extend(directory.add_node(own, key(1)).unwrap().1);
    for edit in &edits {
        copy.apply(edit);
    }
    assert_eq!(copy.user(own), directory.user(own));
    assert_eq!((copy.alias("a"), copy.alias("c")), (None, Some(own)));
    assert_eq!(copy.next_user, directory.next_user);
}
