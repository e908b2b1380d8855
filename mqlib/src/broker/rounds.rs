//! Rounds: once an hour all nodes are looked at, some hundred users at a time.
//!
//! When a node was last online becomes durable in the minute of its logout, and of its login if that was
//! long ago; of one that stays, once a day. So what a crash leaves is never later than the truth, and a
//! day behind at most, but for that minute; and what many do in a minute is one change. What the
//! operator wants done about nodes that stay away ([`Retention`]) goes by that: one of which nobody
//! knows when it was there counts from when this was noticed.
//!
//! A user's last node is not dropped: nobody could log in as that user again. But nobody fetches what
//! waits for it either, so that is bounced, in each round.

use super::bounces::Reason;
use super::clearing::{Clearing, End};
use super::drops::By;
use super::{Broker, Timer};
use crate::directory::Edit;
use crate::id::MessageId;
use crate::json;
use crate::limits::Retention;
use crate::node::{NodeId, UserId};
use crate::now::{self, Now};
use crate::quit::Quit;
use crate::store::SpoolOp;
use serde::Serialize;
use std::collections::{BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

/// The pause between two steps of a round.
const PAUSE: Duration = Duration::from_millis(100);
/// How long it may take until it is stored when a node was online.
const SAVE: Duration = Duration::from_secs(60);
/// Users looked at in a step.
const LOOKED_AT: usize = 500;
/// Users of whom something is done in a step.
const DONE: usize = 100;
/// Users of whom it is stored at once when their nodes were online,
const SAVED: usize = 500;
/// and the pause before the next.
const SAVE_PAUSE: Duration = Duration::from_secs(1);
/// Queues that are cleared at once because of their age.
const CLEARED: usize = 16;
/// After a start nobody is dropped for so long: whom an outage kept away comes back first.
const GRACE: Duration = Duration::from_secs(6 * 3600);
/// After so long it is stored again that a node is online, in seconds: a day, less two rounds.
const STALE: u32 = 22 * 3600;

/// The rounds.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// When the first one began.
    begun: Option<Duration>,
    /// The user that a round is at; none between two of them.
    at: Option<UserId>,
    /// Users of whom it is not stored when their nodes were online last.
    unsaved: BTreeSet<UserId>,
    /// There is a timer for that.
    saves: bool,
    /// Nodes with messages that are too old.
    overdue: VecDeque<NodeId>,
    /// They are those up to this one.
    too_old: Option<MessageId>,
}

/// The `etc` of what a user is told of a node that stays away.
#[derive(Serialize)]
struct Etc {
    inactive: Told,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    node: u8,
    /// It is missing if that was never known.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drop_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<bool>,
}

/// What is to be done about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// It is online, and that was stored long ago.
    Saw,
    /// It is not known when it was there.
    Notice,
    Warn,
    Drop,
    Clear,
}

impl Broker {
    /// A node is online, or was until now.
    pub(super) fn saw(&mut self, now: Now, node: NodeId) {
        self.directory.saw(node, now.wall);
        self.save_soon(now, node.user);
    }

    /// A node has logged in: that is stored if the last time was long ago.
    pub(super) fn came(&mut self, now: Now, node: NodeId) {
        if self.directory.seen(node).is_none_or(|seen| seconds(now).abs_diff(seen.get()) >= STALE) {
            self.saw(now, node);
        }
    }

    fn save_soon(&mut self, now: Now, user: UserId) {
        self.rounds.unsaved.insert(user);
        if !std::mem::replace(&mut self.rounds.saves, true) {
            self.set_timer(now.mono + SAVE, Timer::Save);
        }
    }

    /// Begins a round, or goes on with it.
    pub(super) fn round(&mut self, now: Now) {
        let Some(begun) = self.rounds.begun else {
            self.rounds.begun = Some(now.mono);
            return self.set_timer(now.mono + self.limits.retention.every, Timer::Round);
        };
        let every = self.limits.retention.every.max(PAUSE);
        let grace = self.limits.retention.drop_after.unwrap_or_default() / 2;
        let graceful = now.mono.saturating_sub(begun) >= grace.min(GRACE);
        if self.full {
            // Nothing can be stored.
            return self.set_timer(now.mono + every, Timer::Round);
        }
        if self.rounds.at.is_none() {
            self.rounds.at = Some(UserId(0));
            self.find_overdue(now);
        }
        let pause = if self.look(now, graceful) { PAUSE } else { every };
        self.set_timer(now.mono + pause, Timer::Round);
    }

    /// Looks at the next users. `false` if there are none.
    fn look(&mut self, now: Now, graceful: bool) -> bool {
        let Some(at) = self.rounds.at else { return false };
        let retention = self.limits.retention;
        let mut todo: Vec<(NodeId, Due)> = Vec::new();
        let mut next = None;
        let mut room = CLEARED.saturating_sub(self.clearings.len());
        for (looked_at, (id, user)) in self.directory.users_from(at).enumerate() {
            if looked_at >= LOOKED_AT || todo.len() >= DONE || room == 0 {
                next = Some(id);
                break;
            }
            let mut nodes: Vec<_> = user.nodes.iter().collect();
            // Of all that stay away, the one that was there last is kept.
            nodes.sort_by_key(|node| node.seen.or(node.noticed));
            let mut left = nodes.len();
            for known in nodes {
                let node = NodeId { user: id, offset: known.offset };
                let last = known.seen.or(known.noticed);
                let idle = seconds(now).saturating_sub(last.map_or(0, NonZeroU32::get));
                if self.sessions.contains_key(&node) {
                    if known.seen.is_none() || idle >= STALE {
                        todo.push((node, Due::Saw));
                    }
                    continue;
                }
                let is_over = |limit: Option<Duration>| {
                    limit.is_some_and(|limit| u64::from(idle) >= limit.as_secs())
                };
                let due = match last {
                    _ if user.disabled || !retention.watches_nodes() => Due::Nothing,
                    None => Due::Notice,
                    Some(_) if is_over(retention.drop_after) && graceful => match left {
                        1 => Due::Clear,
                        _ => Due::Drop,
                    },
                    Some(_) if is_over(retention.warn_after) && !known.warned && left > 1 => {
                        Due::Warn
                    }
                    Some(_) => Due::Nothing,
                };
                left -= usize::from(due == Due::Drop);
                room -= usize::from(due == Due::Clear).min(room);
                todo.extend((due != Due::Nothing).then_some((node, due)));
            }
        }
        self.rounds.at = next;
        for (node, due) in todo {
            self.act(now, node, due, retention);
        }
        next.is_some()
    }

    fn act(&mut self, now: Now, node: NodeId, due: Due, retention: Retention) {
        match due {
            Due::Nothing => {}
            Due::Saw => self.saw(now, node),
            Due::Notice => {
                self.directory.noticed(node, now.wall);
                self.save_soon(now, node.user);
            }
            Due::Warn => {
                self.tell_others(now, node, retention.drop_after, None);
                self.directory.warned(node);
                self.save_soon(now, node.user);
            }
            Due::Drop => {
                self.tell_others(now, node, None, Some(true));
                let Ok((node, edits)) = self.directory.drop_node(node.user, node.offset.into())
                else {
                    return;
                };
                let token = self.next_token();
                self.spool(SpoolOp::Edit(token, edits));
                self.log_out(now, node, Quit::NodeDropped);
                self.remove_node(node, None, By::Nobody);
            }
            Due::Clear => {
                self.meet([node.user]);
                let up_to = self.ids.last();
                let why = Some(Reason::Inactive);
                self.clear(Clearing::new(node, up_to, why, End::Policy));
            }
        }
    }

    /// Tells the other nodes of a user that one stays away.
    fn tell_others(
        &mut self,
        now: Now,
        node: NodeId,
        drop_after: Option<Duration>,
        dropped: Option<bool>,
    ) {
        let others: Vec<_> = self.directory.nodes(node.user).filter(|n| *n != node).collect();
        let Some(user) = self.directory.user(node.user) else { return };
        let Some(known) = user.nodes.iter().find(|known| known.offset == node.offset) else {
            return;
        };
        let date = |seconds: NonZeroU32| now::date(u64::from(seconds.get()) * 1000);
        let drop_at = drop_after.and_then(|after| {
            let last = u64::from(known.seen.or(known.noticed)?.get());
            // Not before the next round.
            let at = last.saturating_add(after.as_secs()).saturating_mul(1000);
            let next = self.limits.retention.every.as_millis() as u64;
            Some(now::date(at.max(now.wall.saturating_add(next))))
        });
        let last_seen = known.seen.map(date);
        let told = Told { node: node.offset, last_seen, drop_at, dropped };
        let mut etc = Vec::new();
        json::write(&mut etc, &Etc { inactive: told });
        if !others.is_empty() {
            self.tell(now, node, others, &etc, None);
        }
    }

    /// Makes durable when nodes of some users were online last.
    pub(super) fn save(&mut self, now: Now) {
        let mut edits = Vec::new();
        while !self.full
            && edits.len() < SAVED
            && let Some(id) = self.rounds.unsaved.pop_first()
        {
            let user = self.directory.user(id).filter(|user| !user.deleted);
            edits.extend(user.map(|user| Edit::User(id, user.clone())));
        }
        if !edits.is_empty() {
            let token = self.next_token();
            self.spool(SpoolOp::Edit(token, edits));
        }
        self.rounds.saves = !self.rounds.unsaved.is_empty();
        if self.rounds.saves {
            let pause = if self.full { SAVE } else { SAVE_PAUSE };
            self.set_timer(now.mono + pause, Timer::Save);
        }
    }

    /// Has the store look for messages that are too old.
    fn find_overdue(&mut self, now: Now) {
        let Some(age) = self.limits.retention.message_max_age else { return };
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let too_old = MessageId::from_bits(u128::from(now.wall.saturating_sub(age)) << 80);
        self.rounds.too_old = Some(too_old);
        self.spool(SpoolOp::FindOlder(too_old));
    }

    /// Nodes of these users, by their names and offsets, have messages that are too old.
    pub(super) fn found_older(&mut self, now: Now, found: Vec<(String, u8)>) {
        let nodes = found.into_iter().filter_map(|(name, offset)| {
            let node = NodeId { user: self.directory.user_id(&name)?, offset };
            self.directory.nodes(node.user).find(|known| *known == node)
        });
        let overdue = nodes.collect();
        // Else there is a timer.
        if std::mem::replace(&mut self.rounds.overdue, overdue).is_empty() {
            self.clear_overdue(now);
        }
    }

    /// Clears some queues of what is too old, and the others when these are done.
    pub(super) fn clear_overdue(&mut self, now: Now) {
        let Some(up_to) = self.rounds.too_old else { return };
        while self.clearings.len() < CLEARED
            && let Some(node) = self.rounds.overdue.pop_front()
        {
            if self.directory.nodes(node.user).any(|known| known == node) {
                self.meet([node.user]);
                self.clear(Clearing::new(node, up_to, Some(Reason::TooOld), End::Policy));
            }
        }
        if !self.rounds.overdue.is_empty() {
            self.set_timer(now.mono + PAUSE, Timer::Overdue);
        }
    }
}

/// The time in seconds since 1970.
fn seconds(now: Now) -> u32 {
    u32::try_from(now.wall / 1000).unwrap_or(u32::MAX)
}
