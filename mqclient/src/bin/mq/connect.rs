//! The way to the server: over a link of one's own, or through the process that has one.

use crate::cli::LinkArgs;
use crate::failure::{Code, Failure};
use crate::order::{Answer, Desk, Order};
use crate::output::note;
use crate::profile::{Lock, Profile, Settings};
use crate::relay::{self, Relay};
use bytes::Bytes;
use mqclient::{Client, Config, Error, NodeName};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Larger than any server's limit: what it takes, it says itself.
const MAX_MESSAGE: usize = 1 << 30;
/// How long a server may take to learn that an earlier link of the node has ended.
const HELD: Duration = Duration::from_secs(5);
/// How long to wait between attempts.
const PAUSE: Duration = Duration::from_millis(30);
/// After such a wait people are told for whom.
const SILENCE: Duration = Duration::from_secs(2);

/// Logs in as a node. If it is a profile's, the caller has its lock.
pub(crate) async fn log_in(
    settings: &Settings,
    secret: &NodeName,
    window: usize,
    link: &LinkArgs,
) -> Result<Client, Failure> {
    connect(configure(settings, secret, window, link)?).await
}

fn configure(
    settings: &Settings,
    secret: &NodeName,
    window: usize,
    link: &LinkArgs,
) -> Result<Config, Failure> {
    let mut config = Config::new(settings.server()?, &settings.user, secret.reveal());
    (config.window, config.takeover) = (window, link.takeover);
    config.max_message = MAX_MESSAGE;
    Ok(config)
}

async fn connect(config: Config) -> Result<Client, Failure> {
    let since = Instant::now();
    loop {
        match Client::connect(config.clone()).await {
            Err(Error::NodeActive) if since.elapsed() < HELD => sleep(PAUSE * 5).await,
            result => return result.map_err(|error| Failure::connecting(&error)),
        }
    }
}

/// Has an order carried out: by the process that is logged in, if there is one, else by this one.
pub(crate) async fn ask(
    profile: &Profile,
    order: Order,
    body: Bytes,
    link: &LinkArgs,
) -> Result<Answer, Failure> {
    let since = Instant::now();
    let mut noted = false;
    loop {
        if let Some(result) = relay::ask(profile, &order, &body, link.patience()).await {
            return result;
        }
        if let Some(lock) = profile.lock()? {
            // Deliveries are not for this process: as few as possible are begun.
            let client = log_in(&profile.settings, &profile.secret, 1, link).await?;
            let result = Desk::new(&client).carry_out(order, body, link.patience()).await;
            client.close().await;
            drop(lock);
            return result;
        }
        if since.elapsed() > SILENCE && !noted {
            noted = true;
            note(&format!(
                "waiting for {}, which is logged in as {}",
                profile.holder(),
                profile.name
            ));
        }
        sleep(PAUSE).await;
    }
}

/// A process that stays logged in, and carries out what others of its profile ask for.
pub(crate) struct Host {
    pub(crate) client: Client,
    pub(crate) desk: Desk,
    relay: Relay,
    _lock: Lock,
}

impl Host {
    pub(crate) async fn open(
        profile: &Profile,
        window: usize,
        link: &LinkArgs,
    ) -> Result<Self, Failure> {
        let since = Instant::now();
        let lock = loop {
            if let Some(lock) = profile.lock()? {
                break lock;
            }
            // One that only posts is soon done.
            if since.elapsed() > SILENCE {
                let text = format!(
                    "{} is logged in as {}; a second one needs a node of its own (mq node add \
                     --save-as PROFILE)",
                    profile.holder(),
                    profile.name
                );
                return Err(Failure::new(Code::NotLetIn, text));
            }
            sleep(PAUSE).await;
        };
        let config = configure(&profile.settings, &profile.secret, window, link)?;
        // What it has shown or done is not shown or done again after a crash.
        let client = connect(config.memory(profile.memory())).await?;
        let desk = Desk::new(&client);
        let relay = Relay::open(profile, desk.clone())?;
        Ok(Self { client, desk, relay, _lock: lock })
    }

    /// Ends in good order: acks are sent, and others have their answers.
    pub(crate) async fn close(self) {
        self.relay.close().await;
        self.client.close().await;
    }
}
