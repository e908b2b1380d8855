//! Certificates are renewed while the server runs: their files are watched, and read again. What is
//! no good is not used: the operator is told, and what was there before goes on.

use super::Renewal;
use super::files::Files;
use crate::config::live::Live;
use crate::watch::Changes;

/// Follows the files, and a configuration that says where others are, until it is dropped.
pub(crate) async fn follow(renewal: Renewal, mut live: Live) {
    let Renewal { config, files, current } = renewal;
    let mut seen = (config, Ok(files));
    loop {
        let paths = live.current().tls_below_store();
        // First, so that no change after the reading is missed; again, since links lead elsewhere.
        let mut changes = Changes::of(&paths.files());
        let config = paths.clone();
        let read = tokio::task::spawn_blocking(move || Files::read(&config)).await;
        let found = match read {
            Ok(found) => (paths, found.map_err(|error| error.to_string())),
            Err(error) => (paths, Err(error.to_string())),
        };
        if found != seen {
            seen = found;
            let made = match &seen {
                (paths, Ok(files)) => files.current(paths).map_err(|e| e.to_string()),
                (_, Err(error)) => Err(error.clone()),
            };
            match made {
                Ok(made) => {
                    current.send_replace(made);
                    tracing::info!("new links get the certificate that was read again");
                }
                Err(why) => {
                    tracing::warn!(%why, "new links get the certificate from before");
                }
            }
        }
        tokio::select! {
            () = changes.next() => {}
            () = live.changed() => {}
        }
    }
}
