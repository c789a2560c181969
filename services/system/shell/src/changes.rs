//! The commands that change volumes.

use core::fmt::Write as _;

use sdk::{
    alloc::{format, string::ToString, vec},
    storage::directory::Kind,
};
use shell_lang::{
    Path,
    change::{Change, Over},
    show::{self, Align, Table},
};
use terminal::{Failure, Progress, Terminal, print};

use crate::disks::{Disks, READ_BYTES};
use crate::each;

type Outcome = Result<(), Failure>;

/// Does one of them.
///
/// # Errors
/// What a person is told.
pub fn run(change: Change, disks: &mut Disks, here: &Path, to: &mut Terminal) -> Outcome {
    match change {
        Change::Write { path, words, over } => {
            let path = here.resolve(&path);
            let mut text = words.join(" ");
            if !text.is_empty() {
                text.push('\n');
            }
            let writer = disks.writer(&path, over)?;
            disks.append(&writer, &path, text.as_bytes())
        }
        Change::Mkdir(paths) => each("mkdir", &paths, here, to, |path, _| disks.mkdir(path)),
        Change::Remove(paths) => each("rm", &paths, here, to, |path, _| disks.remove(path)),
        Change::Copy { from, to: target } => {
            let from = here.resolve(&from);
            let target = into(disks, &from, here.resolve(&target));
            copy(disks, &from, &target, to)
        }
        Change::Move { from, to: target } => {
            let from = here.resolve(&from);
            let target = into(disks, &from, here.resolve(&target));
            disks.rename(&from, &target)
        }
        Change::Sync => sync(disks, to),
        Change::Space => space(disks, to),
    }
}

/// Where something goes: into a directory, under its own name, or to the path itself.
fn into(disks: &mut Disks, from: &Path, to: Path) -> Path {
    let is_directory = disks
        .stat(&to)
        .is_ok_and(|stat| stat.kind == Kind::Directory);
    match from.name() {
        Some(name) if is_directory => to.resolve(name),
        _ => to,
    }
}

fn copy(disks: &mut Disks, from: &Path, target: &Path, to: &mut Terminal) -> Outcome {
    if from == target {
        return Err(Failure::Said(format!("{from} is the same file")));
    }
    let all = disks.stat(from)?.bytes;
    // Before anything of the target is gone.
    let mut reader = disks.open(from)?;
    let writer = disks.writer(target, Over::Replace)?;
    let mut buffer = vec![0; READ_BYTES as usize];
    let mut done = 0_u64;
    let mut progress = Progress::new(to);
    let result = loop {
        let piece = match disks.read(&mut reader, from, &mut buffer) {
            Ok(0) => break Ok(()),
            Ok(bytes) => buffer.get(..bytes).unwrap_or_default(),
            Err(failure) => break Err(failure),
        };
        if let Err(failure) = disks.append(&writer, target, piece) {
            break Err(failure);
        }
        done = done.saturating_add(piece.len() as u64);
        progress.show(to, || {
            format!("{} of {}", show::size(done), show::size(all))
        });
        if to.interrupted() {
            break Err(Failure::Interrupted);
        }
    };
    progress.clear(to);
    result
}

/// Syncs every volume that can be changed.
fn sync(disks: &mut Disks, to: &mut Terminal) -> Outcome {
    let mut done = 0;
    for disk in 0..disks.list.len() {
        if !is_writable(disks, disk) && !disks.is_changed(disk) {
            continue;
        }
        let name = name(disks, disk);
        match disks.sync(disk) {
            Ok(Some(group)) => {
                let _ = writeln!(to, "/{name}: everything is durable, up to group {group}");
            }
            Ok(None) => {}
            Err(failure) => {
                let _ = writeln!(to, "sync: {failure}");
            }
        }
        done += 1;
    }
    if done == 0 {
        return Err(Failure::Said(
            "there is no volume that can be changed".to_string(),
        ));
    }
    Ok(())
}

/// Before the machine goes down: what was changed here and not synced. A failure is said, and keeps nobody.
pub fn sync_before_end(disks: &mut Disks, to: &mut Terminal) {
    for disk in 0..disks.list.len() {
        if disks.is_changed(disk)
            && let Err(failure) = disks.sync_for_a_while(disk)
        {
            let _ = writeln!(to, "sync: {failure}");
        }
    }
}

fn name(disks: &Disks, disk: usize) -> sdk::alloc::string::String {
    let disk = disks.list.get(disk);
    disk.map(|disk| disk.name.clone()).unwrap_or_default()
}

fn is_writable(disks: &Disks, disk: usize) -> bool {
    let volume = disks.list.get(disk).and_then(|disk| disk.volume.as_ref());
    volume.is_some_and(|volume| volume.info(|r| !r.read_only()) == Ok(true))
}

/// What the volumes' blocks are used for.
fn space(disks: &mut Disks, to: &mut Terminal) -> Outcome {
    let mut table = Table::new(&[
        ("VOLUME", Align::Left),
        ("SIZE", Align::Right),
        ("USED", Align::Right),
        ("AVAILABLE", Align::Right),
        ("USE", Align::Right),
        ("SNAPSHOTS", Align::Right),
    ]);
    let mut shown = 0;
    for disk in &disks.list {
        let Some(volume) = &disk.volume else { continue };
        let space = volume.space(|results| results.space().and_then(|space| space.value()));
        let Ok(Ok(space)) = space else { continue };
        let size = |blocks: u64| show::size(blocks.saturating_mul(u64::from(space.block_bytes)));
        let used = space.capacity.saturating_sub(space.free);
        let percent = used.saturating_mul(100) / space.capacity.max(1);
        table.row([
            format!("/{}", disk.name),
            size(space.capacity),
            size(used),
            size(space.free.saturating_sub(space.reserved)),
            format!("{percent} %"),
            size(space.snapshots),
        ]);
        shown += 1;
    }
    if shown == 0 {
        return Err(Failure::Said(
            "there is no volume that counts its room; FAT volumes are only read here".to_string(),
        ));
    }
    print(to, &table);
    Ok(())
}
