use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags};

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

/// Turns on what protects the kernel: write protection, NX, SMEP, SMAP, UMIP where present; keeps the FPU off
/// (CR0.EM set, CR4.OSFXSR clear), so that SSE use faults in user mode.
///
/// # Safety
/// Runs once on each CPU with page tables that use NX correctly and map no kernel page user-accessible.
pub unsafe fn enable(f: Features) {
    let mut cr0 = Cr0::read();
    cr0.insert(Cr0Flags::WRITE_PROTECT | Cr0Flags::EMULATE_COPROCESSOR);
    cr0.remove(Cr0Flags::MONITOR_COPROCESSOR | Cr0Flags::TASK_SWITCHED);
    let mut cr4 = Cr4::read();
    cr4.remove(
        Cr4Flags::OSFXSR
            | Cr4Flags::OSXMMEXCPT_ENABLE
            | Cr4Flags::OSXSAVE
            | Cr4Flags::FSGSBASE
            | Cr4Flags::PCID
            | Cr4Flags::PERFORMANCE_MONITOR_COUNTER,
    );
    cr4.insert(Cr4Flags::PAGE_GLOBAL);
    cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, f.smep);
    cr4.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, f.smap);
    cr4.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, f.umip);
    // SAFETY: the bits only restrict what user mode and stray kernel accesses may do; the caller promises tables
    // that hold under them.
    unsafe {
        Cr0::write(cr0);
        Cr4::write(cr4);
        Efer::update(|e| {
            e.insert(EferFlags::SYSTEM_CALL_EXTENSIONS);
            e.set(EferFlags::NO_EXECUTE_ENABLE, f.nx);
        });
    }
    crate::entry::set_smap(f.smap);
}
