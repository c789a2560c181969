//! The commands that look after a volume: snapshots, and whether it is sound.

use core::fmt::Write as _;

use sdk::{
    Refusal, VolumeKeeper,
    alloc::{format, string::String, string::ToString, vec::Vec},
};
use shell_lang::{
    keep::Keep,
    show::{self, Align, Table},
    text::Safe,
};
use terminal::{Failure, Progress, Terminal, print};

use crate::disks::Disks;
use crate::files::source_word;

type Outcome = Result<(), Failure>;

/// Does one of them.
///
/// # Errors
/// What a person is told.
pub fn run(keep: Keep, disks: &mut Disks, to: &mut Terminal) -> Outcome {
    let (Keep::List(volume)
    | Keep::New(volume)
    | Keep::Remove(_, volume)
    | Keep::Scrub(volume)
    | Keep::Check(volume)) = &keep;
    let (name, keeper) = keeper(disks, volume.as_deref())?;
    let path = format!("/{name}");
    let about = || Failure::about(&path);
    match keep {
        Keep::List(_) => list(&name, &keeper, to),
        Keep::New(_) => {
            let group = keeper.snapshot().map_err(about())?.group;
            let _ = writeln!(to, "/{name}@{group} keeps /{name} as it is now");
            Ok(())
        }
        Keep::Remove(group, _) => {
            keeper.remove(group).map_err(|refusal| match refusal {
                Refusal::NotFound => {
                    Failure::Said(format!("/{name} has no snapshot {group}; snap lists them"))
                }
                other => about()(other),
            })?;
            // What was open of it is of no use any more.
            disks.forget_snapshot(&name, group);
            let _ = writeln!(to, "/{name}@{group} is let go");
            Ok(())
        }
        Keep::Scrub(_) => scrub(&name, &keeper, to),
        Keep::Check(_) => check(&name, &keeper, to),
    }
}

/// The keeper of the volume that is meant.
fn keeper(disks: &Disks, wanted: Option<&str>) -> Result<(String, VolumeKeeper), Failure> {
    let wanted = wanted.map(|name| name.trim_matches('/'));
    let mut found = Vec::new();
    for disk in &disks.list {
        let Some(volume) = &disk.volume else { continue };
        if wanted.is_some_and(|wanted| wanted != disk.name) {
            continue;
        }
        match volume.keeper() {
            Ok(results) => found.push((disk.name.clone(), results.keeper)),
            // Asked for by name it says why not.
            Err(refusal) if wanted.is_some() => {
                return Err(Failure::Said(match refusal {
                    Refusal::NotSupported => format!(
                        "/{} is no capOS volume: it has no snapshots, and nothing here checks it",
                        disk.name
                    ),
                    other => format!("/{}: {other}", disk.name),
                }));
            }
            Err(_) => {}
        }
    }
    match (found.len(), found.pop(), wanted) {
        (1, Some(one), _) => Ok(one),
        (0, _, Some(wanted)) => Err(Failure::Said(format!(
            "/{}: no volume of that name; ls / shows the disks",
            Safe(wanted)
        ))),
        (0, ..) => Err(Failure::Said("there is no capOS volume".to_string())),
        _ => Err(Failure::Said(
            "there are several capOS volumes; say which".to_string(),
        )),
    }
}

/// The numbers of all snapshots, ascending, with when each was made.
fn all(name: &str, keeper: &VolumeKeeper) -> Result<Vec<(u64, i64, &'static str)>, Failure> {
    let mut all: Vec<(u64, i64, &'static str)> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| last.0);
        let end = keeper
            .snapshots(after, |results| {
                for kept in results.list()?.iter() {
                    let kept = kept.value()?;
                    all.push((kept.group, kept.made_ns, source_word(kept.time_source)));
                }
                Ok(results.end())
            })
            .and_then(|r| r)
            .map_err(Failure::about(&format!("/{name}")))?;
        if end || all.last().is_none_or(|last| last.0 <= after) {
            return Ok(all);
        }
    }
}

fn list(name: &str, keeper: &VolumeKeeper, to: &mut Terminal) -> Outcome {
    let all = all(name, keeper)?;
    if all.is_empty() {
        let _ = writeln!(to, "/{name} has no snapshots; snap new makes one");
        return Ok(());
    }
    let mut table = Table::new(&[
        ("SNAPSHOT", Align::Left),
        ("MADE", Align::Left),
        ("BY", Align::Left),
    ]);
    for (group, made_ns, by) in all {
        table.row([
            format!("/{name}@{group}"),
            show::date(made_ns),
            by.to_string(),
        ]);
    }
    print(to, &table);
    Ok(())
}

/// What a scrub has seen.
#[derive(Default)]
struct Seen {
    files: u64,
    bytes: u64,
    flaws: u64,
}

/// Reads everything, as it is now and in each snapshot.
fn scrub(name: &str, keeper: &VolumeKeeper, to: &mut Terminal) -> Outcome {
    let snapshots = all(name, keeper)?;
    let mut seen = Seen::default();
    let mut progress = Progress::new(to);
    let groups = core::iter::once(0).chain(snapshots.iter().map(|one| one.0));
    let mut result = Ok(());
    for group in groups {
        result = scrub_one(name, keeper, group, &mut seen, (to, &mut progress));
        if result.is_err() {
            break;
        }
    }
    progress.clear(to);
    result?;
    let _ = writeln!(
        to,
        "/{name}: read {} files, {}, {} snapshots; {} damaged",
        seen.files,
        show::size(seen.bytes),
        snapshots.len(),
        seen.flaws
    );
    Ok(())
}

fn scrub_one(
    name: &str,
    keeper: &VolumeKeeper,
    group: u64,
    seen: &mut Seen,
    (to, progress): (&mut Terminal, &mut Progress),
) -> Outcome {
    let of = match group {
        0 => format!("/{name}"),
        group => format!("/{name}@{group}"),
    };
    let mut after = Vec::new();
    loop {
        let mut flaws: Vec<String> = Vec::new();
        let (next, end) = keeper
            .scrub(group, &after, |results| {
                seen.files += results.files();
                seen.bytes = seen.bytes.saturating_add(results.bytes());
                for flaw in results.flaws()?.iter() {
                    flaws.push(flaw?.to_string());
                }
                Ok::<_, Refusal>((results.next()?.to_vec(), results.end()))
            })
            .and_then(|r| r)
            .map_err(Failure::about(&of))?;
        after = next;
        for flaw in &flaws {
            progress.clear(to);
            let _ = writeln!(to, "{of}{}", Safe(flaw));
        }
        seen.flaws += flaws.len() as u64;
        progress.show(to, || format!("{of}: {} files", seen.files));
        if end {
            return Ok(());
        }
        if to.interrupted() {
            return Err(Failure::Interrupted);
        }
    }
}

/// Has everything counted.
fn check(name: &str, keeper: &VolumeKeeper, to: &mut Terminal) -> Outcome {
    let report = keeper
        .check(|results| {
            let mut list = Vec::new();
            for problem in results.list()?.iter() {
                list.push(problem?.to_string());
            }
            let counts = (results.used(), results.free(), results.inodes());
            Ok::<_, Refusal>((results.group(), counts, results.problems(), list))
        })
        .and_then(|r| r);
    let (group, (used, free, inodes), problems, list) = report.map_err(|refusal| match refusal {
        Refusal::TooLarge => Failure::Said(format!(
            "/{name} is too large to be counted while others wait; scrub reads it in pieces, and capos-store check counts it without a guest"
        )),
        other => Failure::about(&format!("/{name}"))(other),
    })?;
    for problem in &list {
        let _ = writeln!(to, "/{name}: {}", Safe(problem));
    }
    let more = u64::from(problems).saturating_sub(list.len() as u64);
    if more > 0 {
        let _ = writeln!(to, "/{name}: and {more} more");
    }
    let _ = writeln!(
        to,
        "/{name}: group {group}: {used} blocks in use, {free} free, {inodes} inodes, {problems} problem(s)"
    );
    Ok(())
}
