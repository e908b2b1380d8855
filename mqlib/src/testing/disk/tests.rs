//! What a crash may leave of a disk, and what it must leave.

use super::*;
use crate::disk::AlignedBuf;
use crate::registry::Backend;
use rand::SeedableRng;
use rand::rngs::StdRng;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};

const SECTOR: usize = inode::SECTOR;

/// Lets `act` work on a new disk and the power fail, for many seeds; what `look` sees afterwards.
fn outcomes<T: Ord>(act: impl Fn(&SimDisk), look: impl Fn(&SimDisk) -> T) -> Vec<T> {
    let mut seen: Vec<T> = (0..2000)
        .map(|seed| {
            let disk = SimDisk::new(seed);
            act(&disk);
            disk.crash(&mut StdRng::seed_from_u64(seed));
            look(&disk)
        })
        .collect();
    seen.sort();
    seen.dedup();
    seen
}

fn names(disk: &SimDisk, path: &str) -> Vec<String> {
    let mut names = disk.list(path).unwrap();
    names.sort();
    names
}

fn blocks(count: usize, byte: u8) -> AlignedBuf {
    let mut blocks = AlignedBuf::new();
    blocks.resize(count * BLOCK);
    blocks.as_mut_slice().fill(byte);
    blocks
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().unwrap().kind()
}

#[test]
fn an_unsynced_name_may_vanish_and_a_synced_one_does_not() {
    let act = |disk: &SimDisk| {
        disk.create("kept", 0, &[b"x"]).unwrap();
        disk.sync_path(".").unwrap();
        disk.create("a", 0, &[b"x"]).unwrap();
        disk.create("b", 0, &[b"x"]).unwrap();
    };
    let seen = outcomes(act, |disk| names(disk, "."));
    assert_eq!(seen, [vec!["a", "b", "kept"], vec!["a", "kept"], vec!["b", "kept"], vec!["kept"]]);
}

#[test]
fn a_synced_file_in_an_unsynced_directory_may_vanish_with_it() {
    let act = |disk: &SimDisk| {
        disk.create_dir("d").unwrap();
        disk.create("d/f", 0, &[b"x"]).unwrap();
        disk.sync_path("d/f").unwrap();
        disk.sync_path("d").unwrap();
    };
    let seen = outcomes(act, |disk| disk.read("d/f").map_err(|error| error.kind()));
    assert_eq!(seen, [Ok(b"x".to_vec()), Err(ErrorKind::NotFound)]);
}

#[test]
fn a_durable_name_of_an_unsynced_file_shows_any_part_of_its_content() {
    let act = |disk: &SimDisk| {
        disk.create("f", 0, &[&[1; 3 * SECTOR], b"tail"]).unwrap();
        disk.sync_path(".").unwrap();
    };
    let seen = outcomes(act, |disk| disk.read("f").unwrap());
    let whole = [&[1; 3 * SECTOR][..], b"tail"].concat();
    assert!(seen.contains(&whole) && seen.contains(&Vec::new()));
    assert!(seen.contains(&vec![1; SECTOR]), "short");
    assert!(seen.contains(&vec![0; 3 * SECTOR]), "zeros");
    assert!(seen.iter().any(|content| content[..] == [&[0; 3 * SECTOR][..], b"tail"].concat()));
    let torn = [&[1; SECTOR][..], &[0; SECTOR], &[1; SECTOR]].concat();
    assert!(seen.iter().any(|content| content.starts_with(&torn)));
}

#[test]
fn what_happened_to_one_name_survives_up_to_some_moment() {
    let act = |disk: &SimDisk| {
        disk.create("n", 0, &[b"1"]).unwrap();
        disk.sync_all().unwrap();
        disk.unlink("n").unwrap();
        disk.create("n", 0, &[b"2"]).unwrap();
        disk.sync_path("n").unwrap();
    };
    let seen = outcomes(act, |disk| disk.read("n").ok());
    assert_eq!(seen, [None, Some(b"1".to_vec()), Some(b"2".to_vec())]);
}

#[test]
fn sync_all_keeps_everything() {
    let act = |disk: &SimDisk| {
        disk.create_dir("d").unwrap();
        disk.create("d/f", 3, &[b"x", &[2; 9000]]).unwrap();
        disk.link("d/f", "g").unwrap();
        disk.unlink("d/f").unwrap();
        disk.patch("g", 1, b"y").unwrap();
        disk.sync_all().unwrap();
    };
    let seen = outcomes(act, |disk| (names(disk, "."), names(disk, "d"), disk.read("g").unwrap()));
    let content = [&[0, b'y', 0, b'x'][..], &[2; 9000]].concat();
    assert_eq!(seen, [(vec!["d".to_owned(), "g".to_owned()], vec![], content)]);
}

#[test]
fn an_unsynced_cut_of_a_database_never_shows_what_was_cut_off() {
    let act = |disk: &SimDisk| {
        let file = disk.open_database("db").unwrap();
        file.write(0, &[1; 10_000]).unwrap();
        disk.sync_all().unwrap();
        file.set_len(5000).unwrap();
        file.set_len(6000).unwrap();
    };
    let seen = outcomes(act, |disk| disk.read("db").unwrap());
    let grown = [&[1; 5000][..], &[0; 1000]].concat();
    assert!(seen == [vec![1; 5000], grown, vec![1; 10_000]]);
}

#[test]
fn a_crash_that_loses_all_goes_back_to_the_last_sync_and_one_that_loses_none_nowhere() {
    for seed in 0..500 {
        let (disk, mut rng) = (SimDisk::new(seed), StdRng::seed_from_u64(seed));
        let file = disk.open_database("db").unwrap();
        disk.sync_all().unwrap();
        let (mut live, mut synced) = (Vec::new(), Vec::new());
        for round in 1..=30 {
            let at = rng.random_range(0..20_000);
            match rng.random_range(0..8) {
                0 => {
                    file.sync_data().unwrap();
                    synced.clone_from(&live);
                }
                1 | 2 => {
                    file.set_len(at as u64).unwrap();
                    live.resize(at, 0);
                }
                _ => {
                    let data = vec![round; rng.random_range(0..10_000)];
                    file.write(at as u64, &data).unwrap();
                    if !data.is_empty() {
                        live.resize(live.len().max(at + data.len()), 0);
                        live[at..at + data.len()].copy_from_slice(&data);
                    }
                }
            }
            assert!(disk.read("db").unwrap() == live);
        }
        let keep = (seed % 2) as f64;
        disk.crash_keeping(keep, &mut rng);
        assert!(disk.read("db").unwrap() == if keep == 0.0 { synced } else { live });
    }
}

#[test]
fn a_segment_write_is_durable_and_a_torn_one_keeps_whole_sectors() {
    let act = |disk: &SimDisk| {
        let segment = disk.open_segment("s", 4 * BLOCK as u64).unwrap();
        segment.write(0, blocks(2, 1).as_slice()).unwrap();
        disk.crash_at(1);
        assert!(segment.write(BLOCK as u64, blocks(2, 2).as_slice()).is_err());
        assert!(disk.is_down() && disk.list(".").is_err());
    };
    let seen = outcomes(act, |disk| {
        let content = disk.open_segment("s", 4 * BLOCK as u64).unwrap().read().unwrap();
        assert!(content[..BLOCK].iter().all(|&byte| byte == 1));
        let sectors = content[BLOCK..].chunks(SECTOR).map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]));
            sector[0]
        });
        sectors.collect::<Vec<_>>()
    });
    let before = [[1; 8], [0; 8], [0; 8]].concat();
    let after = [[2; 8], [2; 8], [0; 8]].concat();
    assert!(seen.len() > 20 && seen.contains(&before) && seen.contains(&after));
}

#[test]
fn a_segment_whose_creation_the_power_cut_is_created_again() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        disk.crash_at(1);
        assert!(disk.open_segment("s", 4 * BLOCK as u64).is_err());
        disk.crash(&mut StdRng::seed_from_u64(seed));
        let segment = disk.open_segment("s", 4 * BLOCK as u64).unwrap();
        segment.write(0, blocks(1, 1).as_slice()).unwrap();
        disk.crash(&mut StdRng::seed_from_u64(seed));
        assert_eq!(disk.read("s").unwrap(), [&[1; BLOCK][..], &[0; 3 * BLOCK]].concat());
    }
}

#[test]
fn a_segment_write_above_zeros_that_are_not_durable_is() {
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        disk.create("s", 0, &[&[0; 2 * BLOCK]]).unwrap();
        disk.sync_path(".").unwrap();
        let segment = disk.open_segment("s", 2 * BLOCK as u64).unwrap();
        segment.write(0, blocks(1, 1).as_slice()).unwrap();
        segment.write(0, blocks(1, 2).as_slice()).unwrap();
        disk.crash(&mut StdRng::seed_from_u64(seed));
        assert_eq!(disk.read("s").unwrap()[..BLOCK], [2; BLOCK]);
    }
}

#[test]
fn a_kill_keeps_what_was_not_synced_for_a_crash_to_lose() {
    let disk = SimDisk::new(0);
    disk.create("f", 0, &[b"x"]).unwrap();
    disk.kill();
    assert_eq!(disk.read("f").unwrap(), b"x");
    disk.crash_keeping(0.0, &mut StdRng::seed_from_u64(0));
    assert!(disk.list(".").unwrap().is_empty());
}

#[test]
fn handles_are_fenced_after_a_crash_and_after_a_kill() {
    for crash in [true, false] {
        let disk = SimDisk::new(0);
        let mounted = disk.mount();
        let segment = mounted.open_segment("s", BLOCK as u64).unwrap();
        let database = mounted.open_database("d").unwrap();
        disk.sync_all().unwrap();
        match crash {
            true => disk.crash(&mut StdRng::seed_from_u64(0)),
            false => disk.kill(),
        }
        assert!(segment.write(0, blocks(1, 1).as_slice()).is_err() && segment.read().is_err());
        assert!(database.write(0, b"x").is_err() && database.len().is_err());
        assert!(mounted.create("f", 0, &[]).is_err() && mounted.list(".").is_err());
        assert_eq!(names(&disk, "."), ["d", "s"]);
        assert_eq!(disk.mount().read("s").unwrap(), [0; BLOCK]);
    }
}

#[test]
fn errors_are_of_the_kind_that_a_file_system_gives() {
    let disk = SimDisk::new(0);
    disk.create_dir("d").unwrap();
    disk.create("d/f", 0, &[]).unwrap();
    assert_eq!(kind(disk.create_dir("d")), ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.create("d/f", 0, &[])), ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.link("d/f", "d")), ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.remove_dir("d")), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind(disk.remove_dir("d/f")), ErrorKind::NotADirectory);
    assert_eq!(kind(disk.create("d/f/g", 0, &[])), ErrorKind::NotADirectory);
    assert_eq!(kind(disk.unlink("d")), ErrorKind::IsADirectory);
    assert_eq!(kind(disk.read("e")), ErrorKind::NotFound);
    assert_eq!(kind(disk.create("e/f", 0, &[])), ErrorKind::NotFound);
    assert_eq!(kind(disk.open_segment("e/f", 4096)), ErrorKind::NotFound);
}

#[test]
fn operations_fail_when_they_are_told_to_and_only_then() {
    let disk = SimDisk::new(0);
    disk.fail_next(Some(Op::Create), 1, Errno::IO);
    disk.fail_next(None, 4, Errno::NOSPC);
    disk.create("a", 0, &[]).unwrap();
    disk.sync_all().unwrap();
    assert_eq!(disk.create("b", 0, &[]).unwrap_err().raw_os_error(), Some(5));
    assert_eq!(kind(disk.read("b")), ErrorKind::NotFound);
    disk.create("b", 0, &[]).unwrap();
    assert_eq!(kind(disk.unlink("b")), ErrorKind::StorageFull);
    disk.unlink("b").unwrap();
    assert_eq!(disk.ops(), 6);
}

#[test]
fn a_full_disk_takes_segment_writes_and_no_new_names() {
    let disk = SimDisk::new(0);
    let segment = disk.open_segment("s", BLOCK as u64).unwrap();
    let database = disk.open_database("d").unwrap();
    database.set_len(10).unwrap();
    disk.set_full(true);
    segment.write(0, blocks(1, 1).as_slice()).unwrap();
    database.write(0, b"x").unwrap();
    assert_eq!(kind(database.set_len(11)), ErrorKind::StorageFull);
    assert_eq!(kind(disk.create("f", 0, &[])), ErrorKind::StorageFull);
    assert_eq!(kind(disk.create_dir("f")), ErrorKind::StorageFull);
    assert_eq!(kind(disk.create_dir("s")), ErrorKind::AlreadyExists);
    assert_eq!(kind(disk.link("s", "f")), ErrorKind::StorageFull);
    assert_eq!(kind(disk.open_database("f")), ErrorKind::StorageFull);
    disk.unlink("s").unwrap();
    disk.set_full(false);
    disk.create("f", 0, &[]).unwrap();
}

#[test]
fn the_same_seeds_give_the_same_disk() {
    let run = || {
        let disk = SimDisk::new(7);
        let mut rng = StdRng::seed_from_u64(7);
        for round in 0..20 {
            disk.crash_at(5);
            for i in 0.. {
                if disk.create(&format!("{round}-{i}"), 0, &[&[i; 2000]]).is_err() {
                    break;
                }
            }
            disk.crash(&mut rng);
        }
        let names = disk.list(".").unwrap();
        names.into_iter().map(|name| (disk.read(&name).unwrap(), name)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("t");

fn open(disk: &SimDisk) -> Result<Database, redb::Error> {
    let backend = Backend(disk.open_database("db")?);
    Ok(Database::builder().set_cache_size(1 << 20).create_with_backend(backend)?)
}

fn commit(database: &Database, key: u64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(TABLE)?.insert(key, [key as u8; 700].as_slice())?;
    Ok(transaction.commit()?)
}

fn has(database: &Database, key: u64) -> Result<bool, redb::Error> {
    let table = database.begin_read()?.open_table(TABLE)?;
    Ok(table.get(key)?.is_some_and(|value| value.value() == [key as u8; 700]))
}

/// Commits through crashes; fails if a commit is lost that was acknowledged.
fn commit_and_crash(seed: u64, crashes: u32, lies: bool) -> Result<(), redb::Error> {
    let (disk, mut rng) = (SimDisk::new(seed), StdRng::seed_from_u64(seed));
    let mut acknowledged = 0;
    let mut database = open(&disk)?;
    commit(&database, 0)?;
    disk.sync_all()?;
    disk.set_lie_about_sync(lies);
    for _ in 0..crashes {
        disk.crash_at(rng.random_range(1..60));
        while commit(&database, acknowledged + 1).is_ok() {
            acknowledged += 1;
        }
        assert!(disk.is_down());
        if rng.random() {
            drop(database);
            disk.crash(&mut rng);
        } else {
            disk.crash(&mut rng);
            drop(database);
        }
        database = open(&disk)?;
        for key in 0..=acknowledged {
            if !has(&database, key)? {
                return Err(redb::Error::Corrupted(format!("commit {key} of {acknowledged}")));
            }
        }
    }
    Ok(())
}

#[test]
fn redb_keeps_every_commit_through_two_hundred_crashes() {
    for seed in 0..4 {
        commit_and_crash(seed, 50, false).unwrap();
    }
}

#[test]
fn a_disk_that_lies_about_sync_is_found_out() {
    let lost = |seed| {
        // Such a disk may also leave redb what it does not expect.
        let run = catch_unwind(AssertUnwindSafe(|| commit_and_crash(seed, 1, true)));
        !matches!(run, Ok(Ok(())))
    };
    assert!((0..10).any(lost));
}
