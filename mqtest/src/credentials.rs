//! `mqtest credentials`: what strangers learn from how long a login takes, and what they can keep
//! others from, by logging in.
//!
//! A server of its own. First, one login after the other, with names that were never used before:
//! half of them of a user that does not exist, half with a wrong node of one that does, in random
//! order. Whoever could tell the two by the clock would know who is registered. Then a crowd of
//! strangers logs in with wrong names as fast as it can, while one user who is online posts, and
//! another, from another address, logs in with a name that the server has not hashed lately.

mod crowd;
mod stranger;
mod timing;

use crate::spawn::{Options, Server};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// Measure what strangers learn from, and spoil by, logins with wrong names
#[derive(Debug, Args)]
pub(crate) struct CredentialsArgs {
    /// Logins to time, half of each kind; and as many with names as the server issues them
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(100..))]
    trials: u32,
    /// Strangers who log in at once
    #[arg(long, value_name = "N", default_value_t = 200)]
    strangers: u32,
    /// For how long they do, in seconds
    #[arg(long, value_name = "S", default_value_t = 5)]
    seconds: u64,
    /// The server's program [default: mqserver beside this one]
    #[arg(long, value_name = "PATH")]
    server_bin: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs both. `false` if the clock tells who is registered, or strangers keep others from the
/// server.
pub(crate) async fn run(args: CredentialsArgs) -> anyhow::Result<bool> {
    let options = Options { bin: args.server_bin.clone(), ..Options::default() };
    let mut server = Server::spawn(options).await?;
    let user = stranger::register(server.addr()).await?;
    let chosen = timing::measure(server.addr(), &user, args.trials, stranger::chosen).await?;
    let issued = timing::measure(server.addr(), &user, args.trials, stranger::issued).await?;
    let seconds = Duration::from_secs(args.seconds);
    let crowd = crowd::measure(server.addr(), server.pid(), &user, args.strangers, seconds).await?;
    server.stop().await?;
    let ok = chosen.is_silent() && issued.is_silent() && crowd.is_bounded();
    if args.json {
        let report = json!({
            "ok": ok, "chosen": chosen.json(), "issued": issued.json(), "crowd": crowd.json(),
        });
        println!("{report}");
    } else {
        println!("names that clients chose: {chosen}");
        println!("names that we issue:      {issued}");
        println!("{crowd}");
        println!("{}", if ok { "all is well" } else { "a promise was broken" });
    }
    Ok(ok)
}
