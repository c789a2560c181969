//! What a program was given: named capabilities and arguments, from its startup pages.

use core::fmt;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use ring_abi::{STARTUP_MAGIC, StartupEntry, StartupHeader};
use stub::Interface;

use crate::Cap;

/// The startup pages.
pub struct Env {
    bytes: &'static [u8],
    header: StartupHeader,
}

/// Why a named capability is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvError {
    /// Nothing of that name was granted.
    Missing {
        /// The name asked for.
        name: &'static str,
        /// The interface asked for.
        wanted: &'static str,
    },
    /// It was granted, and serves another interface.
    OtherInterface {
        /// The name asked for.
        name: &'static str,
        /// The interface asked for.
        wanted: &'static str,
        /// The id of the interface that it serves.
        granted: u64,
    },
}

impl fmt::Display for EnvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missing { name, wanted } => {
                write!(f, "no capability named {name} was granted ({wanted})")?;
                let mut before = "; granted: ";
                for (granted, ..) in started_with().filter(|(name, ..)| !OWN.contains(name)) {
                    write!(f, "{before}{granted}")?;
                    before = ", ";
                }
                Ok(())
            }
            Self::OtherInterface {
                name,
                wanted,
                granted,
            } => {
                let known = schema::interface_name(granted).unwrap_or("an unknown interface");
                write!(f, "the capability named {name} is {known}, not {wanted}")
            }
        }
    }
}

impl core::error::Error for EnvError {}

fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk::<N>().copied()
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    at(bytes, offset).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    at(bytes, offset).map(u64::from_le_bytes)
}

/// Which entries of the startup pages the program has asked for, one bit each.
static ASKED: AtomicU32 = AtomicU32::new(0);
/// The startup pages, once they are known.
static PAGES: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());

/// What every process has, asked for or not.
const OWN: [&str; 2] = ["vm", "threads"];

/// What the startup pages name, as [`Env::entries`]; nothing before they are known.
fn started_with() -> impl Iterator<Item = (&'static str, u64, u64)> {
    let pages = PAGES.load(Ordering::Acquire);
    // SAFETY: what the kernel passed to the first thread; it stays and never changes.
    let env = (!pages.is_null()).then(|| unsafe { Env::new(pages) });
    env.flatten().into_iter().flat_map(|env| env.entries())
}

/// Names of the capabilities that were granted and that the program has not asked for so far.
pub fn unused_grants() -> impl Iterator<Item = &'static str> {
    let asked = ASKED.load(Ordering::Relaxed);
    started_with()
        .enumerate()
        .filter(move |(index, (name, _, _))| asked & bit(*index) == 0 && !OWN.contains(name))
        .map(|(_, (name, _, _))| name)
}

/// Counts the capability at `index` as asked for.
pub fn note_asked(index: usize) {
    ASKED.fetch_or(bit(index), Ordering::Relaxed);
}

/// The bit of an entry; those that have none (there are never so many) share the last.
fn bit(index: usize) -> u32 {
    1 << index.min(31)
}

impl Env {
    /// Reads startup pages.
    ///
    /// # Safety
    /// `page` is what the kernel passed to the first thread: pages that stay and never change.
    pub(crate) unsafe fn new(page: *const u8) -> Option<Self> {
        // SAFETY: a startup page begins with its header, by the caller's promise.
        let header = unsafe { page.cast::<StartupHeader>().read() };
        if header.magic != STARTUP_MAGIC {
            return None;
        }
        // SAFETY: the header says how many bytes follow, by the caller's promise.
        let bytes = unsafe { core::slice::from_raw_parts(page, header.bytes as usize) };
        PAGES.store(page.cast_mut(), Ordering::Release);
        Some(Self { bytes, header })
    }

    /// The process number, for messages to people.
    pub fn process(&self) -> u64 {
        self.header.process
    }

    /// All named capabilities: name, interface id, handle.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, u64, u64)> + use<> {
        let bytes = self.bytes;
        (0..self.header.entries as usize).filter_map(move |index| {
            let at = size_of::<StartupHeader>() + index * size_of::<StartupEntry>();
            let name = bytes.get(at + 16..at + 48)?;
            let end = name
                .iter()
                .position(|&byte| byte == 0)
                .unwrap_or(name.len());
            let name = str::from_utf8(name.get(..end)?).ok()?;
            Some((name, u64_at(bytes, at + 8)?, u64_at(bytes, at)?))
        })
    }

    /// The capability `name`, which must serve the interface of the client type asked for. It stays the program's
    /// whatever happens to the client.
    ///
    /// # Errors
    /// [`EnvError`] when it was not granted or serves another interface.
    pub fn get<I: Interface<Cap>>(&self, name: &'static str) -> Result<I, EnvError> {
        self.find(name, I::INTERFACE_ID, I::NAME)
            .map(|handle| I::from_object(Cap::borrowed(handle)))
    }

    /// As [`Env::get`], and drops the handle with the client.
    ///
    /// # Errors
    /// As [`Env::get`].
    pub fn take<I: Interface<Cap>>(&self, name: &'static str) -> Result<I, EnvError> {
        self.find(name, I::INTERFACE_ID, I::NAME)
            .map(|handle| I::from_object(Cap::owned(handle)))
    }

    fn find(
        &self,
        name: &'static str,
        interface_id: u64,
        wanted: &'static str,
    ) -> Result<u64, EnvError> {
        let missing = EnvError::Missing { name, wanted };
        let found = self
            .entries()
            .enumerate()
            .find(|(_, entry)| entry.0 == name);
        let (index, (_, granted, handle)) = found.ok_or(missing)?;
        note_asked(index);
        if granted != interface_id {
            return Err(EnvError::OtherInterface {
                name,
                wanted,
                granted,
            });
        }
        Ok(handle)
    }

    /// The sabotage point that the kernel names behind the arguments.
    #[cfg(sabotage)]
    pub fn sabotage(&self) -> Option<&'static str> {
        let mut all = self.arguments();
        core::iter::from_fn(|| all.read()).find_map(|argument| argument.strip_prefix(SABOTAGE))
    }

    /// The arguments.
    pub fn arguments(&self) -> Arguments {
        Arguments {
            bytes: self.bytes,
            at: self.header.arguments as usize,
            left: self.header.argument_count,
        }
    }
}

/// What the kernel names a sabotage point with: no argument of the manifest's.
#[cfg(sabotage)]
const SABOTAGE: &str = "sabotage=";

/// The arguments, in order.
#[derive(Clone)]
pub struct Arguments {
    bytes: &'static [u8],
    at: usize,
    left: u32,
}

impl Iterator for Arguments {
    type Item = &'static str;

    fn next(&mut self) -> Option<&'static str> {
        let argument = self.read();
        #[cfg(sabotage)]
        if argument.is_some_and(|argument| argument.starts_with(SABOTAGE)) {
            return self.next();
        }
        argument
    }
}

impl Arguments {
    fn read(&mut self) -> Option<&'static str> {
        self.left = self.left.checked_sub(1)?;
        let len = u32_at(self.bytes, self.at)? as usize;
        let start = self.at + 4;
        self.at = start.checked_add(len)?;
        str::from_utf8(self.bytes.get(start..self.at)?).ok()
    }
}
