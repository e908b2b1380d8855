//! `mq register`, `mq login` and `mq profile`.

use crate::cli::{AccountArgs, LinkArgs, LoginArgs, ProfileCommand, RegisterArgs};
use crate::connect;
use crate::failure::{Code, Failure};
use crate::node;
use crate::output::{self, note};
use crate::profile::{Draft, Home, Profile, Settings};
use crate::secret;
use mqclient::{Client, NodeName, Registration};
use std::path::{PathBuf, absolute};

pub(crate) async fn register(
    home: &Home,
    profile: Option<&str>,
    args: &RegisterArgs,
) -> Result<(), Failure> {
    let settings = args.account.settings(&args.user)?;
    let mut wanted = Registration::new(&args.user);
    wanted.aliases.clone_from(&args.aliases);
    if args.invite {
        wanted.invite = Some(secret::read("MQ_INVITE", "invitation")?);
    }
    // First of all, for the server tells the secret once.
    let draft = home.draft(profile.unwrap_or(&args.user), &settings)?;
    let registered = Client::enrol(settings.server()?, &wanted).await;
    let registered = registered.map_err(|error| Failure::connecting(&error))?;
    let Some(secret) = registered.node else {
        return Err(Failure::new(Code::Refused, "the server has issued no secret"));
    };
    save(home, draft, &secret)?;
    for alias in &args.aliases {
        if !registered.aliases.contains(alias) {
            note(&format!("the alias {alias:?} is taken"));
        }
    }
    Ok(())
}

pub(crate) async fn login(
    home: &Home,
    profile: Option<&str>,
    args: &LoginArgs,
    link: &LinkArgs,
) -> Result<(), Failure> {
    let settings = args.account.settings(&args.user)?;
    let secret = secret::read("MQ_SECRET", "secret")?;
    let name = profile.unwrap_or(&args.user);
    let draft = home.draft(name, &settings)?;
    if args.new_node {
        let issued = Client::issue_node(settings.server()?, &args.user, &secret).await;
        let (offset, issued) = issued.map_err(|error| Failure::connecting(&error))?;
        save(home, draft, &issued)?;
        note(&format!("node {offset} is new, and this profile's own"));
        return Ok(());
    }
    // The server is asked before anything is kept that may be wrong.
    let client = connect::log_in(&settings, &secret, 1, link).await?;
    client.close().await;
    save(home, draft, &secret)
}

pub(crate) async fn profile(
    home: &Home,
    command: ProfileCommand,
    link: &LinkArgs,
) -> Result<(), Failure> {
    match command {
        ProfileCommand::Ls => ls(home),
        ProfileCommand::Use { name } => home.choose(&name),
        ProfileCommand::Rm { name, keep_node } => {
            let profile = home.open(Some(&name))?;
            if !keep_node {
                drop_own(&profile, link).await.map_err(|failure| Failure {
                    text: format!("{failure}; --keep-node removes the profile alone"),
                    ..failure
                })?;
            }
            let Some(_lock) = profile.lock()? else {
                return Err(Failure::local(format!("{} uses it", profile.holder())));
            };
            home.remove(&profile)
        }
    }
}

/// A node that nobody reads would fill up, so it goes with its profile.
async fn drop_own(profile: &Profile, link: &LinkArgs) -> Result<(), Failure> {
    let Some(lock) = profile.lock()? else {
        return Err(Failure::local(format!("{} uses it", profile.holder())));
    };
    drop(lock);
    let (_, own, _) = node::ask(profile, link).await?;
    match own {
        Some(own) => node::drop_node(profile, own, link).await,
        None => Ok(()),
    }
}

fn ls(home: &Home) -> Result<(), Failure> {
    let current = home.current()?;
    let mut text = String::new();
    for name in home.names()? {
        let mark = if current.as_ref() == Some(&name) { '*' } else { ' ' };
        let what = match home.settings(&name) {
            Ok(settings) => format!("{} on {}", settings.user, settings.server),
            Err(failure) => failure.text,
        };
        text += &format!("{mark} {name}  {what}\n");
    }
    output::bytes(text.as_bytes()).map(drop)
}

fn save(home: &Home, draft: Draft, secret: &NodeName) -> Result<(), Failure> {
    let path = draft.path();
    let first = home.names()?.is_empty();
    draft.save(secret).map_err(|failure| failure.with_secret(secret))?;
    if first && let Some(name) = path.file_name().and_then(|name| name.to_str()) {
        // Later ones do not come before it unless they are chosen.
        // If that fails, it is the current one as long as it is the only one.
        if let Err(failure) = home.choose(name) {
            note(&failure.text);
        }
    }
    note(&format!("the profile is saved in {}", path.display()));
    Ok(())
}

impl Failure {
    /// A secret that was told once and could not be saved is worse lost than shown.
    pub(crate) fn with_secret(self, secret: &NodeName) -> Self {
        let text = format!(
            "{self}; the secret was not saved. Keep it, and use it with mq login: {}",
            secret.reveal()
        );
        Self { text, ..self }
    }
}

impl AccountArgs {
    fn settings(&self, user: &str) -> Result<Settings, Failure> {
        let found = |path: &Option<PathBuf>| {
            let absolute = |path: &PathBuf| absolute(path).map_err(|e| Failure::file(path, &e));
            path.as_ref().map(absolute).transpose()
        };
        if is_open_to_all(&self.server) {
            note(&format!("{}: the secret goes over the network in clear text", self.server));
        }
        Ok(Settings {
            server: self.server.clone(),
            user: user.to_owned(),
            ca: found(&self.ca)?,
            cert: found(&self.cert)?,
            key: found(&self.key)?,
        })
    }
}

/// Does the URL name a way that others may listen to?
fn is_open_to_all(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let own = ["localhost", "127.", "[::1]"].iter().any(|own| rest.starts_with(own));
    matches!(scheme, "ws" | "mq") && !own
}
