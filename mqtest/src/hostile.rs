//! Attacks on a server of our own: what strangers and bad clients do, and what it costs the others.
//!
//! Each starts a `mqserver` as the benchmarks do, attacks it while clients that mean well go on
//! with their work, and gives a report of counts and figures with what promise was broken, if any:
//! `stalled` readers that read no more, a `flood` of `stranger`s, and
//! `bombs`, messages that announce too much.

pub(crate) mod bombs;
pub(crate) mod flood;
pub(crate) mod stalled;
mod stranger;

use crate::bench::on_one_thread;
use crate::bench::report::{self, Report};

/// An attack, with its options.
#[derive(Debug)]
pub(crate) enum Attack {
    Stalled(stalled::StalledArgs),
    Flood(flood::FloodArgs),
    Bombs(bombs::BombsArgs),
}

/// Attacks, and prints what came of it. `false` if a promise was broken.
///
/// # Errors
/// The attack could not be made.
pub(crate) async fn run(attack: Attack) -> anyhow::Result<bool> {
    on_one_thread(|| attack_and_print(attack)).await
}

async fn attack_and_print(attack: Attack) -> anyhow::Result<bool> {
    let command = report::command(std::env::args().skip(1));
    let json = attack.wants_json();
    let report = attack.make(command).await?;
    if json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    Ok(report.is_sound())
}

impl Attack {
    fn wants_json(&self) -> bool {
        match self {
            Self::Stalled(args) => args.common.json,
            Self::Flood(args) => args.common.json,
            Self::Bombs(args) => args.common.json,
        }
    }

    async fn make(self, command: String) -> anyhow::Result<Report> {
        match self {
            Self::Stalled(args) => stalled::measure(args, command).await,
            Self::Flood(args) => flood::measure(args, command).await,
            Self::Bombs(args) => bombs::measure(args, command).await,
        }
    }
}
