use super::*;

fn message(header: &str, body: &str) -> Bytes {
    Bytes::from(format!("{:<4x}{header}{body}", header.len()))
}

fn parse(header: &str, body: &str) -> Result<Request, Quit> {
    Incoming::parse(&message(header, body)).and_then(|incoming| incoming.request)
}

fn etc(header_etc: &str, body: &str) -> Result<Content, Quit> {
    let header = format!(r#"{{"op":"ping","id":"1","alias":"a","etc":{header_etc}}}"#);
    match parse(&header, body)? {
        Request::Ping { content, .. } => Ok(content),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_is_refused_at_the_first_thing_wrong() {
    for (header, body, quit) in [
        ("{", "", Quit::InvalidJson),
        ("", "", Quit::InvalidJson),
        ("{} x", "", Quit::InvalidJson),
        ("5", "", Quit::InvalidOp),
        ("[]", "", Quit::InvalidOp),
        ("\"register\"", "", Quit::InvalidOp),
        (r#"{"op":1}"#, "", Quit::InvalidOp),
        (r#"{"op":"Register"}"#, "", Quit::InvalidOp),
        (r#"{"op":"toString"}"#, "", Quit::InvalidOp),
        (r#"{"op":"register"}"#, "x", Quit::MissingParam(Op::Register, "userId")),
        (r#"{"op":"login","userId":5,"nodeId":"n"}"#, "", Quit::MissingParam(Op::Login, "userId")),
        (r#"{"op":"post","id":"1","to":null}"#, "", Quit::MissingParam(Op::Post, "to")),
        (r#"{"op":"ack","id":"i","type":"ok"}"#, "x", Quit::BodyDisallowed(Op::Ack)),
        (
            r#"{"op":"login","userId":"u","nodeId":"n","etc":1}"#,
            "1",
            Quit::BodyDisallowed(Op::Login),
        ),
    ] {
        assert_eq!(parse(header, body), Err(quit), "{header}");
    }
}

#[test]
fn of_doubled_keys_the_last_counts_and_escapes_are_read_in_keys_and_values() {
    let header = r#"{"\u006fp":"login","userId":"a","userId":"\u00e91","nodeId":"n","zz":[1]}"#;
    let node = NodeName::new("n".into());
    let login = Request::Login { user: "é1".into(), node, version: Version::V1, takeover: false };
    assert_eq!(parse(header, ""), Ok(login));
}

#[test]
fn an_etc_in_the_header_moves_to_the_body() {
    for (inline, text) in
        [("{ \"a\" : 1 }", "{\"a\":1}"), ("\"é\"", "\"\\u00e9\""), ("null", "null")]
    {
        let content = etc(inline, "DATA").unwrap();
        assert_eq!(content.etc, Some(text.len()));
        assert_eq!(content.body, format!("{text}DATA"));
    }
}

#[test]
fn an_etc_that_is_no_json_within_the_body_is_refused() {
    for (inline, body) in
        [("1000", "short"), ("-1", "{}"), ("1.5", "{}"), ("1", "{}"), ("5", "ab cd")]
    {
        assert_eq!(etc(inline, body), Err(Quit::InvalidEtc), "{inline}");
    }
    assert_eq!(etc("2", "{}rest").unwrap().etc, Some(2));
    assert_eq!(etc("0", "rest").unwrap().etc, None);
}

#[test]
fn a_login_says_which_version_it_wants_and_how_many_deliveries() {
    let version = |fields: &str| {
        let header = format!(r#"{{"op":"login","userId":"u","nodeId":"n"{fields}}}"#);
        parse(&header, "").map(|request| match request {
            Request::Login { version, .. } => version,
            other => panic!("{other:?}"),
        })
    };
    let v2 = |window| Ok(Version::V2 { window });
    assert_eq!(version(""), Ok(Version::V1));
    assert_eq!(version(r#","v":1,"window":5"#), Ok(Version::V1));
    assert_eq!(version(r#","v":2"#), v2(DEFAULT_WINDOW));
    assert_eq!(version(r#","v":2,"window":7"#), v2(7));
    assert_eq!(version(r#","v":3,"window":5000"#), v2(MAX_WINDOW));
    for (fields, missing) in [
        (r#","v":"2""#, "v"),
        (r#","v":0"#, "v"),
        (r#","v":2,"window":0"#, "window"),
        (r#","v":2,"window":-1"#, "window"),
        (r#","v":2,"window":null"#, "window"),
    ] {
        assert_eq!(version(fields), Err(Quit::MissingParam(Op::Login, missing)), "{fields}");
    }
}

#[test]
fn version_2_acks_many_at_once_and_version_1_sees_nothing_of_it() {
    let ids = [1, 2].map(MessageId::from_bits);
    let text = ids.map(|id| format!("\"{id}\"")).join(",");
    let first = ids[0];
    let ack = |ids: &[MessageId]| Ok(Request::Ack { ids: ids.to_vec(), ok: true });
    let missing = |field| Err(Quit::MissingParam(Op::Ack, field));
    for (fields, request, in_v1) in [
        (format!(r#""ids":[{text}]"#), ack(&ids), Some(missing("id"))),
        (format!(r#""id":"{first}""#), ack(&[first]), Some(missing("type"))),
        (format!(r#""id":"{first}","type":"ok""#), ack(&[first]), None),
        (format!(r#""id":"x","type":"ok","ids":[{text}]"#), ack(&ids), Some(ack(&[]))),
        (r#""ids":["x"]"#.into(), ack(&[]), Some(missing("id"))),
        (r#""ids":"x""#.into(), missing("ids"), Some(missing("id"))),
        (r#""id":"x","type":"ok","ids":[1]"#.into(), missing("ids"), Some(ack(&[]))),
    ] {
        let header = format!(r#"{{"op":"ack",{fields}}}"#);
        let incoming = Incoming::parse(&message(&header, "")).unwrap();
        let found = (incoming.request, incoming.in_v1.map(|boxed| *boxed));
        assert_eq!(found, (request, in_v1), "{header}");
    }
}

#[test]
fn version_2_edits_a_list_by_many_members() {
    let header = r#"{"op":"listEdit","id":"1","to":"L","type":"add","members":["a","\u00e9"]}"#;
    let incoming = Incoming::parse(&message(header, "")).unwrap();
    let Ok(Request::ListEdit { members, .. }) = incoming.request else { panic!() };
    assert_eq!(members, ["a", "é"]);
    let missing = Err(Quit::MissingParam(Op::ListEdit, "member"));
    assert_eq!(incoming.in_v1, Some(Box::new(missing)));
    let header = r#"{"op":"listEdit","id":"1","to":"L","type":"add","members":[]}"#;
    assert_eq!(parse(header, ""), Err(Quit::MissingParam(Op::ListEdit, "members")));
}

#[test]
fn a_node_name_does_not_show_in_debug_output() {
    let shown = format!("{:?}", parse(r#"{"op":"login","userId":"u","nodeId":"hush"}"#, ""));
    assert!(!shown.contains("hush"), "{shown}");
}
