//! Logs in, prints each message for the user, and acks it.

mod support;

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some((words, server)) = support::arguments(1) else {
        eprintln!("usage: listen USER [--server ws://127.0.0.1:8008]");
        return ExitCode::from(2);
    };
    match listen(&server, &words[0]).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("listen: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn listen(server: &str, user: &str) -> Result<(), mqclient::Error> {
    let mut client = support::log_in(server, user).await?;
    println!("{user} listens; ctrl-C ends it");
    loop {
        let delivery = tokio::select! {
            delivery = client.next() => delivery?,
            _ = tokio::signal::ctrl_c() => break,
        };
        let text = String::from_utf8_lossy(&delivery.data);
        match &delivery.etc {
            None => println!("{}: {text}", delivery.from),
            Some(etc) => {
                println!("{}: {text} [etc {}]", delivery.from, String::from_utf8_lossy(etc));
            }
        }
        // Only now may the server forget it: had we died before printing, it would come again.
        delivery.ack().await?;
    }
    client.close().await;
    Ok(())
}
