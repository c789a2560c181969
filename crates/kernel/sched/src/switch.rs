//! Blocking, waking and switching.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use crate::core_state::{Core, core, cpu_count, local, local_of, this};
use crate::task::NO_TIMER;
use crate::{NEVER, Task, TaskSpec, now_ns, timer};

/// How long equal priorities share a CPU.
const QUANTUM_NS: u64 = 5_000_000;

/// The task that runs on this CPU.
#[inline]
pub fn current() -> &'static Arc<Task> {
    // SAFETY: the borrow is of the Arc in this CPU's slot, which changes only inside `switch_to`; whoever holds the
    // reference across a switch finds the same task in the slot of whatever CPU it resumes on.
    match unsafe { &local().current } {
        Some(task) => task,
        None => unreachable!("no task before install_idle"),
    }
}

extern "C" fn idle_entry(_: u64) -> ! {
    idle_loop()
}

/// Turns what runs on this CPU now into its idle task. `false`: no memory.
pub fn install_idle() -> bool {
    let spec = TaskSpec {
        space: None,
        fs_base: 0,
        priority: 0,
        pinned: Some(cpu::index() as u32),
        entry: idle_entry,
        argument: 0,
    };
    let Some(task) = Task::new(spec) else {
        return false;
    };
    task.wait.lock().blocked = false;
    task.on_cpu.store(true, Ordering::Relaxed);
    // SAFETY: nothing else on this CPU uses its slot yet.
    let l = unsafe { local() };
    l.current = Some(task.clone());
    l.idle = Some(task.clone());
    let c = this();
    c.switched_at.store(cpu::read_tsc(), Ordering::Relaxed);
    *c.idle_task.lock() = Some(task);
    true
}

/// Charges the time since the last switch, then runs `next` on this CPU, whose element is `c`, until something switches
/// back.
fn switch_to(c: &'static Core, next: Arc<Task>) {
    let next_ptr = Arc::as_ptr(&next);
    // SAFETY: no other borrow of this CPU's slot is in use across these lines.
    let l = unsafe { local_of(c) };
    let previous = match l.current.take() {
        Some(previous) if !core::ptr::eq(next_ptr, Arc::as_ptr(&previous)) => previous,
        same => {
            l.current = same;
            return;
        }
    };
    next.on_cpu.store(true, Ordering::Relaxed);
    next.last_cpu.store(cpu::index() as u32, Ordering::Relaxed);
    // Written by this CPU alone.
    let switches = c.switches.load(Ordering::Relaxed);
    c.switches.store(switches + 1, Ordering::Relaxed);
    c.priority
        .store(next.priority.load(Ordering::Relaxed), Ordering::Relaxed);
    let now = cpu::read_tsc();
    // Written by the CPU that the task runs on alone.
    let ticks = previous.ticks.load(Ordering::Relaxed);
    let ran = now.wrapping_sub(c.switched_at.load(Ordering::Relaxed));
    previous
        .ticks
        .store(ticks.wrapping_add(ran), Ordering::Relaxed);
    c.switched_at.store(now, Ordering::Relaxed);
    // SAFETY: `next` left its last CPU, and this CPU alone loads it.
    let load = unsafe { *next.saved.get() };
    let save = previous.saved.get();
    l.previous = Some(previous);
    l.current = Some(next);
    // SAFETY: `l.current` holds the next task.
    let next = unsafe { &*next_ptr };
    if let Some(space) = &next.space {
        let same = l.loaded.as_ref().is_some_and(|s| Arc::ptr_eq(s, space));
        if !same {
            paging::activate(space, l.loaded.as_deref());
            l.loaded = Some(space.clone());
        } else {
            paging::activate(space, None);
        }
        // Loading a selector changes the base without a trap, so what another process left is never taken as set.
        if !same || l.fs_base != next.fs_base {
            l.fs_base = next.fs_base;
            cpu::set_fs_base(next.fs_base);
        }
    }
    cpu::set_kernel_stack(next.stack.top());
    // SAFETY: `load` was saved by this function or laid out by `prepare_stack`; `save` lives in the previous task,
    // which `previous` keeps alive until the switch is over.
    unsafe { cpu::switch_stacks(save, load) };
    finish_switch();
}

/// What every context does first when it gets a CPU: lets go of the task that had it before.
#[inline]
fn finish_switch() {
    // SAFETY: no other borrow of this CPU's slot is in use.
    let previous = unsafe { local() }.previous.take();
    if let Some(previous) = previous {
        previous.on_cpu.store(false, Ordering::Release);
    }
}

/// The first thing a fresh task must call.
pub fn run_first() {
    finish_switch();
}

fn next_task(c: &Core) -> Arc<Task> {
    let popped = {
        let mut queue = c.queue.lock();
        let task = queue.pop();
        let again = queue.highest();
        drop(queue);
        if let Some(task) = &task {
            task.queued.store(false, Ordering::Relaxed);
            let shared = again == Some(task.priority.load(Ordering::Relaxed));
            start_quantum(c, shared);
        }
        task
    };
    popped.unwrap_or_else(|| {
        // SAFETY: no other borrow of this CPU's slot is in use.
        match unsafe { &local().idle } {
            Some(idle) => idle.clone(),
            None => unreachable!("no idle task"),
        }
    })
}

fn start_quantum(c: &Core, shared: bool) {
    if shared {
        c.quantum_end
            .store(now_ns() + QUANTUM_NS, Ordering::Relaxed);
        timer::arm(NEVER);
    } else {
        c.quantum_end.store(NEVER, Ordering::Relaxed);
    }
}

/// The task that runs, by itself: unlike a place in a CPU's slot it stays the same across a switch.
#[inline]
fn running() -> &'static Task {
    // SAFETY: used only by the task itself, which lives as long as it runs.
    unsafe { &*Arc::as_ptr(current()) }
}

/// Marks the current task `me` as waiting, unless it was woken already. `true`: it must leave the CPU.
#[inline(always)]
fn prepare(me: &Task, deadline: u64) -> bool {
    let mut wait = me.wait.lock();
    wait.timed_out = false;
    if wait.pending {
        wait.pending = false;
        return false;
    }
    if deadline != NEVER {
        arm(deadline);
    }
    wait.blocked = true;
    true
}

#[inline(never)]
fn arm(deadline: u64) {
    timer::add_task(current(), deadline);
}

/// Whether the deadline came. A timer interrupt on the CPU where an earlier wait began may end this one, late: that is a
/// wake-up for nothing and no timeout.
#[inline]
fn timed_out(me: &Task, deadline: u64) -> bool {
    if me.timer_place.load(Ordering::Relaxed) != NO_TIMER {
        timer::cancel(me);
    }
    let flagged = core::mem::take(&mut me.wait.lock().timed_out);
    flagged && now_ns() >= deadline
}

/// Waits until somebody wakes this task or `deadline` comes. `true`: the deadline came. A wake-up that came before
/// the call ends it at once; callers check their condition again.
pub fn block(deadline: u64) -> bool {
    let me = running();
    if prepare(me, deadline) {
        let c = this();
        switch_to(c, next_task(c));
    }
    timed_out(me, deadline)
}

/// As [`block`], and gives this CPU directly to `next`, which [`claim`] returned.
pub fn block_and_switch(next: Arc<Task>, deadline: u64) -> bool {
    #[cfg(sabotage)]
    if cpu::sabotaged("skip-direct-switch") {
        make_ready(next);
        return block(deadline);
    }
    let me = running();
    if !prepare(me, deadline) {
        make_ready(next);
    } else if next.may_run_on(cpu::index() as u32) {
        switch_to(this(), next);
    } else {
        make_ready(next);
        let c = this();
        switch_to(c, next_task(c));
    }
    timed_out(me, deadline)
}

/// Takes a waiting task out of its wait, for the caller to run or to make ready. `None`: it was not waiting, and will
/// notice when it does.
#[inline(always)]
pub fn claim(task: &Arc<Task>) -> Option<Arc<Task>> {
    {
        let mut wait = task.wait.lock();
        if !wait.blocked {
            wait.pending = true;
            return None;
        }
        wait.blocked = false;
    }
    wait_until_left(task);
    timer::cancel(task);
    Some(task.clone())
}

/// Waits until the CPU that a task has just blocked on has left it. Waking waits, never switching: a CPU on its way
/// out of a task needs nobody, so two CPUs cannot wait for each other here.
fn wait_until_left(task: &Task) {
    while task.on_cpu.load(Ordering::Acquire) {
        cpu::relax();
    }
}

/// Wakes a task.
pub fn wake(task: &Arc<Task>) {
    if let Some(task) = claim(task) {
        make_ready(task);
    }
}

pub(crate) fn wake_timed_out(task: &Arc<Task>) {
    {
        let mut wait = task.wait.lock();
        if !wait.blocked {
            return;
        }
        wait.blocked = false;
        wait.timed_out = true;
    }
    wait_until_left(task);
    make_ready(task.clone());
}

fn choose_cpu(task: &Task) -> usize {
    if let Some(pinned) = task.pinned {
        #[cfg(sabotage)]
        if cpu::sabotaged("ignore-pin") {
            return 0;
        }
        return pinned as usize;
    }
    let last = task.last_cpu.load(Ordering::Relaxed) as usize;
    let count = cpu_count();
    if count == 1 || core(last).idle.load(Ordering::Relaxed) {
        return last;
    }
    (0..count)
        .find(|c| core(*c).idle.load(Ordering::Relaxed))
        .unwrap_or(last)
}

/// Queues a claimed or fresh task on the CPU that suits it, and interrupts that CPU if it should look.
pub fn make_ready(task: Arc<Task>) {
    let cpu = choose_cpu(&task);
    let priority = task.priority.load(Ordering::Relaxed);
    let c = core(cpu);
    task.queued.store(true, Ordering::Relaxed);
    c.queue.lock().push(task, priority);
    let running = c.priority.load(Ordering::Relaxed);
    let idle = c.idle.load(Ordering::SeqCst);
    if cpu == cpu::index() {
        if idle || priority > running {
            c.need_resched.store(true, Ordering::Relaxed);
        } else if priority == running && c.quantum_end.load(Ordering::Relaxed) == NEVER {
            start_quantum(c, true);
        }
    } else if idle || priority >= running {
        c.need_resched.store(true, Ordering::Relaxed);
        apic::send_ipi(c.apic_id.load(Ordering::Relaxed), apic::vector::RESCHEDULE);
    }
}

/// Lets others run, if they may.
pub fn yield_now() {
    let c = this();
    c.need_resched.store(false, Ordering::Relaxed);
    let me = current();
    let priority = me.priority.load(Ordering::Relaxed);
    let mut queue = c.queue.lock();
    match queue.highest() {
        Some(p) if p >= priority => {}
        _ => return,
    }
    let ended = now_ns() >= c.quantum_end.load(Ordering::Relaxed)
        || c.quantum_end.load(Ordering::Relaxed) == NEVER;
    me.queued.store(true, Ordering::Relaxed);
    if ended {
        queue.push(me.clone(), priority);
    } else {
        queue.push_front(me.clone(), priority);
    }
    drop(queue);
    switch_to(c, next_task(c));
}

/// The current task has this lower priority now: what waits above it comes first.
#[cold]
#[inline(never)]
pub(crate) fn lowered(priority: u8) {
    let c = this();
    c.priority.store(priority, Ordering::Relaxed);
    if c.queue.lock().highest().is_some_and(|p| p > priority) {
        c.need_resched.store(true, Ordering::Relaxed);
    }
}

/// On the way back to user mode: gives way if somebody more urgent became runnable or the quantum is over.
#[inline]
pub fn preempt_if_needed() {
    if this().need_resched.load(Ordering::Relaxed) {
        yield_now();
    }
}

/// Leaves the CPU for good. The task's owner drops its last reference when it likes.
pub fn exit_current() -> ! {
    {
        let mut wait = current().wait.lock();
        wait.blocked = false;
        wait.pending = false;
    }
    let c = this();
    switch_to(c, next_task(c));
    unreachable!("a task that ended was run again")
}

/// What an idle CPU does.
pub fn idle_loop() -> ! {
    finish_switch();
    let c = this();
    loop {
        c.idle.store(true, Ordering::SeqCst);
        c.need_resched.store(false, Ordering::Relaxed);
        let empty = c.queue.lock().highest().is_none();
        if empty {
            cpu::wait_for_interrupt();
        }
        c.idle.store(false, Ordering::SeqCst);
        if c.queue.lock().highest().is_some() {
            switch_to(c, next_task(c));
        }
    }
}

/// Interrupts a CPU, so that what it runs passes through the kernel.
pub fn kick(cpu: usize) {
    apic::send_ipi(
        core(cpu).apic_id.load(Ordering::Relaxed),
        apic::vector::RESCHEDULE,
    );
}
