//! What every workload is asked: which server, on which disk, spoken to how.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Options of every workload with a server.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Which framing the clients speak
    #[arg(long, value_enum, default_value_t = Framing::Ws)]
    pub(crate) framing: Framing,
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
