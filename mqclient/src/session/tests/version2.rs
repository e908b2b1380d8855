//! What version 2 has more, and what is left of it with a server of version 1.

use super::*;

#[test]
fn a_window_of_messages_is_shown_before_one_is_acked() {
    let mut world = World::online();
    world.deliver(["m1", "m2", "m3", "m4"]);
    assert_eq!(world.letters(), ["m1", "m2", "m3", "m4"]);
    world.session.ack("m3");
    world.deliver(["m5"]);
    assert_eq!(world.letters(), ["m5"]);
}

#[test]
fn acks_of_any_order_that_gathered_go_out_as_one() {
    let mut world = World::online();
    world.deliver(["m1", "m2", "m3", "m4"]);
    for id in ["m4", "m1", "m3"] {
        world.session.ack(id);
    }
    assert_eq!(world.sent(), [r#"{"op":"ack","ids":["m4","m1","m3"]}"#]);
    world.session.ack("m2");
    assert_eq!(world.sent(), [r#"{"op":"ack","ids":["m2"]}"#]);
    assert!(world.sent().is_empty());
}

#[test]
fn acks_that_one_header_does_not_hold_go_out_as_several() {
    let mut world = World::with(|config| config.window = 1000);
    world.session.connected(world.now);
    world.sent();
    world.hear(WELCOME);
    let ids: Vec<_> = (0..3000).map(|number| format!("{number:032}")).collect();
    world.deliver(&ids);
    for id in &ids {
        world.session.ack(id);
    }
    let sent = world.sent();
    assert!((2..10).contains(&sent.len()), "{}", sent.len());
    let mut acked: Vec<String> = Vec::new();
    for ack in sent {
        let mut ack: serde_json::Value = serde_json::from_str(&ack).unwrap();
        acked.extend(serde_json::from_value::<Vec<_>>(ack["ids"].take()).unwrap());
    }
    assert_eq!(acked, ids);
}

#[test]
fn of_several_in_flight_over_a_lost_link_only_the_unknown_are_shown_and_the_acked_are_acked() {
    let mut world = World::online();
    world.deliver(["held", "acked", "released", "acked late"]);
    assert_eq!(world.letters().len(), 4);
    // The ack may have got there or not.
    world.session.ack("acked");
    assert_eq!(world.sent().len(), 1);
    // This one has no link to go by.
    world.lose();
    world.session.ack("acked late");
    // It is acked, and stays so.
    world.session.release("acked late");
    world.session.release("released");
    world.wait();
    world.log_in();
    assert!(world.sent().is_empty());
    world.deliver(["held", "acked", "released", "acked late", "new"]);
    assert_eq!(world.letters(), ["released", "new"]);
    assert_eq!(world.sent(), [r#"{"op":"ack","ids":["acked","acked late"]}"#]);
    assert_eq!(world.session.stats().redelivered, 3);
    // Once more, with what was held.
    world.session.ack("held");
    world.reconnect();
    world.deliver(["held"]);
    assert!(world.letters().is_empty());
    assert_eq!(world.sent(), [r#"{"op":"ack","ids":["held"]}"#]);
}

#[test]
fn four_windows_of_acked_messages_are_known_again_and_at_least_256() {
    for (window, known) in [(4, 256), (100, 400)] {
        let mut world = World::with(|config| config.window = window);
        world.session.connected(world.now);
        world.hear(WELCOME);
        for number in 0..=known {
            world.deliver([number]);
            world.session.ack(&number.to_string());
        }
        world.letters();
        world.deliver(0..=known);
        assert_eq!(world.letters(), ["0"], "{window}");
    }
}

#[test]
fn a_server_that_delivers_far_more_than_was_asked_for_is_left() {
    for (window, most) in [(1, 16), (4, 16), (100, 400)] {
        let mut world = World::with(|config| config.window = window);
        world.session.connected(world.now);
        world.hear(WELCOME);
        world.deliver(0..most);
        assert!(matches!(world.session.phase(), Phase::Online), "{window}");
        world.session.ack("0");
        world.deliver([most]);
        assert!(matches!(world.session.phase(), Phase::Online), "{window}");
        world.deliver(["over"]);
        assert!(matches!(world.session.phase(), Phase::Pause { .. }), "{window}");
    }
}

#[test]
fn a_delivery_and_a_receipt_say_when_it_was_posted() {
    let mut world = World::online();
    world.hear(r#"{"op":"deliver","id":"m1","from":"bob","posted":"p","redelivered":2}"#);
    let Some(Event::Letter(letter)) = world.session.poll_event() else { panic!("no letter") };
    assert_eq!((letter.posted.as_deref(), letter.redelivered), (Some("p"), 2));
    let id = world.post("a");
    world.hear(&format!(r#"{{"op":"ack","id":"{id}","type":"ok","msgid":"m2","posted":"p"}}"#));
    let Some(Event::Settled(_, Ok(receipt))) = world.session.poll_event() else { panic!("none") };
    assert_eq!((receipt.msgid.as_deref(), receipt.posted.as_deref()), (Some("m2"), Some("p")));
}

#[test]
fn a_receipt_says_whom_a_post_did_not_reach() {
    let mut world = World::online();
    let id = world.post("a");
    let etc = r#"{"failed":{"b":"queue full, limit 3 messages"}}"#;
    let header = format!(
        r#"{{"op":"ack","id":"{id}","type":"ok","error":"b: queue full, limit 3 messages","etc":{}}}"#,
        etc.len()
    );
    let message = format!("{:<4x}{header}{etc}", header.len());
    world.session.received(world.now, &message.into(), 0.0);
    let Some(Event::Settled(_, Ok(receipt))) = world.session.poll_event() else { panic!("none") };
    assert_eq!(receipt.warnings, ["b: queue full, limit 3 messages"]);
    let failed = [("b".to_owned(), "queue full, limit 3 messages".to_owned())];
    assert_eq!(receipt.failed, failed.into());
}

#[test]
fn what_the_server_says_at_login_is_passed_on() {
    let mut world = World::new();
    world.session.connected(world.now);
    world.hear(WELCOME);
    let Some(Event::LoggedIn(login)) = world.session.poll_event() else { panic!("no login") };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(login.version, Version::V2);
    assert_eq!((login.server, login.node, login.window), (text("s 1"), Some(3), 4));
    assert_eq!((login.queued, login.max_message, login.time), (Some(5), Some(200), text("t")));
}

#[test]
fn a_server_of_version_1_is_spoken_to_in_version_1() {
    let mut world = World::original();
    world.deliver(["m1", "m2"]);
    world.session.ack("m1");
    world.session.ack("m2");
    let ack = |id: &str| format!(r#"{{"op":"ack","id":"{id}","type":"ok"}}"#);
    assert_eq!(world.sent(), [ack("m1"), ack("m2")]);
    let several = list_add(&["bob", "carol"]);
    assert!(matches!(world.session.submit(world.now, &several, None), Err(Error::Argument(_))));
    world.session.submit(world.now, &list_add(&["bob"]), None).unwrap();
    assert!(world.sent()[0].ends_with(r#""member":"bob"}"#));
    // It may be another one next time.
    world.reconnect();
    world.session.submit(world.now, &several, None).unwrap();
    assert!(world.sent()[1].ends_with(r#""members":["bob","carol"]}"#));
}

#[test]
fn version_1_can_be_asked_for() {
    let mut world = World::with(|config| config.version = Version::V1);
    world.session.connected(world.now);
    assert_eq!(world.sent(), [r#"{"op":"login","userId":"alice","nodeId":"s3cret"}"#]);
    world.hear(OLD_WELCOME);
    let Some(Event::LoggedIn(login)) = world.session.poll_event() else { panic!("no login") };
    assert_eq!((login.version, login.window, login.queued), (Version::V1, 1, None));
}

#[test]
fn a_post_larger_than_the_server_takes_fails_at_once_and_the_link_stays() {
    let mut world = World::online();
    let post = |size: usize| {
        let header = r#"{"op":"post","id":"1","to":{"bob":1}}"#.len();
        let message = Message::data(vec![b'x'; size - 4 - header]);
        Request::Post { to: To::user("bob"), message }
    };
    assert!(matches!(world.session.submit(world.now, &post(201), None), Err(Error::TooLarge(200))));
    assert!(world.sent().is_empty());
    world.session.submit(world.now, &post(200), None).unwrap();
    assert_eq!(world.sent()[0].len(), 196);
}

#[test]
fn what_waits_and_is_too_much_for_the_server_that_comes_back_fails() {
    let mut world = World::new();
    world.log_in_to(&WELCOME.replace("200", "1000"));
    world.lose();
    let message = Message::data(vec![b'x'; 500]);
    let large = world
        .session
        .submit(world.now, &Request::Post { to: To::user("bob"), message }, None)
        .unwrap();
    let several = world.session.submit(world.now, &list_add(&["bob", "carol"]), None).unwrap();
    let small = world.post("a");
    world.wait();
    world.log_in();
    assert_eq!(world.settled(), [(large, false)]);
    world.lose();
    world.wait();
    world.log_in_to(OLD_WELCOME);
    assert_eq!(world.settled(), [(several, false)]);
    assert_eq!(world.posted(), ["a"]);
    world.hear(&format!(r#"{{"op":"ack","id":"{small}","type":"ok"}}"#));
    assert_eq!(world.settled(), [(small, true)]);
}

fn list_add(members: &[&str]) -> Request {
    let members = members.iter().map(|&member| member.into()).collect();
    Request::ListEdit { list: "l".into(), edit: "add", members, message: Message::default() }
}
