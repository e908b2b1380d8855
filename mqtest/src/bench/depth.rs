//! Whether the cost of a post stays as it is while one queue grows, and while the directory does.

use super::common::Common;
use super::report::Report;
use super::stamp;
use super::{directory, queue};
use clap::Args;
use clap::value_parser as range;

const EXAMPLES: &str = "\
Examples:
  mqtest bench depth                                 up to a million messages, and a million users
  mqtest bench depth --depths 1000,100000 --size 100
  mqtest bench depth --users 1000,5000000

The queue of one user who is offline is filled to each depth in turn; posts to it are measured while
it is that deep, then the user logs in and takes all. For each number of users a store is made with
them, and clients that are online post to each other. Flat columns mean that neither size matters.";

/// The cost of a post and of a delivery as a queue grows, and as the directory does
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DepthArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    /// How many messages wait in the queue, from one row to the next
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1000,10000,100000,1000000", value_parser = range!(u32).range(1..=100_000_000))]
    pub(crate) depths: Vec<u32>,
    /// How many posts are measured at each depth, and how many deliveries
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = range!(u32).range(100..=1_000_000))]
    pub(crate) posts: u32,
    /// How many users the directory has, from one row to the next
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1000,1000000", value_parser = range!(u32).range(1..10_000_000))]
    pub(crate) users: Vec<u32>,
    /// How long posts are measured for each number of users, after a second of warming up
    #[arg(long, value_name = "S", default_value_t = 3.0, value_parser = super::report::seconds)]
    pub(crate) seconds: f64,
    /// How long to wait in the end of each row for what was not yet delivered
    #[arg(long, value_name = "S", default_value_t = 300.0, value_parser = super::report::seconds)]
    pub(crate) drain: f64,
    /// How many clients post
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = range!(u32).range(2..=1000))]
    pub(crate) clients: u32,
    /// Posts of a client that wait for their ack
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = range!(u32).range(1..=10_000))]
    pub(crate) in_flight: u32,
    /// The data of a message, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1024, value_parser = range!(u64).range(stamp::LEN as u64..=16 << 20))]
    pub(crate) size: u64,
}

pub(crate) async fn measure(args: DepthArgs, command: String) -> anyhow::Result<Report> {
    let mut report = Report::new("depth", command);
    queue::measure(&args, &mut report).await?;
    directory::measure(&args, &mut report).await?;
    Ok(report)
}
