//! What a server's `quit` means for the client: try again, or end.

use crate::error::Error;

#[derive(Debug)]
pub(super) enum Verdict {
    TryAgain(Error),
    TooLarge,
    /// The server is older than a request.
    UnknownOp,
    End(Error),
}

/// What does not pass by itself ends the client: it would only be refused again, for ever.
pub(super) fn verdict(text: &str, patient: bool) -> Verdict {
    match text {
        // After a lost link the server may hold on to the old one for a while.
        "node already active" if patient => Verdict::TryAgain(Error::NodeActive),
        "shutdown"
        | "storage failure"
        | "close timeout"
        | "too many connections"
        | "too many connections from this address" => {
            Verdict::TryAgain(Error::Refused(text.to_owned()))
        }
        "message too large" => Verdict::TooLarge,
        "invalid request op" => Verdict::UnknownOp,
        _ => Verdict::End(error(text)),
    }
}

/// The error for a `quit` in answer to a single request.
pub(crate) fn error(text: &str) -> Error {
    match text {
        "userId unknown" => Error::UserUnknown,
        "nodeId unknown" => Error::NodeUnknown,
        "node already active" => Error::NodeActive,
        "taken over" => Error::TakenOver,
        _ => Error::Refused(text.to_owned()),
    }
}
