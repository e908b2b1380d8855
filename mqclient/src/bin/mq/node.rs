//! `mq node` and `mq status`: the nodes of one's user.

use crate::cli::{LinkArgs, NodeCommand};
use crate::connect;
use crate::failure::{Code, Failure};
use crate::order::{Answer, Order};
use crate::output::{self, note};
use crate::profile::{Home, Profile};
use bytes::Bytes;
use indicatif::HumanBytes;
use mqclient::{Client, Status};
use serde_json::json;

pub(crate) async fn node(
    home: &Home,
    profile: &Profile,
    command: NodeCommand,
    link: &LinkArgs,
) -> Result<(), Failure> {
    match command {
        NodeCommand::Add { save_as, json } => add(home, profile, save_as.as_deref(), json).await,
        NodeCommand::Drop { offset } => {
            let (_, own, _) = ask(profile, link).await?;
            if own == Some(offset) {
                let text = format!("node {offset} is this profile's own: mq profile rm drops it");
                return Err(Failure::usage(text));
            }
            drop_node(profile, offset, link).await
        }
        NodeCommand::Ls { json } => {
            let (status, own, _) = ask(profile, link).await?;
            if json {
                output::json(&status.nodes)?;
            } else {
                output::bytes(table(&status, own).as_bytes())?;
            }
            Ok(())
        }
    }
}

pub(crate) async fn status(profile: &Profile, json: bool, link: &LinkArgs) -> Result<(), Failure> {
    let (status, own, server) = ask(profile, link).await?;
    let settings = &profile.settings;
    if json {
        output::json(&json!({
            "profile": profile.name,
            "url": settings.server,
            "server": server,
            "user": settings.user,
            "node": own,
            "nodes": status.nodes,
            "aliases": status.aliases,
            "lists": status.lists,
        }))?;
        return Ok(());
    }
    let lists: Vec<String> = status.lists.iter().map(|list| format!("@{list}")).collect();
    let text = format!(
        "profile  {}\nserver   {} ({})\nuser     {}\naliases  {}\nlists    {}\n\n{}",
        profile.name,
        settings.server,
        server.as_deref().unwrap_or("version 1"),
        settings.user,
        status.aliases.join(" "),
        lists.join(" "),
        table(&status, own)
    );
    output::bytes(text.as_bytes()).map(drop)
}

/// Takes a node away. This one too, so the caller knows what it does.
pub(crate) async fn drop_node(
    profile: &Profile,
    offset: u8,
    link: &LinkArgs,
) -> Result<(), Failure> {
    connect::ask(profile, Order::DropNode(offset), Bytes::new(), link).await.map(drop)
}

/// One's user, this node, and the server.
pub(crate) async fn ask(
    profile: &Profile,
    link: &LinkArgs,
) -> Result<(Status, Option<u8>, Option<String>), Failure> {
    match connect::ask(profile, Order::Status, Bytes::new(), link).await? {
        Answer::Status { status, node, server } => Ok((status, node, server)),
        _ => Err(Failure::new(Code::Refused, "the server has not told its status")),
    }
}

async fn add(
    home: &Home,
    profile: &Profile,
    save_as: Option<&str>,
    json: bool,
) -> Result<(), Failure> {
    let settings = &profile.settings;
    // Before the server tells a secret that could not be kept.
    let draft = save_as.map(|name| home.draft(name, settings)).transpose()?;
    let issued = Client::issue_node(settings.server()?, &settings.user, &profile.secret).await;
    let (offset, secret) = issued.map_err(|error| Failure::connecting(&error))?;
    if let Some(draft) = draft {
        let saved = draft.path();
        draft.save(&secret).map_err(|failure| failure.with_secret(&secret))?;
        note(&format!("node {offset} is saved in {}", saved.display()));
        return Ok(());
    }
    note(&format!("node {offset}; its secret is told this once, and is read by: mq login"));
    if json {
        output::json(&json!({ "offset": offset, "secret": secret.reveal() }))?;
    } else {
        output::line(secret.reveal())?;
    }
    Ok(())
}

/// The nodes, a line each; `*` is this one.
fn table(status: &Status, own: Option<u8>) -> String {
    let mut text =
        format!("{:<6} {:<8} {:>9} {:>12}  {}\n", "node", "online", "waiting", "size", "last seen");
    for node in &status.nodes {
        let mark = if own == Some(node.offset) { "*" } else { "" };
        text += &format!(
            "{:<6} {:<8} {:>9} {:>12}  {}\n",
            format!("{}{mark}", node.offset),
            if node.online { "yes" } else { "no" },
            node.queued,
            HumanBytes(node.bytes).to_string(),
            node.last_seen.as_deref().unwrap_or("-")
        );
    }
    text
}
