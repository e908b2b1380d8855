//! What every workload is asked: which server, on which disk, spoken to how.

use anyhow::bail;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Deliveries in flight, if nothing else is said.
const WINDOW: u32 = 128;

/// Options of every workload with a server.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Which framing the clients speak
    #[arg(long, value_enum, default_value_t = Framing::Ws)]
    pub(crate) framing: Framing,
    /// The clients speak TLS (they register without)
    #[arg(long)]
    pub(crate) tls: bool,
    /// Which version of the protocol the clients speak
    #[arg(long, value_name = "1|2", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    protocol: u8,
    /// Deliveries of a client in flight, with protocol 2 [default: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    window: Option<u32>,
    /// The server's program [default: the mqserver beside this program]
    #[arg(long, value_name = "PATH")]
    pub(crate) server_bin: Option<PathBuf>,
    /// Where the server's store is made, and removed again [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How messages are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Framing {
    /// The draft-04 stream of the original's clients
    Raw,
    /// RFC 6455
    Ws,
}

/// What is said in the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// One delivery in flight, and an ack for each.
    One,
    /// So many deliveries in flight, and an ack for all that came at once.
    Two {
        /// How many.
        window: u32,
    },
}

impl Common {
    /// The version of the protocol.
    ///
    /// # Errors
    /// There is a window, and the version knows none.
    pub(crate) fn protocol(&self) -> anyhow::Result<Protocol> {
        match (self.protocol, self.window) {
            (1, None) => Ok(Protocol::One),
            (1, Some(_)) => bail!("--window needs --protocol 2: version 1 has one in flight"),
            (_, window) => Ok(Protocol::Two { window: window.unwrap_or(WINDOW) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        common: Common,
    }

    fn protocol(line: &str) -> Option<Protocol> {
        let words = ["mqtest"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).ok()?.common.protocol().ok()
    }

    #[test]
    fn only_version_2_has_a_window() {
        assert_eq!(protocol(""), Some(Protocol::Two { window: 128 }));
        assert_eq!(protocol("--protocol 2 --window 1000"), Some(Protocol::Two { window: 1000 }));
        assert_eq!(protocol("--protocol 1"), Some(Protocol::One));
        for line in ["--protocol 1 --window 5", "--window 0", "--window 1001", "--protocol 3"] {
            assert_eq!(protocol(line), None, "{line}");
        }
    }
}
