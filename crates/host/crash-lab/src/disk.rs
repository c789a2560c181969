//! Disks in memory.

use std::collections::HashMap;
use std::rc::Rc;

use volume_core::Blocks;
use volume_format::BLOCK;

/// Bytes of a block, shared between states.
pub type Block = Rc<Vec<u8>>;

/// What a disk durably holds; what is not there is zero.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// Blocks of the disk.
    pub blocks: u64,
    /// Those that were written.
    pub content: HashMap<u64, Block>,
}

impl Image {
    /// A disk of zeroes.
    #[must_use]
    pub fn new(blocks: u64) -> Self {
        Self {
            blocks,
            content: HashMap::new(),
        }
    }
}

/// What the disk was told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A block was handed over.
    Write(u64, Block),
    /// Everything before is durable.
    Flush,
    /// The workload was told that its state number so is durable.
    Acknowledged(usize),
    /// The workload was told this number of a binding.
    Told(u64),
    /// The workload began to make its state number so durable.
    Submitted(usize),
}

/// What goes wrong, at which command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The command with this number fails.
    Command(u64),
}

/// A disk that works, and records.
#[derive(Debug)]
pub struct Recorder {
    /// What reads see.
    pub now: Image,
    /// All that happened.
    pub events: Vec<Event>,
    /// What goes wrong.
    pub fault: Fault,
    /// Commands so far.
    pub commands: u64,
}

impl Recorder {
    /// A disk that holds this image durably.
    #[must_use]
    pub fn new(now: Image) -> Self {
        Self {
            now,
            events: Vec::new(),
            fault: Fault::None,
            commands: 0,
        }
    }

    fn command(&mut self) -> Result<(), &'static str> {
        self.commands += 1;
        if self.fault == Fault::Command(self.commands) {
            return Err("the command was to fail");
        }
        Ok(())
    }
}

fn read(image: &Image, lba: u64, buf: &mut [u8]) -> Result<(), &'static str> {
    for (index, part) in buf.chunks_mut(BLOCK).enumerate() {
        let at = lba + index as u64;
        if at >= image.blocks {
            return Err("a read beyond the disk");
        }
        match image.content.get(&at) {
            Some(block) => part.copy_from_slice(block),
            None => part.fill(0),
        }
    }
    Ok(())
}

impl Blocks for Recorder {
    type Error = &'static str;

    fn blocks(&self) -> u64 {
        self.now.blocks
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        self.command()?;
        read(&self.now, lba, buf)
    }

    fn write(&mut self, lba: u64, block: &[u8]) -> Result<(), Self::Error> {
        self.command()?;
        assert!(lba < self.now.blocks, "a write beyond the disk");
        let block = Rc::new(block.to_vec());
        self.now.content.insert(lba, block.clone());
        self.events.push(Event::Write(lba, block));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.command()?;
        self.events.push(Event::Flush);
        Ok(())
    }
}

/// A durable image with something over it: one state after a power cut. Writes to it go over it, too.
#[derive(Debug)]
pub struct View<'a> {
    /// Below.
    pub base: &'a Image,
    /// What lies over it.
    pub over: HashMap<u64, Block>,
    /// Read commands.
    pub reads: u64,
}

impl<'a> View<'a> {
    /// An image as it is.
    #[must_use]
    pub fn new(base: &'a Image) -> Self {
        Self {
            base,
            over: HashMap::new(),
            reads: 0,
        }
    }

    /// Lays the sectors of a mask over a block.
    pub fn tear(&mut self, lba: u64, block: &Block, mask: u8) {
        if mask == 0xff {
            self.over.insert(lba, block.clone());
            return;
        }
        let mut mixed = vec![0; BLOCK];
        let below = self.over.get(&lba).or_else(|| self.base.content.get(&lba));
        if let Some(below) = below {
            mixed.copy_from_slice(below);
        }
        for sector in (0..8).filter(|sector| mask >> sector & 1 == 1) {
            let range = sector * 512..(sector + 1) * 512;
            mixed[range.clone()].copy_from_slice(&block[range]);
        }
        self.over.insert(lba, Rc::new(mixed));
    }
}

impl Blocks for View<'_> {
    type Error = &'static str;

    fn blocks(&self) -> u64 {
        self.base.blocks
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        self.reads += 1;
        for (index, part) in buf.chunks_mut(BLOCK).enumerate() {
            let at = lba + index as u64;
            match self.over.get(&at) {
                Some(block) => part.copy_from_slice(block),
                None => read(self.base, at, part)?,
            }
        }
        Ok(())
    }

    fn write(&mut self, lba: u64, block: &[u8]) -> Result<(), Self::Error> {
        self.over.insert(lba, Rc::new(block.to_vec()));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

impl volume_check::Disk for View<'_> {
    fn blocks(&self) -> u64 {
        self.base.blocks
    }

    fn read(&mut self, lba: u64, block: &mut [u8]) -> bool {
        Blocks::read(self, lba, block).is_ok()
    }
}
