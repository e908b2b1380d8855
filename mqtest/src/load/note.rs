//! What the nodes of a run tell the one who keeps the books.
//!
//! All of it goes through one channel, so that it is in the order in which it became known: that a
//! node exists before what is promised to it, a post before its arrivals.

use mqclient::Stats;
use mqlib::id::MessageId;
use mqlib::testing::history::{Audience, NodeRef, PostRef};
use std::time::Duration;

/// One thing that a node saw or did.
#[derive(Debug)]
pub(crate) enum Note {
    /// The server said that the node exists.
    Joined(NodeRef),
    /// The node logged in, by itself and not by mqclient's reconnecting.
    LoggedIn,
    /// A connection of a node is over.
    LeftOff(Stats),
    /// A post is about to be handed over.
    Posted { post: PostRef, audience: Audience, bytes: usize },
    /// It was acked, as this message, so long after.
    Acked { post: PostRef, id: Option<MessageId>, after: Duration },
    /// Nobody will know what became of it.
    Abandoned(PostRef),
    /// A message arrived; what is wrong with it, if it is none of ours.
    Arrived { at: NodeRef, post: Result<PostRef, String>, id: Option<MessageId>, bytes: usize },
    /// The node acks a message.
    TookIn { at: NodeRef, post: PostRef },
    /// A notice about aliases or lists arrived.
    Notice,
    /// The server was killed and started again.
    Killed,
    /// The server cannot go on; the run is over.
    ServerFailed(String),
    /// The server broke its word in another way than the history knows.
    Broken(String),
}
