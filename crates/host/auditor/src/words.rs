//! The word that the kernel keeps for every frame: its use, and how many entries of processes name it.
//!
//! The layout is that of the kernel's crate `frames`; a test holds the two together.

use anyhow::{Context, Result, bail, ensure};

use crate::image::Image;
use crate::kernel::Kernel;
use crate::walk::{self, DIRECT_MAP};

/// What a frame is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Use {
    /// Never the allocator's.
    Foreign,
    /// The allocator's to hand out.
    Free,
    /// The kernel's own bytes.
    Kernel,
    /// A page table that is no root.
    Table,
    /// The root of an address space.
    Root,
    /// The kernel's own root.
    KernelRoot,
    /// A page of a kernel stack.
    Stack,
    /// Pages of a memory object.
    Object,
    /// A thread's ring and messages.
    Area,
    /// A buffer that a device may be told to use.
    Buffer,
    /// Queues and lists that a device reads and only a broker writes.
    Queue,
    /// Given back while an entry still named it, or twice.
    Withheld,
}

impl Use {
    /// Every use, in the order of its number.
    pub const ALL: [Self; 12] = [
        Self::Foreign,
        Self::Free,
        Self::Kernel,
        Self::Table,
        Self::Root,
        Self::KernelRoot,
        Self::Stack,
        Self::Object,
        Self::Area,
        Self::Buffer,
        Self::Queue,
        Self::Withheld,
    ];
}

/// One frame's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) use_: Use,
    pub(crate) entries: u32,
}

/// All of them.
pub(crate) struct Words {
    pub(crate) all: Vec<Word>,
    pub(crate) withheld: u64,
}

impl Words {
    /// Finds and reads them, through the tables of the CPU whose root is `cr3`.
    pub(crate) fn read(image: &dyn Image, kernel: &Kernel, cr3: u64) -> Result<Self> {
        let field = |at: u64| -> Result<u64> {
            let physical = walk::translate(image, cr3, kernel.frame_words + at * 8)?
                .context("the kernel is not mapped yet")?;
            image.word(physical)
        };
        let (first, count, withheld) = (field(0)?, field(1)?, field(2)?);
        ensure!(first != 0, "the kernel has no frames yet");
        let start = first
            .checked_sub(DIRECT_MAP)
            .context("the words for frames are not in the direct map")?;
        // Holes between memory and the end of the table have words too; what is past the image is none of ours.
        ensure!(count <= 1 << 32, "{count} frames are too many to be true");
        let mut bytes = vec![0; usize::try_from(count)? * 4];
        image.read(start, &mut bytes)?;
        let all = bytes
            .chunks_exact(4)
            .map(|bytes| word(bytes.try_into().map_or(0, u32::from_le_bytes)))
            .collect::<Result<_>>()?;
        Ok(Self { all, withheld })
    }

    /// The word of the frame at `physical`, if that is memory.
    pub(crate) fn at(&self, physical: u64) -> Option<Word> {
        self.all
            .get(usize::try_from(physical / 4096).ok()?)
            .copied()
    }
}

fn word(word: u32) -> Result<Word> {
    let Some(use_) = Use::ALL.get((word & 0xff) as usize) else {
        bail!("a frame has use {}, which there is not", word & 0xff);
    };
    Ok(Word {
        use_: *use_,
        entries: word >> 8,
    })
}
