//! What a vector does to the server itself: signals, restarts, the admin page, `mqserver stop`.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::spawn::{Ran, Server};

/// How long the server may take to close its door, or a page to be answered.
const SOON: Duration = Duration::from_secs(5);

/// Does what the vector says to the server, and compares the result if there is one on record.
pub(crate) async fn act(
    server: &mut Server,
    what: &str,
    result: Option<&Value>,
) -> anyhow::Result<()> {
    let none = Value::Null;
    let result = result.unwrap_or(&none);
    match what {
        "SIGINT" => server.interrupt()?,
        "SIGKILL" => server.kill()?,
        "start" => server.restart().await?,
        "server SIGINT + restart" => {
            server.interrupt()?;
            let status = server.wait().await?;
            ensure!(status.success(), "on SIGINT the server ended with {status}");
            server.restart().await?;
        }
        "connect after SIGINT" => refused(server.addr()).await?,
        "state" => ended(server, &result["exit"]).await?,
        "server exit" => ended(server, result).await?,
        "mqserver stop" => compare_run(&server.stop_by_command().await?, result)?,
        "second start" => compare_run(&server.second().await?, result)?,
        _ => {
            let Some((method, path)) = http_request(what) else {
                bail!("this program does not know the action {what:?}");
            };
            let admin = server.admin().context("the server has no admin page")?;
            compare_page(&http(admin, method, path).await?, result)?;
        }
    }
    Ok(())
}

/// Whether a vector asks for the admin page.
pub(crate) fn needs_admin(what: &str) -> bool {
    http_request(what).is_some()
}

/// Whether the server is meant to have ended after the action.
pub(crate) fn ends_server(what: &str) -> bool {
    matches!(what, "SIGINT" | "SIGKILL" | "mqserver stop")
}

/// Whether the server runs again after the action.
pub(crate) fn starts_server(what: &str) -> bool {
    matches!(what, "start" | "server SIGINT + restart")
}

async fn refused(addr: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + SOON;
    while TcpStream::connect(addr).await.is_ok() {
        ensure!(Instant::now() < deadline, "the server still takes connections");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn ended(server: &mut Server, code: &Value) -> anyhow::Result<()> {
    let status = server.wait().await?;
    let ours = status.code().map_or(Value::Null, Value::from);
    ensure!(ours == *code, "the server ended with {status}, not with code {code}");
    Ok(())
}

/// `rc`, `out` and `err` are compared as they are; `says` is part of either output; `fails` is a
/// code other than 0. Whether a pid file is left is the original's affair.
fn compare_run(ran: &Ran, result: &Value) -> anyhow::Result<()> {
    let same = |key: &str, ours: Value| match result.get(key) {
        Some(recorded) if *recorded != ours => bail!("{key} is {ours}, not {recorded}"),
        _ => Ok(()),
    };
    same("rc", ran.code.map_or(Value::Null, Value::from))?;
    same("out", Value::from(ran.out.as_str()))?;
    same("err", Value::from(ran.err.as_str()))?;
    same("fails", Value::from(ran.code != Some(0)))?;
    if let Some(says) = result.get("says").and_then(Value::as_str) {
        let said = ran.out.contains(says) || ran.err.contains(says);
        ensure!(said, "it says {:?}{:?}, not {says:?}", ran.out, ran.err);
    }
    Ok(())
}

/// `HTTP GET / on the admin port`.
fn http_request(what: &str) -> Option<(&str, &str)> {
    what.strip_prefix("HTTP ")?.strip_suffix(" on the admin port")?.split_once(' ')
}

async fn http(admin: SocketAddr, method: &str, path: &str) -> anyhow::Result<String> {
    let answer = async {
        let mut stream = TcpStream::connect(admin).await?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {admin}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    timeout(SOON, answer).await.context("the admin page does not answer")?
}

/// The status, of which `4xx` is any, and the type; that every user of `page_rows` is on the
/// page, escaped as HTML wants it, and each text of `contains`, and none of `lacks`.
fn compare_page(answer: &str, result: &Value) -> anyhow::Result<()> {
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.lines().next().and_then(|line| line.split_once(' ')).unwrap_or_default().1;
    if let Some(recorded) = result.get("status").and_then(Value::as_str) {
        let same = match recorded.strip_suffix("xx") {
            Some(kind) => status.starts_with(kind),
            None => status == recorded,
        };
        ensure!(same, "the admin page answers {status:?}, not {recorded:?}");
    }
    if let Some(recorded) = result.pointer("/headers/Content-Type").and_then(Value::as_str) {
        let lower = head.to_ascii_lowercase();
        let same = lower.contains(&format!("content-type: {}", recorded.to_ascii_lowercase()));
        ensure!(same, "the admin page is no {recorded}: {head}");
    }
    let rows = result.get("page_rows").and_then(Value::as_array);
    for text in rows.into_iter().flatten().filter_map(Value::as_object).flatten() {
        let text = escaped(text.1.as_str().unwrap_or_default());
        ensure!(body.contains(&text), "the admin page lacks {text:?}: {body}");
    }
    let texts = |key: &str| result.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    for text in texts("contains").iter().filter_map(Value::as_str) {
        ensure!(body.contains(text), "the admin page lacks {text:?}: {body}");
    }
    for text in texts("lacks").iter().filter_map(Value::as_str) {
        ensure!(!body.contains(text), "the admin page has {text:?}: {body}");
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_result_of_a_command_is_compared() {
        let ran = Ran { code: Some(1), out: String::new(), err: "server already running\n".into() };
        assert!(compare_run(&ran, &json!({"fails": true, "says": "already running"})).is_ok());
        for wrong in [json!({"rc": 0}), json!({"err": ""}), json!({"says": "no .pid file found"})] {
            assert!(compare_run(&ran, &wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_admin_page_is_compared_escaped() {
        let page =
            "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<td>&lt;b&gt;x";
        let good = json!({"status": "200 OK", "headers": {"Content-Type": "text/html"},
            "page_rows": [{"alias": "<b>x"}], "lacks": ["<b>"]});
        compare_page(page, &good).unwrap();
        for wrong in
            [json!({"status": "4xx"}), json!({"contains": ["u2"]}), json!({"lacks": ["td"]})]
        {
            assert!(compare_page(page, &wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn http_actions_are_read() {
        assert_eq!(
            http_request("HTTP POST /delete?uid=u2 on the admin port"),
            Some(("POST", "/delete?uid=u2"))
        );
        assert_eq!(http_request("SIGINT"), None);
    }
}
