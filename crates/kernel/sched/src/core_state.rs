//! What each CPU has: its queue, its timers, what it runs.

use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};

use account::Account;
use cpu::{Lock, MAX_CPUS};
use cpu_vulnerabilities::Trained;
use paging::AddressSpace;
use sabotage::sabotage;

use crate::Task;
use crate::run_queue::{End, RunQueue};
use crate::task::Taken;
use crate::timer::TimerHeap;

/// Only the CPU itself touches these, with interrupts off.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) current: Option<Taken>,
    pub(crate) previous: Option<Taken>,
    pub(crate) idle: Option<Arc<Task>>,
    /// The address space that is loaded while a task runs that has none of its own.
    pub(crate) kept: Option<Arc<AddressSpace>>,
    /// What was last written to the FS base register.
    pub(crate) fs_base: u64,
    /// Whose branches the predictors know.
    pub(crate) trained: Trained,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) local: UnsafeCell<Local>,
    pub(crate) queue: Lock<RunQueue>,
    /// Priorities at which somebody waits in `queue`, one bit each, for a look without its lock.
    pub(crate) waiting: AtomicU32,
    pub(crate) timers: Lock<TimerHeap>,
    pub(crate) need_resched: AtomicBool,
    /// How many reasons there are not to leave what runs in the kernel here: a trap, a borrowed buffer of this CPU. Boot
    /// is one, until the CPU first idles. Written by this CPU alone.
    pub(crate) unbroken: AtomicU32,
    pub(crate) online: AtomicBool,
    pub(crate) priority: AtomicU8,
    pub(crate) apic_id: AtomicU32,
    pub(crate) quantum_end: AtomicU64,
    pub(crate) armed_for: AtomicU64,
    pub(crate) switches: AtomicU64,
    /// Switches at which the predictors of branches were told to forget.
    pub(crate) barriers: AtomicU64,
    /// TSC at the last switch, written by this CPU alone.
    pub(crate) switched_at: AtomicU64,
    /// The account of what runs, to be compared with others; null for a kernel task.
    pub(crate) account: AtomicPtr<Account>,
    /// TSC when it came up.
    pub(crate) online_at: AtomicU64,
    /// Its idle task again, for whoever asks from elsewhere.
    pub(crate) idle_task: Lock<Option<Arc<Task>>>,
}

// SAFETY: `local` is only reached through `local()`, by its own CPU with interrupts off; the rest is locked or atomic.
unsafe impl Sync for Core {}

impl Core {
    /// Queues a task, which is in no queue, here: this is the element of CPU `cpu`. Returns the priority it waits at.
    pub(crate) fn push(&self, task: Taken, cpu: usize, end: End) -> u8 {
        let mut queue = self.queue.lock();
        let priority = queue.push(task, cpu, end);
        self.waiting.store(queue.occupied(), Ordering::Relaxed);
        priority
    }

    /// Takes out the task that comes first of those that have time left. Whether some had none, and were set aside.
    pub(crate) fn pop(&self, cpu: usize) -> (Option<Taken>, bool) {
        let mut queue = self.queue.lock();
        let any_out = queue.set_aside(crate::budget::is_out);
        let task = queue.pop(cpu);
        self.waiting.store(queue.occupied(), Ordering::Relaxed);
        (task, any_out)
    }

    /// Moves a task to the place of the priority that it has now. `None`: it does not wait here.
    pub(crate) fn requeue(&self, task: &Task, cpu: usize) -> Option<u8> {
        let mut queue = self.queue.lock();
        let priority = queue.requeue(task, cpu);
        self.waiting.store(queue.occupied(), Ordering::Relaxed);
        priority
    }

    /// Whether somebody of this priority or of a higher one waits.
    #[inline]
    pub(crate) fn is_wanted_from(&self, priority: u8) -> bool {
        self.waiting.load(Ordering::Relaxed) >> (priority & 31) != 0
    }

    /// Whether somebody of a higher priority waits.
    #[inline]
    pub(crate) fn is_wanted_above(&self, priority: u8) -> bool {
        self.waiting.load(Ordering::Relaxed) >> (priority & 31) > 1
    }
}

static CORES: [Core; MAX_CPUS] = [const {
    Core {
        local: UnsafeCell::new(Local {
            current: None,
            previous: None,
            idle: None,
            kept: None,
            fs_base: 0,
            trained: Trained::by_anybody(),
        }),
        queue: Lock::new(RunQueue::new()),
        waiting: AtomicU32::new(0),
        timers: Lock::new(TimerHeap::new()),
        need_resched: AtomicBool::new(false),
        unbroken: AtomicU32::new(1),
        online: AtomicBool::new(false),
        priority: AtomicU8::new(0),
        apic_id: AtomicU32::new(0),
        quantum_end: AtomicU64::new(u64::MAX),
        armed_for: AtomicU64::new(u64::MAX),
        switches: AtomicU64::new(0),
        barriers: AtomicU64::new(0),
        switched_at: AtomicU64::new(0),
        account: AtomicPtr::new(core::ptr::null_mut()),
        online_at: AtomicU64::new(0),
        idle_task: Lock::new(None),
    }
}; MAX_CPUS];
/// CPUs that have nothing to do, one bit each.
pub(crate) static IDLE: AtomicU64 = AtomicU64::new(0);
static COUNT: AtomicUsize = AtomicUsize::new(1);
/// Tasks that exist now.
static TASKS: AtomicUsize = AtomicUsize::new(0);
/// How many tasks there is room for in every timer heap.
static ROOM: AtomicUsize = AtomicUsize::new(0);

#[inline]
pub(crate) fn core(cpu: usize) -> &'static Core {
    &CORES[cpu % MAX_CPUS]
}

/// The address of what CPU `cpu` has here, for the block that it finds through GS.
pub fn part_of(cpu: usize) -> *const () {
    ::core::ptr::from_ref(core(cpu)).cast()
}

#[inline(always)]
pub(crate) fn this() -> &'static Core {
    // SAFETY: this CPU's block holds what `part_of` gave for it, from before anything runs that asks.
    unsafe { &*cpu::scheduler().cast::<Core>() }
}

/// This CPU's private part.
///
/// # Safety
/// The reference ends before anything else on this CPU calls `local` again.
#[allow(clippy::mut_from_ref)]
#[inline]
pub(crate) unsafe fn local() -> &'static mut Local {
    // SAFETY: as for `local_of`, whose element is this CPU's.
    unsafe { local_of(this()) }
}

/// As [`local`], where the element of this CPU is at hand.
///
/// # Safety
/// As for [`local`]; `c` is [`this`].
#[allow(clippy::mut_from_ref)]
#[inline]
pub(crate) unsafe fn local_of(c: &'static Core) -> &'static mut Local {
    // SAFETY: only this CPU reaches its own element, and the caller keeps the borrows apart.
    unsafe { &mut *c.local.get() }
}

/// How many CPUs run; numbers are dense.
pub fn cpu_count() -> usize {
    COUNT.load(Ordering::Acquire)
}

/// Announces that CPUs `0..count` are online.
pub fn set_cpu_count(count: usize) {
    let mut count = count.clamp(1, MAX_CPUS);
    while count > 1 && !make_room(count, ROOM.load(Ordering::Relaxed)) {
        // Nothing is ever put on the one that is left out.
        count -= 1;
    }
    COUNT.store(count, Ordering::Release);
}

/// Marks this CPU online under its local APIC identifier.
pub fn online(apic_id: u32) {
    let core = this();
    core.apic_id.store(apic_id, Ordering::Relaxed);
    core.online_at.store(cpu::read_tsc(), Ordering::Relaxed);
    core.online.store(true, Ordering::Release);
}

/// One CPU's figures.
#[derive(Clone, Copy, Debug)]
pub struct CpuSummary {
    /// Local APIC identifier.
    pub apic_id: u32,
    /// Whether it came up.
    pub online: bool,
    /// Switches so far.
    pub switches: u64,
    /// How many of them came between accounts of which one is distrusting.
    pub barriers: u64,
    /// Nanoseconds for which it had nothing to do.
    pub idle_ns: u64,
    /// Nanoseconds for which it worked.
    pub busy_ns: u64,
    /// What its timer is armed for, [`crate::NEVER`] for nothing.
    pub next_deadline_ns: u64,
}

/// Figures of CPU `cpu`.
pub fn summary(cpu: usize) -> CpuSummary {
    let c = core(cpu);
    let online = c.online.load(Ordering::Acquire);
    let (idle, alive) = if online { spent(c) } else { (0, 0) };
    CpuSummary {
        apic_id: c.apic_id.load(Ordering::Relaxed),
        online,
        switches: c.switches.load(Ordering::Relaxed),
        barriers: c.barriers.load(Ordering::Relaxed),
        idle_ns: crate::tsc_to_ns(idle),
        busy_ns: crate::tsc_to_ns(alive.saturating_sub(idle)),
        next_deadline_ns: c.armed_for.load(Ordering::Relaxed),
    }
}

/// TSC ticks for which a CPU was idle, and for which it is up. Another CPU may switch while they are read: they are for
/// people, and off by that one switch.
fn spent(c: &Core) -> (u64, u64) {
    let now = cpu::read_tsc();
    let alive = now.saturating_sub(c.online_at.load(Ordering::Relaxed));
    let idle_task = c.idle_task.lock().clone();
    let Some(idle) = idle_task else {
        return (0, alive);
    };
    let running = if idle.is_on_cpu() {
        now.saturating_sub(c.switched_at.load(Ordering::Relaxed))
    } else {
        0
    };
    let past = idle.ticks.load(Ordering::Relaxed);
    (past.saturating_add(running).min(alive), alive)
}

/// CPU time that an account used, in TSC ticks, up to now: what runs is counted in, though nothing switched. Another CPU
/// may switch while this is read, so it is for people, and off by that one switch.
pub fn spent_by(account: &Account) -> u64 {
    let running = (0..cpu_count()).map(core).filter_map(|c| {
        let is_its = core::ptr::eq(c.account.load(Ordering::Relaxed), account);
        let since = c.switched_at.load(Ordering::Relaxed);
        is_its.then(|| cpu::read_tsc().saturating_sub(since))
    });
    let running: u64 = running.sum();
    if sabotage!(COUNT_AT_SWITCHES) {
        return account.spent();
    }
    account.spent() + running
}

/// Makes room in every timer heap for one more task. `false`: no memory; nothing changed then.
#[must_use]
pub(crate) fn reserve_for_task() -> bool {
    let tasks = TASKS.fetch_add(1, Ordering::Relaxed) + 1;
    if tasks <= ROOM.load(Ordering::Relaxed) {
        return true;
    }
    // All tasks share it, and it stays.
    let _kernel = frames::paid_by_kernel();
    let room = tasks.next_power_of_two().max(16);
    if !make_room(cpu_count(), room) {
        forget_task();
        return false;
    }
    ROOM.fetch_max(room, Ordering::Relaxed);
    true
}

/// A task is gone. What was reserved for it stays, for the next one.
pub(crate) fn forget_task() {
    TASKS.fetch_sub(1, Ordering::Relaxed);
}

fn make_room(cpus: usize, tasks: usize) -> bool {
    (0..cpus).all(|cpu| core(cpu).timers.lock().reserve(tasks))
}
