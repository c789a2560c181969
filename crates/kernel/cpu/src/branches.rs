//! What a CPU learned of branches, and making it forget.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

use x86_64::registers::model_specific::Msr;

/// IA32_PRED_CMD, whose bit 0 is IBPB (Intel SDM vol. 4, table 2-2; AMD APM vol. 2, 3.2.9).
const PRED_CMD: u32 = 0x49;

/// Whether every CPU has IBPB.
static HAS_BARRIER: AtomicBool = AtomicBool::new(false);

/// Notes whether CPU `index`, which is the one that runs, has IBPB.
#[expect(
    clippy::fn_params_excessive_bools,
    reason = "what the processor has, not what to do"
)]
pub(crate) fn note(index: usize, has_barrier: bool) {
    if index == 0 || !has_barrier {
        HAS_BARRIER.store(has_barrier, Ordering::Relaxed);
    }
}

/// Makes this CPU forget what it learned of branches, as far as it can: targets by IBPB, where there is one; return addresses by
/// calls of the kernel's own, as many as any processor remembers (Intel, "Retpoline", 5.2: stuffing of the return stack buffer).
pub fn forget() {
    if HAS_BARRIER.load(Ordering::Relaxed) {
        // SAFETY: the register is there, and writing it has no effect but that.
        unsafe { Msr::new(PRED_CMD).write(1) };
    }
    // SAFETY: each call leaves its return address, which is taken off again; what lies at these is never run but in speculation.
    unsafe {
        asm!(
            "2:",
            "call 4f",
            "3:",
            "pause",
            "lfence",
            "jmp 3b",
            "4:",
            "add rsp, 8",
            "dec {count:e}",
            "jnz 2b",
            count = inout(reg) 32 => _,
        );
    }
}
