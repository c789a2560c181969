//! A client of the install source: reads every program and compares its sum, then tries to write, to get above the root, and to
//! reach the disk an installer would write to. Last it holds the boot medium itself and tries its bounds.
//!
//! Invariant: it never goes around an interface; what it may not do it is told.
#![no_std]
#![cfg_attr(not(test), no_main)]

use package_sums::Sums;
use ring_abi::{opcode, span, submission_flags};
use rt::sys::Operation;
use sdk::alloc::{vec, vec::Vec};
use sdk::{
    Access, BlockDevice, BootMedium, Cap, Directory, Env, Error, File, Interface, MemoryObject,
    Object, Refusal, VirtualMemory, Volume, Window, fact,
};
use smoke::raw;
use smoke_rig::outcome;

sdk::entry!(main);

const WINDOW_BYTES: u64 = 64 * 1024;
/// More method numbers than any interface has.
const METHODS: u16 = 64;

fn main(env: &Env) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let memory = vm.create_memory(WINDOW_BYTES)?.memory;
    let volume: Volume = env.get("source")?;
    if let Err(refusal) = volume.info(|_| ()) {
        volume.problem(|told| {
            fact!(
                "install.absent",
                info = refusal.name(),
                why = told.text().unwrap_or("")
            );
        })?;
        fact!("install.done");
        return Ok(());
    }
    let window = Window::map(memory, WINDOW_BYTES, Access::Read)?;
    let root = volume.attach(window.memory().cap())?.root;

    verify(&root, &window)?;
    writes(&volume, &root, &vm)?;
    let disk = env.get::<BlockDevice>("disk");
    fact!(
        "install.target",
        granted = disk.is_ok(),
        above = outcome(&root.open("../disk").map(drop)),
        absolute = outcome(&root.open("/boot/manifest.bin").map(drop)),
        device = outcome(&root.open("dev/disk").map(drop))
    );
    bounds(&env.get("medium")?, &vm)?;
    fact!("install.done");
    Ok(())
}

/// A whole file.
fn whole(root: &Directory, path: &str, window: &Window) -> Result<Vec<u8>, Refusal> {
    let file: File = root.open(path)?.file;
    let bytes = file.stat()?.bytes;
    let mut whole = vec![0; usize::try_from(bytes).map_err(|_| Refusal::OutOfRange)?];
    let mut at = 0;
    while at < whole.len() {
        let read = file.read(at as u64, WINDOW_BYTES as u32, 0)?.bytes as usize;
        let part = whole.get_mut(at..at + read).ok_or(Refusal::OutOfRange)?;
        window.read(0, part)?;
        at += read.max(1);
    }
    Ok(whole)
}

/// Reads everything the package lists.
fn verify(root: &Directory, window: &Window) -> Result<(), Error> {
    let list = whole(root, package_sums::PATH, window)?;
    let text = core::str::from_utf8(&list).unwrap_or_default();
    let sums = Sums::parse(&list).map_err(|_| Error::from(Refusal::Corrupt))?;
    let (mut files, mut bytes) = (0, 0);
    for path in text.lines().filter_map(|line| line.splitn(3, ' ').nth(2)) {
        if path == package_sums::PATH {
            continue;
        }
        let file = whole(root, path, window)?;
        if sums.check(path, &file).is_err() {
            return Err(Error::from(Refusal::Corrupt));
        }
        files += 1;
        bytes += file.len();
    }
    let bins = root.sub("boot/bins")?.directory;
    let listed = bins.list(0, |page| page.entries().map_or(0, |list| list.len()))?;
    fact!("install.verified", files = files, programs_listed = listed, bytes ~ bytes);
    Ok(())
}

/// Looks for a method that writes.
fn writes(volume: &Volume, root: &Directory, vm: &VirtualMemory) -> Result<(), Error> {
    let file = root.open("boot/manifest.bin")?.file;
    fact!(
        "install.methods",
        volume = methods(volume.object()),
        directory = methods(root.object()),
        file = methods(file.object())
    );
    let memory = vm.create_memory(4096)?.memory;
    let narrow = memory.read_only()?.memory;
    fact!(
        "install.window",
        read_only = outcome(&volume.attach(narrow.cap()).map(drop)),
        store = outcome(&volume.store(memory.cap()).map(drop)),
        root_read_only = root.stat("boot", |told| told.stat().map(|stat| stat.read_only()))??
    );
    Ok(())
}

/// How many method numbers something takes, the last of which is `noSuchMethod`'s border.
fn methods(object: &Cap) -> u32 {
    let known = |method: u16| {
        let tried = raw::operate(&Operation {
            opcode: opcode::CALL,
            flags: submission_flags::INLINE,
            method,
            handle: object.handle(),
            deadline_ns: ring_abi::NEVER,
            reply: span(raw::SAFE_OFFSET, 4096),
            ..Operation::default()
        });
        tried.refused() != Some(Refusal::NoSuchMethod)
    };
    (0..METHODS).map(|method| u32::from(known(method))).sum()
}

/// What the right to read the medium is not.
fn bounds(medium: &BootMedium, vm: &VirtualMemory) -> Result<(), Error> {
    let info = medium.info()?;
    let memory: MemoryObject = vm.create_memory(2 * 2048)?.memory;
    let read = |lba, count, offset| outcome(&medium.read(memory.cap(), lba, count, offset));
    fact!(
        "medium.bounds",
        last = read(info.sectors - 1, 1, 0),
        beyond = read(info.sectors, 1, 0),
        across = read(info.sectors - 1, 2, 0),
        far = read(u32::MAX, 1, 0),
        none = read(16, 0, 0),
        many = read(16, info.read_sectors + 1, 0),
        outside_window = read(16, 1, 2049),
        methods = methods(medium.object())
    );
    let window = Window::map(vm.create_memory(2048)?.memory, 2048, Access::Read)?;
    let narrow = window.memory().read_only()?.memory;
    let into_read_only = outcome(&medium.read(narrow.cap(), 16, 1, 0));
    let mut bytes = [0; 2048];
    window.read(0, &mut bytes)?;
    fact!(
        "medium.read-only-window",
        read = into_read_only,
        untouched = bytes.iter().all(|byte| *byte == 0)
    );
    Ok(())
}
