//! I/O pairs whose entries their holder writes, with addresses of the function's domain in them.
//!
//! Invariant: the only registers that are written for such a pair are its own two doorbells, with indices below its entries.
//! Nothing of its rings is read or written here.

use driver_core::{
    BrokerIo, Counts, DirectRing, DirectSpec, QueuePlace, Refusal, release_to_device,
};
use nvme_format::{COMMAND_BYTES, COMPLETION_BYTES, PAGE_BYTES, regs};

use crate::broker::{Nvme, Phase, State, UnderWay};
use crate::lane::Lane;
use crate::open::{Opening, Rings};

/// A ring of one entry is full as soon as it is not empty.
const MIN_ENTRIES: u16 = 2;

/// A pair that its holder writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectPair {
    number: u16,
    entries: u16,
    stride: u8,
    /// What the doorbells hold.
    told: Counts,
}

impl Nvme {
    /// Starts creating a pair over its holder's rings.
    pub(crate) fn begin_open_direct(
        &mut self,
        io: &dyn BrokerIo,
        spec: &DirectSpec,
    ) -> Result<UnderWay, Refusal> {
        let queue = spec.queue;
        let lane = self.may_open(queue)?;
        // Whoever writes commands of the administration queue makes queues wherever it likes.
        let pair = lane.pair()?;
        let Phase::Enabled(settings, _) = &self.phase else {
            return Err(Refusal::WrongState);
        };
        let stride = settings.cap.doorbell_stride();
        if queue.depth < MIN_ENTRIES {
            return Err(Refusal::OutOfRange);
        }
        let rings = Rings {
            number: queue.index,
            entries: queue.depth,
            submissions: base_of(spec.submissions, queue.depth, COMMAND_BYTES)?,
            completions: base_of(spec.completions, queue.depth, COMPLETION_BYTES)?,
        };
        let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
        let opening = Opening::begin(io, admin, pair, rings, queue.vector)?;
        if let (Some(direct), Some(state)) = (self.directs.get_mut(pair), self.states.get_mut(pair))
        {
            *state = State::Opening;
            *direct = Some(DirectPair {
                number: rings.number,
                entries: rings.entries,
                stride,
                told: Counts { tail: 0, head: 0 },
            });
        }
        Ok(UnderWay::Opening(opening))
    }

    /// Writes what has changed of the doorbells of a pair that its holder writes.
    pub(crate) fn ring_direct(
        &mut self,
        io: &dyn BrokerIo,
        queue: QueuePlace,
        counts: Counts,
    ) -> Result<(), Refusal> {
        let pair = match Lane::at(queue).ok_or(Refusal::OutOfRange)? {
            Lane::Io(pair) => pair,
            Lane::Admin => return Err(Refusal::NotSupported),
        };
        let direct = self.directs.get_mut(pair).and_then(Option::as_mut);
        let direct = direct.ok_or(Refusal::NotSupported)?;
        if self.states.get(pair) != Some(&State::Direct) {
            return Err(Refusal::WrongState);
        }
        if counts.tail >= direct.entries || counts.head >= direct.entries {
            return Err(Refusal::OutOfRange);
        }
        let registers = io.registers(0)?;
        let Counts { tail, head } = direct.told;
        // `configure` checked that the doorbells lie in the BAR. Room for completions is given before more commands.
        if counts.head != head {
            let doorbell = regs::cq_head_doorbell(direct.number, direct.stride);
            registers.write32(doorbell, u32::from(counts.head))?;
        }
        if counts.tail != tail {
            // What its holder wrote is in memory before the device is told of it.
            release_to_device();
            let doorbell = regs::sq_tail_doorbell(direct.number, direct.stride);
            registers.write32(doorbell, u32::from(counts.tail))?;
        }
        direct.told = counts;
        Ok(())
    }
}

/// Where a ring begins that holds so many entries.
fn base_of(ring: DirectRing, entries: u16, entry_bytes: usize) -> Result<u64, Refusal> {
    let bytes = u64::from(entries) * entry_bytes as u64;
    let base = ring.address.bus();
    if bytes > ring.bytes {
        return Err(Refusal::OutOfRange);
    }
    if !base.is_multiple_of(u64::from(PAGE_BYTES)) {
        return Err(Refusal::Misaligned);
    }
    Ok(base)
}
