//! A secret of 32 octets that a service keeps on a volume of its own, so that it is the same after the next start.
//!
//! Owns how such a secret is kept: a file of its own, whole or not there. Invariant: a file that holds no secret is never put aside in
//! silence, and no window holds the secret for longer than it takes to read or write it. Whoever else is granted the volume has the
//! secret, too.
#![no_std]
#![forbid(unsafe_code)]

use sdk::alloc::format;
use sdk::storage::file;
use sdk::{Access, Directory, Env, Error, Refusal, VirtualMemory, Volume, Window};

/// The grant with the volume.
const GRANT: &str = "keys";
/// Octets of a secret.
pub const SECRET_BYTES: usize = 32;
const WINDOW_BYTES: u64 = 4096;

/// Where a secret comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Drawn now, and gone with this start.
    Fleeting,
    /// Drawn now, and kept.
    Made,
    /// Kept by a start before.
    Kept,
}

impl Origin {
    /// Its name, for facts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fleeting => "fleeting",
            Self::Made => "made",
            Self::Kept => "kept",
        }
    }
}

/// The key of what is kept in `file` on the volume that is granted as `keys`; of a fresh secret where nothing is kept, and without the
/// volume of one that goes with this start. `draw` draws a secret that is a key, `key` gives the key of one.
///
/// # Errors
/// The volume's, and those of `draw`; `Corrupt` for a file that is no key: whoever knows the key would not know why it is another.
pub fn obtain<K>(
    env: &Env,
    file: &str,
    draw: impl FnOnce() -> Result<(K, [u8; SECRET_BYTES]), Refusal>,
    key: impl FnOnce(&[u8; SECRET_BYTES]) -> Option<K>,
) -> Result<(K, Origin), Error> {
    let Ok(volume) = env.get::<Volume>(GRANT) else {
        let (key, _) = draw()?;
        return Ok((key, Origin::Fleeting));
    };
    let place = Place::open(&volume, &env.get("vm")?)?;
    if let Some(secret) = place.read(file)? {
        return Ok((key(&secret).ok_or(Refusal::Corrupt)?, Origin::Kept));
    }
    let (key, secret) = draw()?;
    place.write(file, &secret)?;
    Ok((key, Origin::Made))
}

/// Forgets what is kept in `file`.
///
/// # Errors
/// The volume's, and that there is none.
pub fn forget(env: &Env, file: &str) -> Result<(), Error> {
    let place = Place::open(&env.get(GRANT)?, &env.get("vm")?)?;
    place.root.remove(file).map(drop).map_err(Error::from)
}

/// The volume, open.
struct Place {
    root: Directory,
    window: Window,
}

impl Place {
    fn open(volume: &Volume, memory: &VirtualMemory) -> Result<Self, Refusal> {
        let window = memory.create_memory(WINDOW_BYTES)?.memory;
        let window = Window::map(window, WINDOW_BYTES, Access::ReadWrite)?;
        let root = volume.retrying().attach(window.memory().cap())?.root;
        Ok(Self { root, window })
    }

    /// The secret that is kept.
    fn read(&self, file: &str) -> Result<Option<[u8; SECRET_BYTES]>, Refusal> {
        let file = match self.root.open(file) {
            Ok(opened) => opened.file,
            Err(Refusal::NotFound) => return Ok(None),
            Err(refusal) => return Err(refusal),
        };
        if file.stat()?.bytes != SECRET_BYTES as u64 {
            return Err(Refusal::Corrupt);
        }
        let mut secret = [0; SECRET_BYTES];
        let mut have = 0;
        while have < SECRET_BYTES {
            let left = (SECRET_BYTES - have) as u32;
            let read = file.read(have as u64, left, 0)?.bytes as usize;
            let to = secret.get_mut(have..have.saturating_add(read));
            let to = to.filter(|to| !to.is_empty()).ok_or(Refusal::Corrupt)?;
            self.window.read(0, to)?;
            have += read;
        }
        self.forget()?;
        Ok(Some(secret))
    }

    /// Keeps a secret: a power cut leaves all of it, or nothing under its name.
    fn write(&self, file: &str, secret: &[u8; SECRET_BYTES]) -> Result<(), Refusal> {
        // What it is called until it is whole.
        let draft_name = format!("{file}.new");
        match self.root.remove(&draft_name) {
            Ok(_) | Err(Refusal::NotFound) => {}
            Err(refusal) => return Err(refusal),
        }
        let draft: file::Client<_> = self.root.create(&draft_name)?.file;
        self.window.write(0, secret)?;
        draft.write(0, SECRET_BYTES as u32, 0)?;
        self.forget()?;
        drop(draft);
        self.root.sync()?;
        self.root.rename(&draft_name, file)?;
        self.root.sync().map(drop)
    }

    /// Nobody but this process and the volume's service has seen the window, and it holds no secret for longer than needed.
    fn forget(&self) -> Result<(), Refusal> {
        self.window.write(0, &[0; SECRET_BYTES])
    }
}
