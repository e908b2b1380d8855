//! What a client asks for: the requests of versions 1 and 2, parsed, and built for our own client.
//!
//! A message is refused at the first thing wrong, in the original's order: length, JSON, op, whether
//! the op is legal now, parameters, body. The fourth is for the broker to say, so what is wrong
//! behind it waits in [`Incoming`] until then; so does what only a link of version 2 may ask for.
//! Parsing borrows from the message; it runs on the link's own task, in parallel to the broker.

mod fields;
mod kind;
#[cfg(test)]
mod tests;

pub use kind::Kind;

use crate::header;
use crate::id::MessageId;
use crate::json;
use crate::quit::Quit;
use bytes::Bytes;
use fields::Fields;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use zeroize::Zeroizing;

/// The operations that a client may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Send a message to users and lists.
    Post,
    /// Take a delivered message off the queue.
    Ack,
    /// Send a message to an alias.
    Ping,
    /// Add, invite or remove a member of a list.
    ListEdit,
    /// Bind the connection to a node.
    Login,
    /// Create a user, or replace one's own aliases.
    Register,
    /// Add a node to a user.
    AddNode,
    /// Take a node away from its user. Version 2 only.
    DropNode,
    /// Ask about one's nodes, aliases and lists. Version 2 only.
    Status,
}

impl Op {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::Post,
        Self::Ack,
        Self::Ping,
        Self::ListEdit,
        Self::Login,
        Self::Register,
        Self::AddNode,
        Self::DropNode,
        Self::Status,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::AddNode => "addNode",
            Self::Login => "login",
            Self::Post => "post",
            Self::Ping => "ping",
            Self::Ack => "ack",
            Self::ListEdit => "listEdit",
            Self::DropNode => "dropNode",
            Self::Status => "status",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.name() == name)
    }

    /// May it be asked for before login?
    pub fn is_open_to_strangers(self) -> bool {
        matches!(self, Self::Register | Self::AddNode | Self::Login)
    }

    /// Is it known only to links of version 2?
    fn is_v2(self) -> bool {
        matches!(self, Self::DropNode | Self::Status)
    }

    fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Ping | Self::ListEdit)
    }
}

/// A node's name as a client gave it, or as we issued it; or the token of an invitation. It is a
/// password, so it is wiped when dropped and does not show in debug output.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct NodeName(Zeroizing<String>);

impl NodeName {
    /// A name to be turned into a key, or checked.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The name itself. Not for logs, nor for the disk.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for NodeName {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl std::fmt::Debug for NodeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NodeName(…)")
    }
}

/// What a request carries besides its header: `etc`, then data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The length of the JSON value at the start of the body, if there is one.
    pub etc: Option<usize>,
    /// `etc` and data.
    pub body: Bytes,
}

/// Which version of the protocol a link speaks: version 1, unless it asks for another at login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The original's: one delivery in flight.
    V1,
    /// Ours.
    V2 {
        /// How many deliveries may be in flight, 1 to [`MAX_WINDOW`].
        window: usize,
    },
}

/// The most deliveries in flight that a link is granted, however many it asks for.
pub const MAX_WINDOW: usize = 1000;
/// The deliveries in flight of a link of version 2 that does not say.
pub const DEFAULT_WINDOW: usize = 100;

/// A request that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Create a user with its first node, or replace the aliases of the user logged in.
    Register {
        /// The user to create, or one's own.
        user: String,
        /// The first node's name.
        new_node: NodeName,
        /// There is none, and version 2 is spoken: a stranger wants one issued.
        issue: bool,
        /// Aliases separated by white space.
        aliases: String,
        /// The token of an invitation, where one is needed to register.
        invite: Option<NodeName>,
    },
    /// Add a node to a user.
    AddNode {
        /// The user; ignored when logged in.
        user: String,
        /// The node to add.
        new_node: NodeName,
        /// It has no name, and version 2 is spoken: one is to be issued.
        issue: bool,
        /// A node that the user has already: the credential.
        prev_node: NodeName,
    },
    /// Bind the connection to a node.
    Login {
        /// The user.
        user: String,
        /// The node's name.
        node: NodeName,
        /// What the link is to speak from then on.
        version: Version,
        /// A link that holds the node is to make way. Version 1 knows no such thing.
        takeover: bool,
    },
    /// Send a message to users and lists.
    Post {
        /// The client's own id, for the ack.
        id: String,
        /// The recipients, each once.
        to: Vec<(String, Kind)>,
        /// No copies to the sender's other nodes.
        no_nodes: bool,
        /// The message.
        content: Content,
    },
    /// Send a message to an alias's owner.
    Ping {
        /// The client's own id, for the ack.
        id: String,
        /// The alias.
        alias: String,
        /// No copies to the sender's other nodes.
        no_nodes: bool,
        /// The message.
        content: Content,
    },
    /// Delivered messages arrived: delete them.
    Ack {
        /// Their ids, without texts that are no ids of ours.
        ids: Vec<MessageId>,
        /// Was the type `ok`? Anything else has no effect.
        ok: bool,
    },
    /// Change a list's members.
    ListEdit {
        /// The client's own id, for the ack.
        id: String,
        /// The list.
        list: String,
        /// `add`, `invite` or `remove`; another is an error that the ack tells.
        edit: String,
        /// Users, or for an invitation aliases; one in version 1.
        members: Vec<String>,
        /// What an invitation says.
        content: Content,
    },
    /// Take a node away from the user.
    DropNode {
        /// The client's own id, for the ack.
        id: String,
        /// The node's offset, or a number that is none.
        node: u64,
    },
    /// Tell about the user's nodes, aliases and lists.
    Status {
        /// The client's own id, for the answer.
        id: String,
    },
}

impl Request {
    /// Does it register, drop a node, or edit a list?
    pub fn changes_directory(&self) -> bool {
        matches!(
            self,
            Self::Register { .. }
                | Self::AddNode { .. }
                | Self::ListEdit { .. }
                | Self::DropNode { .. }
        )
    }
}

/// A message whose op is known; whether it is legal now is for the broker to say, before it looks
/// at what is wrong with the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The op.
    pub op: Op,
    /// The request, or what is wrong with it.
    pub request: Result<Request, Quit>,
    /// What it is on a link of version 1, to which the fields of version 2 mean nothing, if that is
    /// something else.
    pub in_v1: Option<Box<Result<Request, Quit>>>,
}

impl Incoming {
    /// Parses a whole message as it came off the wire.
    ///
    /// # Errors
    /// [`Quit::InvalidLength`], [`Quit::InvalidJson`] and [`Quit::InvalidOp`]; later ones are in
    /// [`Incoming::request`].
    pub fn parse(message: &Bytes) -> Result<Self, Quit> {
        let (header, body) = header::split(message)?;
        let header = std::str::from_utf8(header).map_err(|_| Quit::InvalidJson)?;
        let fields: Fields<'_> = serde_json::from_str(header).map_err(|_| Quit::InvalidJson)?;
        if json::is_too_deep(header.as_bytes()) {
            return Err(Quit::InvalidJson);
        }
        let op = fields.string(fields::OP).as_deref().and_then(Op::from_name);
        let op = op.ok_or(Quit::InvalidOp)?;
        if op.is_v2() {
            // To others it is no op at all.
            let in_v1 = Some(Box::new(Err(Quit::InvalidOp)));
            return Ok(Self { op, request: request(op, &fields, body, true), in_v1 });
        }
        let differs = match op {
            Op::Ack => fields.get(fields::IDS).is_some() || fields.get(fields::TYPE).is_none(),
            Op::ListEdit => fields.get(fields::MEMBERS).is_some(),
            _ => false,
        };
        let in_v1 = differs.then(|| Box::new(request(op, &fields, body.clone(), false)));
        Ok(Self { op, request: request(op, &fields, body, true), in_v1 })
    }
}

fn request(op: Op, fields: &Fields<'_>, body: Bytes, v2: bool) -> Result<Request, Quit> {
    let missing = |field: usize| Quit::MissingParam(op, fields::NAMES[field]);
    let text = |field: usize| fields.string(field).ok_or_else(|| missing(field));
    let node = |field: usize| text(field).map(NodeName::new);
    let issue = |new_node: &NodeName| new_node.reveal().is_empty() && speaks_v2(fields);
    let disallowed = !op.has_body() && !body.is_empty();
    let request = match op {
        Op::Register => {
            let (user, new_node) = (text(fields::USER_ID)?, node(fields::NEW_NODE)?);
            let (issue, aliases) = (issue(&new_node), text(fields::ALIASES)?);
            let invite = fields.string(fields::INVITE).map(NodeName::new);
            Request::Register { user, new_node, issue, aliases, invite }
        }
        Op::AddNode => {
            let (user, new_node) = (text(fields::USER_ID)?, node(fields::NEW_NODE)?);
            let (issue, prev_node) = (issue(&new_node), node(fields::PREV_NODE)?);
            Request::AddNode { user, new_node, issue, prev_node }
        }
        Op::Login => {
            let (user, node) = (text(fields::USER_ID)?, node(fields::NODE_ID)?);
            let version = version(fields).map_err(missing)?;
            let takeover = version != Version::V1 && fields.is_truthy(fields::TAKEOVER);
            Request::Login { user, node, version, takeover }
        }
        Op::Post => Request::Post {
            id: text(fields::ID)?,
            to: fields
                .get(fields::TO)
                .and_then(kind::recipients)
                .ok_or_else(|| missing(fields::TO))?,
            no_nodes: fields.is_truthy(fields::NO_NODES),
            content: content(fields, body)?,
        },
        Op::Ping => Request::Ping {
            id: text(fields::ID)?,
            alias: text(fields::ALIAS)?,
            no_nodes: fields.is_truthy(fields::NO_NODES),
            content: content(fields, body)?,
        },
        Op::Ack => {
            let ids = match fields.get(fields::IDS) {
                Some(_) if v2 => {
                    let texts = fields.strings(fields::IDS).ok_or_else(|| missing(fields::IDS))?;
                    texts.iter().filter_map(|text| text.parse().ok()).collect()
                }
                _ => text(fields::ID)?.parse().into_iter().collect(),
            };
            let ok = match fields.get(fields::TYPE) {
                None if v2 => true,
                _ => text(fields::TYPE)? == "ok",
            };
            Request::Ack { ids, ok }
        }
        Op::ListEdit => Request::ListEdit {
            id: text(fields::ID)?,
            list: text(fields::TO)?,
            edit: text(fields::TYPE)?,
            members: match fields.get(fields::MEMBERS) {
                Some(_) if v2 => {
                    let texts = fields.strings(fields::MEMBERS).filter(|texts| !texts.is_empty());
                    let texts = texts.ok_or_else(|| missing(fields::MEMBERS))?;
                    texts.into_iter().map(Cow::into_owned).collect()
                }
                _ => vec![text(fields::MEMBER)?],
            },
            content: content(fields, body)?,
        },
        Op::DropNode => Request::DropNode {
            id: text(fields::ID)?,
            node: fields.number(fields::NODE).ok_or_else(|| missing(fields::NODE))?,
        },
        Op::Status => Request::Status { id: text(fields::ID)? },
    };
    if disallowed { Err(Quit::BodyDisallowed(op)) } else { Ok(request) }
}

/// Does a request of a stranger's say that it speaks version 2, or a later one?
fn speaks_v2(fields: &Fields<'_>) -> bool {
    fields.number(fields::V).is_some_and(|v| v >= 2)
}

/// What a login asks for, or the field that is not what it should be. A version later than ours is
/// taken for ours, and a larger window than we grant for the largest: the answer says so.
fn version(fields: &Fields<'_>) -> Result<Version, usize> {
    let number = |field, default| match fields.get(field) {
        Some(_) => fields.number(field).filter(|number| *number > 0).ok_or(field),
        None => Ok(default),
    };
    Ok(match number(fields::V, 1)? {
        1 => Version::V1,
        _ => {
            let window = number(fields::WINDOW, DEFAULT_WINDOW as u64)?;
            Version::V2 { window: window.min(MAX_WINDOW as u64) as usize }
        }
    })
}

/// The body with `etc` in front: as it came, or moved there from the header.
fn content(fields: &Fields<'_>, body: Bytes) -> Result<Content, Quit> {
    let Some(etc) = fields.get(fields::ETC) else { return Ok(Content { etc: None, body }) };
    let text = etc.get();
    if !text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        let mut moved = json::compact(text);
        let length = moved.len();
        moved.extend_from_slice(&body);
        return Ok(Content { etc: Some(length), body: moved.into() });
    }
    let length: usize = text.parse().map_err(|_| Quit::InvalidEtc)?;
    if length == 0 {
        return Ok(Content { etc: None, body });
    }
    let value = body.get(..length).ok_or(Quit::InvalidEtc)?;
    serde_json::from_slice::<IgnoredAny>(value).map_err(|_| Quit::InvalidEtc)?;
    if json::is_too_deep(value) {
        return Err(Quit::InvalidEtc);
    }
    Ok(Content { etc: Some(length), body })
}

/// A request's message, for a client to send.
///
/// `None` if the header would be longer than [`header::MAX_HEADER`].
pub fn encode<T: Serialize>(header: &T, etc: Option<&RawValue>, data: &[u8]) -> Option<Bytes> {
    let etc = etc.map(RawValue::get).unwrap_or_default();
    header::message(header, &[etc.as_bytes(), data])
}
