//! What a node posts: mostly short messages to a few users, to lists and aliases, now and then a
//! megabyte; and how its user's list changes.

use super::node::World;
use super::note::Note;
use super::stamp;
use bytes::Bytes;
use mqclient::{Client, Error, Message, Posting, To};
use mqlib::testing::history::{Audience, NodeRef, PostRef};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use std::collections::{BTreeSet, VecDeque};
use tokio::time::Instant;

const SMALL: std::ops::RangeInclusive<usize> = 3..=9 << 10;
const LARGE: usize = 1 << 20;
/// One of so many posts is large, after the first.
const RARELY: u32 = 2000;

/// A change of the user's list that is still to be made.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Add(u32),
    Remove(u32),
}

pub(crate) struct Poster {
    world: World,
    me: NodeRef,
    random: StdRng,
    /// The number of the last post.
    seq: u64,
    posted_large: bool,
    /// Only the first node of a user changes its list, so it knows who is in it.
    edits: VecDeque<Edit>,
    /// The first of them was tried before, and nobody knows whether it was done.
    in_doubt: bool,
    guest_is_in: bool,
}

impl Poster {
    pub(crate) fn new(world: World, me: NodeRef, random: StdRng) -> Self {
        let plan = &world.plan;
        let mut edits = VecDeque::new();
        if me.node == 0 {
            // The first one creates the list, and puts its owner into it.
            let members = plan.members(me.user).into_iter().chain(plan.guest(me.user));
            let others = members.filter(|&member| member != me.user || plan.users == 1);
            edits.extend(others.map(Edit::Add));
        }
        let (posted_large, in_doubt, guest_is_in) = (false, false, false);
        Self { world, me, random, seq: 0, posted_large, edits, in_doubt, guest_is_in }
    }

    /// Does the next thing: a change of the list, or a post. Not to be dropped halfway: the history
    /// would wait for what was never sent.
    pub(crate) async fn post(&mut self, client: &Client) {
        if let Some(&edit) = self.edits.front() {
            return self.edit(client, edit).await;
        }
        if self.me.node == 0
            && self.random.random_ratio(1, 100)
            && let Some(guest) = self.world.plan.guest(self.me.user)
        {
            let edit = if self.guest_is_in { Edit::Remove(guest) } else { Edit::Add(guest) };
            self.edits.push_back(edit);
            return self.edit(client, edit).await;
        }
        if self.random.random_ratio(1, 300) {
            // The same as before, so that pings go on to find their way. The outcome is a notice.
            let alias = self.world.plan.alias(self.me.user);
            let _ = client.set_aliases(&[&alias]).await.map(drop);
        }
        self.next_post(client).await;
    }

    async fn next_post(&mut self, client: &Client) {
        let plan = self.world.plan.clone();
        let me = self.me;
        let owns_list = me.node == 0;
        // The first thing that a user posts to its list, and then rarely.
        let large = (owns_list && !self.posted_large) || self.random.random_ratio(1, RARELY);
        self.posted_large |= large;
        let choice = if large { 0 } else { self.random.random_range(0..10) };
        let all_posts = Audience { copies: true, ..Audience::default() };
        match choice {
            0..3 if owns_list => {
                let mut users = plan.members(me.user);
                users.extend(plan.guest(me.user).filter(|_| self.guest_is_in));
                let list = plan.list(me.user);
                if self.random.random() {
                    let to = To::list_and_me(list);
                    self.send(client, &to, Audience { users, ..all_posts }, large).await;
                } else {
                    users.remove(&me.user);
                    self.send(client, &To::list(list), Audience { users, ..all_posts }, large)
                        .await;
                }
            }
            0 | 1 => {
                let owner = self.random.random_range(0..plan.users);
                let mut users = plan.members(owner);
                if plan.list_is_made(owner) && users.remove(&me.user) {
                    let perhaps = plan.guest(owner).into_iter().collect();
                    let audience = Audience { users, perhaps, copies: true };
                    self.send(client, &To::list(plan.list(owner)), audience, large).await;
                }
            }
            2 | 3 => {
                let owner = self.random.random_range(0..plan.users);
                let audience = Audience { users: [owner].into(), ..all_posts };
                let Some((post, message)) = self.seal(audience, large).await else { return };
                let posting = client.outbox().start_ping(&plan.alias(owner), message).await;
                self.follow(post, posting);
            }
            4 => self.send(client, &To::own_nodes(), all_posts, large).await,
            _ => {
                let count = self.random.random_range(1..=3);
                let users: BTreeSet<u32> =
                    (0..count).map(|_| self.random.random_range(0..plan.users)).collect();
                let to = users.iter().fold(To::own_nodes(), |to, &u| to.and_user(plan.user(u)));
                // Without copies and addressed to oneself would be a contradiction.
                let copies = users.contains(&me.user) || self.random.random_ratio(3, 4);
                let to = if copies { to } else { to.no_copies() };
                let audience = Audience { users, copies, ..Audience::default() };
                self.send(client, &to, audience, large).await;
            }
        }
    }

    async fn send(&mut self, client: &Client, to: &To, audience: Audience, large: bool) {
        let Some((post, message)) = self.seal(audience, large).await else { return };
        let posting = client.outbox().start_post(to, message).await;
        self.follow(post, posting);
    }

    /// The next message, entered in the books.
    async fn seal(&mut self, audience: Audience, large: bool) -> Option<(PostRef, Message)> {
        let size = if large { LARGE } else { self.random.random_range(SMALL) };
        let mut data = vec![0; size];
        self.random.fill_bytes(&mut data);
        let post = PostRef { from: self.me, seq: self.seq + 1 };
        let message = stamp::seal(&self.world.plan.tag, post, Bytes::from(data)).ok()?;
        self.seq += 1;
        self.world.note(Note::Posted { post, audience, bytes: size }).await;
        Some((post, message))
    }

    /// Sees to it that the books learn what becomes of a post.
    fn follow(&self, post: PostRef, posting: Result<Posting, Error>) {
        let world = self.world.clone();
        let start = Instant::now();
        tokio::spawn(async move {
            let outcome = match posting {
                Ok(posting) => posting.await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(receipt) => {
                    let id = receipt.msgid.as_deref().and_then(|id| id.parse().ok());
                    world.note(Note::Acked { post, id, after: start.elapsed() }).await;
                    if !receipt.warnings.is_empty() {
                        // All recipients exist: the server said so.
                        let text =
                            format!("{post} was acked, but: {}", receipt.warnings.join("; "));
                        world.note(Note::Broken(text)).await;
                    }
                }
                Err(error) => {
                    world.note(Note::Abandoned(post)).await;
                    if let Error::Rejected(text) = error {
                        world.note(Note::Broken(format!("{post} was refused: {text}"))).await;
                    }
                }
            }
        });
    }

    async fn edit(&mut self, client: &Client, edit: Edit) {
        let plan = self.world.plan.clone();
        let list = plan.list(self.me.user);
        let resent_before = client.stats().resent;
        let (outcome, is_in) = match edit {
            Edit::Add(member) => (client.list_add(&list, &plan.user(member)).await, true),
            Edit::Remove(member) => (client.list_remove(&list, &plan.user(member)).await, false),
        };
        match outcome {
            Ok(_) => {}
            // It was done, and its ack was lost with the link.
            Err(Error::Rejected(_)) if self.in_doubt || client.stats().resent > resent_before => {}
            Err(Error::Rejected(text)) => {
                let text = format!("{edit:?} to list {} was refused: {text}", self.me.user);
                self.world.note(Note::Broken(text)).await;
            }
            // Nobody knows; it is tried again at the next stay, before anything is posted.
            Err(_) => {
                self.in_doubt = true;
                return;
            }
        }
        self.in_doubt = false;
        let (Edit::Add(member) | Edit::Remove(member)) = edit;
        if plan.guest(self.me.user) == Some(member) {
            self.guest_is_in = is_in;
        }
        self.edits.pop_front();
        if self.edits.is_empty() {
            plan.set_list_made(self.me.user);
        }
    }
}
