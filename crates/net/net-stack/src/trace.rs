//! What passes the interface, copied for whoever has the right to see it: records of a pcap file in a ring with a bound.
//!
//! The format is the one of <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html>, little-endian, with nanoseconds. The ring
//! gives up its oldest records for new ones and counts them; nothing is allocated for a frame.

use alloc::collections::VecDeque;

use units::Nanoseconds;

/// The head of a file: magic of nanoseconds, version 2.4, the longest record, Ethernet.
pub const FILE_HEAD: [u8; 24] = [
    0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0,
];
/// Bytes of a record before the frame's.
const HEAD: usize = 16;
/// Bytes that a ring may have.
const RING: core::ops::RangeInclusive<usize> = 4096..=1 << 20;
/// Bytes of a frame that may be kept.
const SNAP: core::ops::RangeInclusive<usize> = 14..=1514;

/// Copies of frames.
#[derive(Debug)]
pub struct Trace {
    ring: VecDeque<u8>,
    room: usize,
    snap: usize,
    /// The number of the oldest record that is there, and of the next one.
    first: u64,
    next: u64,
}

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Bytes that were written: whole records.
    pub bytes: usize,
    /// The number of the record that follows.
    pub next: u64,
    /// Records that are gone, of those that were asked for.
    pub dropped: u64,
}

impl Trace {
    /// A ring of so many bytes, for so many of each frame; `None` for what is out of bounds.
    #[must_use]
    pub fn new(room: usize, snap: usize) -> Option<Self> {
        if !RING.contains(&room) || !SNAP.contains(&snap) {
            return None;
        }
        Some(Self {
            ring: VecDeque::with_capacity(room),
            room,
            snap,
            first: 0,
            next: 0,
        })
    }

    /// How long the record at a place of the ring is.
    fn length_at(&self, place: usize) -> Option<usize> {
        let mut bytes = [0; 4];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = *self.ring.get(place + 8 + at)?;
        }
        Some(HEAD + u32::from_le_bytes(bytes) as usize)
    }

    /// Copies a frame.
    pub fn note(&mut self, now: Nanoseconds, frame: &[u8]) {
        let kept = frame.get(..self.snap).unwrap_or(frame);
        while self.ring.len() + HEAD + kept.len() > self.room {
            // The smallest ring has room for a record, so there is one to give up.
            let Some(length) = self.length_at(0) else {
                return;
            };
            self.ring.drain(..length.min(self.ring.len()));
            self.first += 1;
        }
        let (seconds, rest) = (now.as_u64() / 1_000_000_000, now.as_u64() % 1_000_000_000);
        for word in [
            seconds as u32,
            rest as u32,
            kept.len() as u32,
            frame.len() as u32,
        ] {
            self.ring.extend(word.to_le_bytes());
        }
        self.ring.extend(kept);
        self.next += 1;
    }

    /// Writes records from number `from` on, as many as fit whole.
    pub fn read(&self, from: u64, to: &mut [u8]) -> Taken {
        let from = from.min(self.next);
        let begin = from.max(self.first);
        let (mut place, mut number) = (0, self.first);
        let mut bytes = 0;
        while let Some(length) = self.length_at(place) {
            if number >= begin {
                let Some(into) = to.get_mut(bytes..bytes + length) else {
                    break;
                };
                for (into, byte) in into.iter_mut().zip(self.ring.range(place..)) {
                    *into = *byte;
                }
                bytes += length;
            }
            place += length;
            number += 1;
        }
        Taken {
            bytes,
            next: number,
            dropped: begin - from,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Taken, Trace};
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use units::Nanoseconds;

    const NOW: Nanoseconds = Nanoseconds::new(3_000_000_004);

    #[test]
    fn a_record_is_that_of_a_file() {
        let mut trace = Trace::new(4096, 14).unwrap();
        trace.note(NOW, &[7; 60]);
        let mut bytes = [0; 100];
        let taken = trace.read(0, &mut bytes);
        let is = |bytes, next, dropped| Taken {
            bytes,
            next,
            dropped,
        };
        assert_eq!(taken, is(30, 1, 0));
        let expected = [
            &[3, 0, 0, 0, 4, 0, 0, 0, 14, 0, 0, 0, 60, 0, 0, 0][..],
            &[7; 14],
        ]
        .concat();
        assert_eq!(bytes[..30], expected);
        assert_eq!(trace.read(1, &mut bytes), is(0, 1, 0));
        assert_eq!(trace.read(u64::MAX, &mut bytes), is(0, 1, 0));
        assert_eq!(trace.read(0, &mut bytes[..29]), is(0, 0, 0));
        assert!(Trace::new(4095, 14).is_none() && Trace::new(4096, 13).is_none());
        assert!(Trace::new(4096, 1515).is_none() && Trace::new((1 << 20) + 1, 14).is_none());
    }

    proptest! {
        #[test]
        fn what_is_there_is_the_end_of_what_came(
            frames in prop::collection::vec((any::<u8>(), 0_usize..2000), 0..60),
            snap in 14_usize..=1514,
            from in 0_u64..70,
            room in 0_usize..9000,
        ) {
            let mut trace = Trace::new(4096, snap).unwrap();
            for (byte, length) in &frames {
                trace.note(NOW, &vec![*byte; *length]);
            }
            let mut bytes = vec![0; room];
            let taken = trace.read(from, &mut bytes);
            let (mut at, mut number) = (0, from.min(frames.len() as u64) + taken.dropped);
            while at < taken.bytes {
                let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
                let (byte, length) = frames[number as usize];
                prop_assert_eq!(word(at + 12), length);
                prop_assert_eq!(word(at + 8), length.min(snap));
                let kept: Vec<u8> = vec![byte; length.min(snap)];
                prop_assert_eq!(&bytes[at + 16..at + 16 + kept.len()], &kept[..]);
                at += 16 + kept.len();
                number += 1;
            }
            prop_assert_eq!((at, number), (taken.bytes, taken.next.max(number)));
            prop_assert!(taken.next <= frames.len() as u64);
        }
    }
}
