//! Messages for users that are offline, who then come and take them.

use super::drain::drain;
use super::fill::{FillArgs, fill};
use super::footprint::Footprint;
use super::report::Report;
use super::rig::Rig;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  mqtest bench spool                           200,000 messages for 1,000 users
  mqtest bench spool --messages 1000000        a million: 4 GB of disk, a file each
  mqtest bench spool --recipients 1 --size 100 one user with a full queue";

/// Messages for users that are offline, who then come and take them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SpoolArgs {
    #[command(flatten)]
    pub(crate) fill: FillArgs,
}

pub(crate) async fn measure(args: SpoolArgs, command: String) -> anyhow::Result<Report> {
    let mut rig = Rig::start(&args.fill.common, args.fill.clients).await?;
    let outcome = measure_at(&rig, &args.fill, command).await;
    rig.explain(outcome)
}

async fn measure_at(rig: &Rig, args: &FillArgs, command: String) -> anyhow::Result<Report> {
    let mut report = Report::new("spool", command);
    let world = fill(rig, args, &mut report).await?;
    let spool = rig.server.store().join("spool");
    match rig.settle().await? {
        Some(long) => {
            report.put("filed_s", "until all are filed, about", long.as_secs_f64(), "s");
        }
        None => report.note("the server was still busy with the messages a minute later"),
    }
    let filed = Footprint::of(&spool)?;
    let all = Footprint::of(rig.server.store())?;
    report.put("spool_files", "files in the spool", filed.files as f64, "");
    report.put("spool_directories", "directories in the spool", filed.directories as f64, "");
    report.put("spool_mib", "the spool on disk", mib(filed.bytes), "MiB");
    report.put("store_mib", "the whole store on disk", mib(all.bytes), "MiB");
    let rss = rig.process().rss_kib()? / 1024.0;
    report.put("rss_filed_mib", "server memory (RSS) when all are filed", rss, "MiB");

    drain(rig, args, args.recipients, &world, &mut report).await?;
    rig.settle().await?;
    let left = Footprint::of(&spool)?;
    report.put("spool_files_left", "files left in the spool", left.files as f64, "");
    let rss = rig.process().rss_kib()? / 1024.0;
    report.put("rss_drained_mib", "server memory (RSS) afterwards", rss, "MiB");
    Ok(report)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
