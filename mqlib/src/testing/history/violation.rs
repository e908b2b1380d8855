//! Promises that were broken.

use super::{NodeRef, PostRef};
use crate::id::MessageId;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A post was acked, and a node that it was for never got it, or not often enough to ack it.
    #[error("lost: {post} never arrived at {node}, or not again after an ack that got lost")]
    Lost {
        /// The post.
        post: PostRef,
        /// The node.
        node: NodeRef,
    },
    /// A sender was told of a removed message, durably, and a node of its never heard.
    #[error("lost: the bounce {id} never arrived at {node}")]
    LostBounce {
        /// The bounce.
        id: MessageId,
        /// The node.
        node: NodeRef,
    },
    /// A message was removed that nobody had, and nobody wanted removed, or whose sender is not told.
    #[error("{0} is removed")]
    Removed(String),
    /// A node got a message that was not for it, or that nobody posted.
    #[error("astray: {what} at {node}")]
    Stray {
        /// The message, in words.
        what: String,
        /// The node.
        node: NodeRef,
    },
    /// A message was not what was posted.
    #[error("corrupted: at {node}: {what}")]
    Corrupted {
        /// What is wrong with it.
        what: String,
        /// Where it arrived.
        node: NodeRef,
    },
    /// A node got a message after one that was committed later.
    #[error("out of order: message {id} at {node}, where the later {later} had arrived")]
    Order {
        /// The message.
        id: MessageId,
        /// The node.
        node: NodeRef,
        /// What it had got before.
        later: MessageId,
    },
    /// A node got a post after one that its sender had posted later.
    #[error("out of order: {post} at {node}, where its post {later} had arrived")]
    SenderOrder {
        /// The post.
        post: PostRef,
        /// The node.
        node: NodeRef,
        /// The number of the one that it had got before.
        later: u64,
    },
    /// A node got a message again after its delete was durable.
    #[error("deleted: {node} got message {id} after its delete was durable")]
    Deleted {
        /// The message.
        id: MessageId,
        /// The node.
        node: NodeRef,
    },
    /// An id was given again, or a smaller one than before.
    #[error("id {id} is not larger than {last}")]
    Id {
        /// The id.
        id: MessageId,
        /// An earlier one.
        last: MessageId,
    },
    /// One post is two messages at a node, although the server knows reposts by their ids.
    #[error("stored twice: {post} at {node}")]
    Twice {
        /// The post.
        post: PostRef,
        /// The node.
        node: NodeRef,
    },
    /// A post arrived of which the server had said that it was not stored.
    #[error("refused, and yet delivered: {post} at {node}")]
    Refused {
        /// The post.
        post: PostRef,
        /// The node.
        node: NodeRef,
    },
    /// A node has more deliveries that it has not acked than its login allows.
    #[error("{node} has {in_flight} deliveries in flight, and a window of {window}")]
    Window {
        /// The node.
        node: NodeRef,
        /// How many it has.
        in_flight: usize,
        /// How many it may have.
        window: usize,
    },
    /// More came again on a connection than were in flight on any before.
    #[error("{node} got {again} messages again, and never had a window of more than {window}")]
    Again {
        /// The node.
        node: NodeRef,
        /// How many came again.
        again: u64,
        /// The largest window that it ever had.
        window: usize,
    },
    /// A message came again on a connection, and did not say so.
    #[error("message {id} came again to {node} without a mark")]
    Unmarked {
        /// The message.
        id: MessageId,
        /// The node.
        node: NodeRef,
    },
    /// A user, node or member that was confirmed is gone.
    #[error("forgotten: {0}")]
    Forgotten(String),
    /// Something still waits although all that wait for it are there.
    #[error("stuck: {0}")]
    Stuck(String),
    /// A post was acked, and is not stored for a node whose queue nobody called full.
    #[error("post {post} was acked, but is not stored for {node}, and nobody was told")]
    Untold {
        /// The poster's number for it.
        post: u64,
        /// The node.
        node: NodeRef,
    },
    /// What is counted as waiting does not wait.
    #[error("nothing waits, but is counted: {0}")]
    Miscounted(String),
    /// The server could not start again.
    #[error("the store does not open: {0}")]
    Closed(String),
}
