//! What the processor offers, read once at run time.

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
    Features {
        nx: extended.as_ref().is_some_and(|e| e.has_execute_disable()),
        smep: seven.as_ref().is_some_and(|f| f.has_smep()),
        smap: seven.as_ref().is_some_and(|f| f.has_smap()),
        umip: seven.as_ref().is_some_and(|f| f.has_umip()),
        apic: one.as_ref().is_some_and(|f| f.has_apic()),
        tsc: one.as_ref().is_some_and(|f| f.has_tsc()),
        global_pages: one.as_ref().is_some_and(|f| f.has_pge()),
        machine_check: one.as_ref().is_some_and(|f| f.has_mce()),
        xsave: one.as_ref().is_some_and(|f| f.has_xsave()) && has_xsave_leaf(),
        gib_pages: extended.as_ref().is_some_and(|e| e.has_1gib_pages()),
        x2apic: one.as_ref().is_some_and(|f| f.has_x2apic()),
        tsc_deadline: one.as_ref().is_some_and(|f| f.has_tsc_deadline()),
        rdrand: one.as_ref().is_some_and(|f| f.has_rdrand()),
        invariant_tsc: id
            .get_advanced_power_mgmt_info()
            .is_some_and(|a| a.has_invariant_tsc()),
        tsc_hz: stated.unwrap_or(0),
    }
}

/// Whether CPUID leaf 0xd, subleaf 1 says anything. QEMU 7.2 takes CR4.OSXSAVE as reserved where it does not (`FEAT_XSAVE` in
/// `cr4_reserved_bits`), and never comes back from the write. Without OSXSAVE nobody can use XSAVE or reach XCR0.
fn has_xsave_leaf() -> bool {
    // The highest leaf of the basic range first: beyond it CPUID answers for another one (Intel SDM vol. 2, CPUID).
    raw_cpuid::cpuid!(0).eax >= 0xd && raw_cpuid::cpuid!(0xd, 1).eax != 0
}
