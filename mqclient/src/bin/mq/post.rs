//! `mq post` and `mq ping`: to whom, what, and what became of it.

use crate::cli::{BodyArgs, LinkArgs, PingArgs, PostArgs};
use crate::connect;
use crate::failure::{Code, Failure};
use crate::order::{Answer, Order, Recipient, Whom};
use crate::output::{self, note};
use crate::profile::Profile;
use bytes::Bytes;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde_json::value::RawValue;
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

/// More than a server can be configured to take.
const MAX_BODY: u64 = 1 << 30;
/// From this size on, people are shown that it goes on.
const LARGE: usize = 256 << 10;
const TICK: Duration = Duration::from_millis(100);

pub(crate) async fn post(
    profile: &Profile,
    args: &PostArgs,
    link: &LinkArgs,
) -> Result<(), Failure> {
    let (names, text) = args.body.split(&args.words)?;
    let to = recipients(names, args.one)?;
    let etc = args.body.etc()?;
    let body = args.body.read(text)?;
    let order = Order::Post { to: to.clone(), copies: !args.no_copies, etc };
    let answer = ask(profile, order, body, link).await?;
    print(&answer, args.json)?;
    report(&answer, &to)
}

pub(crate) async fn ping(
    profile: &Profile,
    args: &PingArgs,
    link: &LinkArgs,
) -> Result<(), Failure> {
    let etc = args.body.etc()?;
    // Without a text it says no more than that it is there.
    let nothing = args.text.is_none() && args.body.is_empty();
    let body = if nothing { Bytes::new() } else { args.body.read(args.text.as_deref())? };
    let order = Order::Ping { alias: args.alias.clone(), etc };
    let answer = ask(profile, order, body, link).await?;
    print(&answer, args.json)?;
    report(&answer, &[])
}

/// Asks, and shows on a terminal that a large message takes its time. How far it is cannot be told:
/// the system takes megabytes at once, and what counts is the server's ack.
async fn ask(
    profile: &Profile,
    order: Order,
    body: Bytes,
    link: &LinkArgs,
) -> Result<Answer, Failure> {
    let bar = if body.len() < LARGE { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(format!("{}, until the server has it", HumanBytes(body.len() as u64)));
    bar.enable_steady_tick(TICK);
    let answer = connect::ask(profile, order, body, link).await;
    bar.finish_and_clear();
    answer
}

fn print(answer: &Answer, json: bool) -> Result<(), Failure> {
    let Answer::Receipt(ack) = answer else { return Ok(()) };
    // It is posted, whether anybody reads that or not.
    let _ = match (json, &ack.msgid) {
        (true, _) => output::json(ack)?,
        (false, Some(msgid)) => output::line(msgid)?,
        (false, None) => return Ok(()),
    };
    Ok(())
}

/// Says whom the message did not reach.
pub(crate) fn report(answer: &Answer, to: &[Recipient]) -> Result<(), Failure> {
    let Answer::Receipt(ack) = answer else { return Ok(()) };
    if ack.failed.is_empty() && ack.warnings.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = match ack.failed.is_empty() {
        false => ack.failed.iter().map(|(name, why)| format!("{name}: {why}")).collect(),
        true => ack.warnings.clone(),
    };
    // A server of version 1 gives no names.
    let failed = match ack.failed.is_empty() {
        false => to.iter().filter(|recipient| ack.failed.contains_key(&recipient.name)).count(),
        true => ack.warnings.len(),
    };
    let nobody = failed >= to.len();
    let (code, what) = match nobody {
        true => (Code::Refused, "nobody got it"),
        false => (Code::Partial, "not all got it"),
    };
    let lines = lines.join("\n    ");
    Err(Failure::new(code, format!("{what}:\n    {lines}")))
}

/// Reads names: `@team` and `list:team` are lists, `user:NAME` and all else users.
fn recipients(names: &[String], one: bool) -> Result<Vec<Recipient>, Failure> {
    let mut recipients: Vec<Recipient> = Vec::new();
    for written in names {
        let recipient = recipient(written, one);
        if recipient.name.is_empty() {
            return Err(Failure::usage(format!("{written:?} names nobody")));
        }
        match recipients.iter().find(|other| other.name == recipient.name) {
            None => recipients.push(recipient),
            Some(other) if *other == recipient => {}
            // On the wire a name stands once.
            Some(_) => {
                let text = format!("{:?} is a user and a list: post twice", recipient.name);
                return Err(Failure::usage(text));
            }
        }
    }
    Ok(recipients)
}

fn recipient(written: &str, one: bool) -> Recipient {
    let list = |name: &str| Recipient { name: name.to_owned(), kind: Whom::List };
    if let Some(name) = written.strip_prefix('@').or_else(|| written.strip_prefix("list:")) {
        return list(name);
    }
    let name = written.strip_prefix("user:").unwrap_or(written);
    Recipient { name: name.to_owned(), kind: if one { Whom::OneNode } else { Whom::User } }
}

impl BodyArgs {
    fn is_empty(&self) -> bool {
        self.message.is_none() && self.file.is_none()
    }

    /// Which of the words are names, and which is the text.
    fn split<'a>(&self, words: &'a [String]) -> Result<(&'a [String], Option<&'a str>), Failure> {
        match words {
            [] => Err(Failure::usage("nobody to post to")),
            [_] => Ok((words, None)),
            [..] if !self.is_empty() => Ok((words, None)),
            [names @ .., text] => Ok((names, Some(text))),
        }
    }

    fn etc(&self) -> Result<Option<Box<RawValue>>, Failure> {
        let Some(etc) = &self.etc else { return Ok(None) };
        let value = serde_json::from_str(etc);
        value.map(Some).map_err(|error| Failure::usage(format!("--etc is no JSON: {error}")))
    }

    /// The data of the message: `text`, or what the options say, or the standard input.
    fn read(&self, text: Option<&str>) -> Result<Bytes, Failure> {
        let stdin = Path::new("-");
        if let Some(text) = &self.message {
            return Ok(text.clone().into());
        }
        match (text, &self.file) {
            (Some(text), _) if text != "-" => Ok(text.to_owned().into()),
            (_, Some(path)) if path != stdin => {
                let file = File::open(path).map_err(|error| Failure::file(path, &error))?;
                read(file, path)
            }
            _ => {
                let input = std::io::stdin();
                if input.is_terminal() {
                    note("type the message; ctrl-D ends it");
                }
                read(input.lock(), Path::new("standard input"))
            }
        }
    }
}

fn read(from: impl Read, path: &Path) -> Result<Bytes, Failure> {
    let mut data = Vec::new();
    let read = from.take(MAX_BODY + 1).read_to_end(&mut data);
    read.map_err(|error| Failure::file(path, &error))?;
    if data.len() as u64 > MAX_BODY {
        let text = format!("{} is larger than any message may be", path.display());
        return Err(Failure::new(Code::Refused, text));
    }
    Ok(data.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_names(names: &[&str]) -> Result<Vec<(String, Whom)>, Failure> {
        let names: Vec<String> = names.iter().map(|&name| name.into()).collect();
        let recipients = recipients(&names, false)?;
        Ok(recipients.into_iter().map(|recipient| (recipient.name, recipient.kind)).collect())
    }

    #[test]
    fn names_are_users_but_those_with_an_at_sign_are_lists() {
        let names = ["bob", "@team", "user:@odd", "list:@odder", "user:list:x", "bob"];
        let expected = [
            ("bob", Whom::User),
            ("team", Whom::List),
            ("@odd", Whom::User),
            ("@odder", Whom::List),
            ("list:x", Whom::User),
        ];
        let expected = expected.map(|(name, kind)| (name.to_owned(), kind));
        assert_eq!(read_names(&names).unwrap(), expected);
    }

    #[test]
    fn a_name_cannot_be_a_user_and_a_list_in_one_post() {
        assert_eq!(read_names(&["team", "@team"]).unwrap_err().code, Code::Usage);
        assert_eq!(read_names(&["@"]).unwrap_err().code, Code::Usage);
    }
}
