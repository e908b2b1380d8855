use super::*;

const V2: Version = Version::V2 { window: 1 };
const DATE: &str = "1970-01-01T00:00:00.000Z";
const POSTED: &str = r#""posted":"1970-01-01T00:00:00.000Z""#;

fn delivery(id: MessageId, version: Version, redelivered: u32) -> Delivery {
    let message = queued(Queued::Deliver, id, DATE, "u1", Some(2), b"{}x");
    Delivery { message, version, redelivered }
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.to_bytes()).into_owned()
}

#[test]
fn replies_are_written_as_the_original_wrote_them() {
    let id = MessageId::from_bits(1);
    let zeros = "0".repeat(31);
    for (written, text) in [
        (
            registered(Some("al1 é"), None, None),
            r#"1c  {"op":"registered","etc":12}"al1 \u00e9""#.to_owned(),
        ),
        (
            registered(None, Some("user exists"), None),
            r#"29  {"op":"registered","error":"user exists"}"#.into(),
        ),
        (added(Some(1), None, None), r#"19  {"op":"added","offset":1}"#.into()),
        (
            registered(Some("a"), None, Some(&NodeName::new("mqs_1".into()))),
            r#"2c  {"op":"registered","etc":3,"nodeId":"mqs_1"}"a""#.into(),
        ),
        (
            added(Some(1), None, Some(&NodeName::new("mqs_1".into()))),
            r#"2a  {"op":"added","offset":1,"nodeId":"mqs_1"}"#.into(),
        ),
        (logged_in(), r#"1f  {"op":"info","info":"ok login"}"#.into()),
        (quit(&Quit::InvalidJson), r#"23  {"op":"quit","info":"invalid JSON"}"#.into()),
        (ack("m1", true, AckError::Absent), r#"22  {"op":"ack","id":"m1","type":"ok"}"#.into()),
        (
            ack("p1", true, AckError::Null),
            r#"2f  {"op":"ack","id":"p1","type":"ok","error":null}"#.into(),
        ),
        (
            delivery(id, Version::V1, 0).to_bytes(),
            format!(r#"4c  {{"op":"deliver","id":"{zeros}1","from":"u1","etc":2}}{{}}x"#),
        ),
        (delivery(id, Version::V1, 3).to_bytes(), text(&delivery(id, Version::V1, 0))),
        (
            delivery(id, V2, 0).to_bytes(),
            format!(
                r#"70  {{"op":"deliver","id":"{zeros}1","from":"u1","etc":2,{POSTED}}}{{}}x"#
            ),
        ),
        (
            delivery(id, V2, 12).to_bytes(),
            format!(
                r#"81  {{"op":"deliver","id":"{zeros}1","from":"u1","etc":2,{POSTED},"redelivered":12}}{{}}x"#
            ),
        ),
        (
            acked("m1", true, AckError::Absent, Some((id, DATE))),
            format!(
                r#"71  {{"op":"ack","id":"m1","type":"ok","msgid":"{zeros}1",{POSTED}}}"#
            ),
        ),
        (
            acked_but("m1", AckError::Text("x".into()), None, br#"{"failed":{}}"#),
            r#"37  {"op":"ack","id":"m1","type":"ok","error":"x","etc":13}{"failed":{}}"#.into(),
        ),
        (
            welcome(&Welcome {
                v: 2,
                server: "s 1",
                node: 3,
                window: 4,
                queued: 5,
                max_message: 6,
                time: "t",
            }),
            r#"6d  {"op":"info","info":"ok login","v":2,"server":"s 1","node":3,"window":4,"queued":5,"maxMessage":6,"time":"t"}"#.into(),
        ),
    ] {
        assert_eq!(String::from_utf8_lossy(&written), text);
    }
}

#[test]
fn a_client_reads_what_the_server_writes() {
    let message =
        queued(Queued::ListEdited, MessageId::from_bits(9), DATE, "é", Some(2), b"{}data");
    let reply = Reply::parse(&message).unwrap();
    assert_eq!(reply.op, "listEdited");
    assert_eq!(reply.from.as_deref(), Some("é"));
    assert_eq!(reply.etc().unwrap(), "{}");
    assert_eq!(reply.data(), "data");
}

#[test]
fn an_ack_too_long_for_a_header_says_so() {
    let message = ack("m", true, AckError::Text("x".repeat(70_000)));
    let reply = Reply::parse(&message).unwrap();
    assert_eq!(reply.error.as_deref(), Some("error text too long"));
    assert_eq!(reply.id.as_deref(), Some("m"));
}
