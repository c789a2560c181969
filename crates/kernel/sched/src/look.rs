//! The look in the middle of long work.
//!
//! Kernel code runs with interrupts off, and nothing takes it from its CPU. Work that grows with what somebody asked for
//! goes in steps that keep their place; after each step it calls [`point`]. Between two looks, or from the way in to the
//! first and from the last to the way out, the kernel runs a bounded count of instructions.

use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use sabotage::sabotage;

use crate::core_state::{core, this};
use crate::now_ns;
use crate::switch::{block, current, yield_now};

/// What a look found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Look {
    /// The work goes on.
    GoOn,
    /// The owner of this thread ends. Work that may be left undone is; what must be done is done all the same.
    Ending,
}

/// Looks whether an interrupt waits, or somebody more urgent, and lets them go first; other threads run meanwhile, and
/// this one may come back on another CPU.
///
/// The caller holds no lock, has borrowed nothing that belongs to a CPU, and keeps its place in what it works on. Inside
/// a trap, and while an [`Unbroken`] lives, this does nothing; so it may stand in code that is reached from there too.
#[inline]
pub fn point() -> Look {
    let c = this();
    if c.unbroken.load(Ordering::Relaxed) != 0 {
        return Look::GoOn;
    }
    // A defect that nothing else would show until two threads meet.
    #[cfg(sabotage)]
    assert!(!cpu::held::any(), "a look with a lock held");
    cpu::let_interrupts_in();
    if c.need_resched.load(Ordering::Acquire) {
        attend()
    } else {
        Look::GoOn
    }
}

/// Something is to be seen to: somebody may be more urgent, or the owner of the thread ends.
#[cold]
#[inline(never)]
fn attend() -> Look {
    sabotage!(SKIP_LOOKS => return Look::GoOn);
    if current().space.is_none() {
        // The idle task, letting go of what ran before it: it is in no queue, and looks for others anyway.
        return Look::GoOn;
    }
    yield_now();
    // Whoever had the CPU may have handed it here from the middle of its own long work, as whoever comes next will: many that
    // end one after the other would let nobody in.
    cpu::let_interrupts_in();
    if current().is_ending() {
        Look::Ending
    } else {
        Look::GoOn
    }
}

/// As [`point`], and leaves the CPU to others for `ns`: for who waits for a device and holds nothing. Before threads run, and
/// inside a trap, this does nothing.
pub fn rest(ns: u64) {
    if this().unbroken.load(Ordering::Relaxed) != 0 {
        return;
    }
    let _ = point();
    let _ = block(now_ns().saturating_add(ns));
    cpu::let_interrupts_in();
}

/// While it lives, this CPU stays with what it runs, and no look is taken. For as long as something that belongs to the
/// CPU is borrowed.
#[derive(Debug)]
pub struct Unbroken {
    cpu: usize,
    /// It stays on its CPU.
    _here: PhantomData<*const ()>,
}

/// Begins a stretch without looks.
#[inline]
pub fn unbroken() -> Unbroken {
    let cpu = cpu::index();
    add(cpu, 1);
    Unbroken {
        cpu,
        _here: PhantomData,
    }
}

impl Drop for Unbroken {
    #[inline]
    fn drop(&mut self) {
        add(self.cpu, u32::MAX);
    }
}

/// Written by its own CPU alone, so that no locked instruction is needed.
#[inline]
fn add(cpu: usize, what: u32) {
    let count = &core(cpu).unbroken;
    let now = count.load(Ordering::Relaxed).wrapping_add(what);
    count.store(now, Ordering::Relaxed);
}
