//! What both examples need: their arguments, and a user that exists.

use mqclient::{Client, Config, Error};

const SERVER: &str = "ws://127.0.0.1:8008";

/// The arguments without `--server URL`, and that URL. `None` unless there are `count` of them.
pub(crate) fn arguments(count: usize) -> Option<(Vec<String>, String)> {
    let mut server = SERVER.to_owned();
    let mut words = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--server" => server = arguments.next()?,
            option if option.starts_with("--") => return None,
            _ => words.push(argument),
        }
    }
    (words.len() == count).then_some((words, server))
}

/// Logs `user` in, registering the user first if there is none of that name.
///
/// The node's name acts as its password. One that is easy to guess is for an example only.
pub(crate) async fn log_in(server: &str, user: &str) -> Result<Client, Error> {
    let node = format!("{user}-laptop");
    match Client::register(server, user, &node, &[]).await {
        Ok(_) => println!("registered {user}"),
        Err(Error::UserExists) => {}
        Err(error) => return Err(error),
    }
    Client::connect(Config::new(server, user, node)).await
}
