//! `mqtest bitrot`: a flipped bit, or a cut, anywhere in a store.
//!
//! A small store is made: stopped in good order, killed, and killed when it was young. Then every byte (or every Nth)
//! of every file has a bit flipped, every file is cut at many lengths, and broker and store start on
//! a copy, in a simulated world on the real store's code. Either the start is refused, names the file
//! and changes nothing, and works after a repair; or it is told what is damaged, and all else is
//! delivered. Nothing is delivered that nobody posted; what is lost is kept in the quarantine. `mqserver
//! check` has to find it, too, without a change. Bytes that nobody reads are counted.

mod life;
mod point;
mod scene;
mod tree;

use clap::Args;
use point::{Control, Damage, Outcome, Point};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use scene::{PASSING, Scene};
use serde_json::json;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Failures that are shown; then the run ends.
const SHOWN: usize = 10;
/// Cuts of each file.
const CUTS: usize = 40;

/// Damage a store at every byte, start on it, and see what is told, lost and delivered
#[derive(Debug, Args)]
pub(crate) struct BitrotArgs {
    /// Damage every Nth byte only, from one that the seed decides
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    /// Decides which bit is flipped, and where files are cut
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Only files whose path has this in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Do something wrong on purpose: the checks must find it
    #[arg(long, value_enum, value_name = "WHAT")]
    negative_control: Option<Control>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of all points.
#[derive(Default)]
struct Tally {
    outcomes: BTreeMap<(String, Outcome), usize>,
    failures: Vec<String>,
}

/// Runs all points. `false` if a promise was broken.
pub(crate) fn run(args: &BitrotArgs) -> anyhow::Result<bool> {
    let start = Instant::now();
    let scenes = [
        Scene::make("young, killed", 0, true)?,
        Scene::make("stopped", PASSING, false)?,
        Scene::make("killed", PASSING, true)?,
    ];
    let mut work = Vec::new();
    for scene in &scenes {
        let points = points(scene, args);
        work.extend(points.into_iter().map(|point| (scene, point)));
    }
    // A panic is a finding, and told as one.
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicUsize::new(0);
    let tally: Mutex<Tally> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((scene, point)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let run = AssertUnwindSafe(|| point.run(scene, args.negative_control));
                    let result = catch_unwind(run).unwrap_or_else(|_| Err("panic".into()));
                    let mut tally = tally.lock().unwrap_or_else(|locked| locked.into_inner());
                    match result {
                        Ok(outcome) => {
                            let part = point.path.split('/').next().unwrap_or_default();
                            let key = (part.to_owned(), outcome);
                            *tally.outcomes.entry(key).or_default() += 1;
                        }
                        Err(why) => {
                            let (path, damage) = (&point.path, point.damage);
                            let name = scene.name;
                            tally.failures.push(format!("{name}: {path}: {damage:?}: {why}"));
                        }
                    }
                    if tally.failures.len() >= SHOWN {
                        next.store(work.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let _ = std::panic::take_hook();
    let tally = tally.into_inner().unwrap_or_else(|locked| locked.into_inner());
    report(args, &tally, start.elapsed().as_secs_f64());
    Ok(tally.failures.is_empty())
}

fn points(scene: &Scene, args: &BitrotArgs) -> Vec<Point> {
    let mut rng = StdRng::seed_from_u64(args.seed);
    let every = args.every.max(1);
    let mut points = Vec::new();
    for (path, file) in scene.tree.files() {
        if args.only.as_ref().is_some_and(|only| !path.contains(only)) {
            continue;
        }
        let len = scene.tree.content(file).len();
        let mut damage = Vec::new();
        let first = rng.random_range(0..every);
        damage.extend((first..len).step_by(every).map(|at| {
            let bit = rng.random_range(0..8);
            Damage::Flip { at, bit }
        }));
        let cuts = CUTS.div_ceil(every).max(4).min(len);
        let lengths = [0, 1, len / 2].into_iter().chain([len.saturating_sub(1)]);
        let lengths = lengths.chain((4..cuts).map(|_| rng.random_range(0..len)));
        damage.extend(lengths.filter(|cut| *cut < len).map(Damage::Cut));
        let point = |damage| Point { path: path.clone(), file, damage };
        points.extend(damage.into_iter().map(point));
    }
    points
}

fn report(args: &BitrotArgs, tally: &Tally, seconds: f64) {
    let count = |outcome| -> usize {
        let of = tally.outcomes.iter().filter(|((_, other), _)| *other == outcome);
        of.map(|(_, count)| count).sum()
    };
    let points = tally.outcomes.values().sum::<usize>() + tally.failures.len();
    let outcomes = [
        ("meaningless", Outcome::Meaningless),
        ("found by check only", Outcome::Unread),
        ("a list of posted ids cut between entries, unnoticed", Outcome::Forgotten),
        ("told, all delivered", Outcome::Harmless),
        ("told, the damaged one lost and kept", Outcome::Lost),
        ("refused, repaired, all delivered", Outcome::Refused),
        ("refused, repaired, the damaged one lost and kept", Outcome::RefusedAndLost),
    ];
    if args.json {
        let outcomes: serde_json::Map<_, _> =
            outcomes.iter().map(|(name, it)| ((*name).into(), count(*it).into())).collect();
        let report = json!({"points": points, "outcomes": outcomes, "broken": tally.failures.len(),
            "failures": tally.failures, "seconds": seconds});
        println!("{report}");
        return;
    }
    for failure in &tally.failures {
        println!("{failure}");
    }
    for (name, outcome) in outcomes {
        let of = tally.outcomes.iter().filter(|((_, other), _)| *other == outcome);
        let parts: Vec<_> = of.map(|((part, _), count)| format!("{part} {count}")).collect();
        println!("{:8} {name}  {}", count(outcome), parts.join(", "));
    }
    println!("{points} points: {} promises broken, {seconds:.0} s", tally.failures.len());
}
