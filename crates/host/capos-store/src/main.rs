//! Makes, reads, fills, checks and repairs capOS volumes in files.
//!
//! Owns: the command line, and files as disks. Invariant: never formats a file that holds anything unless it is told
//! to, never writes to a volume that it was asked to read, and never repairs but by `check --repair`.
#![forbid(unsafe_code)]

mod beside;
mod blank;
mod diff;
mod disk;
mod objects;
mod scrub;
mod tree;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use volume_core::{Access, Durability, NewVolume, Volume, format};
use volume_format::{BLOCK, Kind, Source, Stamp, VERSION};

use crate::disk::{FileDisk, Over};
use crate::tree::Times;

#[derive(Parser)]
#[command(
    name = "capos-store",
    about = "Makes, reads, fills, checks and repairs capOS volumes"
)]
struct Cli {
    /// The file, or block device, that holds the volume
    volume: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make an empty volume; the file is made, or grows, as needed
    Mkfs {
        /// Mebibytes; the file's size if not given
        #[arg(long)]
        mib: Option<u64>,
        /// What a person calls it, at most 64 bytes
        #[arg(long, default_value = "")]
        name: String,
        /// Although the file holds something
        #[arg(long)]
        force: bool,
    },
    /// List objects: address, bytes, and how many names are bound to each
    Objects,
    /// Copy an object to standard output
    Object {
        /// Its address, 64 hexadecimal digits
        address: String,
    },
    /// List the names of objects: address, number of the binding, and name
    Names,
    /// List a directory
    Ls {
        /// The directory
        #[arg(default_value = "/")]
        path: String,
        /// With when each was changed, and by which clock
        #[arg(short)]
        long: bool,
        /// In this snapshot
        #[arg(long)]
        snapshot: Option<u64>,
    },
    /// Write a file to the standard output
    Cat {
        /// The file
        path: String,
        /// In this snapshot
        #[arg(long)]
        snapshot: Option<u64>,
    },
    /// Fill a file from the standard input; it is made, or replaced
    Put {
        /// The file
        path: String,
    },
    /// Make a directory
    Mkdir {
        /// The directory
        path: String,
    },
    /// Remove a file or an empty directory
    Rm {
        /// The file or directory
        path: String,
    },
    /// Copy a folder of the host into the volume's root directory, and objects and names of FOLDER.objects, if an export made it
    Import {
        /// The folder
        folder: PathBuf,
    },
    /// Copy the volume's files into a new folder of the host, and its objects and names into FOLDER.objects; no snapshots
    Export {
        /// The folder, which must not be there
        folder: PathBuf,
    },
    /// Make a snapshot and say its number
    Snapshot,
    /// List snapshots
    Snapshots,
    /// Delete a snapshot
    DropSnapshot {
        /// Its number
        txg: u64,
    },
    /// Say what the blocks are used for
    Df,
    /// Check everything: every sum, every count
    Check {
        /// Write good copies of labels and roots over bad ones
        #[arg(long)]
        repair: bool,
    },
    /// Read everything, snapshots too, and say what is damaged; nothing is written
    Scrub,
    /// Say what differs between this volume and another one, or between snapshots
    Diff {
        /// The other volume; this one if not given
        other: Option<PathBuf>,
        /// This volume in this snapshot
        #[arg(long)]
        snapshot: Option<u64>,
        /// The other one in this snapshot
        #[arg(long)]
        other_snapshot: Option<u64>,
    },
    /// Bring a volume of an earlier version to this tool's
    Upgrade,
    /// Say what the label and the last root hold
    Dump,
}

type Store = Volume<FileDisk>;

/// What a shell says of a program that SIGPIPE ended.
const READER_GONE: u8 = 128 + 13;

fn main() -> ExitCode {
    end_without_a_reader();
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(error) if is_reader_gone(&error) => ExitCode::from(READER_GONE),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends quietly where nobody reads what is printed any more, as in `... | head`: the library panics then.
fn end_without_a_reader() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to ") && said.contains("Broken pipe") {
            std::process::exit(READER_GONE.into());
        }
        before(panic);
    }));
}

/// Whether what failed is what was written to a reader: neither a disk nor a file of the host fails so.
fn is_reader_gone(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run(cli: Cli) -> Result<ExitCode> {
    let path = &cli.volume;
    match cli.verb {
        Verb::Mkfs { mib, name, force } => {
            let over = if force { Over::Anything } else { Over::Blank };
            mkfs(path, mib, &name, over)?;
        }
        Verb::Check { repair } => {
            let access = if repair { Access::Write } else { Access::Read };
            return check(path, access);
        }
        Verb::Ls {
            path: at,
            long,
            snapshot,
        } => {
            let (mut volume, view) = read(path, snapshot)?;
            let times = if long { Times::Shown } else { Times::Hidden };
            tree::list(&mut volume, &view, &at, times)?;
        }
        Verb::Cat { path: at, snapshot } => {
            let (mut volume, view) = read(path, snapshot)?;
            let named = tree::find(&mut volume, &view, &at)?;
            tree::copy_out(&mut volume, &view, named.id, &mut std::io::stdout().lock())?;
        }
        Verb::Put { .. }
        | Verb::Mkdir { .. }
        | Verb::Rm { .. }
        | Verb::Import { .. }
        | Verb::Snapshot
        | Verb::DropSnapshot { .. } => change(path, |volume| apply(volume, cli.verb))?,
        Verb::Export { folder } => export(path, &folder)?,
        Verb::Snapshots => list_snapshots(path)?,
        Verb::Objects => objects::list(path)?,
        Verb::Object { address } => objects::copy_out(path, &address)?,
        Verb::Names => objects::names(path)?,
        Verb::Df => show_usage(path)?,
        Verb::Scrub => return scrub::scrub(path),
        Verb::Diff {
            other,
            snapshot,
            other_snapshot,
        } => {
            let other = other.as_deref().unwrap_or(path);
            return diff::diff((path, snapshot), (other, other_snapshot));
        }
        Verb::Upgrade => upgrade(path)?,
        Verb::Dump => {
            let (volume, _) = read(path, None)?;
            println!("{:#?}\n{:#?}", volume.label(), volume.root());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Copies everything out but snapshots.
fn export(path: &Path, folder: &Path) -> Result<()> {
    let (mut volume, view) = read(path, None)?;
    fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // First, because it may find its folder taken.
    let objects = beside::export(&mut volume, &view, folder)?;
    let files = tree::export(&mut volume, &view, folder)?;
    if let Some(folder) = objects.folder {
        let (objects, names) = (objects.objects, objects.names);
        println!(
            "{objects} objects and {names} names are in {}",
            folder.display()
        );
    }
    let lost = objects.lost;
    ensure!(
        files + lost == 0,
        "left out: {files} damaged files or directories, {lost} damaged objects or lists of them"
    );
    Ok(())
}

/// Makes one change.
fn apply(volume: &mut Store, verb: Verb) -> Result<()> {
    match verb {
        Verb::Put { path } => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            tree::put(volume, &path, &bytes)
        }
        Verb::Mkdir { path } => {
            let (dir, name) = tree::parent(volume, &path)?;
            explained(volume.create(dir, name.as_bytes(), Kind::Dir, now()))?;
            Ok(())
        }
        Verb::Rm { path } => {
            let (dir, name) = tree::parent(volume, &path)?;
            explained(volume.remove(dir, name.as_bytes(), now()))
        }
        Verb::Import { folder } => {
            tree::import(volume, volume_core::ROOT_DIR, &folder)?;
            beside::import(volume, &folder)
        }
        Verb::Snapshot => {
            println!("{}", explained(volume.create_snapshot(now()))?);
            Ok(())
        }
        Verb::DropSnapshot { txg } => explained(volume.delete_snapshot(txg, now())),
        _ => bail!("it changes nothing"),
    }
}

fn list_snapshots(path: &Path) -> Result<()> {
    let (mut volume, _) = read(path, None)?;
    let mut after = 0;
    while let Some(txg) = explained(volume.next_snapshot(after))? {
        println!("{txg}");
        after = txg;
    }
    Ok(())
}

fn show_usage(path: &Path) -> Result<()> {
    let (volume, _) = read(path, None)?;
    let usage = volume.usage();
    println!(
        "capacity {} free {} held {} reserved {} snapshots {} (blocks of {BLOCK} bytes)",
        usage.capacity, usage.free, usage.held, usage.reserved, usage.snapshots
    );
    Ok(())
}

/// A volume is upgraded in one group, so that a cut leaves the old version or the new one. So far there is one version.
fn upgrade(path: &Path) -> Result<()> {
    let disk = FileDisk::open(path, Access::Write)?;
    // One of another version, or with features that are not known, does not mount.
    explained(Volume::mount(disk, Access::Write))?;
    println!("it has version {VERSION}, the newest one: nothing to do");
    Ok(())
}

/// The host's clock, named as such.
fn now() -> Stamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Stamp {
        ns: since.map_or(0, |since| since.as_nanos() as i64),
        source: Source::HostTool,
        boot: 0,
    }
}

/// A volume's error in words.
fn explained<T>(result: Result<T, volume_core::Error<std::io::Error>>) -> Result<T> {
    result.map_err(|error| anyhow::anyhow!("{error}"))
}

fn mkfs(path: &Path, mib: Option<u64>, name: &str, over: Over) -> Result<()> {
    ensure!(name.len() <= 64, "the name has more than 64 bytes");
    let disk = FileDisk::create(path, mib, over)?;
    let mut uuid = [0; 16];
    fs::File::open("/dev/urandom")?.read_exact(&mut uuid)?;
    let mut padded = [0; 64];
    padded[..name.len()].copy_from_slice(name.as_bytes());
    let new = NewVolume {
        uuid,
        name: padded,
        max_file: 1 << 60,
        now: now(),
    };
    explained(format(disk, &new))?;
    Ok(())
}

fn read(path: &Path, snapshot: Option<u64>) -> Result<(Store, volume_core::View)> {
    let mounted = explained(Volume::mount(
        FileDisk::open(path, Access::Read)?,
        Access::Read,
    ))?;
    if mounted.cut > 0 {
        eprintln!(
            "note: {} newer group(s) did not add up and were cut",
            mounted.cut
        );
    }
    let mut volume = mounted.volume;
    let view = match snapshot {
        Some(txg) => explained(volume.snapshot(txg))?,
        None => volume.live(),
    };
    Ok((volume, view))
}

fn change(path: &Path, work: impl FnOnce(&mut Store) -> Result<()>) -> Result<()> {
    let disk = FileDisk::open(path, Access::Write)?;
    let mut volume = explained(Volume::mount(disk, Access::Write))?.volume;
    work(&mut volume)?;
    explained(volume.commit(Durability::Checkpoint, now()))
}

/// Judges a volume. [`Access::Write`] repairs what has a good copy.
fn check(path: &Path, access: Access) -> Result<ExitCode> {
    let mut disk = FileDisk::open(path, access)?;
    let report = volume_check::check(&mut disk);
    let mut out = std::io::stdout().lock();
    for problem in &report.problems {
        writeln!(out, "block {}: {}", problem.lba, problem.text)?;
    }
    for (bad, good) in &report.repairs {
        if access == Access::Write {
            explained(disk.copy(*good, *bad).map_err(volume_core::Error::Disk))?;
            writeln!(out, "block {bad}: written again from block {good}")?;
        } else {
            writeln!(
                out,
                "block {bad}: its copy in block {good} is good; --repair writes it again"
            )?;
        }
    }
    if report.cut > 0 {
        writeln!(
            out,
            "{} newer group(s) did not add up: cut in the middle, or rotten",
            report.cut
        )?;
    }
    let Some(head) = report.head else {
        return Ok(ExitCode::FAILURE);
    };
    writeln!(
        out,
        "group {}: {} blocks in use, {} free, {} inodes, {} problem(s)",
        head.txg,
        report.used,
        head.free,
        report.inodes,
        report.problems.len()
    )?;
    Ok(if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
