//! What a unit reports of requests that it refused (VT-d 4.1, 7.1, 11.4.9 and 11.4.14).

use crate::PAGE_BYTES;

/// What a device wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// To write.
    Write,
    /// To read, or to change in one piece.
    Read,
}

impl Request {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// Why a request was refused, as the unit numbers it (7.1.3, tables 25 and 26).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultReason(pub u8);

impl FaultReason {
    /// Returns the name used in evidence lines; what is not in the tables of legacy mode is `unknown`.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x01 => "root-absent",
            0x02 => "context-absent",
            0x03 => "context-invalid",
            0x04 => "address-width",
            0x05 => "write-permission",
            0x06 => "read-permission",
            0x07 => "table-access",
            0x08 => "root-access",
            0x09 => "context-access",
            0x0a => "root-reserved",
            0x0b => "context-reserved",
            0x0c => "entry-reserved",
            0x0d => "translation-type",
            0x20 => "interrupt-reserved",
            0x21 => "interrupt-index",
            0x22 => "interrupt-absent",
            0x23 => "interrupt-access",
            0x24 => "interrupt-entry-reserved",
            0x25 => "interrupt-compatibility",
            0x26 => "interrupt-source",
            _ => "unknown",
        }
    }

    /// Whether an interrupt was refused, and not memory.
    pub const fn of_interrupt(self) -> bool {
        self.0 >= 0x20 && self.0 <= 0x27
    }
}

/// What was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Memory at a device address.
    Memory {
        /// Page that was asked for; an address of the domain, never one of memory.
        iova: u64,
        /// To do what.
        request: Request,
    },
    /// An interrupt by the number of an entry.
    Interrupt {
        /// The number.
        index: u16,
    },
}

/// One fault record (11.4.14).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultRecord {
    /// Requester id.
    pub source: u16,
    /// Why.
    pub reason: FaultReason,
    /// What.
    pub fault: Fault,
}

const FILLED: u64 = 1 << 63;

impl FaultRecord {
    /// What is written to the record's high word to give it back (`F` is cleared by writing one).
    pub const GIVE_BACK: u64 = FILLED;

    /// Reads a record, the low word first; `None` if it holds none. Every other pair of words is one: reserved bits,
    /// which some units fill, are not looked at.
    pub const fn read(words: [u64; 2]) -> Option<Self> {
        let [low, high] = words;
        if high & FILLED == 0 {
            return None;
        }
        let reason = FaultReason((high >> 32) as u8);
        let fault = match (reason.of_interrupt(), high >> 62 & 1) {
            (true, _) => Fault::Interrupt {
                index: (low >> 48) as u16,
            },
            (false, kind) => Fault::Memory {
                iova: low & !(PAGE_BYTES - 1),
                request: match kind {
                    0 => Request::Write,
                    _ => Request::Read,
                },
            },
        };
        Some(Self {
            source: high as u16,
            reason,
            fault,
        })
    }
}

/// The fault status register (11.4.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultStatus(pub u32);

impl FaultStatus {
    /// What is written to clear overflow and the queue's errors; pending follows the records.
    pub const CLEAR: u32 = 1 | 1 << 4 | 1 << 5 | 1 << 6;

    /// `PFO`: records were lost.
    pub const fn overflow(self) -> bool {
        self.0 & 1 != 0
    }

    /// `PPF`: a record is filled.
    pub const fn pending(self) -> bool {
        self.0 & 2 != 0
    }

    /// `IQE`, `ICE` or `ITE`: the unit could not take a descriptor, or a device did not answer an invalidation. The
    /// queue stands still.
    pub const fn queue_error(self) -> bool {
        self.0 & (1 << 4 | 1 << 5 | 1 << 6) != 0
    }

    /// `FRI`: the first filled record, which may be outside of those there are.
    pub const fn first(self) -> usize {
        (self.0 >> 8 & 0xff) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_whatever_reserved_bits_hold() {
        // As an emulated unit writes it, with ones in bits 40 to 59.
        let read = FaultRecord::read([0x30_0000, 0x8fff_ff05_0000_0020]).unwrap();
        assert_eq!(
            (read.source, read.reason.name()),
            (0x20, "write-permission")
        );
        let expected = Fault::Memory {
            iova: 0x30_0000,
            request: Request::Write,
        };
        assert_eq!(read.fault, expected);
        let read = FaultRecord::read([0x3fff, 0xc000_0006_0000_0108]).unwrap();
        let expected = Fault::Memory {
            iova: 0x3000,
            request: Request::Read,
        };
        assert_eq!((read.source, read.fault), (0x108, expected));
        let read = FaultRecord::read([0x0014_0000_0000_0000, 0x8000_0022_0000_0020]).unwrap();
        assert_eq!(read.fault, Fault::Interrupt { index: 0x14 });
        assert_eq!(FaultRecord::read([u64::MAX, u64::MAX >> 1]), None);
        assert_eq!(FaultReason(0xff).name(), "unknown");
        let status = FaultStatus(0x0713);
        assert!(status.overflow() && status.pending() && status.queue_error());
        assert_eq!(status.first(), 7);
    }
}
