//! The order of a commit, as types: a root is written by who holds a group that is [`Ready`], and a group becomes that
//! only by a flush or by being small enough to be verified.

use core::marker::PhantomData;

use sabotage::sabotage;
use volume_format::{BLOCK, Layout, Root, VERIFY, VERIFY_LIMIT};

use crate::{Blocks, Error};

/// How long a commit takes to answer, and what a mount has to do for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// One flush: the next mount verifies what the group wrote. A large group becomes a checkpoint.
    Sync,
    /// Two flushes: the root counts by itself.
    Checkpoint,
}

/// All blocks of the group were handed over.
#[derive(Debug)]
pub struct Written;
/// All blocks of the group are durable.
#[derive(Debug)]
pub struct Flushed;
/// The group is small enough for a mount to look at all of it.
#[derive(Debug)]
pub struct Verifiable;
/// The root was handed over.
#[derive(Debug)]
pub struct Rooted;
/// Group and root are durable.
#[derive(Debug)]
pub struct Durable;

/// States in which a root may be written.
pub trait Ready: sealed::Sealed {}
impl Ready for Flushed {}
impl Ready for Verifiable {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Flushed {}
    impl Sealed for super::Verifiable {}
}

/// A transaction group on its way to the disk.
#[derive(Debug)]
pub struct Txg<State> {
    root: Root,
    sum: u64,
    state: PhantomData<State>,
}

impl<State> Txg<State> {
    fn step<Next>(self) -> Txg<Next> {
        Txg {
            root: self.root,
            sum: self.sum,
            state: PhantomData,
        }
    }
}

impl Txg<Written> {
    /// A group whose blocks were all handed over.
    pub(crate) fn written(root: Root) -> Self {
        Self {
            root,
            sum: 0,
            state: PhantomData,
        }
    }

    /// Makes the group's blocks durable.
    pub(crate) fn flush<B: Blocks>(self, disk: &mut B) -> Result<Txg<Flushed>, Error<B::Error>> {
        if !sabotage!(VOLUME_SKIP_DATA_FLUSH) {
            disk.flush().map_err(Error::Disk)?;
        }
        Ok(self.step())
    }

    /// Marks the group for verification, if it is small enough.
    #[allow(clippy::result_large_err, reason = "one of each commit, moved once")]
    pub(crate) fn verifiable(mut self) -> Result<Txg<Verifiable>, Self> {
        if self.root.written > VERIFY_LIMIT {
            return Err(self);
        }
        self.root.flags |= VERIFY;
        Ok(self.step())
    }
}

impl<State: Ready> Txg<State> {
    /// Hands the root over, to both rings.
    pub(crate) fn write_root<B: Blocks>(
        mut self,
        disk: &mut B,
        uuid: &[u8; 16],
        layout: &Layout,
        block: &mut [u8],
    ) -> Result<Txg<Rooted>, Error<B::Error>> {
        debug_assert_eq!(block.len(), BLOCK);
        self.sum = self.root.encode(uuid, block);
        for lba in layout.roots(self.root.txg) {
            disk.write(lba, block).map_err(Error::Disk)?;
        }
        Ok(self.step())
    }
}

impl Txg<Rooted> {
    /// Makes the root durable, and under [`VERIFY`] the group's blocks with it.
    pub(crate) fn flush<B: Blocks>(self, disk: &mut B) -> Result<Txg<Durable>, Error<B::Error>> {
        if !sabotage!(VOLUME_SKIP_ROOT_FLUSH) {
            disk.flush().map_err(Error::Disk)?;
        }
        Ok(self.step())
    }
}

impl Txg<Durable> {
    /// The root and its sum, which may now be told.
    pub(crate) fn publish(self) -> (Root, u64) {
        (self.root, self.sum)
    }
}
