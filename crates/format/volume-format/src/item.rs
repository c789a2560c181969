//! What keys lead to.

/// Where a time comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Source {
    /// There was no clock.
    None = 0,
    /// The machine's clock, read at boot.
    BootRtc = 1,
    /// Network time.
    Ntp = 2,
    /// A person set it.
    Manual = 3,
    /// A FAT volume's metadata.
    FatMetadata = 4,
    /// A tool on another system.
    HostTool = 5,
}

/// A time and how far to believe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub ns: i64,
    /// Who said so.
    pub source: Source,
    /// In which boot, so that times of one boot can be told from those of another.
    pub boot: u32,
}

impl Stamp {
    /// Bytes of one.
    pub const BYTES: usize = 16;
    /// No time.
    pub const NONE: Self = Self {
        ns: 0,
        source: Source::None,
        boot: 0,
    };

    pub(crate) fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        le::put(&mut bytes, 0, &self.ns.to_le_bytes());
        le::put(&mut bytes, 8, &self.boot.to_le_bytes());
        le::put(&mut bytes, 12, &[self.source as u8]);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let source = match le::u8(bytes, 12) {
            0 => Source::None,
            1 => Source::BootRtc,
            2 => Source::Ntp,
            3 => Source::Manual,
            4 => Source::FatMetadata,
            5 => Source::HostTool,
            _ => return None,
        };
        le::is_zero(bytes, 13, 16).then_some(Self {
            ns: le::u64(bytes, 0) as i64,
            source,
            boot: le::u32(bytes, 8),
        })
    }
}

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Bytes under a name.
    File = 1,
    /// Names.
    Dir = 2,
    /// Bytes of the store.
    Object = 3,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::File),
            2 => Some(Self::Dir),
            3 => Some(Self::Object),
            _ => None,
        }
    }
}

/// A file, a directory or an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inode {
    /// What it is.
    pub kind: Kind,
    /// Bytes of a file or an object; entries of a directory.
    pub size: u64,
    /// The directory that names it; 0 for the root directory and for what has no name any more. Of an object, how many names are
    /// bound to it.
    pub parent: u64,
    /// When it was made.
    pub created: Stamp,
    /// When its bytes or names were last changed.
    pub modified: Stamp,
}

impl Inode {
    /// Bytes of one.
    pub const BYTES: usize = 56;

    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        le::put(&mut bytes, 0, &[self.kind as u8]);
        le::put(&mut bytes, 8, &self.size.to_le_bytes());
        le::put(&mut bytes, 16, &self.parent.to_le_bytes());
        le::put(&mut bytes, 24, &self.created.encode());
        le::put(&mut bytes, 40, &self.modified.encode());
        bytes
    }

    /// Decodes one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::BYTES || !le::is_zero(bytes, 1, 8) {
            return None;
        }
        Some(Self {
            kind: Kind::from_byte(le::u8(bytes, 0))?,
            size: le::u64(bytes, 8),
            parent: le::u64(bytes, 16),
            created: Stamp::decode(bytes.get(24..40)?)?,
            modified: Stamp::decode(bytes.get(40..56)?)?,
        })
    }
}

/// What a name of a directory leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The inode's number.
    pub id: u64,
    /// Its kind, so that a list needs no second look-up.
    pub kind: Kind,
}

impl Named {
    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> [u8; 9] {
        let mut bytes = [self.kind as u8; 9];
        le::put(&mut bytes, 0, &self.id.to_le_bytes());
        bytes
    }

    /// Decodes one; a directory names no objects.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let kind = Kind::from_byte(le::u8(bytes, 8)).filter(|kind| *kind != Kind::Object)?;
        (bytes.len() == 9).then_some(Self {
            id: le::u64(bytes, 0),
            kind,
        })
    }
}

/// An object of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// The inode that holds its bytes.
    pub id: u64,
}

impl Object {
    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> [u8; 8] {
        self.id.to_le_bytes()
    }

    /// Decodes one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64::from_le_bytes(bytes.try_into().ok()?),
        })
    }
}

/// What a name of a namespace is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// The object's content address.
    pub hash: [u8; 32],
    /// Which binding it is: a number that no other binding of the volume had, from 1.
    pub version: u64,
}

impl Bind {
    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> [u8; 40] {
        let mut bytes = [0; 40];
        le::put(&mut bytes, 0, &self.hash);
        le::put(&mut bytes, 32, &self.version.to_le_bytes());
        bytes
    }

    /// Decodes one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let version = le::u64(bytes, 32);
        (bytes.len() == 40 && version != 0).then_some(Self {
            hash: le::array(bytes, 0),
            version,
        })
    }
}

/// A snapshot: the tree as a root had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snap {
    /// The topmost node.
    pub tree: crate::Ptr,
    /// Its level.
    pub height: u8,
    /// When it was made.
    pub created: Stamp,
}

impl Snap {
    /// Bytes of one.
    pub const BYTES: usize = 64;

    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        le::put(&mut bytes, 0, &self.tree.encode());
        le::put(&mut bytes, 40, &self.created.encode());
        le::put(&mut bytes, 56, &[self.height]);
        bytes
    }

    /// Decodes one.
    #[must_use]
    pub fn decode(bytes: &[u8], layout: &crate::Layout, newest: u64) -> Option<Self> {
        let height = le::u8(bytes, 56);
        if bytes.len() != Self::BYTES || !le::is_zero(bytes, 57, 64) || height > crate::MAX_HEIGHT {
            return None;
        }
        Some(Self {
            tree: crate::Ptr::decode(bytes.get(..40)?, crate::PtrKind::Node, layout, newest)?,
            height,
            created: Stamp::decode(bytes.get(40..56)?)?,
        })
    }
}
