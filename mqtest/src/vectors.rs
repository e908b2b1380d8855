//! `mqtest vectors`: the original's conversations, had again with our server.
//!
//! In 2011 there was a server that spoke this protocol, and clients that still do. It was run
//! and watched: each *vector* is a conversation that somebody had with it on an empty store,
//! word by word. Here a client has the same conversation with ours and compares every word: the
//! text of every header, every frame, who gets what in which order, how the connection ends, and
//! that nothing else is said. After each, whatever it was, the server must serve a new client.
//!
//! Where the original was wrong (it could be killed by a `null`) or left a thing to chance, we
//! differ on purpose. `vectors/differences.toml` names each such vector with the reason, and says
//! what we do instead, which is then replayed and checked like the rest.
//!
//! Read on in this order: [`mod@file`] the format, [`differences`] ours, [`wire`] a client's side of
//! the wire, written without the server's codec, [`compare`] what counts as the same, [`action`]
//! what is done to the server itself, [`mod@run`] one vector from start to end.
//!
//! A vector takes it for granted that nobody else is on the server and that the store is empty:
//! all of them call their users u1 and u2. So each gets a server of its own, several at a time
//! because the timers of some take up to 42 s. `--server` has but one store to offer, and plays
//! one vector, chosen by `--only`; when that is to be repeated, empty the store.

mod action;
mod compare;
mod differences;
mod file;
mod run;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use self::run::{Place, Played};
use crate::spawn;

/// Replays observed conversations of the original and compares every word.
#[derive(Debug, clap::Args)]
pub(crate) struct VectorsArgs {
    /// Files of vectors, or directories of them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Start a server for each vector, on a store and a port of its own (the default).
    #[arg(long, conflicts_with = "server")]
    spawn: bool,
    /// Use a server that runs already, on an empty store: for one vector, named by --only.
    #[arg(long, value_name = "ADDR")]
    server: Option<SocketAddr>,
    /// The server's program; without it the mqserver beside this program.
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    server_bin: Option<PathBuf>,
    /// Only the vectors of this name or group; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// How many vectors to play at the same time.
    #[arg(long, value_name = "N", default_value_t = 8)]
    jobs: usize,
    /// Print counts and failures as JSON.
    #[arg(long)]
    json: bool,
    /// Name every vector, and tell the whole conversation of one that failed.
    #[arg(long)]
    verbose: bool,
}

/// A vector's name and what became of it.
struct Result {
    name: String,
    outcome: Outcome,
    transcript: Vec<String>,
}

enum Outcome {
    /// As the original.
    Passed,
    /// As we said that we differ.
    Differs(String),
    Skipped(String),
    Failed(String),
}

/// Plays the vectors and prints the result; says whether all passed.
pub(crate) async fn run(args: VectorsArgs) -> anyhow::Result<bool> {
    let mut vectors = file::read(&args.files)?;
    for only in &args.only {
        let known = vectors.iter().any(|v| v.name == *only || v.group == *only);
        ensure!(known, "there is no vector or group {only}");
    }
    if !args.only.is_empty() {
        vectors.retain(|v| args.only.contains(&v.name) || args.only.contains(&v.group));
    }
    ensure!(!vectors.is_empty(), "there are no vectors in these files");
    let place = match args.server {
        // Found once, so that a missing program is one error and not one for each vector.
        None => Place::Spawned { bin: spawn::binary(args.server_bin.as_deref())? },
        Some(addr) => {
            ensure!(
                vectors.len() == 1,
                "--server has one store, and each of these {} vectors needs an empty one: \
                 choose one by --only NAME, or leave --server out",
                vectors.len()
            );
            Place::Running(addr)
        }
    };
    let results = play_all(vectors, place, args.jobs).await?;
    report(&results, &args);
    Ok(!results.iter().any(|result| matches!(result.outcome, Outcome::Failed(_))))
}

/// Plays all, the longest first, and returns the results in the order of the files.
async fn play_all(
    vectors: Vec<file::Vector>,
    place: Place,
    jobs: usize,
) -> anyhow::Result<Vec<Result>> {
    let differences = Arc::new(differences::read()?);
    let permits = Arc::new(Semaphore::new(jobs.max(1)));
    let mut order: Vec<(usize, file::Vector)> = vectors.into_iter().enumerate().collect();
    order.sort_by_key(|(_, vector)| std::cmp::Reverse(vector.waits()));
    let mut playing = JoinSet::new();
    for (at, vector) in order {
        let (differences, permits, place) = (differences.clone(), permits.clone(), place.clone());
        playing.spawn(async move {
            let _permit = permits.acquire().await;
            (at, play_one(&vector, differences.get(&vector.name), &place).await)
        });
    }
    let mut results = Vec::new();
    while let Some(played) = playing.join_next().await {
        results.push(played.context("a vector could not be played")?);
    }
    results.sort_by_key(|(at, _)| *at);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}

async fn play_one(
    vector: &file::Vector,
    difference: Option<&differences::Difference>,
    place: &Place,
) -> Result {
    let result = |outcome, transcript| Result { name: vector.name.clone(), outcome, transcript };
    if let Some(difference) = difference.filter(|difference| difference.skip) {
        return result(Outcome::Skipped(difference.reason.clone()), Vec::new());
    }
    if let Some(why) = vector.not_replayable.as_ref().filter(|_| difference.is_none()) {
        return result(Outcome::Skipped(why.clone()), Vec::new());
    }
    let ours = match difference.map(|difference| difference.apply(vector)).transpose() {
        Ok(ours) => ours,
        Err(error) => return result(Outcome::Failed(format!("{error:#}")), Vec::new()),
    };
    let ours = ours.as_ref().unwrap_or(vector);
    if matches!(place, Place::Running(_)) && ours.acts_on_server() {
        let why = "it stops, restarts or looks at the server, and that one is not ours";
        return result(Outcome::Skipped(why.to_owned()), Vec::new());
    }
    let Played { failure, transcript } = run::play(ours, place).await;
    let outcome = match (failure, difference) {
        (Some(mut failure), difference) => {
            if !vector.doc.is_empty() {
                failure.insert_str(0, &format!("({})\n", vector.doc));
            }
            if let Some(difference) = difference {
                failure.push_str(&format!("\nwe differ on purpose here: {}", difference.reason));
            }
            Outcome::Failed(failure)
        }
        (None, Some(difference)) => Outcome::Differs(difference.reason.clone()),
        (None, None) => Outcome::Passed,
    };
    result(outcome, transcript)
}

/// Prints what became of the vectors. The last line is for programs.
fn report(results: &[Result], args: &VectorsArgs) {
    let (mut passed, mut differ, mut skipped, mut failed) = (0, 0, 0, 0);
    let mut failures = Vec::new();
    for Result { name, outcome, transcript } in results {
        match outcome {
            Outcome::Passed => passed += 1,
            Outcome::Differs(_) => differ += 1,
            Outcome::Skipped(_) => skipped += 1,
            Outcome::Failed(why) => {
                failed += 1;
                failures.push(serde_json::json!({"name": name, "why": why}));
            }
        }
        if args.json {
            continue;
        }
        match outcome {
            Outcome::Passed if args.verbose => println!("passed   {name}"),
            Outcome::Differs(why) if args.verbose => println!("differs  {name}: {why}"),
            Outcome::Skipped(why) if args.verbose => println!("skipped  {name}: {why}"),
            Outcome::Failed(why) => {
                println!("FAILED   {name} {}", why.replace('\n', "\n         "));
                if args.verbose {
                    println!("         the whole of it:");
                    transcript.iter().for_each(|line| println!("           {line}"));
                }
            }
            _ => {}
        }
    }
    if args.json {
        let summary = serde_json::json!({
            "passed": passed,
            "differ": differ,
            "skipped": skipped,
            "failed": failed,
            "failures": failures,
        });
        println!("{summary}");
    } else {
        println!("{passed} passed, {differ} differ on purpose, {skipped} skipped, {failed} failed");
        println!("{} passed, {failed} failed", passed + differ);
    }
}
