//! `mqtest names`: does any name of a user leave the spool, or share a directory with another's?
//!
//! Names as a hostile client would choose them: paths, devices of other systems, the same word in
//! other cases and in other forms of Unicode, and characters at random. Each becomes a directory's
//! name as the server makes it. That has to be plain lower-case ASCII, so that no disk folds it to
//! something else, one step below the spool, and no two names may have the same.

use clap::Args;
use mqlib::name;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

/// Findings that are shown.
const SHOWN: usize = 10;
/// The longest name of a directory that disks take, in bytes.
const LONGEST: usize = 255;

/// What names are made of, besides characters at random.
const PARTS: [&str; 32] = [
    "..", ".", "/", "\\", "%", "%2e", "%2f", ",", ",0", "~", " ", ":", "a", "A", "b", "B", "é",
    "e\u{301}", "É", "ß", "ss", "SS", "İ", "i", "ı", "I", "\u{212a}", "K", "k", "ﬁ", "CON", "-_",
];

/// Make names that a hostile client might choose, and look for two that share a directory
#[derive(Debug, Args)]
pub(crate) struct NamesArgs {
    /// How many names
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    count: usize,
    /// What the names are made by
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Use names as they are, as the original did: it must be found out
    #[arg(long)]
    mutate: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    names: usize,
    escapes: usize,
    collisions: usize,
    shown: Vec<String>,
}

impl Found {
    fn show(&mut self, text: String) {
        if self.shown.len() < SHOWN {
            self.shown.push(text);
        }
    }
}

/// Makes the names. `false` if one leaves the spool, or two collide.
pub(crate) fn run(args: &NamesArgs) -> bool {
    let start = Instant::now();
    let encode = if args.mutate { str::to_owned } else { name::encode };
    let found = look(args.count, args.seed, encode);
    let ok = found.escapes + found.collisions == 0;
    let seconds = start.elapsed().as_secs_f64();
    if args.json {
        let report = json!({
            "ok": ok, "names": found.names, "escapes": found.escapes,
            "collisions": found.collisions, "seconds": seconds, "shown": found.shown,
        });
        println!("{report}");
    } else {
        found.shown.iter().for_each(|line| println!("{line}"));
        println!(
            "{} names: {} leave the spool, {} collide, {seconds:.1} s",
            found.names, found.escapes, found.collisions
        );
    }
    ok
}

fn look(count: usize, seed: u64, encode: fn(&str) -> String) -> Found {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut directories: HashMap<String, String> = HashMap::with_capacity(count);
    let mut found = Found::default();
    while found.names < count {
        let name = any(&mut rng);
        // What the server refuses does no harm.
        if !name::is_valid(&name) {
            continue;
        }
        let directory = encode(&name);
        let escapes = !is_plain(&directory);
        match directories.entry(directory.to_lowercase()) {
            Entry::Occupied(there) if *there.get() == name => continue,
            Entry::Occupied(there) => {
                found.collisions += 1;
                let text = format!("{name:?} and {:?} are both {directory:?}", there.get());
                found.show(text);
            }
            Entry::Vacant(place) => drop(place.insert(name.clone())),
        }
        found.names += 1;
        if escapes {
            found.escapes += 1;
            found.show(format!("{name:?} leaves the spool as {directory:?}"));
        }
    }
    found
}

/// Is it the name of one directory, wherever?
fn is_plain(directory: &str) -> bool {
    let plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'%');
    let with_offset = directory.len() + ",99".len();
    !directory.is_empty() && with_offset <= LONGEST && directory.bytes().all(plain)
}

fn any(rng: &mut StdRng) -> String {
    let mut name = String::new();
    for _ in 0..rng.random_range(1..=8) {
        match rng.random_range(0..4) {
            0..3 => name.push_str(PARTS.choose(rng).copied().unwrap_or_default()),
            _ => name.push(rng.random()),
        }
    }
    match rng.random_range(0..4) {
        0 => name.to_uppercase(),
        1 => name.to_lowercase(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_the_spool_or_collides() {
        let found = look(20_000, 7, name::encode);
        assert_eq!((found.names, found.escapes, found.collisions), (20_000, 0, 0), "{found:?}");
    }

    #[test]
    fn names_as_they_are_and_names_in_lower_case_are_found_out() {
        let raw = look(20_000, 7, str::to_owned);
        assert!(raw.escapes > 100 && raw.collisions > 100, "{raw:?}");
        let lower = look(20_000, 7, |name| name::encode(&name.to_lowercase()));
        assert!(lower.collisions > 100 && lower.escapes == 0, "{lower:?}");
    }
}
