//! One task: its stack, its state, its priority with what others lend it, and what it waits for.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use account::{Account, Bucket};
use call_state::Loans;
use cpu::{FpuState, Lock};
use cpu_vulnerabilities::{Marks, Party};
use paging::{AddressSpace, KernelStack};
use sabotage::sabotage;

use crate::run_queue::{PRIORITIES, Place};

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
    /// Whose CPU time it uses; `None` for kernel tasks.
    pub account: Option<Arc<Account>>,
    /// FS base in user mode.
    pub fs_base: u64,
    /// Its floating-point and vector registers; `None`: it may not use them.
    pub fpu: Option<Box<FpuState>>,
    /// Its account, as far as speculation goes; `None` for kernel tasks.
    pub party: Option<Party>,
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
    /// It was woken once, so that the scheduler has a count of it: see [`Taken`].
    pub(crate) started: bool,
}

pub(crate) const NO_TIMER: u32 = crate::heap::NO_PLACE;

/// Most that the record of a task takes.
const TASK_BYTES: u64 = size_of::<Task>() as u64 + 128;

/// Values of [`Task::on_cpu`]: no CPU runs the task or is about to.
pub(crate) const OFF: u8 = 0;
/// A CPU runs it, or is on its way into it or out of it.
pub(crate) const ON: u8 = 1;
/// As [`ON`]; it was woken since it blocked, and the CPU that leaves it makes it ready.
pub(crate) const LEAVING: u8 = 2;
/// As [`ON`]; it has ended, and the CPU that leaves it gives the scheduler's count of it back.
pub(crate) const ENDED: u8 = 3;

/// A mark beside those of [`Marks`]: it has floating-point state.
pub(crate) const FPU: u8 = 1 << 7;
/// Another: its account has a budget of CPU time.
pub(crate) const BUDGET: u8 = 1 << 6;

/// One thread of control with a kernel stack.
#[derive(Debug)]
pub struct Task {
    pub(crate) saved: UnsafeCell<u64>,
    pub(crate) stack: KernelStack,
    pub(crate) space: Option<Arc<AddressSpace>>,
    pub(crate) account: Option<Arc<Account>>,
    pub(crate) fs_base: u64,
    /// Touched by the switch alone.
    pub(crate) fpu: Option<Box<FpuState>>,
    pub(crate) party: Option<Party>,
    /// Why a switch from or to it is not an ordinary one: [`FPU`], and what [`Marks`] says. Changes for kernel tasks alone, on
    /// the CPU that runs them.
    pub(crate) marks: AtomicU8,
    pub(crate) base_priority: u8,
    /// The priority that applies, written under the lock of `loans`.
    pub(crate) priority: AtomicU8,
    loans: Lock<Loans>,
    pub(crate) pinned: Option<u32>,
    pub(crate) wait: Lock<Wait>,
    pub(crate) on_cpu: AtomicU8,
    pub(crate) place: Place,
    /// Its owner ends: a look in the middle of long work says so.
    ending: AtomicBool,
    pub(crate) last_cpu: AtomicU32,
    pub(crate) ticks: AtomicU64,
    /// Place in the timer heap of CPU `timer_cpu`, written under that heap's lock.
    pub(crate) timer_place: AtomicU32,
    pub(crate) timer_cpu: AtomicU32,
    owner: AtomicPtr<()>,
}

/// A task that was taken out of its wait or out of a queue, for its holder alone to run or to make ready; or that runs.
///
/// From when it is woken first until it has left its last CPU, the scheduler has one count of a task, so that neither a wake-up nor
/// a switch counts anything: this is that count lent out, and it is nobody's to give back.
#[must_use = "the task never runs again"]
#[derive(Debug)]
pub struct Taken(NonNull<Task>);

// SAFETY: it stands for a count of an `Arc<Task>`, and tasks are `Send` and `Sync`.
unsafe impl Send for Taken {}

impl Taken {
    /// A task that was started, or that never ends, and has not ended: the caller alone is to run it, or runs it.
    #[inline(always)]
    pub(crate) const fn new(task: &Task) -> Self {
        Self(NonNull::from_ref(task))
    }

    /// The task, for as long as it has not ended.
    #[inline(always)]
    pub(crate) const fn task<'a>(&self) -> &'a Task {
        // SAFETY: by the scheduler's count, or the one in the place of an idle task.
        unsafe { self.0.as_ref() }
    }

    /// Where it lies.
    #[inline(always)]
    pub(crate) const fn as_ptr(&self) -> *const Task {
        self.0.as_ptr()
    }
}

impl Deref for Taken {
    type Target = Task;
    #[inline(always)]
    fn deref(&self) -> &Task {
        self.task()
    }
}

// SAFETY: `saved` is written only by the switch while the task leaves a CPU and read only after `on_cpu` cleared.
unsafe impl Send for Task {}
// SAFETY: as for Send.
unsafe impl Sync for Task {}

impl Task {
    /// Makes a blocked task; [`crate::wake`] starts it. `None`: no memory for the stack or the timer heaps.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub fn new(spec: TaskSpec) -> Option<Arc<Self>> {
        let stack = paging::new_stack().ok()?;
        // SAFETY: a fresh stack.
        let saved = unsafe { cpu::prepare_stack(stack.top(), spec.entry, spec.argument) };
        if !crate::core_state::reserve_for_task() {
            return None;
        }
        let priority = spec.priority.min(PRIORITIES as u8 - 1);
        let distrusting = spec.party.is_some_and(|party| party.distrusting);
        let budget = spec.account.as_ref().and_then(|account| account.bucket());
        let marks = if distrusting { Marks::DISTRUSTING } else { 0 }
            | if spec.fpu.is_some() { FPU } else { 0 }
            | if budget.is_some() { BUDGET } else { 0 };
        let make = || {
            Arc::new(Self {
                saved: UnsafeCell::new(saved),
                stack,
                space: spec.space,
                account: spec.account,
                fs_base: spec.fs_base,
                fpu: spec.fpu,
                party: spec.party,
                marks: AtomicU8::new(marks),
                base_priority: priority,
                priority: AtomicU8::new(priority),
                loans: Lock::new(Loans::new(priority)),
                pinned: spec.pinned,
                wait: Lock::new(Wait {
                    blocked: true,
                    ..Wait::default()
                }),
                on_cpu: AtomicU8::new(OFF),
                place: Place::default(),
                ending: AtomicBool::new(false),
                last_cpu: AtomicU32::new(spec.pinned.unwrap_or(cpu::index() as u32)),
                ticks: AtomicU64::new(0),
                timer_place: AtomicU32::new(NO_TIMER),
                timer_cpu: AtomicU32::new(0),
                owner: AtomicPtr::new(core::ptr::null_mut()),
            })
        };
        frames::with_room(TASK_BYTES, make)
            .inspect_err(|_| crate::core_state::forget_task())
            .ok()
    }

    /// A count of it, for somebody who keeps it: it was started, or never ends.
    pub(crate) fn counted(&self) -> Arc<Self> {
        // SAFETY: every task lies in the `Arc` that `new` made, and the scheduler's count or its place as an idle task keeps it.
        unsafe {
            Arc::increment_strong_count(core::ptr::from_ref(self));
            Arc::from_raw(core::ptr::from_ref(self))
        }
    }

    /// Attaches what the task belongs to. The pointer is only ever handed back by [`Task::owner`].
    pub fn set_owner(&self, owner: *const ()) {
        self.owner.store(owner.cast_mut(), Ordering::Release);
        if core::ptr::eq(self, crate::current()) {
            cpu::set_owner(owner);
        }
    }

    /// What [`Task::set_owner`] stored.
    pub fn owner(&self) -> *const () {
        self.owner.load(Ordering::Acquire)
    }

    /// CPU time so far, in nanoseconds; the time since the last switch is not in it.
    pub fn cpu_ns(&self) -> u64 {
        crate::tsc_to_ns(self.ticks.load(Ordering::Relaxed))
    }

    /// A call lends the task this priority, until [`Task::give_back`]. For what is not above the task's own priority
    /// there is nothing to do.
    pub fn lend(&self, priority: u8) {
        sabotage!(SKIP_INHERIT => return);
        self.settle(|loans| loans.lend(priority));
    }

    /// The call that lent this priority has ended.
    pub fn give_back(&self, priority: u8) {
        sabotage!(KEEP_LOANS => return);
        self.settle(|loans| loans.give_back(priority));
    }

    /// The budget of its account, if that has one.
    #[inline]
    pub(crate) fn bucket(&self) -> Option<&Bucket> {
        if self.marks.load(Ordering::Relaxed) & BUDGET == 0 {
            return None;
        }
        self.account.as_ref()?.bucket().map(|bucket| &**bucket)
    }

    /// Whether some call lends it a priority.
    pub fn has_loans(&self) -> bool {
        self.loans.lock().any()
    }

    fn settle(&self, change: impl FnOnce(&mut Loans)) {
        let mut loans = self.loans.lock();
        change(&mut loans);
        let (was, now) = (self.priority(), loans.effective());
        if was != now {
            // Before its place is looked for: see `RunQueue::push` and `switch_to`.
            self.priority.store(now, Ordering::SeqCst);
            crate::switch::reprioritised(self, was, now);
        }
    }

    /// The priority that applies: its own, or what calls lend it.
    #[inline]
    pub fn priority(&self) -> u8 {
        self.priority.load(Ordering::Relaxed)
    }

    /// Makes the next look of this task in the middle of long work say that its owner ends.
    pub fn set_ending(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// Whether [`Task::set_ending`] was called.
    #[inline]
    pub fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// The priority it was made with.
    pub const fn base_priority(&self) -> u8 {
        self.base_priority
    }

    /// What it is doing.
    pub fn running(&self) -> Running {
        if self.is_on_cpu() {
            Running::Running
        } else if self.place.cpu().is_some() {
            Running::Ready
        } else {
            Running::Blocked
        }
    }

    /// Whether a CPU runs it, or is on its way into it or out of it.
    #[inline]
    pub(crate) fn is_on_cpu(&self) -> bool {
        self.on_cpu.load(Ordering::Acquire) != OFF
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
