//! How threads and processes begin and end.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};

use account::Kind;
use call_state::{Ending, Mailbox};
use cpu::{FpuState, Lock, SyscallFrame};
use cpu_vulnerabilities::Party;
use memory::MemoryObject;
use ring_abi::{AreaLayout, Refusal, area_layout};
use sabotage::sabotage;
use sched::{Task, TaskSpec};

use crate::area::Area;
use crate::call::win;
use crate::closing::Closing;
use crate::exit::Joins;
use crate::kept::Kept;
use crate::pool::Pool;
use crate::receives::Receives;
use crate::records::{Object, Process, Thread};
use crate::ring::Ring;
use crate::thread::{current, current_shared};
use crate::trace;

/// How to make a thread.
#[derive(Clone, Copy, Debug)]
pub struct ThreadSpec {
    /// First instruction.
    pub entry: u64,
    /// Initial stack pointer.
    pub stack: u64,
    /// What `rdi` holds at the start.
    pub argument: u64,
    /// Submission slots: a power of two from 8 to 256.
    pub submissions: u16,
    /// Message area, at most 64 KiB.
    pub message_bytes: u32,
    /// Fixed priority.
    pub priority: u8,
    /// The one CPU it may run on.
    pub cpu: Option<u32>,
}

/// Most that the record of a thread takes.
const THREAD_BYTES: u64 = size_of::<Thread>() as u64 + 128;

extern "C" fn first(_: u64) -> ! {
    sched::run_first();
    leave_if_dying();
    let (entry, stack, argument) = current_shared().start;
    // SAFETY: the scheduler loaded this thread's space and stacks; entry and stack are checked lower-half addresses.
    unsafe { cpu::enter_user(entry, stack, argument, 0) }
}

fn lower_half(address: u64) -> Result<(), Refusal> {
    if address < paging::USER_END {
        Ok(())
    } else {
        Err(Refusal::OutOfRange)
    }
}

/// Memory that a thread shares with the kernel.
fn map_area(process: &Process, layout: AreaLayout, submissions: u32) -> Result<Area, Refusal> {
    let pages = layout.bytes / 4096;
    let order = pages.next_power_of_two().trailing_zeros() as u8;
    #[cfg(sabotage)]
    let _nobody = (sabotage!(AREAS_FOR_NOTHING)
        || sabotage!(ROUNDING_FOR_NOTHING) && !pages.is_power_of_two())
    .then(frames::paid_by_nobody);
    let run = frames::allocate_for_program(order, frames::Use::Area)?;
    let shared = run.shared();
    let memory = MemoryObject::from_run(run, pages)?;
    let bytes = u64::from(layout.bytes);
    let address = process
        .vm
        .map_object(&memory, 0, bytes, paging::Access::ReadWrite, None)?;
    Ok(Area::new(shared, layout, submissions, address, memory))
}

/// The floating-point and vector registers of a new thread. Who pays now pays for it.
fn new_fpu_state() -> Result<Box<FpuState>, Refusal> {
    #[cfg_attr(not(sabotage), expect(unused_mut, reason = "a sabotage changes it"))]
    let mut state = frames::boxed(FpuState::new())?;
    sabotage!(KEEP_FPU_MEMORY => state.spoil());
    Ok(state)
}

/// What the scheduler runs for a thread.
fn new_task(process: &Process, spec: &ThreadSpec, fs_base: u64) -> Result<Arc<Task>, Refusal> {
    let most = match sabotage!(THREAD_ABOVE_PROCESS) {
        true => spec.priority,
        false => process.account().priority(),
    };
    let fpu = match process.has_fpu {
        true => Some(new_fpu_state()?),
        false => None,
    };
    let task = Task::new(TaskSpec {
        space: Some(process.vm.space().clone()),
        account: Some(process.account().clone()),
        fs_base,
        fpu,
        party: Some(Party {
            number: process.id,
            distrusting: process.is_distrusting,
        }),
        priority: spec.priority.min(most),
        pinned: spec.cpu,
        entry: first,
        argument: 0,
    });
    task.ok_or(Refusal::NoMemory)
}

impl Thread {
    /// Makes a thread of `process` and gives it to the process; [`Thread::start`] lets it run.
    ///
    /// # Errors
    /// `OutOfRange` for entry or stack outside user space, `BadArgument` for a ring shape that is not allowed,
    /// `OverBudget`, `NoMemory`, `WrongState` for a process that is ending.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub fn new(process: &Arc<Process>, spec: ThreadSpec) -> Result<Arc<Self>, Refusal> {
        lower_half(spec.entry)?;
        lower_half(spec.stack)?;
        let layout = area_layout(u32::from(spec.submissions), spec.message_bytes)
            .ok_or(Refusal::BadArgument)?;
        if spec.cpu.is_some_and(|c| c as usize >= sched::cpu_count()) {
            return Err(Refusal::OutOfRange);
        }
        let _paying = frames::paid_by(process.account());
        let joins = frames::arc(Joins::new())?;
        let seat = process.account().charge(Kind::Threads, 1)?;
        let area = map_area(process, layout, u32::from(spec.submissions))?;
        let address = area.address();
        let undo = || {
            let _ = process.vm.unmap_region(address);
        };
        let task = new_task(process, &spec, address).inspect_err(|_| undo())?;
        let make = || {
            Arc::new(Self {
                task,
                process: process.clone(),
                number: process.threads.next_number(),
                area,
                register: Mailbox::default(),
                ring: Lock::new(Ring::default()),
                outbound: Lock::new(Vec::new()),
                calls: Pool::new(),
                own_call: Kept::default(),
                own_count: Kept::default(),
                lending: Lock::new(None),
                loan_depth: AtomicU8::new(0),
                receives: Lock::new(Receives::new()),
                noted: AtomicPtr::new(core::ptr::null_mut()),
                ended_last: AtomicUsize::new(0),
                start: (spec.entry, spec.stack, spec.argument),
                leaving: AtomicBool::new(false),
                joins,
                closing: Closing::new(),
                _seat: seat,
            })
        };
        let thread = frames::with_room(THREAD_BYTES, make).inspect_err(|_| undo())?;
        thread.task.set_owner(Arc::as_ptr(&thread).cast());
        let adopted = process
            .threads
            .adopt(thread.number, &thread, &process.marks);
        adopted.inspect_err(|_| undo())?;
        Ok(thread)
    }

    /// Gives up a thread that was made and never started.
    pub fn abandon(self: &Arc<Self>) {
        let _ = self.process.vm.unmap_object(self.area.memory());
        self.process
            .threads
            .remove(self.number, &self.process.marks);
    }

    /// Lets a new thread run.
    pub fn start(&self) {
        sched::wake(&self.task);
    }

    /// Ends every pending operation of a thread that is leaving.
    fn cancel_everything(self: &Arc<Self>) {
        loop {
            let core = self.receives.lock().pop();
            let Some(core) = core else { break };
            core.forget(self, None);
        }
        for call in self.calls(0) {
            let (generation, _) = call.word.load();
            drop(win(&call, generation, Ending::Cancelled));
            let _ = sched::point();
        }
    }

    /// Drops the call objects of a thread that will call no more: as many in one go as its ring may hold would be long.
    fn drop_calls(&self) {
        while self.calls.remove().is_some() {
            let _ = sched::point();
        }
    }
}

/// Ends the calling thread. The last thread takes the process with it.
pub fn exit_thread(code: i64) -> ! {
    {
        let me = current();
        // Seen by whoever holds the lock of an endpoint after `cancel_everything` had it.
        me.leaving.store(true, Ordering::Relaxed);
        me.cancel_everything();
        // Nothing of it is under way any more that could bring one back.
        // SAFETY: this is the thread that runs.
        drop(unsafe { me.own_count.take() });
        me.drop_calls();
        me.joins.end(code);
        // Each of the threads of a process that ends may hand the CPU to the next.
        let _ = sched::point();
        let last = me.process.threads.remove(me.number, &me.process.marks);
        if last {
            teardown(&me.process);
        } else {
            // The area itself, not what the program may have put at its address.
            let _ = me.process.vm.unmap_object(me.area.memory());
        }
        // It may go with the next line, and an interrupt may come in the middle of that.
        me.task.set_owner(core::ptr::null());
    }
    sched::exit_current()
}

/// Ends the thread if its process is ending. Called on the way back to user mode.
#[inline]
pub fn leave_if_dying() {
    if current_shared().process.is_dying() {
        exit_thread(-1);
    }
}

/// What is left to do on the way back from a system call: the thread of a process that is ending ends, and what a traced one
/// waited for is recorded. One word says that there is nothing.
#[inline]
pub fn settle(frame: &SyscallFrame) {
    settle_thread(&current_shared(), frame);
}

/// As [`settle`], where the thread that runs is at hand.
#[inline(always)]
pub(crate) fn settle_thread(me: &Thread, frame: &SyscallFrame) {
    if me.process.marks.is_plain() {
        return;
    }
    settle_marked(me, frame);
}

#[cold]
#[inline(never)]
fn settle_marked(me: &Thread, frame: &SyscallFrame) {
    if me.process.is_dying() {
        exit_thread(-1);
    }
    trace::returned(me, frame);
}

impl Process {
    /// Ends a process that never got a thread: what a failed spawn leaves.
    pub fn abandon(self: &Arc<Self>) {
        self.marks.set_dying();
        teardown(self);
    }
}

/// Runs in the last thread: gives everything back, then tells whoever waits.
fn teardown(process: &Process) {
    // A call that is on its way here from now on finds the table closed.
    process.handles.close();
    process.handles.empty(|slot| {
        // Calls delivered here and never answered: their callers hear that the server died.
        if let Object::Reply(right) = slot.object() {
            right.server_died();
        }
        drop(slot);
    });
    process.handles.end(process.account());
    process.vm.retire();
    let _ = sched::point();
    process.bank.end();
    process.end_children();
    // What is left of it is whoever's that gave it, before anybody hears of the end. The rest of this thread's way is
    // the kernel's to pay.
    let _kernel = frames::paid_by_kernel();
    sched::count_time();
    process.account.end();
    let (exit, told) = process.exits.finish();
    process.tell_end(&exit);
    told.tell(&exit);
}
