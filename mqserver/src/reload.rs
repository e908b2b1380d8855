//! The configuration is read again when its file changes, and on SIGHUP.
//!
//! What can change while the server runs does; what cannot is named in the log, and waits for the
//! next start. A configuration that is no good, or that no server would start with, changes nothing.

use crate::config::{Config, ConfigError, Effect, SETTINGS, Source, Value};
use crate::engine::Event;
use crate::supervisor;
use crate::watch::Changes;
use std::io;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

/// What reads the configuration again.
pub(crate) struct Reload {
    source: Source,
    /// What is in force, as it was written.
    current: Config,
    /// What was read last: its values, or what was wrong with it.
    seen: Result<Vec<Value>, String>,
    hangup: Signal,
    /// For whoever looks it up.
    live: watch::Sender<Arc<Config>>,
    /// For the broker and the store.
    events: UnboundedSender<Event>,
}

impl Reload {
    /// `None` if the configuration was not read from anything that can change. From here on, SIGHUP
    /// no longer ends the process.
    pub(crate) fn new(
        config: &Config,
        live: watch::Sender<Arc<Config>>,
        events: UnboundedSender<Event>,
    ) -> io::Result<Option<Self>> {
        let Some(source) = config.source().cloned() else { return Ok(None) };
        let (current, seen) = (config.clone(), Ok(values(config)));
        let hangup = signal(SignalKind::hangup())?;
        Ok(Some(Self { source, current, seen, hangup, live, events }))
    }

    /// Follows the file until it is dropped.
    pub(crate) async fn follow(mut self) {
        let file = self.source.file();
        loop {
            let mut changes = Changes::of(&[&file]);
            // What changed before it was watched.
            self.look(false).await;
            tokio::select! {
                () = changes.next() => {}
                _ = self.hangup.recv() => self.look(true).await,
            }
        }
    }

    /// Reads it. If nobody `asked`, what is as before is no news.
    async fn look(&mut self, asked: bool) {
        if asked {
            supervisor::reloading();
        }
        let source = self.source.clone();
        let read = match tokio::task::spawn_blocking(move || source.read()).await {
            Ok(read) => read.map_err(|error: ConfigError| error.line()),
            Err(error) => Err(error.to_string()),
        };
        let found = read.as_ref().map(values).map_err(Clone::clone);
        if asked || found != self.seen {
            self.seen = found;
            match read.and_then(|new| self.admit(new)) {
                Ok(Admitted { changed, waits }) => {
                    let changed = list(&changed);
                    tracing::info!(%changed, "the configuration was read again");
                    if !waits.is_empty() {
                        let settings = list(&waits);
                        tracing::info!(%settings, "takes effect at the next start");
                    }
                }
                Err(error) => tracing::warn!(%error, "the configuration stays as it was before"),
            }
        }
        if asked {
            supervisor::ready();
        }
    }

    /// Puts it in force, but for what has to wait.
    fn admit(&mut self, mut new: Config) -> Result<Admitted, String> {
        let written = new.clone();
        let old = &self.current;
        let mut waits = Vec::new();
        for setting in SETTINGS.iter().filter(|setting| setting.effect == Effect::Start) {
            if setting.value(&new) != setting.value(old) {
                waits.push(setting.name());
                setting.copy(old, &mut new);
            }
        }
        // Now, and as it is at the next start.
        for config in [&new, &written] {
            let careless = config.careless();
            if !careless.is_empty() && !config.insecure {
                return Err(format!("{} (insecure = true allows it)", careless.join("; ")));
            }
        }
        let mut changed = Vec::new();
        for setting in SETTINGS {
            let (was, is) = (setting.value(old), setting.value(&new));
            if was != is {
                changed.push(format!("{} = {is} (was {was})", setting.name()));
            }
        }
        if !changed.is_empty() {
            let ready = Arc::new(new.clone().ready());
            self.live.send_replace(ready.clone());
            // If nobody listens any more, the server is going down anyway.
            let _ = self.events.send(Event::Configured(ready));
        }
        self.current = new;
        Ok(Admitted { changed, waits })
    }
}

/// What a configuration that was read again changes.
struct Admitted {
    /// Now: setting, value, and what it was.
    changed: Vec<String>,
    /// At the next start: settings.
    waits: Vec<String>,
}

fn list(all: &[String]) -> String {
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

fn values(config: &Config) -> Vec<Value> {
    SETTINGS.iter().map(|setting| setting.value(config)).collect()
}
