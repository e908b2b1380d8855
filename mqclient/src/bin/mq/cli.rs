//! The command line: what there is, and what its help says.

use crate::output::Format;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;
use std::time::Duration;

/// The deliveries that may be in flight while a command runs. What fails takes up a place until it
/// succeeds, and what waits in the window is sent again meanwhile.
const WINDOW_EXEC: usize = 16;
const WINDOW: usize = 100;

const CODES: &str = "\
Exit codes:
  0  done
  1  something on this machine: a file, a profile, the standard output
  2  the command line makes no sense
  3  some recipients have the message, some do not
  4  the server refuses the request, or nobody gets the message
  5  the server cannot be reached; nothing was sent
  6  the server does not let this node in, or the node is in use
  7  a certificate is not trusted
  8  the link was lost before the answer came: done or not
  9  listen: fewer messages than --count came within --timeout

Five minutes with it:
  mq register --server ws://127.0.0.1:8008 alice
  mq post bob 'hello'
  mq listen";

/// Email for programs, from the shell: posts to users and lists, and listens for what they post.
#[derive(Debug, Parser)]
#[command(name = "mq", version, after_help = CODES)]
pub(crate) struct Cli {
    /// The profile to use, or to make [default: the current one; for a new one, the user's name]
    #[arg(long, short = 'p', global = true, value_name = "NAME", env = "MQ_PROFILE")]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) link: LinkArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How to deal with the link to the server.
#[derive(Debug, Args)]
pub(crate) struct LinkArgs {
    /// How long a link that is lost may be away before a request is given up
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// End another connection that is logged in as this node, on another machine for instance
    #[arg(long, global = true)]
    pub(crate) takeover: bool,
}

impl LinkArgs {
    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a user, and a profile that logs in as that user
    #[command(after_help = REGISTER)]
    Register(RegisterArgs),
    /// Make a profile for a user that exists
    ///
    /// The secret is read from MQ_SECRET, or from the standard input, or asked for.
    #[command(after_help = LOGIN)]
    Login(LoginArgs),
    /// Post a message, and wait until the server has stored it; prints its id
    ///
    /// It goes to users and lists. A name with @ before it is a list (all its members but you), else
    /// a user. A user whose name begins with @ is user:@NAME, and list:NAME is a list, too. The last
    /// word is the text, unless -m or -f is given; with one word only, the text is the standard
    /// input.
    #[command(after_help = POST)]
    Post(PostArgs),
    /// Print messages as they come, and ack them; or run a command for each
    ///
    /// It goes on until ctrl-C, and connects again when the link is lost. A message is acked, and
    /// gone from the queue, when it is printed, or when its command has succeeded.
    #[command(after_help = LISTEN)]
    Listen(ListenArgs),
    /// Post to whoever has an alias
    #[command(after_help = PING)]
    Ping(PingArgs),
    /// Lists: create, invite, accept, add, remove, leave, show
    #[command(subcommand, after_help = LIST)]
    List(ListCommand),
    /// The nodes (devices) of your user: add, drop, ls
    #[command(subcommand, after_help = NODE)]
    Node(NodeCommand),
    /// Show the user, its nodes and what waits for them, its aliases and lists
    #[command(after_help = STATUS)]
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Talk with a user: each line that is read is posted, what the user posts is printed
    ///
    /// Messages of others stay in the queue.
    #[command(after_help = CHAT)]
    Chat {
        /// With whom
        user: String,
    },
    /// The profiles: ls, use, rm
    #[command(subcommand, after_help = PROFILE)]
    Profile(ProfileCommand),
    /// Print what makes a shell complete mq's words
    #[command(after_help = COMPLETIONS)]
    Completions {
        /// For which shell
        shell: Shell,
    },
    /// Print the manual page, or write one for each command
    #[command(after_help = MAN)]
    Man {
        /// A directory for all of them: mq.1, mq-post.1, …
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

const REGISTER: &str = "\
Examples:
  mq register --server ws://127.0.0.1:8008 alice
  mq register --server wss://mq.example.org --alias alice@example.org alice
  mq register --server wss://localhost:8443 --ca mqstore/tls/certificate.pem alice
  mq register --invite alice < invitation

The server issues the secret. It is kept in the profile, in a file that only you can read.";

const LOGIN: &str = "\
Examples:
  mq login --server wss://mq.example.org alice          asks for the secret
  mq login --server wss://mq.example.org alice < secret
  mq node add | ssh laptop mq login --server wss://mq.example.org alice
  mq login --new-node alice < secret                    for a node beside the one of that secret";

const POST: &str = "\
Examples:
  mq post bob 'hello'
  mq post bob carol @team 'to two users and a list'
  mq post bob -f report.pdf
  date | mq post bob
  date | mq post bob carol -
  mq post --one workers 'for whichever node takes it first'
  mq post user:@odd 'to a user whose name begins with @'
  mq post --json --etc '{\"urgent\":true}' bob 'with JSON beside it'";

const LISTEN: &str = "\
Examples:
  mq listen
  mq listen --json | jq -r .data
  mq listen --count 1 --timeout 60 --body > message
  mq listen --exec 'cat >> inbox'
  mq listen --exec 'wc -c | mq post \"$MQ_FROM\"'

A command finds the data on its standard input, and in its environment MQ_ID, MQ_FROM, MQ_KIND
(deliver, registered or listEdited), MQ_POSTED, MQ_REDELIVERED, MQ_ETC, MQ_USER and MQ_PROFILE.
Commands run one after the other. If one fails, its message is not acked; the server delivers it
again after 10 s, then 20, 40, … up to 300 s, and others go on meanwhile.";

const PING: &str = "\
Examples:
  mq ping alice@example.org
  mq ping alice@example.org 'are you there?'
  date | mq ping alice@example.org -";

const LIST: &str = "\
Examples:
  mq list create team bob carol
  mq list invite team dave@example.org --message 'join us'
  mq list accept team
  mq list add team erin
  mq list remove team bob
  mq list show
  mq post @team 'hello, all'";

const NODE: &str = "\
Examples:
  mq node ls
  mq node add --save-as alice-bot      a second node, for another program on this machine
  mq node add | ssh laptop mq login --server wss://mq.example.org alice
  mq node drop 3

A node that nobody listens on has a queue that grows; drop it.";

const STATUS: &str = "\
Examples:
  mq status
  mq status --json | jq '.nodes[] | select(.queued > 0)'";

const CHAT: &str = "\
Examples:
  mq chat bob
  printf 'one\\ntwo\\n' | mq chat bob";

const PROFILE: &str = "\
Examples:
  mq profile ls
  mq profile use bob
  mq profile rm alice-bot";

const COMPLETIONS: &str = "\
Examples:
  mq completions bash > ~/.local/share/bash-completion/completions/mq
  mq completions zsh > ~/.zfunc/_mq
  mq completions fish > ~/.config/fish/completions/mq.fish";

const MAN: &str = "\
Examples:
  mq man | man -l -
  mq man --out ~/.local/share/man/man1";

/// Where the account is.
#[derive(Debug, Args)]
pub(crate) struct AccountArgs {
    /// The server: ws:// or wss:// for WebSocket, mq:// or mqs:// for the raw framing
    #[arg(
        long,
        short = 's',
        value_name = "URL",
        env = "MQ_SERVER",
        default_value = "ws://127.0.0.1:8008"
    )]
    pub(crate) server: String,
    /// Trust these roots (PEM) in place of the system's; the file has to stay there
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Show this certificate (PEM) to the server; the file has to stay there
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    /// An alias that others can ping or invite; may be repeated
    #[arg(long = "alias", value_name = "ALIAS")]
    pub(crate) aliases: Vec<String>,
    /// Read an invitation from MQ_INVITE or the standard input, or ask for it
    #[arg(long)]
    pub(crate) invite: bool,
    /// The user's name
    pub(crate) user: String,
}

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    #[command(flatten)]
    pub(crate) account: AccountArgs,
    /// Make a node more, with a secret of its own, and leave the one alone whose secret is read
    #[arg(long)]
    pub(crate) new_node: bool,
    /// The user's name
    pub(crate) user: String,
}

/// What is posted.
#[derive(Debug, Args)]
pub(crate) struct BodyArgs {
    /// The text
    #[arg(long, short = 'm', value_name = "TEXT", conflicts_with = "file")]
    pub(crate) message: Option<String>,
    /// A file with the data; - is the standard input
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// JSON that travels beside the data
    #[arg(long, value_name = "JSON")]
    pub(crate) etc: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PostArgs {
    #[command(flatten)]
    pub(crate) body: BodyArgs,
    /// To one node of each user, whichever takes it first, instead of all of them
    #[arg(long)]
    pub(crate) one: bool,
    /// No copies to your own other nodes
    #[arg(long)]
    pub(crate) no_copies: bool,
    /// Print the server's ack as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Users and @lists, and then the text; - is the standard input
    #[arg(required = true, value_name = "TO… [TEXT]")]
    pub(crate) words: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    #[command(flatten)]
    pub(crate) body: BodyArgs,
    /// Print the server's ack as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// The alias
    pub(crate) alias: String,
    /// The text; - is the standard input [default: none]
    #[arg(conflicts_with_all = ["message", "file"])]
    pub(crate) text: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// Run this for each message, by sh, instead of printing it; ack it if that succeeds
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,
    /// Print a line of JSON for each message; with --exec, too
    #[arg(long, conflicts_with = "body")]
    json: bool,
    /// Print the data alone, each with a newline
    #[arg(long, conflicts_with = "exec")]
    body: bool,
    /// End after so many messages
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End when no message has come for so long
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// How many messages may be on their way before one is acked, 1–1000: with 1 a command that
    /// fails holds back all others [default: 100, with --exec 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    window: Option<u16>,
}

impl ListenArgs {
    pub(crate) fn format(&self) -> Format {
        match (self.json, self.body) {
            (true, _) => Format::Json,
            (_, true) => Format::Body,
            _ => Format::Text,
        }
    }

    pub(crate) fn window(&self) -> usize {
        let usual = if self.exec.is_some() { WINDOW_EXEC } else { WINDOW };
        self.window.map_or(usual, usize::from)
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ListCommand {
    /// Create a list, with yourself and others in it
    #[command(after_help = "Example:\n  mq list create team bob carol")]
    Create {
        /// Its name, with or without @
        list: String,
        /// Who is in it besides you
        users: Vec<String>,
    },
    /// Invite the owners of aliases
    #[command(after_help = "Example:\n  mq list invite team dave@example.org -m 'join us'")]
    Invite {
        /// The list
        list: String,
        /// Aliases, not users' names
        #[arg(required = true)]
        aliases: Vec<String>,
        /// What the invitation says
        #[arg(long, short = 'm', value_name = "TEXT")]
        message: Option<String>,
    },
    /// Accept an invitation
    #[command(after_help = "Example:\n  mq list accept team")]
    Accept {
        /// The list
        list: String,
    },
    /// Add users to a list that you are in
    #[command(after_help = "Example:\n  mq list add team erin frank")]
    Add {
        /// The list
        list: String,
        /// All of them, or none if one does not exist
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Remove users from a list that you are in
    #[command(after_help = "Example:\n  mq list remove team bob")]
    Remove {
        /// The list
        list: String,
        /// All of them, or none if one is not in it
        #[arg(required = true)]
        users: Vec<String>,
    },
    /// Leave a list; one that is empty vanishes
    #[command(after_help = "Example:\n  mq list leave team")]
    Leave {
        /// The list
        list: String,
    },
    /// Show the lists that you are in, or whether you are in one
    ///
    /// Who else is in a list, the server does not tell: members are told of every change, in
    /// messages.
    #[command(after_help = "Example:\n  mq list show")]
    Show {
        /// Only this one
        list: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Add a node to your user; prints its secret, for mq login on another machine
    ///
    /// What waits for this profile's node will be delivered to the new one, too.
    #[command(after_help = "\
Examples:
  mq node add | ssh laptop mq login --server wss://mq.example.org alice
  mq node add --save-as alice-bot")]
    Add {
        /// Make a profile of it on this machine, and print nothing
        #[arg(long, value_name = "PROFILE")]
        save_as: Option<String>,
        /// Print JSON
        #[arg(long, conflicts_with = "save_as")]
        json: bool,
    },
    /// Take a node away from your user, with all that waits for it
    #[command(after_help = "Example:\n  mq node drop 3")]
    Drop {
        /// Its number, as ls shows it
        offset: u8,
    },
    /// Show the nodes, and what waits for them
    #[command(after_help = "Example:\n  mq node ls")]
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Show the profiles; * is the one that is used if none is named
    #[command(after_help = "Example:\n  mq profile ls")]
    Ls,
    /// Use a profile from now on
    #[command(after_help = "Example:\n  mq profile use bob")]
    Use {
        /// Which one
        name: String,
    },
    /// Remove a profile, and drop its node from the server
    #[command(after_help = "Example:\n  mq profile rm alice-bot")]
    Rm {
        /// Which one
        name: String,
        /// Leave the node on the server: its queue grows there, and without the secret nobody
        /// reads it
        #[arg(long)]
        keep_node: bool,
    },
}
