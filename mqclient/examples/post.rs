//! Posts one message from one user to another.

mod support;

use mqclient::{Message, To};
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some((words, server)) = support::arguments(3) else {
        eprintln!("usage: post FROM TO TEXT [--server ws://127.0.0.1:8008]");
        return ExitCode::from(2);
    };
    match post(&server, &words[0], &words[1], &words[2]).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("post: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn post(server: &str, from: &str, to: &str, text: &str) -> Result<(), mqclient::Error> {
    let client = support::log_in(server, from).await?;
    let receipt = client.post(&To::user(to), Message::data(text.to_owned())).await?;
    match receipt.warnings.is_empty() {
        true => println!("stored for {to}"),
        false => println!("acked, but: {}", receipt.warnings.join("; ")),
    }
    client.close().await;
    Ok(())
}
