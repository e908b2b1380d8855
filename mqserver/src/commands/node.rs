//! `USER,NODE`, and `mqserver node drop`

use clap::Subcommand;
use std::str::FromStr;

/// A node as it is written: `alice,0`. Names may have commas, so the last one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeName {
    pub(super) user: String,
    pub(super) offset: u8,
}

impl FromStr for NodeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.rsplit_once(',').and_then(|(user, number)| {
            Some(Self { user: user.to_owned(), offset: number.parse().ok()? })
        });
        split
            .ok_or_else(|| "a node is a user's name, a comma and a number, like alice,0".to_owned())
    }
}

impl std::fmt::Display for NodeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{},{}", self.user, self.offset)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {}

pub(super) fn run(command: &NodeCommand) -> anyhow::Result<()> {
    match *command {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_commas_the_last_one_counts() {
        let node: NodeName = "a,b,12".parse().unwrap();
        assert_eq!((node.user.as_str(), node.offset), ("a,b", 12));
        for wrong in ["alice", "alice,", "alice,x", "alice,256", "alice,-1"] {
            assert!(wrong.parse::<NodeName>().is_err(), "{wrong}");
        }
    }
}
