//! Controller registers (section 3.1), all in BAR 0/1, and the values of their fields.
//!
//! ASQ, ACQ, BPMBL and CMBMSC hold addresses: whoever could map this page could read them.

/// Controller Capabilities, 64 bits, read-only (3.1.1).
pub const CAP: usize = 0x00;
/// Version, 32 bits (3.1.2).
pub const VS: usize = 0x08;
/// Interrupt Mask Set, 32 bits; not to be touched with MSI-X (3.1.3).
pub const INTMS: usize = 0x0c;
/// Interrupt Mask Clear, 32 bits; not to be touched with MSI-X (3.1.4).
pub const INTMC: usize = 0x10;
/// Controller Configuration, 32 bits (3.1.5).
pub const CC: usize = 0x14;
/// Controller Status, 32 bits (3.1.6).
pub const CSTS: usize = 0x1c;
/// NVM Subsystem Reset, 32 bits (3.1.7).
pub const NSSR: usize = 0x20;
/// Admin Queue Attributes, 32 bits (3.1.8).
pub const AQA: usize = 0x24;
/// Admin Submission Queue Base Address, 64 bits (3.1.9).
pub const ASQ: usize = 0x28;
/// Admin Completion Queue Base Address, 64 bits (3.1.10).
pub const ACQ: usize = 0x30;
/// Controller Memory Buffer Location, 32 bits (3.1.11).
pub const CMBLOC: usize = 0x38;
/// Controller Memory Buffer Size, 32 bits (3.1.12).
pub const CMBSZ: usize = 0x3c;
/// Boot Partition Information, 32 bits (3.1.13).
pub const BPINFO: usize = 0x40;
/// Boot Partition Read Select, 32 bits (3.1.14).
pub const BPRSEL: usize = 0x44;
/// Boot Partition Memory Buffer Location, 64 bits (3.1.15).
pub const BPMBL: usize = 0x48;
/// Controller Memory Buffer Memory Space Control, 64 bits (3.1.16).
pub const CMBMSC: usize = 0x50;
/// Controller Memory Buffer Status, 32 bits (3.1.17).
pub const CMBSTS: usize = 0x58;
/// Persistent Memory Region Capabilities, 32 bits (3.1.18).
pub const PMRCAP: usize = 0xe00;
/// Where the doorbells begin (3.1.24).
pub const DOORBELLS: usize = 0x1000;

/// What a 32-bit register of a device that is gone reads as.
pub const GONE: u32 = u32::MAX;

/// Offset of the submission queue tail doorbell of queue `queue` at stride `dstrd` (3.1.24).
pub const fn sq_tail_doorbell(queue: u16, dstrd: u8) -> usize {
    DOORBELLS + (2 * queue as usize) * (4 << (dstrd & 0xf))
}

/// Offset of the completion queue head doorbell of queue `queue` at stride `dstrd` (3.1.25).
pub const fn cq_head_doorbell(queue: u16, dstrd: u8) -> usize {
    DOORBELLS + (2 * queue as usize + 1) * (4 << (dstrd & 0xf))
}

/// The value of [`CAP`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap(pub u64);

impl Cap {
    /// CAP.MQES, bits 15:0: the most entries of an I/O queue, as a count (the register is zero-based).
    pub const fn max_queue_entries(self) -> u32 {
        (self.0 & 0xffff) as u32 + 1
    }

    /// CAP.CQR, bit 16: queues must be physically contiguous.
    pub const fn contiguous_queues_required(self) -> bool {
        self.0 & 1 << 16 != 0
    }

    /// CAP.TO, bits 31:24, in nanoseconds (the register counts 500 ms). A controller that reports 0 gets one unit.
    pub const fn timeout_ns(self) -> u64 {
        let units = (self.0 >> 24) & 0xff;
        (if units == 0 { 1 } else { units }) * 500_000_000
    }

    /// CAP.DSTRD, bits 35:32: doorbells lie `4 << dstrd` bytes apart.
    pub const fn doorbell_stride(self) -> u8 {
        ((self.0 >> 32) & 0xf) as u8
    }

    /// CAP.CSS bit 0 (bit 37): the NVM command set is there.
    pub const fn nvm_command_set(self) -> bool {
        self.0 & 1 << 37 != 0
    }

    /// CAP.CSS bit 6 (bit 43): there are further command sets, which a host asks for by CC.CSS (NVMe 2.0, 3.1.3.1).
    pub const fn command_sets(self) -> CommandSets {
        if self.0 & 1 << 43 != 0 {
            CommandSets::All
        } else {
            CommandSets::Nvm
        }
    }

    /// CAP.MPSMIN, bits 51:48: the least page size is `1 << (12 + value)` bytes.
    pub const fn page_min(self) -> u8 {
        ((self.0 >> 48) & 0xf) as u8
    }

    /// CAP.MPSMAX, bits 55:52: the largest page size is `1 << (12 + value)` bytes.
    pub const fn page_max(self) -> u8 {
        ((self.0 >> 52) & 0xf) as u8
    }
}

/// Which namespaces a controller shows, by the value of CC.CSS, bits 6:4 (NVMe 2.0, 3.1.3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandSets {
    /// Those of the NVM command set; one of another kind is not attached and in no list.
    Nvm = 0,
    /// All of them: each says of which kind it is.
    All = 6 << 4,
}

/// The value of [`CC`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cc(pub u32);

impl Cc {
    /// CC.EN, bit 0.
    pub const EN: u32 = 1;
    /// CC.IOSQES, bits 19:16, for 64-byte commands.
    pub const IOSQES_64: u32 = 6 << 16;
    /// CC.IOCQES, bits 23:20, for 16-byte completions.
    pub const IOCQES_16: u32 = 4 << 20;

    /// What enables a controller for `sets` with round-robin arbitration (CC.AMS = 0) and pages of `1 << (12 + mps)` bytes
    /// (CC.MPS, bits 10:7).
    pub const fn enabled(mps: u8, sets: CommandSets) -> Self {
        let pages = (mps as u32 & 0xf) << 7;
        Self(Self::EN | sets as u32 | pages | Self::IOSQES_64 | Self::IOCQES_16)
    }

    /// Whether CC.EN is set.
    pub const fn is_enabled(self) -> bool {
        self.0 & Self::EN != 0
    }

    /// The same with CC.EN and CC.SHN (bits 15:14) clear: a controller reset when written to an enabled controller.
    pub const fn cleared(self) -> Self {
        Self(self.0 & !(Self::EN | 3 << 14))
    }

    /// CC.MPS, bits 10:7.
    pub const fn mps(self) -> u8 {
        ((self.0 >> 7) & 0xf) as u8
    }
}

/// The value of [`CSTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Csts(pub u32);

impl Csts {
    /// CSTS.RDY, bit 0.
    pub const fn ready(self) -> bool {
        self.0 & 1 != 0
    }

    /// CSTS.CFS, bit 1: fatal status.
    pub const fn fatal(self) -> bool {
        self.0 & 2 != 0
    }

    /// The device is gone: every bit reads as one, reserved ones included.
    pub const fn gone(self) -> bool {
        self.0 == GONE
    }
}

/// The value of [`AQA`] for queues of so many entries each, at least 2 and at most 4096.
pub const fn aqa(sq_entries: u16, cq_entries: u16) -> Option<u32> {
    if sq_entries < 2 || sq_entries > 4096 || cq_entries < 2 || cq_entries > 4096 {
        return None;
    }
    Some((sq_entries as u32 - 1) | (cq_entries as u32 - 1) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of section 3.1, once more as numbers, so that a typing slip above shows.
    #[test]
    fn offsets_are_those_of_the_specification() {
        let table = [
            (CAP, 0x0),
            (VS, 0x8),
            (INTMS, 0xc),
            (INTMC, 0x10),
            (CC, 0x14),
            (CSTS, 0x1c),
            (NSSR, 0x20),
            (AQA, 0x24),
            (ASQ, 0x28),
            (ACQ, 0x30),
            (CMBLOC, 0x38),
            (CMBSZ, 0x3c),
            (BPINFO, 0x40),
            (BPRSEL, 0x44),
            (BPMBL, 0x48),
            (CMBMSC, 0x50),
            (CMBSTS, 0x58),
            (PMRCAP, 0xe00),
            (DOORBELLS, 0x1000),
        ];
        assert!(table.iter().all(|(name, number)| name == number));
    }

    #[test]
    fn doorbells_follow_the_stride() {
        assert_eq!(sq_tail_doorbell(0, 0), 0x1000);
        assert_eq!(cq_head_doorbell(0, 0), 0x1004);
        assert_eq!(sq_tail_doorbell(1, 0), 0x1008);
        assert_eq!(cq_head_doorbell(1, 0), 0x100c);
        assert_eq!(sq_tail_doorbell(3, 2), 0x1000 + 6 * 16);
        assert_eq!(cq_head_doorbell(3, 2), 0x1000 + 7 * 16);
        assert_eq!(cq_head_doorbell(u16::MAX, 15), 0x1000 + 131_071 * 131_072);
    }

    #[test]
    fn fields_of_an_emulated_controller() {
        // MQES 2047, CQR, TO 15, CSS NVM, MPSMAX 4: what QEMU's controller reports.
        let cap = Cap(2047 | 1 << 16 | 0xf << 24 | 1 << 37 | 4 << 52);
        assert_eq!(cap.max_queue_entries(), 2048);
        assert!(cap.contiguous_queues_required() && cap.nvm_command_set());
        assert_eq!(cap.timeout_ns(), 7_500_000_000);
        assert_eq!(
            (cap.doorbell_stride(), cap.page_min(), cap.page_max()),
            (0, 0, 4)
        );
        assert_eq!(Cap(0).timeout_ns(), 500_000_000);
        assert_eq!(Cap(u64::MAX).max_queue_entries(), 65_536);
    }

    #[test]
    fn configuration_values() {
        assert_eq!(Cc::enabled(0, CommandSets::Nvm).0, 0x0046_0001);
        assert_eq!(Cc::enabled(0, CommandSets::All).0, 0x0046_0061);
        assert_eq!(Cap(1 << 43).command_sets(), CommandSets::All);
        assert_eq!(Cap(!(1 << 43)).command_sets(), CommandSets::Nvm);
        assert_eq!(Cc::enabled(1, CommandSets::All).mps(), 1);
        assert!(Cc::enabled(0, CommandSets::Nvm).is_enabled());
        assert_eq!(Cc(0x0046_c001).cleared().0, 0x0046_0000);
        assert!(Csts(1).ready() && !Csts(1).fatal() && Csts(2).fatal());
        assert!(Csts(GONE).gone() && !Csts(3).gone());
        assert_eq!(aqa(32, 64), Some(31 | 63 << 16));
        assert_eq!(
            (aqa(1, 2), aqa(2, 4097), aqa(4096, 4096)),
            (None, None, Some(0x0fff_0fff))
        );
    }
}
