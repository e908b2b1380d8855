//! How a server is: what `mqserver status` and the admin page tell.

use mqlib::broker::Counts;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

/// What the broker knows.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) counts: Counts,
    pub(crate) uptime: Duration,
    /// Names and aliases, in order, as many as were asked for.
    pub(crate) users: Vec<(String, Vec<String>)>,
}

/// A server's status, as `mqserver status --json` prints it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    /// The process id.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// The version of the program.
    pub version: String,
    /// Connections.
    pub links: usize,
    /// Nodes that are logged in.
    pub online: usize,
    /// Users.
    pub users: usize,
    /// Nodes of all users.
    pub nodes: usize,
    /// Messages that wait, counted for each node that they wait for.
    pub waiting: usize,
}

impl Status {
    /// The status as lines for a person.
    pub fn text(&self) -> String {
        let Self { pid, uptime_s, version, links, online, users, nodes, waiting } = self;
        let (hours, minutes, seconds) = (uptime_s / 3600, uptime_s / 60 % 60, uptime_s % 60);
        format!(
            "pid       {pid}\nversion   {version}\nuptime    {hours}:{minutes:02}:{seconds:02}\n\
             links     {links}, {online} of them logged in\nusers     {users}\nnodes     {nodes}\n\
             waiting   {waiting} messages\n"
        )
    }
}

/// Messages in a store's spool, counted for each node. It reads the names of all files, so it takes
/// about a second for a million.
pub(crate) fn count_files(store: &Path) -> std::io::Result<usize> {
    let mut count = 0;
    for directory in std::fs::read_dir(store.join(mqlib::spool::ROOT))? {
        let directory = directory?;
        let ours = !directory.file_name().to_string_lossy().starts_with('.')
            && directory.file_type().is_ok_and(|kind| kind.is_dir());
        if !ours {
            continue;
        }
        // A directory may go away while we look.
        let Ok(files) = std::fs::read_dir(directory.path()) else { continue };
        count += files.count();
    }
    Ok(count)
}
