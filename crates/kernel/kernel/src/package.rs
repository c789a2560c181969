//! The boot package: the files that came with the kernel, and the programs that are still on the CD.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "boot: what the loader handed over"
)]

use alloc::string::String;
use alloc::vec::Vec;

use cpu::Lock;
use frames::Grow;
use limine::file::File;
use package_sums::Sums;
use ring_abi::Refusal;

use crate::refusal::boot_error;

/// Where programs lie in a boot package.
const PROGRAMS: &str = "/boot/bins/";
/// What the system consists of.
const MANIFEST: &str = "/boot/manifest.bin";
/// The list of every file's checksum.
const CHECKSUMS: &str = "/boot/checksums";

/// A file of the boot package.
struct Module {
    /// Path, as `/boot/bins/init`.
    path: String,
    /// Its bytes, in memory that is never given back.
    bytes: &'static [u8],
    /// Whether the bytes were compared with the package's list.
    checked: bool,
}

static MODULES: Lock<Vec<Module>> = Lock::new(Vec::new());

/// Copies the list of files; their bytes stay where they are.
pub fn keep(files: &[&File]) {
    let mut modules = MODULES.lock();
    for file in files {
        let path = file.path().to_str();
        // SAFETY: module memory is of a type that is never given back, in the direct map, and nobody writes it.
        let bytes = unsafe { core::slice::from_raw_parts(file.addr(), file.size() as usize) };
        modules.push(Module {
            path: path.map_or_else(|_| String::new(), String::from),
            bytes,
            checked: false,
        });
    }
}

/// A module's bytes by its path.
fn module(path: &str) -> Option<&'static [u8]> {
    let modules = MODULES.lock();
    let found = modules.iter().find(|m| m.path == path)?;
    Some(found.bytes)
}

/// The manifest.
pub fn manifest() -> Option<&'static [u8]> {
    module(MANIFEST)
}

/// The program `name`: from the modules, or from the CD, whose bytes are a module from then on.
pub fn program(name: &str) -> Option<&'static [u8]> {
    let mut path = String::from(PROGRAMS);
    path.push_str(name);
    // Another CPU may have read it between the first look and the CD's turn.
    let bytes = module(&path)
        .or_else(|| crate::cdrom::load(name, add))
        .or_else(|| module(&path))?;
    check(&path, bytes);
    Some(bytes)
}

/// Compares a file with the package's list, once. Damage ends the boot: nobody else has the file.
fn check(path: &str, bytes: &[u8]) {
    let is_checked = |m: &Module| m.path == path && m.checked;
    if MODULES.lock().iter().any(is_checked) {
        return;
    }
    let Some(list) = module(CHECKSUMS) else {
        boot_error(format_args!("the boot package holds no {CHECKSUMS}"))
    };
    // A program is checked when it is first started, while others run.
    let mut look = || {
        let _ = sched::point();
    };
    let sums = match Sums::parse_in_steps(list, &mut look) {
        Ok(sums) => sums,
        Err(damage) => boot_error(format_args!("{CHECKSUMS} {damage}")),
    };
    let path_listed = path.trim_start_matches('/');
    if let Err(damage) = sums.check_in_steps(path_listed, bytes, &mut look) {
        boot_error(format_args!("{path} {damage}"));
    }
    if let Some(m) = MODULES.lock().iter_mut().find(|m| m.path == path) {
        m.checked = true;
    }
}

/// Compares the manifest with the package's list; a package without one is init's to refuse.
pub fn check_manifest() {
    if let Some(bytes) = manifest() {
        check(MANIFEST, bytes);
    }
}

/// Adds a program that came late.
fn add(path: String, bytes: &'static [u8]) {
    MODULES.lock().push(Module {
        path,
        bytes,
        checked: false,
    });
}

/// How many programs are in memory.
pub fn loaded_programs() -> usize {
    let modules = MODULES.lock();
    let paths = modules.iter().map(|m| m.path.as_str());
    paths.filter(|path| path.starts_with(PROGRAMS)).count()
}

/// Names of all programs, wherever they are now.
///
/// # Errors
/// `OverBudget`.
pub fn programs() -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    {
        let modules = MODULES.lock();
        let mut loaded = modules.iter().filter_map(|m| m.path.strip_prefix(PROGRAMS));
        loaded.try_for_each(|name| names.add(frames::text(name)?))?;
    }
    crate::cdrom::each_name(|name| names.add(frames::text(name)?))?;
    Ok(names)
}
