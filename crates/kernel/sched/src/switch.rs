//! Blocking, waking and switching.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use paging::AddressSpace;
use sabotage::sabotage;

use crate::core_state::{Core, IDLE, Local, core, cpu_count, local, local_of, this};
use crate::run_queue::End;
use crate::task::{ENDED, LEAVING, NO_TIMER, OFF, ON, Taken};
use crate::{NEVER, Task, TaskSpec, budget, now_ns, timer};

/// How long equal priorities share a CPU.
const QUANTUM_NS: u64 = 5_000_000;

/// The task that runs on this CPU: whoever asks, for as long as it runs.
#[inline]
pub fn current() -> &'static Task {
    // SAFETY: the borrow is of this CPU's slot and ends here; the task stays the same across a switch, and is there for as long as it
    // runs.
    match unsafe { &local().current } {
        Some(task) => task.task(),
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
        account: None,
        fs_base: 0,
        fpu: None,
        party: None,
        priority: 0,
        pinned: Some(cpu::index() as u32),
        entry: idle_entry,
        argument: 0,
    };
    let Some(task) = Task::new(spec) else {
        return false;
    };
    task.wait.lock().blocked = false;
    task.on_cpu.store(ON, Ordering::Relaxed);
    // SAFETY: nothing else on this CPU uses its slot yet.
    let l = unsafe { local() };
    l.current = Some(Taken::new(&task));
    l.idle = Some(task.clone());
    let c = this();
    c.switched_at.store(cpu::read_tsc(), Ordering::Relaxed);
    *c.idle_task.lock() = Some(task);
    true
}

/// Adds to `task` and to its account what it used of this CPU, whose element is `c`, since the last switch. The time up to
/// which that is.
#[inline(always)]
fn count(c: &Core, task: &Task) -> u64 {
    let now = cpu::read_tsc();
    // Written by the CPU that the task runs on alone.
    let ticks = task.ticks.load(Ordering::Relaxed);
    let ran = now.wrapping_sub(c.switched_at.load(Ordering::Relaxed));
    task.ticks.store(ticks.wrapping_add(ran), Ordering::Relaxed);
    if let Some(account) = &task.account
        && !sabotage!(FORGET_CPU_TIME)
    {
        account.spend(ran);
    }
    now
}

/// Counts the time of what runs up to now, without a switch: for an account that is about to end.
pub fn count_time() {
    let c = this();
    let since = c.switched_at.load(Ordering::Relaxed);
    let now = count(c, current());
    budget::spend(current(), since, now);
    c.switched_at.store(now, Ordering::Relaxed);
}

/// Charges the time since the last switch, then runs `next` on this CPU, whose element is `c`, until something switches
/// back.
fn switch_to(c: &'static Core, next: Taken) {
    // SAFETY: no other borrow of this CPU's slot is in use across these lines.
    let l = unsafe { local_of(c) };
    let previous = match l.current.take() {
        Some(previous) if !core::ptr::eq(next.as_ptr(), previous.as_ptr()) => previous,
        same => {
            l.current = same;
            return;
        }
    };
    next.last_cpu.store(cpu::index() as u32, Ordering::Relaxed);
    // Its priority is looked at again when this is seen: see `finish_switch`.
    next.on_cpu.store(ON, Ordering::Release);
    // Written by this CPU alone.
    let switches = c.switches.load(Ordering::Relaxed);
    c.switches.store(switches + 1, Ordering::Relaxed);
    c.priority.store(next.priority(), Ordering::Relaxed);
    let since = c.switched_at.load(Ordering::Relaxed);
    let now = count(c, &previous);
    let account = next.account.as_ref().map_or(core::ptr::null(), Arc::as_ptr);
    c.account.store(account.cast_mut(), Ordering::Relaxed);
    c.switched_at.store(now, Ordering::Relaxed);
    if previous.marks.load(Ordering::Relaxed) | next.marks.load(Ordering::Relaxed) != 0 {
        switch_marked(c, l, &previous, &next, (since, now));
    }
    switch_space(l, previous.space.as_ref(), &next);
    // SAFETY: `next` left its last CPU, and this CPU alone loads it.
    let load = unsafe { *next.saved.get() };
    let save = previous.saved.get();
    cpu::set_kernel_stack(next.stack.top());
    cpu::set_owner(next.owner());
    l.previous = Some(previous);
    l.current = Some(next);
    // Who pays, where the kernel chose somebody for this task: the choice goes with it, wherever it runs next.
    let chosen = frames::put_choice_aside();
    // SAFETY: `load` was saved by this function or laid out by `prepare_stack`; `save` lies in the previous task, which is there
    // until `finish_switch` has let go of it.
    unsafe { cpu::switch_stacks(save, load) };
    chosen.take_up();
    finish_switch();
}

/// Loads the address space of `next`, if it has one. What was loaded is that of the task that ran, or, where that had none, what
/// is kept; whichever task or place holds a space keeps it for as long as it is loaded.
#[inline(always)]
fn switch_space(l: &mut Local, ran: Option<&Arc<AddressSpace>>, next: &Task) {
    let Some(space) = &next.space else {
        if let Some(ran) = ran {
            l.kept = Some(ran.clone());
        }
        return;
    };
    let same = {
        let loaded = ran.or(l.kept.as_ref());
        let same = loaded.is_some_and(|loaded| Arc::ptr_eq(loaded, space));
        paging::activate(space);
        same
    };
    if l.kept.is_some() {
        l.kept = None;
    }
    // Loading a selector changes the base without a trap, so what another process left is never taken as set.
    if !same || l.fs_base != next.fs_base {
        if !same {
            cpu::clear_selectors();
        }
        l.fs_base = next.fs_base;
        cpu::set_fs_base(next.fs_base);
    }
}

/// What a switch between most tasks does without: the registers of the floating-point unit, where either task has any, the
/// barrier between distrusting accounts, and budgets of CPU time.
#[cold]
#[inline(never)]
fn switch_marked(c: &Core, l: &mut Local, from: &Task, to: &Task, (since, now): (u64, u64)) {
    budget::spend(from, since, now);
    budget::begin(c, to, now);
    if from.fpu.is_some() || to.fpu.is_some() {
        // SAFETY: this CPU leaves `from`, whose `on_cpu` says so until it has, and takes up `to`, which left its last CPU.
        unsafe { cpu::switch_fpu(from.fpu.as_deref(), to.fpu.as_deref()) };
    }
    let step = l.trained.switch(to.party);
    if step.barrier && !sabotage!(SKIP_BRANCH_BARRIER) {
        cpu::forget_branches();
        // Written by this CPU alone.
        let barriers = c.barriers.load(Ordering::Relaxed);
        c.barriers.store(barriers + 1, Ordering::Relaxed);
    }
    if from.party.is_none() {
        from.marks.store(0, Ordering::Relaxed);
    }
    if to.party.is_none() && !sabotage!(FORGET_WHO_TRAINED) {
        to.marks.store(step.mark, Ordering::Relaxed);
    }
}

/// What every context does first when it gets a CPU: lets go of the task that had it before. One that was woken since
/// it blocked is made ready here, because whoever woke it did not wait for this.
#[inline]
fn finish_switch() {
    let c = this();
    // SAFETY: no other borrow of this CPU's slot is in use.
    let l = unsafe { local_of(c) };
    let Some(previous) = l.previous.take() else {
        return;
    };
    let was = previous.on_cpu.swap(OFF, Ordering::SeqCst);
    // From here on everybody sees that the task that runs is on this CPU: whoever changed its priority before is seen here,
    // and whoever changes it finds it here.
    if let Some(current) = &l.current {
        let priority = current.priority.load(Ordering::SeqCst);
        c.priority.store(priority, Ordering::Relaxed);
    }
    if was != ON {
        let_go(previous, was);
    }
}

/// Lets go of a task that was woken while this CPU left it, or that has ended.
#[cold]
#[inline(never)]
fn let_go(previous: Taken, was: u8) {
    if was == LEAVING {
        return make_ready(previous);
    }
    debug_assert_eq!(was, ENDED, "a task was left that nobody ran");
    // SAFETY: the scheduler's count of it, made when it was woken first. It runs nowhere, nobody wakes it, and this is the last
    // that the scheduler does with it.
    drop(unsafe { Arc::from_raw(previous.as_ptr()) });
}

/// The first thing a fresh task must call.
pub fn run_first() {
    finish_switch();
}

fn next_task(c: &Core) -> Taken {
    let (next, any_out) = c.pop(cpu::index());
    if any_out {
        crate::budget::await_refill();
    }
    match next {
        Some(task) => {
            if c.is_wanted_from(task.priority()) {
                start_quantum(c);
            } else {
                c.quantum_end.store(NEVER, Ordering::Relaxed);
            }
            task
        }
        // SAFETY: no other borrow of this CPU's slot is in use.
        None => match unsafe { &local().idle } {
            Some(idle) => Taken::new(idle),
            None => unreachable!("no idle task"),
        },
    }
}

/// Others of the same priority wait, so the task that runs gives way after a quantum.
fn start_quantum(c: &Core) {
    c.quantum_end
        .store(now_ns() + QUANTUM_NS, Ordering::Relaxed);
    timer::arm(NEVER);
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
    // Nothing was armed, and a late interrupt's mark is taken away where the next wait begins.
    if deadline == NEVER {
        return false;
    }
    if me.timer_place.load(Ordering::Relaxed) != NO_TIMER {
        timer::cancel(me);
    }
    let flagged = core::mem::take(&mut me.wait.lock().timed_out);
    flagged && now_ns() >= deadline
}

/// Waits until somebody wakes this task or `deadline` comes. `true`: the deadline came. A wake-up that came before
/// the call ends it at once; callers check their condition again.
pub fn block(deadline: u64) -> bool {
    let me = current();
    if prepare(me, deadline) {
        let c = this();
        switch_to(c, next_task(c));
    }
    timed_out(me, deadline)
}

/// As [`block`], and gives this CPU directly to `next`, which [`claim`] returned.
pub fn block_and_switch(next: Taken, deadline: u64) -> bool {
    if sabotage!(SKIP_DIRECT_SWITCH) {
        make_ready(next);
        return block(deadline);
    }
    let me = current();
    let c = this();
    if !prepare(me, deadline) {
        make_ready(next);
    } else if next.may_run_on(cpu::index() as u32) && !c.is_wanted_above(next.priority()) {
        switch_to(c, next);
    } else {
        // It runs elsewhere, or somebody more urgent than it waits here.
        make_ready(next);
        switch_to(c, next_task(c));
    }
    timed_out(me, deadline)
}

/// Takes a waiting task out of its wait, for the caller to run or to make ready. `None`: it was not waiting, and will
/// notice when it does; or the CPU that it blocked on has not left it yet, and makes it ready when it has.
#[inline(always)]
pub fn claim(task: &Arc<Task>) -> Option<Taken> {
    {
        let mut wait = task.wait.lock();
        if !wait.blocked {
            wait.pending = true;
            return None;
        }
        wait.blocked = false;
        if !wait.started {
            wait.started = true;
            keep(task);
        }
    }
    timer::cancel(task);
    if task.is_on_cpu() && hand_over(task) {
        return None;
    }
    Some(Taken::new(task))
}

/// Makes the scheduler's count of a task that is woken for the first time.
#[cold]
#[inline(never)]
fn keep(task: &Arc<Task>) {
    core::mem::forget(task.clone());
}

/// Leaves a claimed task to the CPU that is on its way out of it. `false`: that CPU has left it.
#[cold]
#[inline(never)]
fn hand_over(task: &Task) -> bool {
    task.on_cpu
        .compare_exchange(ON, LEAVING, Ordering::AcqRel, Ordering::Acquire)
        .is_ok()
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
    if !(task.is_on_cpu() && hand_over(task)) {
        make_ready(Taken::new(task));
    }
}

fn choose_cpu(task: &Task) -> usize {
    if let Some(pinned) = task.pinned {
        if sabotage!(IGNORE_PIN) {
            return 0;
        }
        return pinned as usize;
    }
    let last = task.last_cpu.load(Ordering::Relaxed) as usize;
    let count = cpu_count();
    if count == 1 {
        return last;
    }
    let idle = IDLE.load(Ordering::SeqCst) & (u64::MAX >> (64 - count));
    if idle == 0 || idle >> last & 1 != 0 {
        return last;
    }
    idle.trailing_zeros() as usize
}

/// Queues a claimed or fresh task on the CPU that suits it, and interrupts that CPU if it should look.
pub fn make_ready(task: Taken) {
    let cpu = choose_cpu(&task);
    let c = core(cpu);
    let priority = c.push(task, cpu, End::Back);
    announce(c, cpu, priority);
}

/// Somebody of this priority waits on CPU `cpu` now.
pub(crate) fn announce(c: &Core, cpu: usize, priority: u8) {
    let running = c.priority.load(Ordering::Relaxed);
    let idle = IDLE.load(Ordering::SeqCst) >> cpu & 1 != 0;
    if cpu == cpu::index() {
        if idle || priority > running {
            c.need_resched.store(true, Ordering::Relaxed);
        } else if priority == running && c.quantum_end.load(Ordering::Relaxed) == NEVER {
            start_quantum(c);
        }
    } else if idle || priority >= running {
        interrupt(c);
    }
}

/// Makes another CPU look who waits.
fn interrupt(c: &Core) {
    c.need_resched.store(true, Ordering::Relaxed);
    apic::send_ipi(c.apic_id.load(Ordering::Relaxed), apic::vector::RESCHEDULE);
}

/// The priority of a task changed, wherever it is.
#[cold]
#[inline(never)]
pub(crate) fn reprioritised(task: &Task, was: u8, now: u8) {
    if let Some(cpu) = task.place.cpu()
        && let c = core(cpu)
        && let Some(priority) = c.requeue(task, cpu)
    {
        return announce(c, cpu, priority);
    }
    if task.on_cpu.load(Ordering::SeqCst) == OFF {
        // Whoever wakes it reads the new priority.
        return;
    }
    let cpu = task.last_cpu.load(Ordering::Relaxed) as usize;
    let c = core(cpu);
    if cpu != cpu::index() {
        // A raise needs no look: nobody who waits there comes before it. What that CPU takes for the priority of its
        // task is too low until then, which costs an interrupt at most.
        if now < was {
            interrupt(c);
        }
        return;
    }
    if core::ptr::eq(task, current()) {
        c.priority.store(now, Ordering::Relaxed);
    }
    if c.is_wanted_above(now) {
        c.need_resched.store(true, Ordering::Relaxed);
    }
}

/// Lets others run, if they may.
pub fn yield_now() {
    let c = this();
    c.need_resched.store(false, Ordering::Relaxed);
    let me = current();
    let priority = me.priority();
    // Somebody else may have changed it.
    c.priority.store(priority, Ordering::Relaxed);
    if me.bucket().is_some() && budget::ran_out(c, me) {
        let cpu = cpu::index();
        c.queue.lock().push_spent(Taken::new(me), cpu);
        budget::await_refill();
        return switch_to(c, next_task(c));
    }
    if !c.is_wanted_from(priority) {
        return;
    }
    let end = c.quantum_end.load(Ordering::Relaxed);
    let end = if end == NEVER || now_ns() >= end {
        End::Back
    } else {
        End::Front
    };
    let cpu = cpu::index();
    c.push(Taken::new(me), cpu, end);
    switch_to(c, next_task(c));
}

/// On the way back to user mode: gives way if somebody more urgent became runnable or the quantum is over.
#[inline]
pub fn preempt_if_needed() {
    if this().need_resched.load(Ordering::Relaxed) {
        yield_now();
    }
}

/// Leaves the CPU for good. The task's owner may have dropped its last reference: it is there until this CPU has left it.
pub fn exit_current() -> ! {
    let me = current();
    {
        let mut wait = me.wait.lock();
        wait.blocked = false;
        wait.pending = false;
    }
    me.on_cpu.store(ENDED, Ordering::SeqCst);
    let c = this();
    sabotage!(FORGET_ENDED_TRAINED => {
        // SAFETY: no other borrow of this CPU's slot is in use.
        unsafe { local() }.trained = cpu_vulnerabilities::Trained::by_anybody();
    });
    switch_to(c, next_task(c));
    unreachable!("a task that ended was run again")
}

/// Lets go of an address space whose use has ended: nobody pays for one because a CPU that has nothing to do ran it last.
/// The CPU was evicted from it, or is about to be by somebody who holds it.
fn forget_ended_space() {
    // SAFETY: no other borrow of this CPU's slot is in use.
    let ended = unsafe { local() }.kept.take_if(|s| s.is_retired());
    drop(ended);
}

/// What an idle CPU does.
pub fn idle_loop() -> ! {
    finish_switch();
    let c = this();
    let me = 1u64 << cpu::index();
    // From here on, this CPU runs threads.
    c.unbroken.store(0, Ordering::Relaxed);
    loop {
        IDLE.fetch_or(me, Ordering::SeqCst);
        c.need_resched.store(false, Ordering::Relaxed);
        forget_ended_space();
        if c.queue.lock().occupied() == 0 {
            cpu::wait_for_interrupt();
        }
        IDLE.fetch_and(!me, Ordering::SeqCst);
        if c.queue.lock().occupied() != 0 {
            switch_to(c, next_task(c));
        }
    }
}

/// Makes a CPU look: what it runs passes through the kernel, or is told of in the middle of long work there.
pub fn kick(cpu: usize) {
    let c = core(cpu);
    c.need_resched.store(true, Ordering::Release);
    if cpu != cpu::index() {
        apic::send_ipi(c.apic_id.load(Ordering::Relaxed), apic::vector::RESCHEDULE);
    }
}
