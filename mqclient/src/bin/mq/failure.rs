//! How a command fails: a text for people, a code for scripts.

use mqclient::Error;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::Path;

/// What the process exits with. Told in `mq --help` and the manual; never renumbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Code {
    /// Something on this machine: a file, a profile, the standard output.
    Local = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Some of the recipients have the message, some do not.
    Partial = 3,
    /// The server refuses the request, or nobody gets the message.
    Refused = 4,
    /// The server cannot be reached, and nothing was sent.
    Unreachable = 5,
    /// The server does not let this node in.
    NotLetIn = 6,
    /// One side does not trust the other's certificate.
    Untrusted = 7,
    /// The link was lost before the answer came: done or not.
    Uncertain = 8,
    /// Fewer messages came in time than were waited for.
    Vain = 9,
}

/// Why a command did not do what it was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// What happened, and who does what about it.
    pub(crate) text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(crate) fn local(text: impl Into<String>) -> Self {
        Self::new(Code::Local, text)
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Code::Usage, text)
    }

    /// A file could not be read or written.
    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self::local(format!("{}: {error}", path.display()))
    }

    /// From connecting, logging in or registering: nothing was posted yet.
    pub(crate) fn connecting(error: &Error) -> Self {
        let (code, advice) = match error {
            Error::Address(_) => (Code::Usage, ""),
            Error::Connect { .. } | Error::Lost(_) | Error::Protocol(_) => {
                (Code::Unreachable, "; nothing was sent")
            }
            Error::Untrusted { .. } | Error::Tls(_) => (Code::Untrusted, "; nothing was sent"),
            Error::NodeUnknown => (Code::NotLetIn, ", so the secret is wrong or was dropped"),
            Error::NodeActive => (
                Code::NotLetIn,
                ", perhaps on another machine that has a copy of this profile; each needs a node \
                 of its own (mq login --new-node), and --takeover ends the other",
            ),
            Error::Rejected(_) => (Code::Refused, ""),
            Error::UserExists => (Code::Refused, "; if it is you, mq login"),
            _ => (Code::NotLetIn, ""),
        };
        Self::new(code, format!("{error}{advice}"))
    }

    /// From a request on a link that stood.
    pub(crate) fn request(error: &Error) -> Self {
        match error {
            Error::Rejected(_) | Error::TooLarge(_) | Error::HeaderTooLong | Error::Argument(_) => {
                Self::new(Code::Refused, error.to_string())
            }
            _ => Self::uncertain(&error.to_string()),
        }
    }

    pub(crate) fn uncertain(why: &str) -> Self {
        let text = format!("{why}; the server may have done it or not");
        Self::new(Code::Uncertain, text)
    }
}
