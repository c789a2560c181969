//! The control registers: written whole from what the kernel wants, and read back.

use core::arch::asm;

use sabotage::sabotage;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags, Msr};

use crate::Features;

/// EFER bit 21, automatic IBRS (AMD APM vol. 2, 3.1.7).
const AIBRSE: u64 = 1 << 21;
/// IA32_SPEC_CTRL (Intel SDM vol. 4, table 2-2).
const SPEC_CTRL: u32 = 0x48;

/// What the control registers of one CPU hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Controls {
    /// Protection, paging, write protection, and whether the floating-point unit exists for programs.
    pub cr0: u64,
    /// What the processor enforces and offers.
    pub cr4: u64,
    /// No-execute pages and SYSCALL.
    pub efer: u64,
    /// IA32_SPEC_CTRL; `None` where nothing is to be set there.
    pub spec_ctrl: Option<u64>,
    /// What XSAVE would keep; `None` where the processor has no such register.
    pub xcr0: Option<u64>,
}

impl Controls {
    /// What the kernel wants on a processor that offers `f`. The floating-point unit is off (CR0.EM set, CR4.OSFXSR
    /// clear), so that its use faults in user mode; every bit that is not named here is clear, whatever firmware and
    /// loader left.
    fn wanted(f: Features) -> Self {
        let cr0 = Cr0Flags::PROTECTED_MODE_ENABLE
            | Cr0Flags::EMULATE_COPROCESSOR
            | Cr0Flags::EXTENSION_TYPE
            | Cr0Flags::NUMERIC_ERROR
            | Cr0Flags::WRITE_PROTECT
            | Cr0Flags::PAGING;
        let mut cr4 = Cr4Flags::PHYSICAL_ADDRESS_EXTENSION;
        cr4.set(Cr4Flags::PAGE_GLOBAL, f.global_pages);
        cr4.set(Cr4Flags::MACHINE_CHECK_EXCEPTION, f.machine_check);
        cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, f.smep);
        cr4.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, f.smap);
        cr4.set(Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION, f.umip);
        let mut efer = EferFlags::SYSTEM_CALL_EXTENSIONS
            | EferFlags::LONG_MODE_ENABLE
            | EferFlags::LONG_MODE_ACTIVE;
        efer.set(EferFlags::NO_EXECUTE_ENABLE, f.nx);
        let aibrse = if f.speculation.automatic_ibrs {
            AIBRSE
        } else {
            0
        };
        Self {
            cr0: cr0.bits(),
            cr4: cr4.bits(),
            efer: efer.bits() | aibrse,
            spec_ctrl: f.speculation.spec_ctrl,
            // Bit 0, the state of the x87 unit, cannot be clear (Intel SDM vol. 1, 13.3).
            xcr0: f.xsave.then_some(1),
        }
    }

    /// Whether NX is on.
    pub const fn nx(&self) -> bool {
        self.efer & EferFlags::NO_EXECUTE_ENABLE.bits() != 0
    }

    /// Whether SMEP is on.
    pub const fn smep(&self) -> bool {
        self.cr4 & Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION.bits() != 0
    }

    /// Whether SMAP is on.
    pub const fn smap(&self) -> bool {
        self.cr4 & Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION.bits() != 0
    }

    /// Whether UMIP is on.
    pub const fn umip(&self) -> bool {
        self.cr4 & Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION.bits() != 0
    }
}

/// Sets this CPU's control registers and says what they hold then. `Err` holds the same, where it is not what was wanted.
///
/// # Safety
/// Runs once on each CPU, in 64-bit mode with four levels of page tables that use NX correctly and map no kernel page
/// user-accessible.
pub unsafe fn set(f: Features) -> Result<Controls, Controls> {
    let wanted = Controls::wanted(f);
    let left_off = u64::from(sabotage!(LEAVE_SMEP_OFF)) << 20
        | u64::from(sabotage!(LEAVE_SMAP_OFF)) << 21
        | u64::from(sabotage!(LEAVE_UMIP_OFF)) << 11;
    let written = Controls {
        cr4: wanted.cr4 & !left_off,
        ..wanted
    };
    // SAFETY: the caller's promise; the bits only restrict what user mode and stray kernel accesses may do.
    unsafe {
        Cr0::write_raw(written.cr0);
        if let Some(xcr0) = written.xcr0 {
            // XCR0 can be reached only while OSXSAVE is set; programs find it clear again.
            Cr4::write_raw(written.cr4 | Cr4Flags::OSXSAVE.bits());
            asm!("xsetbv", in("ecx") 0, in("eax") xcr0 as u32, in("edx") (xcr0 >> 32) as u32, options(nomem, nostack));
        }
        Cr4::write_raw(written.cr4);
        Efer::write_raw(written.efer);
        if let Some(bits) = written.spec_ctrl {
            Msr::new(SPEC_CTRL).write(bits);
        }
    }
    let held = read(&wanted);
    if f.speculation.verw {
        crate::entry::always_verw();
    }
    crate::entry::set_smap(held.smap() && !sabotage!(LEAVE_AC_ON_TRAP));
    if held == wanted { Ok(held) } else { Err(held) }
}

/// What this CPU's control registers hold.
fn read(wanted: &Controls) -> Controls {
    let (cr0, cr4, efer) = (Cr0::read_raw(), Cr4::read_raw(), Efer::read_raw());
    // SAFETY: the register is there if something was to be set in it; reading it has no effect.
    let spec_ctrl = wanted
        .spec_ctrl
        .map(|_| unsafe { Msr::new(SPEC_CTRL).read() });
    let xcr0 = wanted.xcr0.map(|_| {
        let (low, high): (u32, u32);
        // SAFETY: OSXSAVE is set for as long as XCR0 is read; nothing runs here in between.
        unsafe {
            Cr4::write_raw(cr4 | Cr4Flags::OSXSAVE.bits());
            asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack));
            Cr4::write_raw(cr4);
        }
        u64::from(high) << 32 | u64::from(low)
    });
    Controls {
        cr0,
        cr4,
        efer,
        spec_ctrl,
        xcr0,
    }
}
