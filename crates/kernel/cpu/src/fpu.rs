//! The state of the floating-point and vector unit: kept for the threads that have it, and nowhere else.
//!
//! Invariant: while anything runs that keeps no such state, idle tasks and the kernel's own included, the unit is off and its
//! registers hold what a new thread begins with; so there is nothing of anybody's in them to be seen.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, Ordering};

use fpu_state::{BYTES, Form};
use sabotage::sabotage;

use crate::{FpuControls, MAX_CPUS};

const _: () = assert!(fpu_state::ALIGN == align_of::<FpuState>());

/// The FPU state of one thread while it does not run.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct FpuState(UnsafeCell<[u8; BYTES]>);

// SAFETY: reached by `switch` alone, for the thread that a CPU leaves or takes up; no other CPU does so meanwhile.
unsafe impl Send for FpuState {}
// SAFETY: as for Send.
unsafe impl Sync for FpuState {}

/// What a thread begins with, to be loaded and never written.
static INITIAL: FpuState = FpuState(UnsafeCell::new(fpu_state::initial()));

/// The parts of XCR0 that XSAVE keeps; 0 for FXSAVE; [`NONE`] without an FPU. Written by the first CPU alone.
static PARTS: AtomicU64 = AtomicU64::new(NONE);
const NONE: u64 = u64::MAX;

/// What each CPU's control registers hold without and with the FPU. An element is written by its own CPU, before it runs
/// threads.
struct Both(UnsafeCell<[[FpuControls; 2]; MAX_CPUS]>);

// SAFETY: each CPU reaches its own element alone.
unsafe impl Sync for Both {}

static BOTH: Both = Both(UnsafeCell::new(
    [const {
        [const {
            FpuControls {
                cr0: 0,
                cr4: 0,
                xcr0: None,
            }
        }; 2]
    }; MAX_CPUS],
));

/// Notes the two values of CPU `index`, which is the one that runs. `false`: its FPU state has another form than that of CPU 0.
pub(crate) fn note(
    index: usize,
    form: Option<Form>,
    without: FpuControls,
    with: Option<FpuControls>,
) -> bool {
    let parts = match form {
        None => NONE,
        Some(Form::Fxsave) => 0,
        Some(Form::Xsave(parts)) => parts,
    };
    // SAFETY: this CPU's own element.
    unsafe { (*BOTH.0.get())[index % MAX_CPUS] = [without, with.unwrap_or(without)] };
    if index == 0 {
        PARTS.store(parts, Ordering::Relaxed);
    }
    PARTS.load(Ordering::Relaxed) == parts
}

/// Whether threads can have FPU state.
pub fn has() -> bool {
    PARTS.load(Ordering::Relaxed) != NONE
}

/// What some thread left, for a new one to begin with.
#[cfg(sabotage)]
static LEFT: FpuState = FpuState(UnsafeCell::new(fpu_state::initial()));

impl FpuState {
    /// What a thread begins with.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(fpu_state::initial()))
    }

    /// Makes this what some thread left, as memory would be that nobody cleared.
    #[cfg(sabotage)]
    pub fn spoil(&mut self) {
        // SAFETY: nobody else has this state yet; a torn copy is as good as any.
        unsafe { *self.0.get() = LEFT.0.get().read_volatile() };
    }

    /// Writes the registers here.
    ///
    /// # Safety
    /// The FPU is on.
    #[inline]
    unsafe fn save(&self, parts: u64) {
        let at = self.0.get();
        // SAFETY: aligned, and long enough for the parts that `fpu_state` chose; XSAVE keeps the reserved bytes of its header
        // zero, as they were made.
        unsafe {
            if parts == 0 {
                asm!("fxsave64 [{}]", in(reg) at, options(nostack, preserves_flags));
            } else {
                asm!("xsave64 [{}]", in(reg) at, in("eax") parts as u32, in("edx") (parts >> 32) as u32, options(nostack, preserves_flags));
            }
        }
        #[cfg(sabotage)]
        if sabotage!(KEEP_FPU_MEMORY) {
            // SAFETY: a torn copy is as good as any.
            unsafe { LEFT.0.get().write_volatile(*at) };
        }
    }

    /// Loads the registers from here.
    ///
    /// # Safety
    /// The FPU is on; what lies here is from `new` or `save`.
    #[inline]
    unsafe fn load(&self, parts: u64) {
        static ZERO: u32 = 0;
        let at = self.0.get();
        // SAFETY: as for `save`; the state is one that the processor wrote or takes as initial. Some processors load the
        // address of the last x87 instruction and operand only while an exception is pending (AMD, "XSaveErPtr"): a load of the
        // kernel's own goes before, so that they tell nothing of the thread before.
        unsafe {
            asm!(
                "fnclex",
                "emms",
                "fild dword ptr [{}]",
                in(reg) &raw const ZERO,
                options(nostack, preserves_flags)
            );
            if parts == 0 {
                asm!("fxrstor64 [{}]", in(reg) at, options(nostack, preserves_flags));
            } else {
                asm!("xrstor64 [{}]", in(reg) at, in("eax") parts as u32, in("edx") (parts >> 32) as u32, options(nostack, preserves_flags));
            }
        }
    }
}

impl Default for FpuState {
    fn default() -> Self {
        Self::new()
    }
}

/// Goes from a thread to another, of which at least one has FPU state: keeps what `from` has in the registers, if it has any,
/// and turns the FPU on with the state of `to`, or off and cleared if that has none.
///
/// # Safety
/// `from` is the state of what ran on this CPU until now; no other CPU switches from or to either state meanwhile.
pub unsafe fn switch(from: Option<&FpuState>, to: Option<&FpuState>) {
    let parts = PARTS.load(Ordering::Relaxed);
    // SAFETY: this CPU's own element, which is written no more.
    let [without, with] = unsafe { &(*BOTH.0.get())[crate::index() % MAX_CPUS] };
    // SAFETY: states are made where there is an FPU alone (`has`). It is on while something with a state runs: from here on, if
    // `to` has one, and until here, if `from` has.
    unsafe {
        match from {
            Some(from) => from.save(parts),
            None => with.write_after(without),
        }
        match to {
            Some(to) => {
                sabotage!(KEEP_FPU => return);
                to.load(parts);
            }
            None => {
                sabotage!(LEAVE_FPU_ON => return);
                INITIAL.load(parts);
                without.write_after(with);
            }
        }
    }
}
