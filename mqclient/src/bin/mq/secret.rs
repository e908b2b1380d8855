//! Where secrets come from: the environment, a pipe, or a prompt; never the command line, which
//! others see in `ps` and in a shell's history.

use crate::failure::Failure;
use mqclient::NodeName;
use std::io::{IsTerminal, Read};

/// More than any secret has.
const MAX: u64 = 4096;

/// The variables that no command of the user's is to inherit.
pub(crate) const VARIABLES: [&str; 2] = ["MQ_SECRET", "MQ_INVITE"];

/// From the variable, else from the first line of the standard input, else asked for.
pub(crate) fn read(variable: &str, what: &str) -> Result<NodeName, Failure> {
    if let Ok(secret) = std::env::var(variable) {
        return good(&secret, what);
    }
    let stdin = std::io::stdin();
    let text = if stdin.is_terminal() {
        rpassword::prompt_password(format!("{what}: "))
    } else {
        let mut text = String::new();
        stdin.lock().take(MAX).read_to_string(&mut text).map(|_| text)
    };
    let text = text.map_err(|error| Failure::local(format!("cannot read the {what}: {error}")))?;
    good(text.lines().next().unwrap_or_default(), what)
}

fn good(secret: &str, what: &str) -> Result<NodeName, Failure> {
    if secret.is_empty() {
        let text = format!("there is no {what} on the standard input or in the environment");
        return Err(Failure::usage(text));
    }
    Ok(NodeName::new(secret.to_owned()))
}
