//! `mqserver stop`

use super::StoreArgs;
use anyhow::{Context, bail};
use mqserver::lock::{self, Stopped};
use std::time::Duration;

/// How long it waits.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(args: &StoreArgs) -> anyhow::Result<()> {
    let store = &args.store;
    let stopped = lock::stop(store, PATIENCE);
    match stopped.with_context(|| format!("cannot stop the server on {}", store.display()))? {
        Stopped::Gone => Ok(()),
        Stopped::NotRunning => {
            println!("no .pid file found");
            Ok(())
        }
        Stopped::StillRunning(pid) => bail!("process {pid} has not stopped in {PATIENCE:?}"),
    }
}
