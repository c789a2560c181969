//! Virtqueues whose rings their holder writes, with addresses of the function's domain in them.
//!
//! A device takes its queues while it starts (3.1.1, step 7), so such a queue is opened by stopping the device, reading that it
//! stopped, and starting it again with the holder's rings in the place of the broker's. Nobody may have a queue by then.
//!
//! Invariant: the only register that is written for such a queue is its own notification. Nothing of its rings is read or written
//! here.

use driver_core::{
    BrokerIo, Counts, DeviceAddress, DirectRing, DirectSpec, QueuePlace, Refusal, release_to_device,
};
use virtio_format::ring::{DESCRIPTOR_BYTES, USED_ELEMENT_BYTES};

use crate::class::Class;
use crate::device::{Agreed, Device, Phase, QUEUE_KIND, UnderWay};
use crate::queue::Place;
use crate::transport::offers_bus;

/// Bytes of a ring's flags and index before its entries, and of the field behind them that is not used here.
const AROUND: u64 = 6;

/// A queue that its holder writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirectQueue {
    /// Where the device finds its parts.
    pub(crate) place: Place,
    /// What its completions raise.
    vector: Option<u16>,
}

impl DirectQueue {
    /// The MSI-X vector to give the device; a line is nobody's to give.
    pub(crate) fn vector(&self, msix_vectors: u16) -> Option<u16> {
        self.vector.filter(|vector| *vector < msix_vectors)
    }
}

/// The parts of a queue over its holder's rings: descriptors and available ring in the first, used ring in the second.
fn place_of(spec: &DirectSpec) -> Result<Place, Refusal> {
    let depth = spec.queue.depth;
    if !depth.is_power_of_two() {
        return Err(Refusal::BadArgument);
    }
    let entries = u64::from(depth);
    let available = entries * DESCRIPTOR_BYTES as u64;
    let fits = |ring: &DirectRing, bytes: u64| ring.bytes >= bytes;
    let given = fits(&spec.submissions, available + AROUND + entries * 2);
    let taken = fits(
        &spec.completions,
        AROUND + entries * USED_ELEMENT_BYTES as u64,
    );
    if !given || !taken {
        return Err(Refusal::OutOfRange);
    }
    let base: DeviceAddress = spec.submissions.address;
    Ok(Place {
        size: depth,
        parts: [base, base.offset(available), spec.completions.address],
    })
}

impl<C: Class> Device<C> {
    /// Begins opening a queue over its holder's rings.
    pub(crate) fn begin_open_direct(
        &mut self,
        io: &dyn BrokerIo,
        spec: &DirectSpec,
    ) -> Result<UnderWay, Refusal> {
        let Phase::Running(agreed) = self.phase else {
            return Err(Refusal::WrongState);
        };
        // The legacy interface has one page number for all parts of a queue, and no addresses of the bus.
        if !self.transport.parts_are_chosen() || self.over_bus != Some(true) {
            return Err(Refusal::NotSupported);
        }
        let queue = spec.queue;
        let limit = agreed.depth(queue.index);
        if queue.kind != QUEUE_KIND || limit.is_none_or(|limit| queue.depth > limit) {
            return Err(Refusal::OutOfRange);
        }
        self.check_source(queue.index, queue.vector)?;
        let place = place_of(spec)?;
        // What is open would lose what it has in flight.
        if self.open.contains(&true) || self.directs.iter().any(Option::is_some) {
            return Err(Refusal::WrongState);
        }
        let direct = self.directs.get_mut(usize::from(queue.index));
        *direct.ok_or(Refusal::OutOfRange)? = Some(DirectQueue {
            place,
            vector: queue.vector,
        });
        self.phase = Phase::Unknown;
        let stopping = self.begin_stop(io);
        Ok(match stopping {
            Ok(UnderWay::Stopping { deadline_ns }) => UnderWay::Restarting {
                deadline_ns,
                agreed,
            },
            Ok(other) => other,
            Err(refusal) => UnderWay::Impossible(refusal),
        })
    }

    /// Starts a device again that was seen to have stopped, by what was agreed on before.
    pub(crate) fn restart(&mut self, io: &mut dyn BrokerIo, agreed: Agreed) -> Result<(), Refusal> {
        self.phase = Phase::Stopped;
        let offered = self.greet(io)?;
        if offered & agreed.features != agreed.features || !offers_bus(offered) {
            return Err(Refusal::DeviceError);
        }
        self.start(io, agreed)
    }

    /// Tells the device that a queue has something which its holder wrote.
    pub(crate) fn ring_direct(
        &self,
        io: &dyn BrokerIo,
        queue: QueuePlace,
        counts: Counts,
    ) -> Result<(), Refusal> {
        let index = usize::from(queue.index);
        let direct = self.directs.get(index).and_then(Option::as_ref);
        let direct = direct.filter(|_| queue.kind == QUEUE_KIND);
        let entries = direct.ok_or(Refusal::NotSupported)?.place.size;
        if !matches!(self.phase, Phase::Running(_)) {
            return Err(Refusal::WrongState);
        }
        if counts.tail >= entries || counts.head >= entries {
            return Err(Refusal::OutOfRange);
        }
        // What its holder wrote is in memory before the device is told of it. A ring may be full, so an index that has not
        // changed says nothing; and what was taken need not be told.
        release_to_device();
        let doorbell = self.doorbells.get(index).copied().flatten();
        self.transport.notify(io, queue.index, doorbell);
        Ok(())
    }
}
