//! The secret of the key: kept on a volume of its own where the manifest grants one, else drawn at each start.

use sdk::storage::file;
use sdk::{
    Access, Directory, EntropySource, Env, Error, Refusal, VirtualMemory, Volume, Window, octets,
};
use tls_core::{Identity, Name};

/// The file, and what it is called until it is whole.
const FILE: &str = "tls.key";
const DRAFT: &str = "tls.key.new";
const SECRET_BYTES: usize = 32;
const WINDOW_BYTES: u64 = 4096;
/// A secret that is no key comes once in 2^32; so many in a row do not.
const TRIES: u32 = 4;

/// Where a key comes from.
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

/// A key that nobody had before.
///
/// # Errors
/// The entropy's.
pub fn draw(entropy: &EntropySource, names: &[Name<'_>]) -> Result<Identity, Refusal> {
    drawn(entropy, names).map(|(identity, _)| identity)
}

fn drawn(
    entropy: &EntropySource,
    names: &[Name<'_>],
) -> Result<(Identity, [u8; SECRET_BYTES]), Refusal> {
    for _ in 0..TRIES {
        let secret = octets(entropy)?;
        if let Some(identity) = Identity::new(&secret, names) {
            return Ok((identity, secret));
        }
    }
    Err(Refusal::Failed)
}

/// The key of this system.
///
/// # Errors
/// The volume's; `Corrupt` for a file that is no key. It is never put aside in silence: whoever pins the key would not know why it is another.
pub fn identity(
    env: &Env,
    entropy: &EntropySource,
    names: &[Name<'_>],
) -> Result<(Identity, Origin), Error> {
    let Ok(volume) = env.get::<Volume>("keys") else {
        return Ok((draw(entropy, names)?, Origin::Fleeting));
    };
    let place = Place::open(&volume, &env.get("vm")?)?;
    if sabotage::sabotage!(TLS_FORGET_KEY) {
        let _ = place.root.remove(FILE);
    }
    if let Some(secret) = place.read()? {
        let identity = Identity::new(&secret, names);
        return Ok((identity.ok_or(Refusal::Corrupt)?, Origin::Kept));
    }
    let (identity, secret) = drawn(entropy, names)?;
    place.write(&secret)?;
    Ok((identity, Origin::Made))
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
    fn read(&self) -> Result<Option<[u8; SECRET_BYTES]>, Refusal> {
        let file = match self.root.open(FILE) {
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
    fn write(&self, secret: &[u8; SECRET_BYTES]) -> Result<(), Refusal> {
        match self.root.remove(DRAFT) {
            Ok(_) | Err(Refusal::NotFound) => {}
            Err(refusal) => return Err(refusal),
        }
        let draft: file::Client<_> = self.root.create(DRAFT)?.file;
        self.window.write(0, secret)?;
        draft.write(0, SECRET_BYTES as u32, 0)?;
        self.forget()?;
        drop(draft);
        self.root.sync()?;
        self.root.rename(DRAFT, FILE)?;
        self.root.sync().map(drop)
    }

    /// Nobody but this process and the volume's service has seen the window, and it holds no secret for longer than needed.
    fn forget(&self) -> Result<(), Refusal> {
        self.window.write(0, &[0; SECRET_BYTES])
    }
}
