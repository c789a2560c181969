//! What a processor says of its vulnerabilities to speculation and what the kernel does about each, one table; and between which
//! accounts a CPU forgets what it learned of branches.
//!
//! What counts is what the processor itself answers: CPUID, and IA32_ARCH_CAPABILITIES where CPUID says that there is
//! one. No list of models is kept: what a processor does not say is *not told*, and never taken for good news. The vendor
//! speaks for its processors only where no hypervisor does, which can name any vendor it likes.
//!
//! Sources: *SDM* is Intel's Software Developer's Manual, whose volume 4, table 2-2 holds the MSRs, and whose volume 2 the
//! leaves of CPUID. *Intel* followed by a title is a technical paper of Intel's "Software Security Guidance". *AMD 56569* is
//! "Software Techniques for Managing Speculation on AMD Processors"; *APM* is AMD's Architecture Programmer's Manual.
//!
//! Invariant: never reads or writes a register; it decides, and names no means that the processor does not offer.
#![no_std]
#![forbid(unsafe_code)]

mod barrier;

pub use barrier::{Marks, Party, Step, Trained};

/// Who makes the processor, by CPUID leaf 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Vendor {
    /// `GenuineIntel`.
    Intel,
    /// `AuthenticAMD` and `HygonGenuine`.
    Amd,
    /// Anybody else.
    #[default]
    Other,
}

/// The words of CPUID that the table reads. A leaf that the processor does not have is zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Leaves {
    /// By leaf 0.
    pub vendor: Vendor,
    /// Leaf 1, EAX: family, model, stepping.
    pub signature: u32,
    /// Leaf 1, ECX bit 31: somebody stands between the processor and the kernel.
    pub hypervisor: bool,
    /// Leaf 7, subleaf 0, EBX.
    pub seven_ebx: u32,
    /// Leaf 7, subleaf 0, EDX.
    pub seven_edx: u32,
    /// Leaf 7, subleaf 2, EDX.
    pub seven_two_edx: u32,
    /// Leaf 8000_0008, EBX.
    pub extended_8_ebx: u32,
    /// Leaf 8000_0021, EAX.
    pub extended_21_eax: u32,
}

/// Bits of IA32_ARCH_CAPABILITIES (SDM vol. 4, table 2-2, MSR 10AH).
mod says {
    pub(super) const RDCL_NO: u64 = 1 << 0;
    pub(super) const IBRS_ALL: u64 = 1 << 1;
    pub(super) const RSBA: u64 = 1 << 2;
    pub(super) const MDS_NO: u64 = 1 << 5;
    pub(super) const TSX_CTRL: u64 = 1 << 7;
    pub(super) const TAA_NO: u64 = 1 << 8;
    pub(super) const SBDR_SSDP_NO: u64 = 1 << 13;
    pub(super) const FBSDP_NO: u64 = 1 << 14;
    pub(super) const PSDP_NO: u64 = 1 << 15;
    pub(super) const FB_CLEAR: u64 = 1 << 17;
    pub(super) const RRSBA: u64 = 1 << 19;
    pub(super) const BHI_NO: u64 = 1 << 20;
}

/// Bits of CPUID that the table reads.
mod offers {
    /// Leaf 7, EBX: RTM, the transactions that TAA needs.
    pub(super) const RTM: u32 = 1 << 11;
    /// Leaf 7, EDX: VERW overwrites buffers.
    pub(super) const MD_CLEAR: u32 = 1 << 10;
    /// Leaf 7, EDX: IBRS and IBPB, with IA32_SPEC_CTRL and IA32_PRED_CMD.
    pub(super) const IBRS_IBPB: u32 = 1 << 26;
    /// Leaf 7, EDX: IA32_FLUSH_CMD.
    pub(super) const L1D_FLUSH: u32 = 1 << 28;
    /// Leaf 7, EDX: IA32_ARCH_CAPABILITIES.
    pub(super) const ARCH_CAPABILITIES: u32 = 1 << 29;
    /// Leaf 7, subleaf 2, EDX: IA32_SPEC_CTRL.RRSBA_DIS_S.
    pub(super) const RRSBA_CTRL: u32 = 1 << 2;
    /// Leaf 7, subleaf 2, EDX: IA32_SPEC_CTRL.BHI_DIS_S.
    pub(super) const BHI_CTRL: u32 = 1 << 4;
    /// Leaf 8000_0008, EBX: IBPB (APM vol. 3, appendix E.4.7).
    pub(super) const AMD_IBPB: u32 = 1 << 12;
    /// Leaf 8000_0008, EBX: IBRS.
    pub(super) const AMD_IBRS: u32 = 1 << 14;
    /// Leaf 8000_0008, EBX: not affected by branch type confusion.
    pub(super) const AMD_BTC_NO: u32 = 1 << 29;
    /// Leaf 8000_0021, EAX: EFER.AIBRSE.
    pub(super) const AUTOMATIC_IBRS: u32 = 1 << 8;
}

/// IA32_SPEC_CTRL (MSR 48H) bit 0, IBRS.
const SPEC_IBRS: u64 = 1 << 0;
/// IA32_SPEC_CTRL bit 6, RRSBA_DIS_S.
const SPEC_RRSBA_DIS_S: u64 = 1 << 6;
/// IA32_SPEC_CTRL bit 10, BHI_DIS_S.
const SPEC_BHI_DIS_S: u64 = 1 << 10;

/// What a vulnerability is to this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The processor, or its maker where nobody stands between, says that it does not have it.
    NotAffected,
    /// VERW before each way back to a program.
    Verw,
    /// Enhanced IBRS, on for good.
    EnhancedIbrs,
    /// Automatic IBRS: EFER.AIBRSE, on for good.
    AutomaticIbrs,
    /// IBRS, set on each way into the kernel and cleared on each way back to a program.
    Ibrs,
    /// IA32_SPEC_CTRL.BHI_DIS_S, on for good.
    BhiDisS,
    /// IA32_SPEC_CTRL.RRSBA_DIS_S, on for good.
    RrsbaDisS,
    /// There is nothing that it needs: what it would come through is off.
    NoTransactions,
    /// The processor has it, and the kernel does nothing about it.
    NotAnswered,
    /// The processor neither says that it does not have it nor offers anything against it.
    NotOffered,
}

impl Answer {
    /// As facts say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAffected => "not-affected",
            Self::Verw => "verw",
            Self::EnhancedIbrs => "enhanced-ibrs",
            Self::AutomaticIbrs => "automatic-ibrs",
            Self::Ibrs => "ibrs",
            Self::BhiDisS => "bhi-dis-s",
            Self::RrsbaDisS => "rrsba-dis-s",
            Self::NoTransactions => "no-transactions",
            Self::NotAnswered => "not-answered",
            Self::NotOffered => "not-offered",
        }
    }
}

/// What of the machine is read and said.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    leaves: Leaves,
    capabilities: Option<u64>,
}

/// The whole decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Decision {
    /// Rogue data cache load: a program reads what is mapped for the kernel alone.
    pub meltdown: Answer,
    /// L1 terminal fault.
    pub l1tf: Answer,
    /// Microarchitectural data sampling.
    pub mds: Answer,
    /// TSX asynchronous abort.
    pub taa: Answer,
    /// Processor MMIO stale data.
    pub mmio_stale_data: Answer,
    /// Branch target injection.
    pub spectre_v2: Answer,
    /// Return stack buffer underflow, branch type confusion.
    pub retbleed: Answer,
    /// Branch history injection.
    pub bhi: Answer,
    /// VERW before each way back to a program.
    pub verw: bool,
    /// What IA32_SPEC_CTRL is to hold for good; `None`: there is no such register, or nothing to set.
    pub spec_ctrl: Option<u64>,
    /// EFER.AIBRSE is to be set.
    pub automatic_ibrs: bool,
    /// IA32_SPEC_CTRL.IBRS is to be set on each way into the kernel and cleared on each way back to a program.
    pub ibrs: bool,
    /// IBPB is there, for the switch between distrusting accounts.
    pub barrier: bool,
}

/// That of a processor which says nothing.
impl Default for Decision {
    fn default() -> Self {
        Processor::new(Leaves::default(), 0).decide()
    }
}

/// Whether IA32_ARCH_CAPABILITIES may be read.
pub const fn has_capabilities(leaves: &Leaves) -> bool {
    leaves.seven_edx & offers::ARCH_CAPABILITIES != 0
}

impl Processor {
    /// `capabilities` is IA32_ARCH_CAPABILITIES, read if [`has_capabilities`]; what is given otherwise does not count.
    pub const fn new(leaves: Leaves, capabilities: u64) -> Self {
        let there = has_capabilities(&leaves);
        Self {
            leaves,
            capabilities: if there { Some(capabilities) } else { None },
        }
    }

    /// Whether IA32_ARCH_CAPABILITIES says all of `bits`.
    fn says(&self, bits: u64) -> bool {
        self.capabilities.is_some_and(|said| said & bits == bits)
    }

    /// Whether the maker's word counts, and is AMD's.
    fn is_bare_amd(&self) -> bool {
        self.leaves.vendor == Vendor::Amd && !self.leaves.hypervisor
    }

    /// Whether it has what only Intel's processors were found to have, as far as anybody says. `no`: the bits that deny it.
    fn of_intel(&self, no: u64, then: impl FnOnce() -> Answer) -> Answer {
        // AMD 56569, "Speculation control features": not susceptible to rogue data cache load, L1TF, MDS and TAA.
        if self.says(no) || self.is_bare_amd() {
            Answer::NotAffected
        } else {
            then()
        }
    }

    /// What follows where no means is there: a processor with IA32_ARCH_CAPABILITIES that does not deny it has it.
    fn without_means(&self) -> Answer {
        match self.capabilities {
            Some(_) => Answer::NotAnswered,
            None => Answer::NotOffered,
        }
    }

    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "what the processor says, not what to do"
    )]
    fn verw_if(&self, offered: bool) -> Answer {
        if offered {
            Answer::Verw
        } else {
            self.without_means()
        }
    }

    const fn md_clear(&self) -> bool {
        self.leaves.seven_edx & offers::MD_CLEAR != 0
    }

    /// Intel, "Microarchitectural Data Sampling": MD_CLEAR says that VERW overwrites the buffers.
    fn mds(&self) -> Answer {
        self.of_intel(says::MDS_NO, || self.verw_if(self.md_clear()))
    }

    /// Intel, "TSX Asynchronous Abort": without RTM there is none; VERW helps where MDS is there too, or TSX_CTRL.
    fn taa(&self) -> Answer {
        self.of_intel(says::TAA_NO, || {
            if self.leaves.seven_ebx & offers::RTM == 0 && self.capabilities.is_some() {
                return Answer::NoTransactions;
            }
            let clears = !self.says(says::MDS_NO) || self.says(says::TSX_CTRL);
            self.verw_if(self.md_clear() && clears)
        })
    }

    /// Intel, "Processor MMIO Stale Data Vulnerabilities": FB_CLEAR, or MD_CLEAR and L1D_FLUSH where MDS is there.
    fn mmio_stale_data(&self) -> Answer {
        let no = says::SBDR_SSDP_NO | says::FBSDP_NO | says::PSDP_NO;
        self.of_intel(no, || {
            let as_for_mds = self.md_clear()
                && self.leaves.seven_edx & offers::L1D_FLUSH != 0
                && !self.says(says::MDS_NO);
            self.verw_if(self.says(says::FB_CLEAR) || as_for_mds)
        })
    }

    /// Intel, "Branch Target Injection", 2.3 enhanced IBRS; APM vol. 2, 3.2.9 automatic IBRS. Plain IBRS keeps what less
    /// privileged code trained before it was set from steering what runs behind it, so it is set again at every entry.
    fn spectre_v2(&self) -> Answer {
        let plain = self.leaves.seven_edx & offers::IBRS_IBPB != 0
            || self.leaves.extended_8_ebx & offers::AMD_IBRS != 0;
        if self.leaves.extended_21_eax & offers::AUTOMATIC_IBRS != 0 {
            Answer::AutomaticIbrs
        } else if self.leaves.seven_edx & offers::IBRS_IBPB != 0 && self.says(says::IBRS_ALL) {
            Answer::EnhancedIbrs
        } else if plain {
            Answer::Ibrs
        } else {
            self.without_means()
        }
    }

    /// Whether IA32_SPEC_CTRL is there for a bit that this leaf 7, subleaf 2 bit stands for.
    const fn controls(&self, bit: u32) -> bool {
        self.leaves.seven_edx & offers::IBRS_IBPB != 0 && self.leaves.seven_two_edx & bit != 0
    }

    /// AMD, "Technical Guidance for Mitigating Branch Type Confusion": BTC_NO, or family 19H on. Intel, "Return Stack Buffer
    /// Underflow": RSBA and RRSBA say that returns take their targets from elsewhere.
    fn retbleed(&self, spectre_v2: Answer) -> Answer {
        let amd = self.leaves.vendor == Vendor::Amd;
        if amd && self.leaves.extended_8_ebx & offers::AMD_BTC_NO != 0
            || self.is_bare_amd() && family(self.leaves.signature) >= 0x19
        {
            return Answer::NotAffected;
        }
        if amd {
            return if self.leaves.hypervisor {
                Answer::NotOffered
            } else {
                Answer::NotAnswered
            };
        }
        match spectre_v2 {
            Answer::EnhancedIbrs if !self.says(says::RRSBA) => Answer::EnhancedIbrs,
            Answer::EnhancedIbrs if self.controls(offers::RRSBA_CTRL) => Answer::RrsbaDisS,
            Answer::EnhancedIbrs => Answer::NotAnswered,
            // Intel, the same paper: where returns take their targets from elsewhere, IBRS covers these too.
            Answer::Ibrs if self.leaves.vendor == Vendor::Intel => Answer::Ibrs,
            _ if self.says(says::RSBA) => Answer::NotAnswered,
            _ => self.without_means(),
        }
    }

    /// Intel, "Branch History Injection and Intra-mode Branch Target Injection". AMD's processors choose targets by more than
    /// history: AMD-SB-7003 names none that is affected.
    fn bhi(&self) -> Answer {
        self.of_intel(says::BHI_NO, || {
            if self.controls(offers::BHI_CTRL) {
                Answer::BhiDisS
            } else {
                self.without_means()
            }
        })
    }

    /// What the kernel does about all of it. Meltdown and L1TF have no means here but a processor without them: the kernel
    /// is mapped while a program runs, and the L1 cache is not flushed.
    pub fn decide(&self) -> Decision {
        let spectre_v2 = self.spectre_v2();
        let retbleed = self.retbleed(spectre_v2);
        let (mds, taa, mmio_stale_data) = (self.mds(), self.taa(), self.mmio_stale_data());
        let bhi = self.bhi();
        let bit = |wanted: bool, bit: u64| if wanted { bit } else { 0 };
        let spec_ctrl = bit(spectre_v2 == Answer::EnhancedIbrs, SPEC_IBRS)
            | bit(retbleed == Answer::RrsbaDisS, SPEC_RRSBA_DIS_S)
            | bit(bhi == Answer::BhiDisS, SPEC_BHI_DIS_S);
        Decision {
            // RDCL_NO denies both (SDM vol. 4, table 2-2; Intel, "L1 Terminal Fault").
            meltdown: self.of_intel(says::RDCL_NO, || self.without_means()),
            l1tf: self.of_intel(says::RDCL_NO, || self.without_means()),
            mds,
            taa,
            mmio_stale_data,
            spectre_v2,
            retbleed,
            bhi,
            verw: [mds, taa, mmio_stale_data].contains(&Answer::Verw),
            spec_ctrl: (spec_ctrl != 0).then_some(spec_ctrl),
            automatic_ibrs: spectre_v2 == Answer::AutomaticIbrs,
            ibrs: spectre_v2 == Answer::Ibrs,
            barrier: self.leaves.seven_edx & offers::IBRS_IBPB != 0
                || self.leaves.extended_8_ebx & offers::AMD_IBPB != 0,
        }
    }
}

/// The family of a signature (SDM vol. 2, CPUID leaf 1; APM vol. 3, E.3.2).
const fn family(signature: u32) -> u32 {
    let base = signature >> 8 & 0xf;
    if base == 0xf {
        base + (signature >> 20 & 0xff)
    } else {
        base
    }
}

#[cfg(test)]
mod tests;
