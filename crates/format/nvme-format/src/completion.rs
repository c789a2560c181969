//! The completion queue entry (section 4.6): four dwords that the device writes, so every field is a claim.

/// Bytes of a completion.
pub const COMPLETION_BYTES: usize = 16;

/// One completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// DW0: the command's result.
    pub result: u32,
    /// DW2 bits 15:0: how far the device has fetched the submission queue.
    pub sq_head: u16,
    /// DW2 bits 31:16: the submission queue it came from.
    pub sq_id: u16,
    /// DW3 bits 15:0: command identifier.
    pub cid: u16,
    /// DW3 bit 16: phase tag, inverted by the device on each pass through the queue.
    pub phase: bool,
    /// DW3 bits 31:17.
    pub status: Status,
}

impl Completion {
    /// Takes apart the two 64-bit words of an entry. The second one holds the phase tag: read it first, with acquire
    /// order, and the first one only when the phase is right.
    pub const fn parse(first: u64, second: u64) -> Self {
        Self {
            result: first as u32,
            sq_head: second as u16,
            sq_id: (second >> 16) as u16,
            cid: (second >> 32) as u16,
            phase: second & 1 << 48 != 0,
            status: Status::from_field((second >> 49) as u16),
        }
    }

    /// The phase tag of an entry's second word.
    pub const fn phase_of(second: u64) -> bool {
        second & 1 << 48 != 0
    }

    /// The two words of an entry; for tests and device models.
    pub const fn words(&self) -> [u64; 2] {
        [
            self.result as u64,
            self.sq_head as u64
                | (self.sq_id as u64) << 16
                | (self.cid as u64) << 32
                | (self.phase as u64) << 48
                | (self.status.field() as u64) << 49,
        ]
    }
}

/// A completion's status field (4.6.1): code, type, retry delay, more, do not retry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status(u16);

impl Status {
    /// Success.
    pub const SUCCESS: Self = Self(0);

    /// From the 15 bits above the phase tag.
    pub const fn from_field(field: u16) -> Self {
        Self(field & 0x7fff)
    }

    /// The 15 bits.
    pub const fn field(self) -> u16 {
        self.0
    }

    /// Whether the command succeeded.
    pub const fn is_success(self) -> bool {
        self.0 & 0x7ff == 0
    }

    /// SC: status code.
    pub const fn code(self) -> u8 {
        self.0 as u8
    }

    /// SCT: status code type (0 generic, 1 command specific, 2 media and data integrity, 3 path, 7 vendor).
    pub const fn kind(self) -> u8 {
        (self.0 >> 8) as u8 & 7
    }

    /// DNR: the same command would fail again.
    pub const fn do_not_retry(self) -> bool {
        self.0 & 1 << 14 != 0
    }

    /// A name for people.
    pub const fn name(self) -> &'static str {
        match (self.kind(), self.code()) {
            (0, 0x00) => "success",
            (0, 0x01) => "invalid-opcode",
            (0, 0x02) => "invalid-field",
            (0, 0x03) => "command-id-conflict",
            (0, 0x04) => "data-transfer-error",
            (0, 0x05) => "aborted-power-loss",
            (0, 0x06) => "internal-error",
            (0, 0x07) => "aborted-by-request",
            (0, 0x08) => "aborted-queue-deleted",
            (0, 0x0b) => "invalid-namespace",
            (0, 0x0c) => "command-sequence-error",
            (0, 0x13) => "invalid-prp-offset",
            (0, 0x80) => "lba-out-of-range",
            (0, 0x81) => "capacity-exceeded",
            (0, 0x82) => "namespace-not-ready",
            (0, 0x83) => "reservation-conflict",
            (1, 0x00) => "invalid-completion-queue",
            (1, 0x01) => "invalid-queue-identifier",
            (1, 0x02) => "invalid-queue-size",
            (1, 0x08) => "invalid-interrupt-vector",
            (1, 0x09) => "invalid-log-page",
            (1, 0x80) => "conflicting-attributes",
            (1, 0x82) => "write-to-read-only-range",
            (2, 0x80) => "write-fault",
            (2, 0x81) => "unrecovered-read-error",
            (2, 0x82) => "guard-check-error",
            (2, 0x85) => "compare-failure",
            (2, 0x86) => "access-denied",
            (2, 0x87) => "deallocated-block",
            (0, _) => "generic",
            (1, _) => "command-specific",
            (2, _) => "media-error",
            (3, _) => "path-error",
            (7, _) => "vendor-specific",
            _ => "reserved",
        }
    }
}

/// A position in a ring of `entries`, so that nobody writes the wrap by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingPosition {
    index: u16,
    entries: u16,
}

impl RingPosition {
    /// The start of a ring of `entries` (at least 1).
    pub const fn start(entries: u16) -> Self {
        Self {
            index: 0,
            entries: if entries == 0 { 1 } else { entries },
        }
    }

    /// The index.
    pub const fn index(self) -> u16 {
        self.index
    }

    /// One entry further on, and whether that wrapped.
    pub const fn next(self) -> (Self, bool) {
        let wraps = self.index as u32 + 1 >= self.entries as u32;
        (
            Self {
                index: if wraps { 0 } else { self.index + 1 },
                entries: self.entries,
            },
            wraps,
        )
    }

    /// The same ring at `index`; `None` outside the ring.
    pub const fn at(self, index: u16) -> Option<Self> {
        if index < self.entries {
            Some(Self {
                index,
                entries: self.entries,
            })
        } else {
            None
        }
    }

    /// How many entries lie from here up to `other`, going forward.
    pub const fn distance_to(self, other: Self) -> u16 {
        if other.index >= self.index {
            other.index - self.index
        } else {
            self.entries - self.index + other.index
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_specification_puts_them() {
        let completion = Completion::parse(0xdead_beef_1234_5678, 0x8005_0302_0001_0007);
        assert_eq!(completion.result, 0x1234_5678);
        assert_eq!((completion.sq_head, completion.sq_id), (7, 1));
        assert_eq!((completion.cid, completion.phase), (0x0302, true));
        assert_eq!((completion.status.kind(), completion.status.code()), (0, 2));
        assert!(completion.status.do_not_retry());
        assert_eq!(completion.status.name(), "invalid-field");
        assert_eq!(completion.words()[1], 0x8005_0302_0001_0007);
        assert!(Completion::phase_of(1 << 48) && !Completion::phase_of(!(1 << 48)));
    }

    #[test]
    fn success_looks_at_code_and_type_only() {
        assert!(Status::from_field(0x7000 & !(1 << 14)).is_success());
        assert!(!Status::from_field(1 << 8).is_success());
        assert_eq!(Status::from_field(0x281).name(), "unrecovered-read-error");
        assert_eq!(Status::from_field(0x4ff).name(), "reserved");
    }

    #[test]
    fn positions_wrap() {
        let start = RingPosition::start(3);
        let (one, wrapped) = start.next();
        assert!(!wrapped);
        let two = one.next().0;
        assert_eq!(two.next(), (start, true));
        assert_eq!(two.distance_to(one), 2);
        assert_eq!(one.distance_to(one), 0);
        assert_eq!(start.at(3), None);
        assert_eq!(
            RingPosition::start(0).next(),
            (RingPosition::start(1), true)
        );
    }
}
