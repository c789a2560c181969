//! The control registers: written whole from what the kernel wants, and read back.

use core::arch::asm;

use fpu_state::Form;
use sabotage::sabotage;
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags, Msr};

use crate::{Features, fpu};

/// EFER bit 21, automatic IBRS (AMD APM vol. 2, 3.1.7).
const AIBRSE: u64 = 1 << 21;
/// IA32_SPEC_CTRL (Intel SDM vol. 4, table 2-2).
const SPEC_CTRL: u32 = 0x48;

/// What decides whether what runs may use the FPU: while a thread runs that keeps its state, and while any other does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FpuControls {
    /// Protection, paging, write protection, and whether the floating-point unit exists for programs.
    pub cr0: u64,
    /// What the processor enforces and offers.
    pub cr4: u64,
    /// What XSAVE keeps; `None` where the processor has no such register.
    pub xcr0: Option<u64>,
}

/// What the control registers of one CPU hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Controls {
    /// While something runs that may not use the FPU.
    pub without_fpu: FpuControls,
    /// While a thread runs that keeps FPU state; `None` where the processor has no unit that x86-64 asks for.
    pub with_fpu: Option<FpuControls>,
    /// No-execute pages and SYSCALL.
    pub efer: u64,
    /// IA32_SPEC_CTRL; `None` where nothing is to be set there.
    pub spec_ctrl: Option<u64>,
}

impl Controls {
    /// What the kernel wants on a processor that offers `f`. Every bit that is not named here is clear, whatever firmware
    /// and loader left. Without the FPU, CR0.EM is set and CR4.OSFXSR clear, so that its use faults in user mode.
    fn wanted(f: Features) -> Self {
        let cr0 = Cr0Flags::PROTECTED_MODE_ENABLE
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
        let with = |form| {
            let parts = match form {
                Form::Fxsave => None,
                Form::Xsave(parts) => Some(parts),
            };
            let mut cr4 = cr4 | Cr4Flags::OSFXSR | Cr4Flags::OSXMMEXCPT_ENABLE;
            cr4.set(Cr4Flags::OSXSAVE, parts.is_some());
            FpuControls {
                cr0: (cr0 | Cr0Flags::MONITOR_COPROCESSOR).bits(),
                cr4: cr4.bits(),
                xcr0: f.xsave.then_some(parts.unwrap_or(fpu_state::X87)),
            }
        };
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
            without_fpu: FpuControls {
                cr0: (cr0 | Cr0Flags::EMULATE_COPROCESSOR).bits(),
                cr4: cr4.bits(),
                // Bit 0, the state of the x87 unit, cannot be clear (Intel SDM vol. 1, 13.3).
                xcr0: f.xsave.then_some(fpu_state::X87),
            },
            with_fpu: f.fpu.map(with),
            efer: efer.bits() | aibrse,
            spec_ctrl: f.speculation.spec_ctrl,
        }
    }

    /// Whether NX is on.
    pub const fn nx(&self) -> bool {
        self.efer & EferFlags::NO_EXECUTE_ENABLE.bits() != 0
    }

    /// Whether SMEP is on.
    pub const fn smep(&self) -> bool {
        self.without_fpu.cr4 & Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION.bits() != 0
    }

    /// Whether SMAP is on.
    pub const fn smap(&self) -> bool {
        self.without_fpu.cr4 & Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION.bits() != 0
    }

    /// Whether UMIP is on.
    pub const fn umip(&self) -> bool {
        self.without_fpu.cr4 & Cr4Flags::USER_MODE_INSTRUCTION_PREVENTION.bits() != 0
    }
}

impl FpuControls {
    /// Writes all three, where `other` was written before: what is the same is left as it is.
    ///
    /// # Safety
    /// Both are of the two of [`Controls::wanted`] for this CPU.
    #[inline]
    pub(crate) unsafe fn write_after(&self, other: &Self) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.xcr0 == other.xcr0 {
                Cr0::write_raw(self.cr0);
                Cr4::write_raw(self.cr4);
            } else {
                self.write();
            }
        }
    }

    /// Writes all three.
    ///
    /// # Safety
    /// The values are one of the two of [`Controls::wanted`] for this CPU.
    pub(crate) unsafe fn write(&self) {
        const OSXSAVE: u64 = Cr4Flags::OSXSAVE.bits();
        // SAFETY: the caller's promise; the bits only restrict what user mode and stray kernel accesses may do.
        unsafe {
            Cr0::write_raw(self.cr0);
            if let Some(xcr0) = self.xcr0 {
                // XCR0 can be reached only while OSXSAVE is set; who may not use the FPU finds it clear again.
                Cr4::write_raw(self.cr4 | OSXSAVE);
                asm!("xsetbv", in("ecx") 0, in("eax") xcr0 as u32, in("edx") (xcr0 >> 32) as u32, options(nomem, nostack));
                if self.cr4 & OSXSAVE != 0 {
                    return;
                }
            }
            Cr4::write_raw(self.cr4);
        }
    }

    /// What this CPU holds now. `has_xcr0`: the processor has such a register.
    #[expect(
        clippy::fn_params_excessive_bools,
        reason = "what the processor has, not what to do"
    )]
    fn read(has_xcr0: bool) -> Self {
        let (cr0, cr4) = (Cr0::read_raw(), Cr4::read_raw());
        let xcr0 = has_xcr0.then(|| {
            let (low, high): (u32, u32);
            // SAFETY: OSXSAVE is set for as long as XCR0 is read; nothing runs here in between.
            unsafe {
                Cr4::write_raw(cr4 | Cr4Flags::OSXSAVE.bits());
                asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack));
                Cr4::write_raw(cr4);
            }
            u64::from(high) << 32 | u64::from(low)
        });
        Self { cr0, cr4, xcr0 }
    }
}

/// Sets this CPU's control registers, which is to be CPU `index`, and says what they hold then, with and without the FPU.
/// `Err` holds the same, where it is not what was wanted, or where the first CPU keeps FPU state in another form.
///
/// # Safety
/// Runs once on each CPU, the first one first, in 64-bit mode with four levels of page tables that use NX correctly and map no
/// kernel page user-accessible.
pub unsafe fn set(index: usize, f: Features) -> Result<Controls, Controls> {
    let wanted = Controls::wanted(f);
    let left_off = u64::from(sabotage!(LEAVE_SMEP_OFF)) << 20
        | u64::from(sabotage!(LEAVE_SMAP_OFF)) << 21
        | u64::from(sabotage!(LEAVE_UMIP_OFF)) << 11;
    let written = |of: FpuControls| FpuControls {
        cr4: of.cr4 & !left_off,
        ..of
    };
    let (without, with) = (written(wanted.without_fpu), wanted.with_fpu.map(written));
    // SAFETY: the caller's promise.
    unsafe {
        Efer::write_raw(wanted.efer);
        if let Some(bits) = wanted.spec_ctrl {
            Msr::new(SPEC_CTRL).write(bits);
        }
    }
    let take = |values: FpuControls| {
        // SAFETY: as above; the FPU is not used meanwhile.
        unsafe { values.write() };
        FpuControls::read(values.xcr0.is_some())
    };
    let with_fpu = with.map(take);
    let held = Controls {
        with_fpu,
        // Last: what a CPU begins with.
        without_fpu: take(without),
        efer: Efer::read_raw(),
        // SAFETY: the register is there if something was to be set in it; reading it has no effect.
        spec_ctrl: wanted
            .spec_ctrl
            .map(|_| unsafe { Msr::new(SPEC_CTRL).read() }),
    };
    crate::branches::note(index, f.speculation.barrier);
    let agrees = fpu::note(index, f.fpu, without, with);
    if f.speculation.ibrs {
        crate::entry::always_ibrs(f.speculation.spec_ctrl.unwrap_or(0) as u32);
    }
    if f.speculation.verw {
        crate::entry::always_verw();
    }
    crate::entry::set_smap(held.smap() && !sabotage!(LEAVE_AC_ON_TRAP));
    if held == wanted && agrees {
        Ok(held)
    } else {
        Err(held)
    }
}
