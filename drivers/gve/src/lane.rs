//! The two queues for frames: how each stands, and what a command in it may be.

use driver_core::{QueuePlace, Refusal, Segment};
use gve_format::brokered::{BUFFER_BYTES, Side, kind};
use sabotage::sabotage;

use crate::enable::ETHERNET;
use crate::queue::{Block, Frames, Receive, Rings, Transmit};
use crate::tags::Tags;

/// How a queue stands.
#[derive(Debug)]
pub(crate) enum Lane<Q> {
    Closed(Option<Rings>, Option<Tags>),
    /// Half of it may exist at the device: only a reset closes it.
    Opening(usize, Option<Tags>),
    Open(usize, Block, Q),
}

impl<Q> Lane<Q> {
    /// The block that it has.
    pub(crate) const fn block(&self) -> Option<usize> {
        match self {
            Self::Closed(..) => None,
            Self::Opening(block, _) | Self::Open(block, ..) => Some(*block),
        }
    }

    /// The queue that carries commands.
    ///
    /// # Errors
    /// `OutOfRange` for one that is closed, `WrongState` for one on its way.
    pub(crate) fn open(&mut self) -> Result<(&mut Block, &mut Q), Refusal> {
        match self {
            Self::Closed(..) => Err(Refusal::OutOfRange),
            Self::Opening(..) => Err(Refusal::WrongState),
            Self::Open(_, block, queue) => Ok((block, queue)),
        }
    }
}

impl Lane<Receive> {
    /// Nothing goes to it any more; what it was made of stays.
    pub(crate) fn close(&mut self) {
        *self = match core::mem::replace(self, Self::Closed(None, None)) {
            Self::Open(_, _, Receive::Dqo(queue)) => {
                let (rings, tags) = queue.parts();
                Self::Closed(Some(rings), Some(tags))
            }
            Self::Open(_, _, queue) => Self::Closed(Some(queue.rings()), None),
            Self::Opening(_, tags) => Self::Closed(None, tags),
            closed @ Self::Closed(..) => closed,
        };
    }
}

impl Lane<Transmit> {
    /// Nothing goes to it any more; what it was made of stays.
    pub(crate) fn close(&mut self) {
        *self = match core::mem::replace(self, Self::Closed(None, None)) {
            Self::Open(_, _, Transmit::Dqo(queue)) => {
                let (rings, tags) = queue.parts();
                Self::Closed(Some(rings), Some(tags))
            }
            Self::Open(_, _, queue) => Self::Closed(Some(queue.rings()), None),
            Self::Opening(_, tags) => Self::Closed(None, tags),
            closed @ Self::Closed(..) => closed,
        };
    }
}

/// Room for one frame: a whole buffer, where the device may put one.
#[inline]
pub(crate) fn check_room(segment: &Segment<'_>) -> Result<(), Refusal> {
    if segment.direction != driver_core::Direction::FromDevice {
        return Err(Refusal::BadArgument);
    }
    if segment.length != BUFFER_BYTES.into() && !sabotage!(GVE_SKIP_LENGTH_CHECK) {
        return Err(Refusal::LengthMismatch);
    }
    match segment.offset.is_multiple_of(BUFFER_BYTES.into()) {
        true => Ok(()),
        false => Err(Refusal::Misaligned),
    }
}

/// A frame that fits the wire.
#[inline]
pub(crate) fn check_frame(segment: &Segment<'_>, mtu: u16) -> Result<(), Refusal> {
    if segment.direction != driver_core::Direction::ToDevice {
        return Err(Refusal::BadArgument);
    }
    let most = u32::from(mtu + ETHERNET);
    match (u32::from(ETHERNET)..=most).contains(&segment.length) {
        true => Ok(()),
        false => Err(Refusal::LengthMismatch),
    }
}

/// Which queue a kind is; none for lists.
pub(crate) const fn side_of(number: u16) -> Option<Side> {
    match number {
        kind::RECEIVE => Some(Side::Receive),
        kind::TRANSMIT => Some(Side::Transmit),
        _ => None,
    }
}

/// The queue for frames at this place.
#[inline]
pub(crate) fn side_at(place: QueuePlace) -> Result<Side, Refusal> {
    let side = side_of(place.kind).filter(|_| place.index == 0);
    side.ok_or(Refusal::OutOfRange)
}

/// The memory of a queue that is closed.
pub(crate) fn take_rings<Q>(lane: &mut Lane<Q>) -> Option<Rings> {
    match lane {
        Lane::Closed(rings, _) => rings.take(),
        _ => None,
    }
}

/// A queue is on its way.
pub(crate) fn begin_lane<Q>(lane: &mut Lane<Q>, block: usize) {
    if let Lane::Closed(_, tags) = lane {
        let tags = tags.take();
        *lane = Lane::Opening(block, tags);
    }
}
