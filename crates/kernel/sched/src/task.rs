use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use cpu::Lock;
use paging::{AddressSpace, KernelStack};

use crate::run_queue::PRIORITIES;

/// What a task is doing, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// On a CPU now.
    Running,
    /// In a run queue.
    Ready,
    /// Waiting.
    Blocked,
}

/// How to make a task.
#[derive(Debug)]
pub struct TaskSpec {
    /// Its address space; `None` for kernel tasks, which run on whatever is loaded.
    pub space: Option<Arc<AddressSpace>>,
    /// FS base in user mode.
    pub fs_base: u64,
    /// 0 is the lowest, [`PRIORITIES`] - 1 the highest.
    pub priority: u8,
    /// The one CPU it may run on.
    pub pinned: Option<u32>,
    /// What it runs first.
    pub entry: extern "C" fn(u64) -> !,
    /// The argument of `entry`.
    pub argument: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Wait {
    pub(crate) blocked: bool,
    /// Somebody woke the task before it blocked.
    pub(crate) pending: bool,
    pub(crate) timed_out: bool,
}

pub(crate) const NO_TIMER: u32 = crate::heap::NO_PLACE;

/// One thread of control with a kernel stack.
#[derive(Debug)]
pub struct Task {
    pub(crate) saved: UnsafeCell<u64>,
    pub(crate) stack: KernelStack,
    pub(crate) space: Option<Arc<AddressSpace>>,
    pub(crate) fs_base: u64,
    pub(crate) base_priority: u8,
    pub(crate) priority: AtomicU8,
    pub(crate) pinned: Option<u32>,
    pub(crate) wait: Lock<Wait>,
    pub(crate) on_cpu: AtomicBool,
    pub(crate) queued: AtomicBool,
    pub(crate) last_cpu: AtomicU32,
    pub(crate) ticks: AtomicU64,
    /// Place in the timer heap of CPU `timer_cpu`, written under that heap's lock.
    pub(crate) timer_place: AtomicU32,
    pub(crate) timer_cpu: AtomicU32,
    owner: AtomicPtr<()>,
}

// SAFETY: `saved` is written only by the switch while the task leaves a CPU and read only after `on_cpu` cleared.
unsafe impl Send for Task {}
// SAFETY: as for Send.
unsafe impl Sync for Task {}

impl Task {
    /// Makes a blocked task; [`crate::wake`] starts it. `None`: no memory for the stack or the timer heaps.
    pub fn new(spec: TaskSpec) -> Option<Arc<Self>> {
        let stack = paging::new_stack()?;
        // SAFETY: a fresh stack.
        let saved = unsafe { cpu::prepare_stack(stack.top(), spec.entry, spec.argument) };
        crate::core_state::reserve_for_task();
        Some(Arc::new(Self {
            saved: UnsafeCell::new(saved),
            stack,
            space: spec.space,
            fs_base: spec.fs_base,
            base_priority: spec.priority.min(PRIORITIES as u8 - 1),
            priority: AtomicU8::new(spec.priority.min(PRIORITIES as u8 - 1)),
            pinned: spec.pinned,
            wait: Lock::new(Wait {
                blocked: true,
                ..Wait::default()
            }),
            on_cpu: AtomicBool::new(false),
            queued: AtomicBool::new(false),
            last_cpu: AtomicU32::new(spec.pinned.unwrap_or(cpu::index() as u32)),
            ticks: AtomicU64::new(0),
            timer_place: AtomicU32::new(NO_TIMER),
            timer_cpu: AtomicU32::new(0),
            owner: AtomicPtr::new(core::ptr::null_mut()),
        }))
    }

    /// Attaches what the task belongs to. The pointer is only ever handed back by [`Task::owner`].
    pub fn set_owner(&self, owner: *const ()) {
        self.owner.store(owner.cast_mut(), Ordering::Release);
    }

    /// What [`Task::set_owner`] stored.
    pub fn owner(&self) -> *const () {
        self.owner.load(Ordering::Acquire)
    }

    /// CPU time so far, in nanoseconds; the time since the last switch is not in it.
    pub fn cpu_ns(&self) -> u64 {
        crate::tsc_to_ns(self.ticks.load(Ordering::Relaxed))
    }

    /// Raises the priority to at least `other`'s while the task works for it.
    pub fn inherit(&self, other: &Self) {
        let p = other.priority.load(Ordering::Relaxed);
        #[cfg(sabotage)]
        if cpu::sabotaged("skip-inherit") {
            return;
        }
        if p > self.priority.load(Ordering::Relaxed) {
            self.priority.store(p, Ordering::Relaxed);
        }
    }

    /// Back to its own priority. Of the current task alone.
    #[inline]
    pub fn disinherit(&self) {
        if self.priority.load(Ordering::Relaxed) != self.base_priority {
            self.priority.store(self.base_priority, Ordering::Relaxed);
            crate::switch::lowered(self.base_priority);
        }
    }

    /// The priority it was made with.
    pub const fn base_priority(&self) -> u8 {
        self.base_priority
    }

    /// What it is doing.
    pub fn running(&self) -> Running {
        if self.on_cpu.load(Ordering::Relaxed) {
            Running::Running
        } else if self.queued.load(Ordering::Relaxed) {
            Running::Ready
        } else {
            Running::Blocked
        }
    }

    /// Whether a direct switch may bring it to CPU `cpu`.
    pub(crate) fn may_run_on(&self, cpu: u32) -> bool {
        self.pinned.is_none_or(|p| p == cpu)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        crate::core_state::forget_task();
    }
}
