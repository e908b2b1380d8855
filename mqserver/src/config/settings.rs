//! The table of all settings. What is not a row here cannot be set.
//!
//! A row more wants an entry in `mqstore.example/mqserver.toml`, with its unit and bounds; a test
//! compares the two.

use super::setting::{Effect, Kind, Setting};
use super::{Admin, Config};
use crate::logging::{LogFormat, LogLevel};
use crate::tls::ClientAuth;
use Effect::{Live, Start};
use mqlib::directory::Registration;
use mqlib::node::MAX_NODES;
use std::net::SocketAddr;
use std::time::Duration;

/// All settings, in the order in which they are documented.
pub static SETTINGS: &[Setting] = &[
    Setting {
        section: "",
        key: "listen",
        unit: "",
        effect: Start,
        kind: Kind::List {
            expected: ADDRESSES,
            get: |c| words(&c.listen),
            set: |c, texts| parsed(texts).map(|all| c.listen = all),
        },
    },
    Setting {
        section: "",
        key: "listen_tls",
        unit: "",
        effect: Start,
        kind: Kind::List {
            expected: ADDRESSES,
            get: |c| words(&c.listen_tls),
            set: |c, texts| parsed(texts).map(|all| c.listen_tls = all),
        },
    },
    text(
        "",
        "admin",
        Start,
        "an address like \"127.0.0.1:8080\", or \"off\"",
        |c| c.admin.map_or_else(|| "off".to_owned(), |at| at.to_string()),
        |c, text| {
            c.admin = text.parse::<Admin>().ok()?.address();
            Some(())
        },
    ),
    Setting {
        section: "",
        key: "admin_names",
        unit: "",
        effect: Start,
        kind: Kind::List {
            expected: "a list of hosts' names",
            get: |c| c.admin_names.clone(),
            set: |c, names| {
                c.admin_names = names.to_vec();
                Some(())
            },
        },
    },
    Setting {
        section: "",
        key: "insecure",
        unit: "",
        effect: Live,
        kind: Kind::Flag { get: |c| c.insecure, set: |c, to| c.insecure = to },
    },
    text(
        "accounts",
        "registration",
        Live,
        "\"open\", \"invite\" or \"closed\"",
        |c| registration_word(c.registration()).to_owned(),
        |c, text| {
            use Registration::{Closed, Invite, Open};
            let found = [Open, Invite, Closed].into_iter().find(|r| registration_word(*r) == text);
            c.registration = Some(found?);
            Some(())
        },
    ),
    text(
        "tls",
        "certificate",
        Live,
        "a path",
        |c| c.tls.certificate.to_string_lossy().into_owned(),
        |c, text| {
            c.tls.certificate = text.into();
            Some(())
        },
    ),
    text(
        "tls",
        "key",
        Live,
        "a path",
        |c| c.tls.key.to_string_lossy().into_owned(),
        |c, text| {
            c.tls.key = text.into();
            Some(())
        },
    ),
    text(
        "tls",
        "client_ca",
        Live,
        "a path, or empty",
        |c| c.tls.client_ca.as_deref().unwrap_or("".as_ref()).to_string_lossy().into_owned(),
        |c, text| {
            c.tls.client_ca = (!text.is_empty()).then(|| text.into());
            Some(())
        },
    ),
    text(
        "tls",
        "client_auth",
        Live,
        "\"required\" or \"optional\"",
        |c| client_auth_word(c.tls.client_auth).to_owned(),
        |c, text| {
            let all = [ClientAuth::Required, ClientAuth::Optional];
            c.tls.client_auth = all.into_iter().find(|auth| client_auth_word(*auth) == text)?;
            Some(())
        },
    ),
    limit(
        "connections",
        "connections",
        (1, 1_000_000),
        |c| c.door.connections as u64,
        |c, n| c.door.connections = n as usize,
    ),
    limit(
        "connections_per_address",
        "connections",
        (1, 1_000_000),
        |c| c.door.connections_per_address as u64,
        |c, n| c.door.connections_per_address = n as usize,
    ),
    limit(
        "handshake_timeout_s",
        "seconds",
        (1, 3600),
        |c| c.door.handshake_timeout.as_secs(),
        |c, n| c.door.handshake_timeout = Duration::from_secs(n),
    ),
    limit(
        "login_timeout_s",
        "seconds",
        (1, 3600),
        |c| c.limits.login_timeout.as_secs(),
        |c, n| c.limits.login_timeout = Duration::from_secs(n),
    ),
    limit(
        "ping_s",
        "seconds",
        (1, 86_400),
        |c| c.door.ping.as_secs(),
        |c, n| c.door.ping = Duration::from_secs(n),
    ),
    limit(
        "dead_peer_s",
        "seconds",
        (2, 86_400),
        |c| c.door.dead_peer.as_secs(),
        |c, n| c.door.dead_peer = Duration::from_secs(n),
    ),
    limit(
        "max_message_mib",
        "MiB",
        (1, 1024),
        |c| c.limits.max_message as u64 >> 20,
        |c, n| c.limits.max_message = (n << 20) as usize,
    ),
    limit(
        "redelivery_s",
        "seconds",
        (1, 3600),
        |c| c.limits.redelivery.as_secs(),
        |c, n| c.limits.redelivery = Duration::from_secs(n),
    ),
    limit(
        "recipients",
        "nodes",
        (1, 50_000),
        |c| c.limits.recipients as u64,
        |c, n| c.limits.recipients = n as usize,
    ),
    limit(
        "nodes_per_user",
        "nodes",
        (1, MAX_NODES as u64),
        |c| c.limits.accounts.nodes_per_user as u64,
        |c, n| c.limits.accounts.nodes_per_user = n as usize,
    ),
    limit(
        "aliases_per_user",
        "aliases",
        (1, 10_000),
        |c| c.limits.accounts.aliases_per_user as u64,
        |c, n| c.limits.accounts.aliases_per_user = n as usize,
    ),
    limit(
        "lists_per_user",
        "lists",
        (1, 1_000_000),
        |c| c.limits.accounts.lists_per_user as u64,
        |c, n| c.limits.accounts.lists_per_user = n as usize,
    ),
    limit(
        "members_per_list",
        "members",
        (1, 1_000_000),
        |c| c.limits.accounts.members_per_list as u64,
        |c, n| c.limits.accounts.members_per_list = n as usize,
    ),
    limit("to", "names", (1, 50_000), |c| c.limits.to as u64, |c, n| c.limits.to = n as usize),
    limit(
        "to_one",
        "names",
        (1, 1_000),
        |c| c.limits.to_one as u64,
        |c, n| c.limits.to_one = n as usize,
    ),
    limit(
        "posts_per_second",
        "posts",
        (0, 1_000_000),
        |c| c.limits.posts_per_second.into(),
        |c, n| c.limits.posts_per_second = n as u32,
    ),
    limit(
        "posts_burst",
        "posts",
        (1, 1_000_000),
        |c| c.limits.posts_burst.into(),
        |c, n| c.limits.posts_burst = n as u32,
    ),
    limit(
        "queue_messages",
        "messages",
        (1, 1_000_000_000),
        |c| c.limits.queue_messages.into(),
        |c, n| c.limits.queue_messages = n as u32,
    ),
    limit(
        "queue_mib",
        "MiB",
        (1, 1 << 30),
        |c| c.limits.queue_bytes >> 20,
        |c, n| c.limits.queue_bytes = n << 20,
    ),
    Setting {
        section: "journal",
        key: "segments",
        unit: "segments",
        effect: Start,
        kind: Kind::Number {
            least: 3,
            most: 64,
            get: |c| c.storage.segments as u64,
            set: |c, n| c.storage.segments = n as usize,
        },
    },
    Setting {
        section: "journal",
        key: "segment_mib",
        unit: "MiB",
        effect: Start,
        kind: Kind::Number {
            least: 2,
            most: 1024,
            get: |c| c.storage.segment_len >> 20,
            set: |c, n| c.storage.segment_len = n << 20,
        },
    },
    spool(
        "linger_ms",
        "milliseconds",
        (0, 60_000),
        |c| c.storage.linger.as_millis() as u64,
        |c, n| c.storage.linger = Duration::from_millis(n),
    ),
    spool(
        "backlog",
        "messages",
        (100, 1_000_000),
        |c| c.storage.backlog as u64,
        |c, n| c.storage.backlog = n as usize,
    ),
    spool(
        "min_free_mib",
        "MiB",
        (1, 1 << 20),
        |c| c.storage.min_free >> 20,
        |c, n| c.storage.min_free = n << 20,
    ),
    retention(
        "warn_after_h",
        |c| hours(c.limits.retention.warn_after),
        |c, n| c.limits.retention.warn_after = of_hours(n),
    ),
    retention(
        "drop_after_h",
        |c| hours(c.limits.retention.drop_after),
        |c, n| c.limits.retention.drop_after = of_hours(n),
    ),
    retention(
        "message_max_age_h",
        |c| hours(c.limits.retention.message_max_age),
        |c, n| c.limits.retention.message_max_age = of_hours(n),
    ),
    text(
        "log",
        "format",
        Start,
        "\"text\" or \"json\"",
        |c| c.log.format.word().to_owned(),
        |c, text| {
            c.log.format = LogFormat::ALL.into_iter().find(|format| format.word() == text)?;
            Some(())
        },
    ),
    text(
        "log",
        "level",
        Live,
        "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        |c| c.log.level.word().to_owned(),
        |c, text| {
            c.log.level = LogLevel::ALL.into_iter().find(|level| level.word() == text)?;
            Some(())
        },
    ),
];

const ADDRESSES: &str = "a list of addresses like \"127.0.0.1:8008\" or \"[::1]:8008\"";

fn words(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn parsed(texts: &[String]) -> Option<Vec<SocketAddr>> {
    texts.iter().map(|text| text.parse().ok()).collect()
}

/// A setting of `[limits]`.
const fn limit(
    key: &'static str,
    unit: &'static str,
    (least, most): (u64, u64),
    get: fn(&Config) -> u64,
    set: fn(&mut Config, u64),
) -> Setting {
    let kind = Kind::Number { least, most, get, set };
    Setting { section: "limits", key, unit, effect: Live, kind }
}

/// A setting of `[spool]`.
const fn spool(
    key: &'static str,
    unit: &'static str,
    (least, most): (u64, u64),
    get: fn(&Config) -> u64,
    set: fn(&mut Config, u64),
) -> Setting {
    let kind = Kind::Number { least, most, get, set };
    Setting { section: "spool", key, unit, effect: Live, kind }
}

/// A setting of `[retention]`: hours, or 0 for never.
const fn retention(
    key: &'static str,
    get: fn(&Config) -> u64,
    set: fn(&mut Config, u64),
) -> Setting {
    let kind = Kind::Number { least: 0, most: 1_000_000, get, set };
    Setting { section: "retention", key, unit: "hours", effect: Live, kind }
}

fn hours(time: Option<Duration>) -> u64 {
    time.map_or(0, |time| time.as_secs() / 3600)
}

fn of_hours(hours: u64) -> Option<Duration> {
    (hours > 0).then(|| Duration::from_secs(hours * 3600))
}

const fn text(
    section: &'static str,
    key: &'static str,
    effect: Effect,
    expected: &'static str,
    get: fn(&Config) -> String,
    set: fn(&mut Config, &str) -> Option<()>,
) -> Setting {
    Setting { section, key, unit: "", effect, kind: Kind::Text { expected, get, set } }
}

fn registration_word(registration: Registration) -> &'static str {
    match registration {
        Registration::Open => "open",
        Registration::Invite => "invite",
        Registration::Closed => "closed",
    }
}

fn client_auth_word(auth: ClientAuth) -> &'static str {
    match auth {
        ClientAuth::Required => "required",
        ClientAuth::Optional => "optional",
    }
}
