//! What the processor offers, read once at run time.

use cpu_vulnerabilities::{Decision, Leaves, Processor, Vendor, has_capabilities};
use fpu_state::Form;

/// What this machine offers, probed at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Features {
    /// No-execute pages.
    pub nx: bool,
    /// Supervisor mode execution prevention.
    pub smep: bool,
    /// Supervisor mode access prevention.
    pub smap: bool,
    /// User mode instruction prevention.
    pub umip: bool,
    /// SYSCALL and SYSRET.
    pub syscall: bool,
    /// A local APIC.
    pub apic: bool,
    /// A time stamp counter.
    pub tsc: bool,
    /// Translations that survive a change of address space.
    pub global_pages: bool,
    /// Machine-check exceptions.
    pub machine_check: bool,
    /// XCR0 and the instructions that it steers.
    pub xsave: bool,
    /// How the state of the floating-point and vector unit is kept; `None`: it has none that is of use.
    pub fpu: Option<Form>,
    /// 1 GiB pages.
    pub gib_pages: bool,
    /// x2APIC mode.
    pub x2apic: bool,
    /// TSC-deadline timer.
    pub tsc_deadline: bool,
    /// RDRAND.
    pub rdrand: bool,
    /// The TSC runs at a constant rate in every power state.
    pub invariant_tsc: bool,
    /// TSC frequency that CPUID states, in Hz; 0 where it states none.
    pub tsc_hz: u64,
    /// What it says of leaks by speculation, and what is done about them.
    pub speculation: Decision,
}

/// Reads CPUID.
pub fn features() -> Features {
    let id = raw_cpuid::CpuId::new();
    let one = id.get_feature_info();
    let seven = id.get_extended_feature_info();
    let extended = id.get_extended_processor_and_feature_identifiers();
    let stated = id
        .get_tsc_info()
        .and_then(|t| t.tsc_frequency())
        .or_else(|| {
            id.get_hypervisor_info()
                .and_then(|h| h.tsc_frequency())
                .map(|k| u64::from(k) * 1000)
        });
    let xsave = one.as_ref().is_some_and(|f| f.has_xsave()) && has_xsave_leaf();
    Features {
        nx: extended.as_ref().is_some_and(|e| e.has_execute_disable()),
        smep: seven.as_ref().is_some_and(|f| f.has_smep()),
        smap: seven.as_ref().is_some_and(|f| f.has_smap()),
        umip: seven.as_ref().is_some_and(|f| f.has_umip()),
        syscall: extended.as_ref().is_some_and(|e| e.has_syscall_sysret()),
        apic: one.as_ref().is_some_and(|f| f.has_apic()),
        tsc: one.as_ref().is_some_and(|f| f.has_tsc()),
        global_pages: one.as_ref().is_some_and(|f| f.has_pge()),
        machine_check: one.as_ref().is_some_and(|f| f.has_mce()),
        xsave,
        fpu: Form::choose(&fpu_leaves(xsave)),
        gib_pages: extended.as_ref().is_some_and(|e| e.has_1gib_pages()),
        x2apic: one.as_ref().is_some_and(|f| f.has_x2apic()),
        tsc_deadline: one.as_ref().is_some_and(|f| f.has_tsc_deadline()),
        rdrand: one.as_ref().is_some_and(|f| f.has_rdrand()),
        invariant_tsc: id
            .get_advanced_power_mgmt_info()
            .is_some_and(|a| a.has_invariant_tsc()),
        tsc_hz: stated.unwrap_or(0),
        speculation: speculation(),
    }
}

/// Decides about leaks by speculation. IA32_ARCH_CAPABILITIES (MSR 10AH) is read if CPUID says that it is there.
fn speculation() -> Decision {
    let leaves = leaves();
    let capabilities = if has_capabilities(&leaves) {
        // SAFETY: the register is there, and reading it has no effect.
        unsafe { x86_64::registers::model_specific::Msr::new(0x10a).read() }
    } else {
        0
    };
    Processor::new(leaves, capabilities).decide()
}

/// The words of CPUID that the decision reads; zero where the processor has no such leaf.
fn leaves() -> Leaves {
    let zero = raw_cpuid::cpuid!(0);
    let basic = |leaf: u32, sub: u32| (leaf <= zero.eax).then(|| raw_cpuid::cpuid!(leaf, sub));
    let most = raw_cpuid::cpuid!(0x8000_0000).eax;
    let extended = |leaf: u32| (leaf <= most).then(|| raw_cpuid::cpuid!(leaf));
    let seven = basic(7, 0);
    let two = seven.as_ref().is_some_and(|l| l.eax >= 2);
    let one = basic(1, 0);
    Leaves {
        vendor: match (zero.ebx, zero.edx, zero.ecx) {
            (0x756e_6547, 0x4965_6e69, 0x6c65_746e) => Vendor::Intel,
            (0x6874_7541, 0x6974_6e65, 0x444d_4163) | (0x6f67_7948, 0x6e65_476e, 0x656e_6975) => {
                Vendor::Amd
            }
            _ => Vendor::Other,
        },
        signature: one.as_ref().map_or(0, |l| l.eax),
        hypervisor: one.as_ref().is_some_and(|l| l.ecx >> 31 != 0),
        seven_ebx: seven.as_ref().map_or(0, |l| l.ebx),
        seven_edx: seven.as_ref().map_or(0, |l| l.edx),
        seven_two_edx: if two { raw_cpuid::cpuid!(7, 2).edx } else { 0 },
        extended_8_ebx: extended(0x8000_0008).map_or(0, |l| l.ebx),
        extended_21_eax: extended(0x8000_0021).map_or(0, |l| l.eax),
    }
}

/// The words of CPUID that tell how FPU state is kept. `xsave`: whether OSXSAVE can be set.
#[expect(
    clippy::fn_params_excessive_bools,
    reason = "what the processor has, not what to do"
)]
fn fpu_leaves(xsave: bool) -> fpu_state::Leaves {
    let one = raw_cpuid::cpuid!(1);
    let mut leaves = fpu_state::Leaves {
        one_ecx: one.ecx,
        one_edx: one.edx,
        ..Default::default()
    };
    if xsave {
        let avx = raw_cpuid::cpuid!(0xd, 2);
        leaves.components = raw_cpuid::cpuid!(0xd, 0).eax;
        (leaves.avx_bytes, leaves.avx_offset) = (avx.eax, avx.ebx);
    }
    leaves
}

/// Whether CPUID leaf 0xd, subleaf 1 says anything. QEMU 7.2 takes CR4.OSXSAVE as reserved where it does not (`FEAT_XSAVE` in
/// `cr4_reserved_bits`), and never comes back from the write. Without OSXSAVE nobody can use XSAVE or reach XCR0.
fn has_xsave_leaf() -> bool {
    // The highest leaf of the basic range first: beyond it CPUID answers for another one (Intel SDM vol. 2, CPUID).
    raw_cpuid::cpuid!(0).eax >= 0xd && raw_cpuid::cpuid!(0xd, 1).eax != 0
}
