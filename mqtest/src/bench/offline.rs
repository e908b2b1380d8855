//! What a node costs that is offline and has nothing waiting: a server on a store with many users,
//! beside one with few.

use super::common::Common;
use super::population;
use super::report::Report;
use super::rig::Rig;
use anyhow::ensure;
use std::time::Duration;
use tokio::time::sleep;

/// The users of the small store.
const FEW: u32 = 1000;
/// How long a server is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// Measures `nodes` nodes, each of a user of its own.
pub(crate) async fn measure(
    common: &Common,
    nodes: u32,
    command: String,
) -> anyhow::Result<Report> {
    ensure!(nodes > FEW, "at least {} nodes are needed to tell their memory", FEW + 1);
    let mut report = Report::new("offline", command);
    let (few, few_s) = start(common, FEW).await?;
    let (many, many_s) = start(common, nodes).await?;
    report.put("offline_nodes", "nodes, each of a user of its own", nodes.into(), "");
    report.put("rss_few_mib", "server memory (RSS) with 1,000 users", few / 1024.0, "MiB");
    report.put("rss_mib", "server memory (RSS) with all", many / 1024.0, "MiB");
    let bytes = (many - few) * 1024.0 / f64::from(nodes - FEW);
    report.put("bytes_per_node", "a further user with an offline node", bytes, "bytes");
    report.put("listens_few_s", "from the start until it listens, 1,000 users", few_s, "s");
    report.put("listens_s", "from the start until it listens, all", many_s, "s");
    Ok(report)
}

/// Memory in KiB of a server with so many users, and how many seconds it took to start.
async fn start(common: &Common, users: u32) -> anyhow::Result<(f64, f64)> {
    let mut rig = Rig::start_on(common, 0, |store| population::make(store, users, 0)).await?;
    sleep(SETTLE).await;
    let rss = rig.process().rss_kib();
    Ok((rig.explain(rss)?, rig.listens.as_secs_f64()))
}
