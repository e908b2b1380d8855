//! Clients in Node, with npm's `ws`, against the server: the tests in `node/`.

use crate::common;

use common::{Server, Store};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const FILES: [&str; 6] = [
    "package.json",
    "package-lock.json",
    "client.mjs",
    "conversation.test.mjs",
    "two-users.test.mjs",
    "version2.test.mjs",
];

/// Runs a program of Node's to its end, and shows what it printed if it failed.
fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| {
        let program = command.get_program().to_string_lossy();
        panic!(
            "{program} does not run ({error}): this test needs Node.js 20 or later with npm; \
             install them (https://nodejs.org, or apt-get install nodejs npm)"
        )
    });
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A copy of `node/` with what npm installs, made once: the sources stay clean.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
        std::fs::create_dir_all(&directory).unwrap();
        for file in FILES {
            std::fs::copy(source.join(file), directory.join(file)).unwrap();
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--prefer-offline"]);
        run(npm.current_dir(&directory));
        directory
    })
}

fn passes(tests: &str) {
    let store = Store::new();
    let server = Server::start(&store);
    let mut node = Command::new("node");
    node.args(["--test", tests]).env("MQSERVER", server.address.to_string());
    run(node.current_dir(installed()));
    server.stop();
}

#[test]
fn a_node_client_has_a_conversation() {
    passes("conversation.test.mjs");
}

#[test]
fn two_node_clients_use_aliases_lists_text_and_large_messages() {
    passes("two-users.test.mjs");
}

#[test]
fn a_node_client_of_version_2_acks_many_at_once() {
    passes("version2.test.mjs");
}

#[test]
fn all_files_of_the_node_tests_are_run() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    for entry in std::fs::read_dir(source).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(FILES.iter().any(|file| name == *file), "{name:?} is not among them");
    }
}
