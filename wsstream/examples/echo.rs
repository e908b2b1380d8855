//! Says every message back: for the Autobahn tests of RFC 6455, `mqtest/autobahn/run`.
//!
//!     cargo run --release -p wsstream --example echo -- serve 127.0.0.1:9002
//!     cargo run --release -p wsstream --example echo -- visit 127.0.0.1:9001
//!
//! The first is a server that `wstest -m fuzzingclient` tests; the second goes through all cases of
//! `wstest -m fuzzingserver` as a client.

use std::env;
use std::future::poll_fn;
use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use wsstream::{Error, Limits, Link};

/// How long the other side may take to end a connection.
const WAIT: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let args: Vec<_> = env::args().skip(1).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["serve", address] => serve(address).await,
        ["visit", address] => visit(address).await,
        _ => Err(io::Error::other("usage: echo serve|visit ADDRESS").into()),
    }
}

async fn serve(address: &str) -> Result<(), Error> {
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async {
            if let Ok(link) = Link::accept(stream, &Limits::default()).await {
                echo(link).await;
            }
        });
    }
}

async fn visit(address: &str) -> Result<(), Error> {
    let connect = async |path: String| {
        let stream = TcpStream::connect(address).await?;
        Link::connect_ws(stream, &format!("ws://{address}/{path}"), &Limits::default()).await
    };
    let mut counting = connect("getCaseCount".into()).await?;
    let count = counting.message().await.transpose()?.unwrap_or_default();
    let count: usize = String::from_utf8_lossy(&count).parse().map_err(io::Error::other)?;
    counting.close(None, WAIT).await;
    for case in 1..=count {
        echo(connect(format!("runCase?case={case}&agent=wsstream")).await?).await;
    }
    echo(connect("updateReports?agent=wsstream".into()).await?).await;
    Ok(())
}

async fn echo(mut link: Link<TcpStream>) {
    while let Some(Ok(message)) = link.message().await {
        if link.start_echo(message).is_err() || poll_fn(|cx| link.poll_flush(cx)).await.is_err() {
            break;
        }
    }
    link.close(None, WAIT).await;
}
