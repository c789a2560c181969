//! Commands about blocks that have no data: WRITE ZEROES, and DATASET MANAGEMENT with the one range that the broker writes.
//!
//! Invariant: the range lies in the slot's own list memory, which no provider reaches, and is not written while a command in
//! flight may name it.

use driver_core::{Opcode, Refusal, Transfer};
use nvme_format::prp::{self, ListMemory};
use nvme_format::template::{self, Limits, TemplateError};
use nvme_format::{Command, PAGE_BYTES, RANGE_BYTES};
use sabotage::sabotage;

use crate::broker::template_refusal;
use crate::queue::Queue;

/// A transfer whose list has room for the two words of a range.
pub(crate) const RANGE_ROOM: u32 = 3 * PAGE_BYTES;

const _: () = assert!(prp::list_stride(RANGE_ROOM) >= RANGE_BYTES);

impl Queue {
    /// Writes the command for zeros or a discard. The slot was checked, so nothing in flight names its list memory.
    ///
    /// # Errors
    /// `OutOfRange`, `ReadOnly`; `NotSupported` without list memory; those of [`Queue::push`]. Nothing has changed then.
    pub(crate) fn clear(
        &mut self,
        slot: u16,
        transfer: &Transfer<'_>,
        limits: &Limits<'_>,
    ) -> Result<(), Refusal> {
        let (nsid, lba, bytes) = (transfer.unit.into(), transfer.block, transfer.length);
        let command = match transfer.opcode {
            Opcode::Zero => template::zero(nsid, lba, bytes, limits),
            _ => {
                let made = template::discard(nsid, lba, bytes, limits);
                let made = let_through(made, (nsid, lba, bytes), limits);
                let (command, range) = made.map_err(template_refusal)?;
                return self.discard(slot, command, range);
            }
        };
        self.push(slot, command.map_err(template_refusal)?)
    }

    fn discard(&mut self, slot: u16, command: Command, range: [u64; 2]) -> Result<(), Refusal> {
        let mut list = self.lists.of(slot);
        let start = list.start;
        let page = list.page_address(start).ok_or(Refusal::NotSupported)?;
        for (word, value) in range.into_iter().enumerate() {
            if !list.store(start + 8 * word, value) {
                return Err(Refusal::NotSupported);
            }
        }
        let prp1 = page + start as u64;
        self.push(slot, Command { prp1, ..command })
    }
}

type Made = Result<(Command, [u64; 2]), TemplateError>;

/// What the broker decides with the check of the range left out.
fn let_through(made: Made, (nsid, lba, bytes): (u32, u64, u32), limits: &Limits<'_>) -> Made {
    match made {
        Err(TemplateError::LbaRange) if sabotage!(NVME_DISCARD_ANYWHERE) => {
            let mut namespaces = limits.namespaces.iter();
            let namespace = namespaces.find(|one| one.nsid == nsid);
            let shift = namespace.ok_or(TemplateError::Namespace)?.block_shift;
            let range = Command::range(lba, bytes >> shift);
            Ok((Command::deallocate(nsid, 0), range))
        }
        other => other,
    }
}
