//! Commands about disks, directories and files.

use core::fmt::Write as _;

use crate::disks::{Disk, Disks, Part, READ_BYTES, Stat, parts};
use sdk::{
    Refusal,
    alloc::{
        format,
        string::{String, ToString},
        vec,
        vec::Vec,
    },
    block::block_device::InfoReply,
    storage::directory::{Kind, TimeSource},
};
use sha2::{Digest, Sha256};
use shell_lang::{
    Path,
    show::{self, Align, Hex, Table},
    text::{FilterMode, Safe, TextFilter},
};
use terminal::{Failure, Progress, Terminal, print};

type Outcome = Result<(), Failure>;

/// How much a listing says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What most people want.
    Plain,
    /// Where times come from, too.
    Sources,
}

/// Lists a directory, or one file.
pub fn ls(disks: &mut Disks, path: &Path, detail: Detail, to: &mut Terminal) -> Outcome {
    if path.is_root() {
        return list_disks(disks, to);
    }
    let stat = disks.stat(path)?;
    if stat.kind == Kind::File {
        line(to, path.name().unwrap_or_default(), &stat, detail);
        return Ok(());
    }
    let (mut files, mut directories) = (0_u64, 0_u64);
    let mut lister = disks.lister(path)?;
    while let Some(entries) = disks.list(&mut lister, path)? {
        for (name, stat) in entries {
            match stat.kind {
                Kind::File => files += 1,
                Kind::Directory => directories += 1,
            }
            line(to, &name, &stat, detail);
        }
        if to.interrupted() {
            return Err(Failure::Interrupted);
        }
    }
    let _ = writeln!(
        to,
        "{}, {}",
        count(files, "file"),
        count_directories(directories)
    );
    Ok(())
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn count_directories(number: u64) -> String {
    if number == 1 {
        "1 directory".to_string()
    } else {
        format!("{number} directories")
    }
}

/// One entry: what it is, its size, when it was written, by which clock if that is asked for, its name.
fn line(to: &mut Terminal, name: &str, stat: &Stat, detail: Detail) {
    let mark = |set: bool, mark| if set { mark } else { '-' };
    let directory = stat.kind == Kind::Directory;
    let source = match detail {
        Detail::Plain => String::new(),
        Detail::Sources => format!("{:<7} ", source_word(stat.time_source)),
    };
    let _ = writeln!(
        to,
        "{}{}{}{} {:>11} {:>19} {source}{}{}",
        mark(directory, 'd'),
        mark(stat.read_only, 'r'),
        mark(stat.hidden, 'h'),
        mark(stat.system, 's'),
        if directory {
            "-".to_string()
        } else {
            stat.bytes.to_string()
        },
        show::date(stat.modified_ns),
        Safe(name),
        if directory { "/" } else { "" }
    );
}

/// What a disk's volume says about itself, or why there is none; `None` where there is no disk.
fn describe(disk: &Disk) -> Option<String> {
    let volume = disk.volume.as_ref()?;
    // Its service may know more of a disk's own volume than the format: what else the disk is.
    let own = parts(volume).ok().and_then(|all| {
        let main = all.into_iter().find(|part| part.main);
        main.map(|part| part.what)
    });
    let info = volume.info(|r| {
        let (format, label) = (r.format()?, r.label()?);
        let own = own.as_deref().filter(|own| own.starts_with(format));
        let format = own.unwrap_or(format);
        let size = show::size(r.total_bytes());
        Ok(if label.is_empty() {
            format!("{format}, {size}")
        } else {
            format!("{format}, {size}, \"{label}\"")
        })
    });
    match info.and_then(|r| r) {
        Ok(text) => Some(text),
        Err(Refusal::NoDevice) => None,
        Err(refusal) => match volume.problem(|r| r.text().map(ToString::to_string)) {
            Ok(Ok(text)) if !text.is_empty() => Some(text),
            _ => Some(refusal.to_string()),
        },
    }
}

const NO_DISK: &str = "there is no disk; start with --disk IMG to attach one";

fn list_disks(disks: &mut Disks, to: &mut Terminal) -> Outcome {
    disks.find_parts();
    let mut table = Table::bare(&[Align::Left, Align::Left]);
    let mut shown = 0;
    for disk in disks.list.iter().filter(|disk| !disk.is_part) {
        let Some(text) = describe(disk) else { continue };
        table.row([format!("{}/", disk.name), text]);
        shown += 1;
        for part in others(disk) {
            let slash = if part.readable { "/" } else { "" };
            let name = format!("{}.{}{slash}", disk.name, part.name);
            table.row([name, describe_part(disks, disk, &part)]);
        }
    }
    if shown == 0 {
        return Err(Failure::Said(NO_DISK.to_string()));
    }
    print(to, &table);
    Ok(())
}

/// What lies on a disk besides the volume that it stands for.
fn others(disk: &Disk) -> Vec<Part> {
    let volume = disk.volume.as_ref();
    let all = volume
        .and_then(|volume| parts(volume).ok())
        .unwrap_or_default();
    // A disk without any table or volume is described by its own line.
    let others = all
        .into_iter()
        .filter(|part| !part.main && !part.name.is_empty());
    others.collect()
}

/// What a part of a disk is, in one line.
fn describe_part(disks: &Disks, disk: &Disk, part: &Part) -> String {
    let name = format!("{}.{}", disk.name, part.name);
    let own = disks.list.iter().find(|known| known.name == name);
    let mut text = own.and_then(describe).unwrap_or_else(|| match part.bytes {
        // A link that leads nowhere has no size.
        0 => part.what.clone(),
        bytes => format!("{}, {}", part.what, show::size(bytes)),
    });
    if !part.label.is_empty() {
        text = format!("{text}, partition \"{}\"", part.label);
    }
    text
}

/// The size of a disk that cannot be read, where somebody knows it.
fn unread(disk: &Disk) -> String {
    let volume = disk.volume.as_ref();
    let all = volume.and_then(|volume| parts(volume).ok());
    let own = all.and_then(|all| all.into_iter().find(|part| part.name.is_empty()));
    show::size_if_any(own.map_or(0, |part| part.bytes))
}

/// Size, bytes of a block, and how a disk may be used.
fn geometry(disk: &Disk, info: &InfoReply) -> [String; 3] {
    if info.block_bytes == 0 {
        return [unread(disk), "-".to_string(), "-".to_string()];
    }
    let mode = if info.read_only { "ro" } else { "rw" };
    [
        show::size(info.blocks.saturating_mul(u64::from(info.block_bytes))),
        info.block_bytes.to_string(),
        mode.to_string(),
    ]
}

/// Lists disks with what the device below says.
pub fn lsblk(disks: &mut Disks, to: &mut Terminal) -> Outcome {
    disks.find_parts();
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("SIZE", Align::Right),
        ("BLOCK", Align::Right),
        ("MODE", Align::Left),
        ("ADDRESS", Align::Left),
        ("MODEL", Align::Left),
        ("SERIAL", Align::Left),
        ("VOLUME", Align::Left),
    ]);
    let mut shown = 0;
    for disk in &disks.list {
        let Some(device) = &disk.device else { continue };
        let info = match device.info() {
            Ok(info) => info,
            Err(Refusal::NoDevice) => continue,
            // A controller none of whose namespaces can be read.
            Err(Refusal::NotSupported) => Default::default(),
            Err(refusal) => {
                let _ = writeln!(to, "{}: {refusal}", disk.name);
                shown += 1;
                continue;
            }
        };
        let model = device.model(|r| {
            Ok::<_, Refusal>((
                r.model()?.to_string(),
                r.serial()?.to_string(),
                show::pci_address(r.address()),
            ))
        });
        let (model, serial, address) = match model {
            Ok(Ok(texts)) => texts,
            _ => Default::default(),
        };
        let [size, block, mode] = geometry(disk, &info);
        table.row([
            disk.name.clone(),
            size,
            block,
            mode,
            address,
            model,
            serial,
            describe(disk).unwrap_or_else(|| "-".to_string()),
        ]);
        shown += 1;
        for part in others(disk) {
            let none = String::new;
            let name = format!("{}.{}", disk.name, part.name);
            let size = show::size_if_any(part.bytes);
            let what = describe_part(disks, disk, &part);
            table.row([name, size, none(), none(), none(), none(), none(), what]);
        }
    }
    if shown == 0 {
        return Err(Failure::Said(NO_DISK.to_string()));
    }
    print(to, &table);
    Ok(())
}

/// Reads a file in pieces. Ctrl-C ends it.
fn stream(
    disks: &mut Disks,
    path: &Path,
    to: &mut Terminal,
    mut each: impl FnMut(&mut Terminal, &[u8]) -> Result<(), Refusal>,
) -> Outcome {
    let mut reader = disks.open(path)?;
    let mut buffer = vec![0; READ_BYTES as usize];
    loop {
        let bytes = disks.read(&mut reader, path, &mut buffer)?;
        if bytes == 0 {
            return Ok(());
        }
        // In small steps, so that a slow line does not keep Ctrl-C waiting.
        for piece in buffer.get(..bytes).unwrap_or_default().chunks(8192) {
            each(to, piece).map_err(Failure::about("console"))?;
            if to.interrupted() {
                return Err(Failure::Interrupted);
            }
        }
    }
}

/// Writes a file out.
pub fn cat(disks: &mut Disks, path: &Path, mode: FilterMode, to: &mut Terminal) -> Outcome {
    let mut filter = TextFilter::new(mode);
    let result = stream(disks, path, to, |to, piece| {
        filter.write(piece, |shown| to.write(shown))
    });
    let _ = filter.finish(|shown| to.write(shown));
    if mode == FilterMode::Text {
        if !filter.at_line_start() {
            let _ = writeln!(to);
        }
        if filter.replaced() > 0 {
            let _ = writeln!(
                to,
                "({} not text, shown as '.'; cat -r writes them as they are)",
                count(filter.replaced(), "byte")
            );
        }
    }
    result
}

/// Writes the checksum of a file.
pub fn sha256(disks: &mut Disks, path: &Path, to: &mut Terminal) -> Outcome {
    let all = disks.stat(path)?.bytes;
    let mut hash = Sha256::new();
    let mut done = 0_u64;
    let mut progress = Progress::new(to);
    let result = stream(disks, path, to, |to, piece| {
        hash.update(piece);
        done = done.saturating_add(piece.len() as u64);
        progress.show(to, || {
            let percent = done.saturating_mul(100) / all.max(1);
            format!("{} of {} ({percent} %)", show::size(done), show::size(all))
        });
        Ok(())
    });
    progress.clear(to);
    result?;
    let _ = writeln!(to, "{}  {path}", Hex(&hash.finalize()));
    Ok(())
}

/// Where a time comes from, in a word.
pub const fn source_word(source: TimeSource) -> &'static str {
    match source {
        TimeSource::None => "-",
        TimeSource::FatMetadata => "fat",
        TimeSource::MediumMetadata => "medium",
        TimeSource::ClockAtBoot => "clock",
        TimeSource::NetworkTime => "network",
        TimeSource::Person => "person",
        TimeSource::Tool => "tool",
    }
}

/// Where a volume's times come from, as a person is told; `None` where it has none.
const fn source(source: TimeSource) -> Option<&'static str> {
    Some(match source {
        TimeSource::None | TimeSource::MediumMetadata => return None,
        TimeSource::FatMetadata => "local time, as FAT records them",
        TimeSource::ClockAtBoot => "by the machine's clock, as it was read at the start",
        TimeSource::NetworkTime => "by network time",
        TimeSource::Person => "by a clock that a person set",
        TimeSource::Tool => "by the clock of another system",
    })
}

/// Says what is known about a file or directory.
pub fn stat(disks: &mut Disks, path: &Path, to: &mut Terminal) -> Outcome {
    let stat = disks.stat(path)?;
    let mut table = Table::bare(&[Align::Left, Align::Left]);
    let mut row = |name: &str, value: String| table.row([name.to_string(), value]);
    row("path", path.to_string());
    match stat.kind {
        Kind::Directory => row("kind", "directory".to_string()),
        Kind::File => {
            row("kind", "file".to_string());
            row(
                "size",
                format!("{} bytes ({})", stat.bytes, show::size(stat.bytes)),
            );
        }
    }
    if let Some(source) = source(stat.time_source) {
        row("modified", show::date(stat.modified_ns));
        row("created", show::date(stat.created_ns));
        row("times are", source.to_string());
    }
    let set: Vec<&str> = [
        (stat.read_only, "read-only"),
        (stat.hidden, "hidden"),
        (stat.system, "system"),
    ]
    .into_iter()
    .filter_map(|(set, name)| set.then_some(name))
    .collect();
    if !set.is_empty() {
        row("attributes", set.join(", "));
    }
    print(to, &table);
    Ok(())
}
