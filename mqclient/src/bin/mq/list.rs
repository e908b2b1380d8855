//! `mq list`: who is in a list.

use crate::cli::{LinkArgs, ListCommand};
use crate::connect;
use crate::failure::{Code, Failure};
use crate::order::{Answer, Order};
use crate::output;
use crate::profile::Profile;
use bytes::Bytes;

pub(crate) async fn list(
    profile: &Profile,
    command: ListCommand,
    link: &LinkArgs,
) -> Result<(), Failure> {
    let me = || profile.settings.user.clone();
    let name = |list: String| match list.strip_prefix('@') {
        Some(name) => name.to_owned(),
        None => list,
    };
    let mut body = Bytes::new();
    let order = match command {
        ListCommand::Create { list, mut users } => {
            users.insert(0, me());
            Order::ListAdd { list: name(list), users }
        }
        ListCommand::Accept { list } => Order::ListAdd { list: name(list), users: vec![me()] },
        ListCommand::Leave { list } => Order::ListRemove { list: name(list), users: vec![me()] },
        ListCommand::Add { list, users } => Order::ListAdd { list: name(list), users },
        ListCommand::Remove { list, users } => Order::ListRemove { list: name(list), users },
        ListCommand::Invite { list, aliases, message } => {
            body = message.unwrap_or_default().into();
            Order::ListInvite { list: name(list), aliases }
        }
        ListCommand::Show { list, json } => {
            return show(profile, list.map(name).as_deref(), json, link).await;
        }
    };
    if let Answer::Receipt(ack) = connect::ask(profile, order, body, link).await? {
        // The edit is done; some may not have been told.
        ack.warnings.iter().for_each(|warning| output::note(warning));
    }
    Ok(())
}

/// Shows the lists that one is in. Their members cannot be asked for.
async fn show(
    profile: &Profile,
    list: Option<&str>,
    json: bool,
    link: &LinkArgs,
) -> Result<(), Failure> {
    let answer = connect::ask(profile, Order::Status, Bytes::new(), link).await?;
    let Answer::Status { status, .. } = answer else { return Ok(()) };
    let lists: Vec<&String> =
        status.lists.iter().filter(|name| list.is_none_or(|list| list == *name)).collect();
    if json {
        output::json(&lists)?;
    } else {
        let text: String = lists.iter().map(|name| format!("@{name}\n")).collect();
        output::bytes(text.as_bytes())?;
    }
    match list {
        Some(list) if lists.is_empty() => {
            let text = format!("you are no member of @{list}, or it does not exist");
            Err(Failure::new(Code::Refused, text))
        }
        _ => Ok(()),
    }
}
