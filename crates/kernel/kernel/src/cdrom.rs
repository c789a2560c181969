//! The CD this machine was booted from, where it hangs behind legacy IDE ports: programs are read from it when they are
//! first started, instead of arriving as modules.
//!
//! The loader decides, and says so with `cdrom=IDENTITY`: it has read the volume of that identity through the same ports, so
//! that what is left out of the modules can be read here. Invariant: never writes, never uses DMA or interrupts; once every
//! program of the manifest is in memory, no path leads from a program's name to the drive any more.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    clippy::disallowed_types,
    reason = "boot: what the loader left to this CD"
)]

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write;

use atapi::{Drive, Failure, Ports, Position, Progress};
use cpu::Lock;
use cpu::port::{read8, read16_into, write8, write16};
use iso9660_format::{Error, Fault, Kind, Medium, Volume};
use ring_abi::Refusal;

use crate::line::Line;
use crate::refusal::boot_error;

/// Where programs lie.
const FOLDER: &str = "boot/bins/";
/// Longest program.
const IMAGE_BYTES: u32 = 32 << 20;
/// How long a drive is left alone before it is looked at again.
pub const POLL_NS: u64 = 500_000;
/// Bytes that are made zero between two looks.
const CLEAR_BYTES: usize = 16 << 10;

/// The legacy channels.
struct Legacy;

impl Ports for Legacy {
    fn read8(&mut self, port: u16) -> u8 {
        // SAFETY: the crate touches only the legacy channels' ports, which nothing else in this kernel does.
        unsafe { read8(port) }
    }

    fn write8(&mut self, port: u16, value: u8) {
        // SAFETY: as above.
        unsafe { write8(port, value) };
    }

    fn read_data(&mut self, port: u16, into: &mut [u8]) {
        // SAFETY: as above; the data register.
        unsafe { read16_into(port, into) };
    }

    fn write_data(&mut self, port: u16, word: u16) {
        // SAFETY: as above.
        unsafe { write16(port, word) };
    }

    fn now_ns(&mut self) -> u64 {
        sched::now_ns()
    }

    fn pause(&mut self) {
        cpu::relax();
        // Nobody holds a lock who waits for the drive.
        sched::rest(POLL_NS);
    }
}

/// The drive as the volume's reader sees it.
struct Disc(Drive<Legacy>);

impl Medium for Disc {
    type Error = (u32, Failure);

    fn read(&mut self, lba: u32, into: &mut [u8]) -> Result<(), (u32, Failure)> {
        self.0.read(lba, into)
    }
}

/// Why something on the CD could not be read: a failing sector and the drive's reason, or what is wrong with the volume.
type CdError = Error<(u32, Failure)>;

/// The drive and its volume, for one reader at a time.
struct Cd {
    disc: Disc,
    volume: Volume,
}

/// The CD. Once `left` is empty, only the medium's sectors can be asked for, by whoever was given the right to.
struct Reader {
    /// Whoever reads a program has taken it, and holds no lock meanwhile.
    cd: Option<Cd>,
    /// A read of the medium's sectors was begun and is not over.
    is_reading: bool,
    /// How many wait to read a program; no other read is begun before them.
    waiting: u32,
    sectors: u32,
    /// Programs that are still to be read: those the manifest names.
    left: Vec<String>,
    read: u32,
}

static READER: Lock<Option<Reader>> = Lock::new(None);

/// Finds the CD the loader spoke of; without its word nothing is touched.
pub fn initialise(manifest: Option<&[u8]>) {
    let Some(identity) = crate::handover::option("cdrom") else {
        return;
    };
    let wanted = wanted(manifest);
    let mut why = Line::new();
    for position in Position::ALL {
        match open(position, &identity, &wanted) {
            Ok(reader) => {
                crate::fact!(
                    "boot.cdrom",
                    channel = position.channel,
                    device = position.device,
                    programs = reader.left.len(),
                    sectors ~ reader.sectors
                );
                *READER.lock() = Some(reader);
                return;
            }
            Err(Error::Medium((_, Failure::Absent))) => {}
            Err(error) => {
                let _ = write!(why, "; {} {}: ", position.channel, position.device);
                write_error(&mut why, &error);
            }
        }
    }
    boot_error(format_args!(
        "the CD {identity} is behind no legacy IDE port{}",
        why.text()
    ))
}

fn open(position: Position, identity: &str, wanted: &[String]) -> Result<Reader, CdError> {
    let drive = Drive::open(Legacy, position).map_err(|why| Error::Medium((0, why)))?;
    let sectors = drive.sectors();
    let mut disc = Disc(drive);
    let volume = Volume::open(&mut disc, sectors)?;
    if volume.identity() != identity.as_bytes() {
        return Err(Error::NotFound);
    }
    let mut left = Vec::new();
    for name in wanted {
        let mut path = String::from(FOLDER);
        path.push_str(name);
        match volume.find(&mut disc, &path) {
            Ok(_) => left.push(name.clone()),
            Err(Error::NotFound | Error::BadPath) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Reader {
        sectors: volume.blocks(),
        cd: Some(Cd { disc, volume }),
        is_reading: false,
        waiting: 0,
        left,
        read: 0,
    })
}

/// The programs of the manifest. One that cannot be read is init's to refuse, so init is always among them.
fn wanted(manifest: Option<&[u8]>) -> Vec<String> {
    manifest
        .and_then(|bytes| manifest::read(bytes).ok())
        .map_or_else(
            || vec![String::from(manifest::INIT_IMAGE)],
            |manifest| manifest.images().into_iter().map(String::from).collect(),
        )
}

fn write_error(line: &mut Line, error: &CdError) {
    // A line that is full is cut.
    let _ = match error {
        Error::Medium((lba, why)) => {
            write!(line, "sector {lba} of the CD cannot be read: {why}")
        }
        Error::Malformed(Fault { lba, rule }) => {
            write!(line, "sector {lba} of the CD holds {rule}")
        }
        Error::NotFound => write!(line, "another CD"),
        Error::WrongKind | Error::BadPath => write!(line, "it is no program"),
    };
}

/// How many programs are still on the CD alone.
pub fn left() -> usize {
    READER.lock().as_ref().map_or(0, |reader| reader.left.len())
}

/// Calls `f` with the name of each of them, until it refuses.
///
/// # Errors
/// What `f` says.
pub fn each_name<E>(f: impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
    let guard = READER.lock();
    let names = guard.iter().flat_map(|reader| &reader.left);
    names.map(String::as_str).try_for_each(f)
}

/// Reads the program `name` into memory that is never given back, and hands it to `keep` before anybody else finds that it is
/// no longer to be read. `None`: it is not one that is. What the CD cannot give ends the boot: the loader has left it to
/// this CD. Others run meanwhile, however long the drive takes.
pub fn load(name: &str, keep: fn(String, &'static [u8])) -> Option<&'static [u8]> {
    let mut cd = take(name)?;
    let mut path = String::from(FOLDER);
    path.push_str(name);
    let (lba, bytes) = match read(&mut cd, &path) {
        Ok(read) => read,
        Err(error) => {
            let mut why = Line::new();
            write_error(&mut why, &error);
            boot_error(format_args!("/{path}: {}", why.text()))
        }
    };
    let mut guard = READER.lock();
    let reader = guard.as_mut()?;
    reader.cd = Some(cd);
    reader.left.retain(|other| other != name);
    reader.read += 1;
    crate::fact!("boot.cdrom.read", program = name, bytes ~ bytes.len(), lba ~ lba);
    if reader.left.is_empty() {
        crate::fact!("boot.cdrom.closed", programs = reader.read);
    }
    let bytes: &'static [u8] = bytes.leak();
    keep(slashed(&path), bytes);
    drop(guard);
    Some(bytes)
}

/// Takes the drive to read the program `name`, once nobody else reads. `None`: that is not to be read, or no longer.
fn take(name: &str) -> Option<Cd> {
    let mut has_waited = false;
    loop {
        {
            let mut guard = READER.lock();
            let reader = guard.as_mut()?;
            let wanted = reader.left.iter().any(|other| other == name);
            let cd = match reader.is_reading {
                false if wanted => reader.cd.take(),
                _ => None,
            };
            if cd.is_some() || !wanted {
                reader.waiting -= u32::from(has_waited);
                return cd;
            }
            reader.waiting += u32::from(!has_waited);
            has_waited = true;
        }
        sched::rest(POLL_NS);
    }
}

/// As modules are named.
fn slashed(path: &str) -> String {
    let mut slashed = String::from("/");
    slashed.push_str(path);
    slashed
}

fn read(cd: &mut Cd, path: &str) -> Result<(u32, Vec<u8>), CdError> {
    let Cd { disc, volume } = cd;
    let file = volume.find(disc, path)?;
    if file.kind != Kind::File || file.extent.bytes > IMAGE_BYTES {
        return Err(Error::WrongKind);
    }
    let mut bytes = Vec::new();
    let len = file.extent.bytes as usize;
    if bytes.try_reserve_exact(len).is_err() {
        boot_error(format_args!("too little memory: /{path} needs {len} bytes"));
    }
    while bytes.len() < len {
        bytes.resize(len.min(bytes.len() + CLEAR_BYTES), 0);
        let _ = sched::point();
    }
    volume.read(disc, &file, 0, &mut bytes)?;
    Ok((file.extent.lba, bytes))
}

/// Sectors of the volume that the machine was booted from; `None` where the kernel reads none.
pub fn sectors() -> Option<u32> {
    READER.lock().as_ref().map(|reader| reader.sectors)
}

/// Begins to read sectors of that volume; [`advance`] goes on. `false`: a program is read first.
pub fn begin(lba: u32, count: u32) -> Result<bool, Refusal> {
    let mut guard = READER.lock();
    let reader = guard.as_mut().ok_or(Refusal::NoDevice)?;
    let end = lba.checked_add(count);
    if end.is_none_or(|end| end > reader.sectors) {
        return Err(Refusal::OutOfRange);
    }
    let Some(cd) = reader.cd.as_mut().filter(|_| reader.waiting == 0) else {
        return Ok(false);
    };
    cd.disc.0.begin(lba, count).map_err(refusal)?;
    reader.is_reading = true;
    Ok(true)
}

/// Takes what has come of a read that was begun. `true`: all of it.
pub fn advance(into: &mut [u8]) -> Result<bool, Refusal> {
    let mut guard = READER.lock();
    let reader = guard.as_mut().ok_or(Refusal::NoDevice)?;
    let cd = reader.cd.as_mut().ok_or(Refusal::WrongState)?;
    let advanced = cd.disc.0.advance(into);
    reader.is_reading = advanced == Ok(Progress::Waiting);
    advanced
        .map(|progress| progress == Progress::Done)
        .map_err(refusal)
}

fn refusal(why: Failure) -> Refusal {
    match why {
        Failure::OutOfRange => Refusal::OutOfRange,
        Failure::Absent => Refusal::NoDevice,
        Failure::Timeout => Refusal::TimedOut,
        Failure::Sense(_) | Failure::Protocol(_) => {
            let mut line = Line::new();
            let _ = write!(line, "{why}");
            crate::fact!("boot.cdrom.failed", reason = line.text());
            Refusal::DeviceError
        }
    }
}
