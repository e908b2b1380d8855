//! `mqserver cert`

use super::StoreArgs;
use clap::Args;
use mqserver::cert;

#[derive(Debug, Args)]
pub(super) struct CertArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// What clients call this server: a host's name or an IP address; may be repeated
    #[arg(long = "name", value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    names: Vec<String>,
    /// Replace the one that is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(CertArgs { store, names, force }: CertArgs) -> anyhow::Result<()> {
    let store = store.store;
    let made = cert::make(&store, names.clone(), force)?;
    println!(
        "Made {} and its key {},\nfor {}, valid for {} days. It signs itself: clients have to be given \
         it as a root.\nSHA-256 fingerprint: {}\n\nAdd to {}, above all [sections]:\n\n    \
         listen_tls = [\"0.0.0.0:8443\"]\n\nor run mqserver with --listen-tls 0.0.0.0:8443.",
        made.certificate.display(),
        made.key.display(),
        names.join(", "),
        cert::DAYS,
        made.fingerprint,
        store.join(mqserver::config::FILE).display()
    );
    Ok(())
}
