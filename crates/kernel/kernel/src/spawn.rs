//! Making a process out of an ELF image and a list of capabilities.

use alloc::sync::Arc;
use alloc::vec::Vec;

use account::{Account, Limits};
use arrayvec::{ArrayString, ArrayVec};
use elf_image::{HEAD_BYTES, Image, Layout, Segment};
use frames::Grow;
use ipc::{Label, Process, Slot, Thread, ThreadSpec};
use memory::MemoryObject;
use paging::Access;
use ring_abi::{FIRST_STACK, Refusal, STARTUP_MAGIC, first_area};
use sabotage::sabotage;

/// Where images may be linked.
const WINDOW: core::ops::Range<u64> = 0x20_0000..0x1_0000_0000;
/// Bytes of a segment that are copied from one look to the next.
const WRITE_BYTES: usize = 8 << 10;
/// The same where they go through a buffer, which is this long.
const BUFFER_BYTES: usize = 4096;
/// Startup pages, at most.
const STARTUP_LIMIT: usize = 16 * 1024;

/// Longest name of a capability, in bytes.
const NAME_BYTES: usize = 32;
/// Capabilities that a process is started with, at most.
pub const MAX_GRANTS: usize = 32;

/// A capability for a new process.
pub struct Grant {
    /// The name under which it is found.
    pub name: ArrayString<NAME_BYTES>,
    /// The interface it is announced as.
    pub interface: u64,
    /// The capability.
    pub slot: Slot,
}

/// What the first thread of a process has.
#[derive(Clone, Copy)]
pub struct Room {
    stack_bytes: u64,
    submissions: u16,
    message_bytes: u32,
}

impl Room {
    /// A stack and an area of so many pages, 0 for the usual.
    ///
    /// # Errors
    /// `OutOfRange` where that many are not allowed.
    pub fn of(stack_pages: u16, area_pages: u16) -> Result<Self, Refusal> {
        let stack = FIRST_STACK.of(stack_pages).ok_or(Refusal::OutOfRange)?;
        let (submissions, message_bytes) = first_area(area_pages).ok_or(Refusal::OutOfRange)?;
        Ok(Self {
            stack_bytes: u64::from(stack) * frames::FRAME_BYTES,
            submissions,
            message_bytes,
        })
    }
}

/// The bytes of an image, which nobody changes.
pub enum Source<'a> {
    /// A file of the boot package.
    File(&'a [u8]),
    /// The kernel's own copy of something, and how long it is.
    Copy(Arc<MemoryObject>, usize),
}

impl Source<'_> {
    /// Checks the headers.
    fn layout(&self) -> Result<Layout, Refusal> {
        let layout = match self {
            Self::File(file) => Image::parse(file, WINDOW).map(|image| image.layout().clone()),
            Self::Copy(copy, bytes) => {
                let mut head = Vec::new();
                frames::widen(&mut head, HEAD_BYTES.min(*bytes))?;
                copy.read(0, &mut head)?;
                Layout::of_head(&mut head, *bytes, WINDOW)
            }
        };
        layout.map_err(|_| Refusal::BadImage)
    }

    /// Writes the bytes of a segment to the beginning of its place in an object, with a look after each piece.
    fn write(&self, segment: &Segment, object: &MemoryObject) -> Result<(), Refusal> {
        let start = segment.vaddr - segment.pages().start;
        let end = segment.offset + segment.filesz;
        let mut from = segment.offset;
        let mut buffer = Vec::new();
        while from < end {
            let at = start + (from - segment.offset) as u64;
            let piece = match self {
                Self::File(file) => {
                    let piece = file.get(from..end.min(from + WRITE_BYTES));
                    piece.ok_or(Refusal::BadImage)?
                }
                Self::Copy(copy, _) => {
                    frames::widen(&mut buffer, BUFFER_BYTES.min(end - from))?;
                    copy.read(from as u64, &mut buffer)?;
                    &*buffer
                }
            };
            object.write(at, piece)?;
            from += piece.len();
            look()?;
        }
        Ok(())
    }
}

fn access(a: elf_image::Access) -> Access {
    match a {
        elf_image::Access::Read => Access::Read,
        elf_image::Access::ReadWrite => Access::ReadWrite,
        elf_image::Access::ReadExecute => Access::ReadExecute,
    }
}

/// Between two steps of a spawn. The process that is made is nobody else's yet.
fn look() -> Result<(), Refusal> {
    match sched::point() {
        sched::Look::GoOn => Ok(()),
        sched::Look::Ending => Err(Refusal::Cancelled),
    }
}

fn load(process: &Arc<Process>, source: &Source<'_>, image: &Layout) -> Result<(), Refusal> {
    let _nobody = sabotage!(IMAGE_FOR_NOTHING).then(frames::paid_by_kernel);
    for segment in image.segments() {
        let span = segment.pages();
        let bytes = span.end - span.start;
        let pages = u32::try_from(bytes / 4096).map_err(|_| Refusal::OverBudget)?;
        let object = MemoryObject::new(pages)?;
        look()?;
        source.write(segment, &object)?;
        process
            .vm
            .map_object(&object, 0, bytes, access(segment.access), Some(span.start))?;
        look()?;
    }
    Ok(())
}

/// What a process finds of a capability: name, handle, interface.
type Entry = (ArrayString<NAME_BYTES>, u64, u64);

/// Two 32-bit words in a row.
const fn pair(first: usize, second: usize) -> u64 {
    first as u32 as u64 | (second as u64) << 32
}

/// Lays out the startup pages and maps them read-only. Returns their address.
fn startup(process: &Arc<Process>, entries: &[Entry], arguments: &[&str]) -> Result<u64, Refusal> {
    let strings = 32 + entries.len() * 48;
    let total: usize = strings + arguments.iter().map(|a| 4 + a.len()).sum::<usize>();
    if total > STARTUP_LIMIT {
        return Err(Refusal::OutOfRange);
    }
    let pages = total.div_ceil(4096) as u32;
    let object = MemoryObject::new(pages)?;
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        let put = object.write(at, bytes);
        at += bytes.len() as u64;
        put
    };
    let head = [
        STARTUP_MAGIC,
        process.id,
        pair(total, entries.len()),
        pair(strings, arguments.len()),
    ];
    put(head.map(u64::to_le_bytes).as_flattened())?;
    for (name, handle, interface) in entries {
        if name.is_empty() {
            return Err(Refusal::BadArgument);
        }
        // Each write looks its page up, so an entry is one.
        let mut entry = [0; 16 + NAME_BYTES];
        let (words, padded) = entry.split_at_mut(16);
        words.copy_from_slice([*handle, *interface].map(u64::to_le_bytes).as_flattened());
        padded[..name.len()].copy_from_slice(name.as_bytes());
        put(&entry)?;
    }
    for argument in arguments {
        put(&(argument.len() as u32).to_le_bytes())?;
        put(argument.as_bytes())?;
    }
    process
        .vm
        .map_object(&object, 0, u64::from(pages) * 4096, Access::Read, None)
}

/// What a program learns of a chosen point of a service, as its last argument. Init starts the services and learns of
/// none.
#[cfg(sabotage)]
fn point_for(name: &str) -> Option<alloc::string::String> {
    let point = sabotage::chosen().filter(sabotage::Point::is_in_service)?;
    (name != "init").then(|| alloc::format!("sabotage={point}"))
}

/// Makes what every process has of its own. Who pays on this CPU pays for it.
pub type Own = fn(&Arc<Process>) -> Result<[Grant; 2], Refusal>;

/// Makes a process and lets it run. `from` gives what it may use out of its own; `room` is charged to the process.
///
/// # Errors
/// `BadImage`, `OverBudget`, `NoMemory`, `BadArgument` for a name that is empty, too long or doubled. Nothing of the
/// process is left then.
pub fn spawn(
    label: Label<'_>,
    source: &Source<'_>,
    arguments: &[&str],
    (from, limits, room): (&Arc<Account>, &Limits, Room),
    (own, grants): (Own, ArrayVec<Grant, MAX_GRANTS>),
) -> Result<Arc<Process>, Refusal> {
    #[cfg(sabotage)]
    let point = point_for(label.name);
    #[cfg(sabotage)]
    let arguments = &*[arguments, point.as_deref().as_slice()].concat();
    let image = source.layout()?;
    let process = Process::new(label, from, limits)?;
    match fill(&process, (source, &image, room), arguments, (own, grants)) {
        Ok(thread) => {
            thread.start();
            Ok(process)
        }
        Err(refusal) => {
            process.abandon();
            Err(refusal)
        }
    }
}

fn fill(
    process: &Arc<Process>,
    (source, image, room): (&Source<'_>, &Layout, Room),
    arguments: &[&str],
    (own, grants): (Own, ArrayVec<Grant, MAX_GRANTS>),
) -> Result<Arc<Thread>, Refusal> {
    let _paying = frames::paid_by(process.account());
    load(process, source, image)?;
    let mut entries: Vec<Entry> = Vec::new();
    entries.grow(2 + grants.len())?;
    for grant in own(process)?.into_iter().chain(grants) {
        if entries.iter().any(|(name, ..)| *name == grant.name) {
            return Err(Refusal::AlreadyExists);
        }
        entries.add((grant.name, process.grant(grant.slot)?, grant.interface))?;
    }
    let startup = startup(process, &entries, arguments)?;
    look()?;
    let stack = process
        .vm
        .map_new(room.stack_bytes, Access::ReadWrite, None)?;
    look()?;
    Thread::new(
        process,
        ThreadSpec {
            entry: image.entry(),
            stack: stack + room.stack_bytes,
            argument: startup,
            submissions: room.submissions,
            message_bytes: room.message_bytes,
            priority: process.account().priority(),
            cpu: None,
        },
    )
}
