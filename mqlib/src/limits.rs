//! The limits of the queue, by name. Those of a link are wsstream's; those of a store are its
//! configuration.

use crate::directory::Registration;
use crate::node::MAX_NODES;
use std::fmt;
use std::time::Duration;

/// What one client, message or queue may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A connection that has not logged in after this time is closed.
    pub login_timeout: Duration,
    /// The largest message that is taken, in bytes. The doors see to it; clients are told.
    pub max_message: usize,
    /// A delivery that was not acked is sent again after this time; in version 2 after twice as
    /// long each further time.
    pub redelivery: Duration,
    /// But never after more than this.
    pub redelivery_max: Duration,
    /// How many nodes one message goes to at most.
    pub recipients: usize,
    /// How many users and lists a post names at most.
    pub to: usize,
    /// How many of them are users of whom one node is to have it (type 0), each of which is a
    /// message of its own.
    pub to_one: usize,
    /// How many posts, pings and list edits a user may send in a second, in the long run; 0 for as
    /// many as it likes.
    pub posts_per_second: u32,
    /// How many of them at once.
    pub posts_burst: u32,
    /// A node for which so many messages wait gets no more.
    pub queue_messages: u32,
    /// Nor one for which so many bytes of messages wait.
    pub queue_bytes: u64,
    /// A body of more bytes than this is staged: written to its file before it is committed.
    pub large: usize,
    /// How many bytes of messages a node's queue keeps in memory; the rest is read when its turn
    /// comes. Four times as much for a node that acks what it gets in time.
    pub warm: usize,
    /// How many messages a node's queue knows in memory; the rest is listed when its turn comes.
    pub pending: usize,
    /// How many bytes of messages are in flight to a node, about: when there are more, the next
    /// message waits for an ack, whatever the window.
    pub flying: usize,
    /// How many bytes of deliveries a link is given that its socket has not taken: behind them
    /// messages wait in the store. One message is more if it is larger. Four times as much for a node
    /// that acks what it gets in time.
    pub unwritten: usize,
    /// Who may create a user.
    pub registration: Registration,
    /// What a user may have.
    pub accounts: AccountLimits,
    /// How long what nobody fetches is kept.
    pub retention: Retention,
}

/// How long nodes that stay away, and messages that nobody fetches, are kept: for ever unless it is
/// said. It is looked at once in a while, so all of it may take [`every`](Self::every) longer, and goes
/// by the wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// The other nodes of its user are warned of a node that was not online for so long.
    pub warn_after: Option<Duration>,
    /// A node that was not online for so long is dropped, and the others of its user are told; a
    /// user's last one stays, and what waits for it is bounced. After a start this waits for six hours,
    /// or half of it.
    pub drop_after: Option<Duration>,
    /// A message that has waited for a node for so long is removed, and bounced if no other node of
    /// the user has acked it.
    pub message_max_age: Option<Duration>,
    /// How often this is looked at, and it is stored when nodes were online.
    pub every: Duration,
}

impl Retention {
    /// Is anything to be done about nodes that stay away?
    pub fn watches_nodes(&self) -> bool {
        self.warn_after.is_some() || self.drop_after.is_some()
    }
}

impl Default for Retention {
    fn default() -> Self {
        let every = Duration::from_secs(3600);
        Self { warn_after: None, drop_after: None, message_max_age: None, every }
    }
}

/// A limit that requests meet, to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::to`].
    To,
    /// [`Limits::to_one`].
    ToOne,
    /// [`Limits::recipients`].
    Recipients,
    /// [`Limits::posts_per_second`].
    PostsPerSecond,
    /// [`Limits::queue_messages`].
    QueueMessages,
    /// [`Limits::queue_bytes`].
    QueueBytes,
    /// [`AccountLimits::nodes_per_user`].
    NodesPerUser,
    /// [`AccountLimits::aliases_per_user`].
    AliasesPerUser,
    /// [`AccountLimits::lists_per_user`].
    ListsPerUser,
    /// [`AccountLimits::members_per_list`].
    MembersPerList,
    /// The store's `min_free`.
    MinFree,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::To,
        Self::ToOne,
        Self::Recipients,
        Self::PostsPerSecond,
        Self::QueueMessages,
        Self::QueueBytes,
        Self::NodesPerUser,
        Self::AliasesPerUser,
        Self::ListsPerUser,
        Self::MembersPerList,
        Self::MinFree,
    ];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::To => "limits.to",
            Self::ToOne => "limits.to_one",
            Self::Recipients => "limits.recipients",
            Self::PostsPerSecond => "limits.posts_per_second",
            Self::QueueMessages => "limits.queue_messages",
            Self::QueueBytes => "limits.queue_mib",
            Self::NodesPerUser => "limits.nodes_per_user",
            Self::AliasesPerUser => "limits.aliases_per_user",
            Self::ListsPerUser => "limits.lists_per_user",
            Self::MembersPerList => "limits.members_per_list",
            Self::MinFree => "spool.min_free_mib",
        }
    }
}

/// What one user, or one list, may have in the directory. A limit that is lowered takes nothing
/// away.
#[derive(Debug, Clone, Copy)]
pub struct AccountLimits {
    /// Nodes of a user, [`MAX_NODES`] at most.
    pub nodes_per_user: usize,
    /// Aliases of a user.
    pub aliases_per_user: usize,
    /// Lists that a user is in, as a member or invited. Whoever begins one is in it.
    pub lists_per_user: usize,
    /// Members of a list, the invited among them.
    pub members_per_list: usize,
}

impl Default for AccountLimits {
    fn default() -> Self {
        Self {
            nodes_per_user: MAX_NODES,
            aliases_per_user: 100,
            lists_per_user: 1_000,
            members_per_list: 20_000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            login_timeout: Duration::from_secs(6),
            max_message: 16 << 20,
            redelivery: Duration::from_secs(10),
            redelivery_max: Duration::from_secs(300),
            recipients: 20_000,
            to: 10_000,
            to_one: 1_000,
            posts_per_second: 0,
            posts_burst: 100,
            queue_messages: 2_000_000,
            queue_bytes: 4 << 30,
            large: 512 << 10,
            warm: 16 << 10,
            pending: 65_536,
            flying: 1 << 20,
            unwritten: 12 << 10,
            registration: Registration::Open,
            accounts: AccountLimits::default(),
            retention: Retention::default(),
        }
    }
}

/// The limit that a full queue has reached. A queue is full once it is at the limit, so a message
/// may take it beyond its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueLimit {
    /// [`Limits::queue_messages`].
    Messages(u32),
    /// [`Limits::queue_bytes`].
    Bytes(u64),
}

impl fmt::Display for QueueLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Messages(most) => write!(f, "{most} messages"),
            Self::Bytes(most) => write!(f, "{most} bytes"),
        }
    }
}
