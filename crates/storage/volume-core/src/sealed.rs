//! A block with the pointer to it, which seals it by a sum.

use volume_format::{Ptr, PtrKind, sum};

use crate::space::Context;
use crate::{Blocks, Error};

impl Context {
    /// Hands a block of the open group to the disk. The pointer to it says whose it is and at which position.
    pub(crate) fn write<B: Blocks>(
        &self,
        disk: &mut B,
        (lba, kind): (u64, PtrKind),
        (owner, position): (u64, u64),
        block: &[u8],
    ) -> Result<Ptr, Error<B::Error>> {
        let mut ptr = Ptr {
            lba,
            birth: self.txg,
            sum: 0,
            mount: self.mount,
            kind,
        };
        ptr.sum = sum(&ptr.seed(&self.uuid, owner, position), block);
        disk.write(lba, block).map_err(Error::Disk)?;
        Ok(ptr)
    }

    /// Whether a block is the one that the pointer to it was made for.
    pub(crate) fn is_sealed(&self, ptr: &Ptr, (owner, position): (u64, u64), block: &[u8]) -> bool {
        sum(&ptr.seed(&self.uuid, owner, position), block) == ptr.sum
    }
}
