//! What all nodes of a run know: the names, the lists, where the server is, how to behave.

use mqclient::{Config, Server, Tls};
use mqlib::testing::history::NodeRef;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The most members that a list has, its owner included: at the usual number of clients, all.
const LIST: u32 = 10;

/// Which framing the clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Framings {
    /// The draft-04 stream of the original's clients.
    Raw,
    /// WebSocket.
    Ws,
    /// One half of the users this, the other that.
    Both,
}

/// The unchanging facts of a run.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the names of users and lists, so that a store may be used again.
    pub(crate) tag: String,
    /// `host:port`.
    pub(crate) address: String,
    /// The clients speak TLS.
    tls: Option<Tls>,
    pub(crate) framings: Framings,
    pub(crate) users: u32,
    pub(crate) max_ack_delay: Duration,
    pub(crate) seed: u64,
    /// Which users' lists are made.
    lists: Vec<AtomicBool>,
}

impl Plan {
    pub(crate) fn new(
        address: String,
        tls: Option<Tls>,
        framings: Framings,
        users: u32,
        max_ack_delay: Duration,
        seed: u64,
    ) -> anyhow::Result<Self> {
        // Not of the seed: the same run must be possible twice on one store.
        let tag = format!("{:08x}", getrandom::u32()?);
        let lists = (0..users).map(|_| AtomicBool::new(false)).collect();
        Ok(Self { tag, address, tls, framings, users, max_ack_delay, seed, lists })
    }

    pub(crate) fn user(&self, user: u32) -> String {
        format!("load-{}-{user}", self.tag)
    }

    pub(crate) fn alias(&self, user: u32) -> String {
        format!("alias-{}-{user}", self.tag)
    }

    pub(crate) fn list(&self, user: u32) -> String {
        format!("list-{}-{user}", self.tag)
    }

    /// The node's name, which is its password.
    pub(crate) fn node_name(&self, node: NodeRef) -> String {
        format!("node-{}-{}-{}", self.tag, node.user, node.node)
    }

    pub(crate) fn server(&self, user: u32) -> Server {
        let raw = match self.framings {
            Framings::Raw => true,
            Framings::Ws => false,
            Framings::Both => user % 2 == 1,
        };
        let scheme = match (raw, &self.tls) {
            (true, None) => "mq",
            (true, Some(_)) => "mqs",
            (false, None) => "ws",
            (false, Some(_)) => "wss",
        };
        Server { url: format!("{scheme}://{}", self.address), tls: self.tls.clone() }
    }

    pub(crate) fn config(&self, node: NodeRef) -> Config {
        Config::new(self.server(node.user), self.user(node.user), self.node_name(node))
    }

    /// The members of a user's list who stay in it, the owner included.
    pub(crate) fn members(&self, owner: u32) -> BTreeSet<u32> {
        let guest = self.guest(owner);
        let size = LIST.min(self.users);
        let all = (0..size).map(|step| (owner + step) % self.users);
        all.filter(|&member| Some(member) != guest).collect()
    }

    /// The member of a user's list whom the owner removes and adds again, if it is long enough.
    pub(crate) fn guest(&self, owner: u32) -> Option<u32> {
        let size = LIST.min(self.users);
        (size >= 3).then(|| (owner + size - 1) % self.users)
    }

    pub(crate) fn list_is_made(&self, owner: u32) -> bool {
        self.lists.get(owner as usize).is_some_and(|made| made.load(Ordering::Acquire))
    }

    pub(crate) fn set_list_made(&self, owner: u32) {
        if let Some(made) = self.lists.get(owner as usize) {
            made.store(true, Ordering::Release);
        }
    }

    /// A node's own random numbers: the same in each run of this seed.
    pub(crate) fn random(&self, node: NodeRef) -> StdRng {
        let number = u64::from(node.user) << 32 | u64::from(node.node);
        StdRng::seed_from_u64(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(users: u32) -> Plan {
        Plan::new("h:1".into(), None, Framings::Both, users, Duration::ZERO, 1).unwrap()
    }

    #[test]
    fn a_list_has_its_owner_and_at_most_ten_members() {
        for users in [1, 2, 3, 10, 50] {
            let plan = plan(users);
            for owner in 0..users {
                let members = plan.members(owner);
                assert!(members.contains(&owner));
                let guest = plan.guest(owner);
                assert!(guest.is_none_or(|guest| !members.contains(&guest)));
                assert_eq!(members.len() + usize::from(guest.is_some()), users.min(10) as usize);
            }
        }
    }

    #[test]
    fn half_of_the_users_speak_each_framing() {
        let plan = plan(10);
        let raw = (0..10).filter(|&user| plan.server(user).url.starts_with("mq://")).count();
        assert_eq!(raw, 5);
    }
}
