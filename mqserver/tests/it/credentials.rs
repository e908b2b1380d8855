//! No secret is on the disk or in the log, whatever form it is in: neither a node's name that a
//! client chose, nor one that the server issued, nor an invitation's token.

use crate::common;

use common::{Client, Framing, SMALL, Server, Store, program, run, stdout};
use rustix::process::Signal;
use serde_json::json;
use std::path::{Path, PathBuf};

const CHOSEN: &str = "correct horse é battery";

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

/// What base64 makes of the bytes wherever they stand in a longer text: without the ends, which
/// depend on the neighbours.
fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<Vec<u8>> {
    let at = |offset: usize| {
        let mut padded = vec![0; offset];
        padded.extend_from_slice(bytes);
        let whole = padded.len() / 3 * 3;
        let digits = padded[..whole].chunks(3).flat_map(|three| {
            let number = three.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
            [18, 12, 6, 0].map(|shift| alphabet[number >> shift & 63])
        });
        digits.skip(4).collect()
    };
    vec![at(0), at(1), at(2)]
}

/// The forms in which a secret might be somewhere.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let mut alphabet = [0; 64];
    let letters = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*b"+/");
    alphabet.iter_mut().zip(letters).for_each(|(place, letter)| *place = letter);
    let mut forms = base64(secret, &alphabet);
    alphabet[62..].copy_from_slice(b"-_");
    forms.extend(base64(secret, &alphabet));
    forms.extend([secret.to_vec(), hex(secret), hex(secret).to_ascii_uppercase()]);
    let decimals = secret.iter().map(u8::to_string).collect::<Vec<_>>();
    forms.push(decimals.join(", ").into_bytes());
    forms.push(serde_json::to_vec(std::str::from_utf8(secret).unwrap_or("�")).unwrap());
    forms.push(String::from_utf8_lossy(secret).escape_default().to_string().into_bytes());
    forms.retain(|form| form.len() > 6);
    forms
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// The files below the directory that hold a secret in some form.
fn leaks(directory: &Path, secret: &[u8]) -> Vec<String> {
    let forms = forms(secret);
    let mut found = Vec::new();
    for file in files(directory) {
        let content = std::fs::read(&file).unwrap();
        for form in &forms {
            if holds(&content, form) {
                let form = String::from_utf8_lossy(form).into_owned();
                found.push(format!("{}: {form}", file.display()));
            }
        }
    }
    found
}

/// Is the part somewhere in the whole? Segments of the journal are large, and mostly zeros.
fn holds(whole: &[u8], part: &[u8]) -> bool {
    let mut rest = whole;
    while let Some(at) = rest.iter().position(|byte| *byte == part[0]) {
        if rest[at..].starts_with(part) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[tokio::test]
async fn no_secret_is_on_the_disk_or_in_the_log() {
    let store = Store::with(&format!("{SMALL}[accounts]\nregistration = \"invite\"\n"));
    let mut command = program();
    command.env("RUST_LOG", "trace");
    let mut server = Server::start_with(&store, command, "off");
    let invite = || stdout(&run(&["invite", "--store", &store.text()])).trim().to_owned();
    let (used, unused) = (invite(), invite());
    // In both framings: each has a log of its own to be careless with.
    let mut stranger = Client::connect(server.address, Framing::WebSocket).await;
    let header = json!({
        "op": "register", "userId": "alice", "newNode": CHOSEN, "aliases": "al", "invite": used
    });
    stranger.send(&header, b"").await;
    assert_eq!(stranger.reply().await.error, None);
    let header =
        json!({"op": "addNode", "userId": "alice", "newNode": "", "prevNode": CHOSEN, "v": 2});
    stranger.send(&header, b"").await;
    let issued = stranger.reply().await.issued.unwrap().reveal().to_owned();
    for (framing, node) in [(Framing::WebSocket, CHOSEN), (Framing::Raw, &issued)] {
        let mut alice = Client::login(&server, framing, "alice", node).await;
        alice.post(&json!({"alice": 1}), b"a message that is found").await;
        // Not acked: it is filed.
        alice.delivery().await;
    }
    store.filed("alice,0", 2).await;
    // Wrong ones, too: they may be somebody's right ones elsewhere.
    let wrong = format!("mqs_{:032x}", 0x5eed_u128);
    for node in ["the wrong horse", &wrong] {
        let mut stranger = Client::connect(server.address, Framing::Raw).await;
        let header = json!({"op": "login", "userId": "alice", "nodeId": node});
        stranger.send(&header, b"").await;
        assert_eq!(stranger.quit().await, "nodeId unknown");
    }
    let random = |secret: &str| -> Vec<u8> {
        let digits = &secret[4..];
        let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
        (0..16).map(byte).collect()
    };
    let mut secrets = vec![CHOSEN.as_bytes().to_vec(), b"the wrong horse".to_vec()];
    for secret in [&issued, &used, &unused, &wrong] {
        secrets.extend([secret.as_bytes().to_vec(), random(secret)]);
    }
    // As a thief finds the store while the server runs, and after.
    for running in [true, false] {
        let found: Vec<_> =
            secrets.iter().flat_map(|secret| leaks(store.outside(), secret)).collect();
        assert!(found.is_empty(), "{running} {found:?}");
        // The search finds what is there.
        assert!(!leaks(store.outside(), b"a message that is found").is_empty());
        if running {
            server.signal(Signal::TERM);
            assert!(server.ended(common::PATIENCE).is_some());
        }
    }
}

#[test]
fn the_search_knows_a_secret_in_other_forms() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("raw", "..the wrong horse.."),
        ("hex", "..7468652077726f6e6720686f727365.."),
        ("base64", "dGhlIHdyb25nIGhvcnNl"),
        ("base64 behind one byte", "eHRoZSB3cm9uZyBob3JzZQ=="),
        ("bytes", "[116, 104, 101, 32, 119, 114, 111, 110, 103, 32, 104, 111, 114, 115, 101]"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        assert!(!leaks(dir.path(), b"the wrong horse").is_empty(), "{name}");
        std::fs::remove_file(&path).unwrap();
    }
}
