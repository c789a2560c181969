//! What the kernel's own file says: where the words for frames are, and which of its pages never change.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSegment, ObjectSymbol, SegmentFlags};

/// ELF's flag of a writable segment.
const WRITE: u32 = 2;

/// Addresses of one kernel image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Where `FRAME_WORDS` lies: the address of the first word, their count, and the count of withheld frames.
    pub frame_words: u64,
    /// Text and constants: what no mapping may allow to be written.
    pub fixed: Vec<Range<u64>>,
}

impl Kernel {
    /// Reads the kernel's executable file, with its symbols.
    ///
    /// # Errors
    /// It is no executable, or has no symbol `FRAME_WORDS`.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let file = object::File::parse(bytes).context("the kernel's file")?;
        let frame_words = file
            .symbols()
            .find(|symbol| symbol.name() == Ok("FRAME_WORDS"))
            .context("the kernel's file has no symbol FRAME_WORDS")?
            .address();
        let fixed: Vec<Range<u64>> = file
            .segments()
            .filter(|segment| {
                matches!(segment.flags(), SegmentFlags::Elf { p_flags, .. } if p_flags.0 & WRITE == 0)
            })
            .map(|segment| segment.address()..segment.address() + segment.size())
            .collect();
        ensure!(!fixed.is_empty(), "the kernel's file has no text");
        Ok(Self { frame_words, fixed })
    }
}
