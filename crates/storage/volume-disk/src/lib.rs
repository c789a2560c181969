//! What a volume is written through, in a system whose disk drivers may die at any time.
//!
//! Owns: the blocks that a volume handed over since the last flush, in `Held`, and some that were read, in `Clean`.
//!
//! A driver that ends, and a device that is reset, may lose what they had answered for and not yet flushed. So the bytes of
//! every write stay here until a flush covers them, and [`Device::epoch`] says whether there was such a loss since: then
//! everything is written again before the flush is asked for again. Writing the same bytes to the same blocks twice is
//! harmless, and nobody else writes to the volume.
//!
//! Invariant: a flush succeeds only if all blocks handed over before were written, and flushed, in one epoch; what is
//! held is bounded; a read never gives anything older than what was handed over. A write and a flush take memory only until
//! as many blocks were held as ever are.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod clean;
mod held;

use alloc::vec::Vec;
use core::fmt;

use sabotage::sabotage;
use volume_core::Blocks;
use volume_format::BLOCK;

use clean::Clean;
use held::Held;

/// A disk, or a part of one, that may lose what was not flushed.
pub trait Device {
    /// What a failed command reports.
    type Error;

    /// Blocks of 4096 bytes.
    fn blocks(&self) -> u64;

    /// Fills `buf`, whole blocks, from block `lba` on.
    ///
    /// # Errors
    /// The device's.
    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes whole blocks, from block `lba` on.
    ///
    /// # Errors
    /// The device's.
    fn write(&mut self, lba: u64, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Makes what was written in this epoch durable.
    ///
    /// # Errors
    /// The device's.
    fn flush(&mut self) -> Result<(), Self::Error>;

    /// A number that is another one whenever something that was written and not flushed may be lost.
    fn epoch(&self) -> u64;
}

/// Why a command of the volume failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error<E> {
    /// The device's.
    Device(E),
    /// There is no memory to hold what was handed over.
    NoMemory,
    /// The device lost what was written [`ATTEMPTS`] times in a row.
    Unsteady,
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::NoMemory => f.write_str("no memory to hold what is to be written"),
            Self::Unsteady => write!(
                f,
                "the driver was restarted {ATTEMPTS} times while the same blocks were written"
            ),
        }
    }
}

/// Blocks held at most: beyond them an early flush, which is always allowed, lets them go.
pub const HELD_BLOCKS: usize = 512;
/// Blocks that were read, or written and flushed, and are kept to be read again.
pub const CLEAN_BLOCKS: usize = 256;
/// Blocks of one command.
pub const RUN_BLOCKS: usize = 32;
/// Blocks read where one is asked for: what a file or a tree wants next mostly lies behind it.
const AHEAD_BLOCKS: usize = 8;
/// How often a flush begins again because the device lost what was written.
pub const ATTEMPTS: u32 = 8;

/// Memory of so many bytes. `None`: there is none.
fn zeroes(bytes: usize) -> Option<Vec<u8>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(bytes).ok()?;
    memory.resize(bytes, 0);
    Some(memory)
}

/// A device as a volume wants it.
#[derive(Debug)]
pub struct VolumeDisk<D> {
    device: D,
    held: Held,
    clean: Clean,
    /// What one command moves.
    run: Vec<u8>,
    /// Epochs in which something was written again.
    replays: u64,
}

impl<D: Device> VolumeDisk<D> {
    /// Over this device.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub fn new(device: D) -> Result<Self, Error<D::Error>> {
        let run = zeroes(RUN_BLOCKS * BLOCK).ok_or(Error::NoMemory)?;
        Ok(Self {
            device,
            held: Held::new().ok_or(Error::NoMemory)?,
            clean: Clean::new().ok_or(Error::NoMemory)?,
            run,
            replays: 0,
        })
    }

    /// The device.
    pub const fn device(&self) -> &D {
        &self.device
    }

    /// How often what was not flushed was written again, because the device may have lost it.
    pub const fn replays(&self) -> u64 {
        self.replays
    }

    /// Forgets what was read, so that the next reads ask the device.
    pub fn forget(&mut self) {
        self.clean.clear();
    }

    /// Writes everything that is held, in few commands.
    fn write_held(&mut self) -> Result<(), Error<D::Error>> {
        let mut from = 0;
        while let Some((first, blocks)) = self.held.run(from, &mut self.run) {
            let bytes = self.run.get(..blocks * BLOCK).unwrap_or_default();
            self.device.write(first, bytes).map_err(Error::Device)?;
            from = first + blocks as u64;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Error<D::Error>> {
        for attempt in 0..ATTEMPTS {
            let epoch = self.device.epoch();
            if attempt == 0 || !sabotage!(STORE_SKIP_REPLAY) {
                self.write_held()?;
            }
            self.replays += u64::from(attempt > 0);
            if !sabotage!(STORE_SKIP_FLUSH) {
                self.device.flush().map_err(Error::Device)?;
            }
            if self.device.epoch() == epoch {
                return Ok(());
            }
        }
        Err(Error::Unsteady)
    }

    /// Reads one block, and keeps those behind it.
    fn fetch(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Error<D::Error>> {
        let left = usize::try_from(self.device.blocks().saturating_sub(lba)).unwrap_or(usize::MAX);
        let blocks = AHEAD_BLOCKS.min(left);
        let ahead = self.run.get_mut(..blocks * BLOCK).unwrap_or_default();
        // A bad block behind the one that is wanted is nobody's business yet.
        if blocks < 2 || self.device.read(lba, ahead).is_err() {
            return self.device.read(lba, buf).map_err(Error::Device);
        }
        for (at, block) in (lba..).zip(ahead.chunks_exact(BLOCK)) {
            if at == lba {
                buf.copy_from_slice(block);
            }
            if self.held.get(at).is_none() {
                self.clean.keep(at, block);
            }
        }
        Ok(())
    }
}

impl<D: Device> Blocks for VolumeDisk<D> {
    type Error = Error<D::Error>;

    fn blocks(&self) -> u64 {
        self.device.blocks()
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        if buf.len() != BLOCK {
            // Whole rings at a mount: what lies here goes over what the device says.
            self.device.read(lba, buf).map_err(Error::Device)?;
            for (at, block) in (lba..).zip(buf.chunks_exact_mut(BLOCK)) {
                if let Some(held) = self.held.get(at) {
                    block.copy_from_slice(held);
                }
            }
            return Ok(());
        }
        match self.held.get(lba).or_else(|| self.clean.get(lba)) {
            Some(block) => {
                buf.copy_from_slice(block);
                Ok(())
            }
            None => self.fetch(lba, buf),
        }
    }

    fn write(&mut self, lba: u64, block: &[u8]) -> Result<(), Self::Error> {
        if self.held.len() >= HELD_BLOCKS {
            self.flush()?;
        }
        self.clean.drop(lba);
        self.held.put(lba, block).ok_or(Error::NoMemory)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        let settled = self.settle();
        // After an error nothing is known of what the device holds, and the volume writes no more: what its last root
        // reaches was flushed before.
        let clean = &mut self.clean;
        self.held.give_up(|lba, block| match settled {
            Ok(()) => clean.put(lba, block),
            Err(_) => Some(block),
        });
        settled
    }
}
