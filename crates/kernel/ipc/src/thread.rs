//! One thread of a process: its area, its calls, what it waits for, and its end.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};

use account::{Account, Charge, Kind};
use call_state::Ending;
use cpu::{Lock, SyscallFrame};
use frames::Grow;
use memory::MemoryObject;
use ring_abi::{AreaLayout, Completion, Refusal, area_layout};
use sabotage::sabotage;
use sched::{Task, TaskSpec};
use schema::process::thread_handle;

use crate::call::{Call, win};
use crate::endpoint::{Closing, EndpointCore};
use crate::kernel_call::Late;
use crate::queue::Queue;
use crate::receives::Receives;
use crate::ring::Ring;
use crate::transfer::Outbound;
use crate::woken::Woken;
use crate::{Area, Finished, Process, Route, trace};

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

#[derive(Debug, Default)]
struct Pool {
    free: Vec<Arc<Call>>,
    all: Vec<Arc<Call>>,
}

/// One thread of a process.
#[derive(Debug)]
pub struct Thread {
    /// What the scheduler runs.
    pub task: Arc<Task>,
    /// Whose it is.
    pub process: Arc<Process>,
    /// Number within the process, from 1.
    pub number: u64,
    pub(crate) area: Area,
    pub(crate) register: Lock<Option<Finished>>,
    pub(crate) ring: Lock<Ring>,
    /// Room for the capabilities of an answer or of a call to the kernel, kept from one to the next.
    outbound: Lock<Vec<Outbound>>,
    pool: Lock<Pool>,
    /// The last call in registers that lent anything, and its generation: see `loan`.
    pub(crate) lending: Lock<Option<(Arc<Call>, u64)>>,
    /// How many loans what is lent to this thread follows from, at most.
    pub(crate) loan_depth: AtomicU8,
    /// Endpoints on which a receive may be pending.
    receives: Lock<Receives>,
    /// Where the call that was cancelled last lies in the list of calls.
    pub(crate) ended_last: AtomicUsize,
    start: (u64, u64, u64),
    /// It has begun to end and takes nothing any more.
    leaving: AtomicBool,
    ended: AtomicBool,
    code: AtomicI64,
    joiners: Lock<Queue<Late<thread_handle::call::Join>>>,
    closing: Lock<Closing>,
    /// Its place among the threads of the process: taken until nothing holds its stack any more.
    _seat: Charge,
}

/// What a call takes, at most.
const CALL_BYTES: u64 = 1024;
/// Most that the record of a thread takes.
const THREAD_BYTES: u64 = size_of::<Thread>() as u64 + 128;

/// Makes the process that runs pay for what is allocated on its CPU. Once, when every CPU has its idle task.
pub fn pay_by_running() {
    fn payer() -> *const Account {
        let owner = sched::current().owner().cast::<Thread>();
        // SAFETY: as for `current`; a thread that runs has a process, and that its account.
        unsafe { owner.as_ref() }.map_or(core::ptr::null(), |t| Arc::as_ptr(t.process.account()))
    }
    // SAFETY: the process of the thread that runs lives at least as long as it runs.
    unsafe { frames::set_source(payer) };
}

extern "C" fn first(_: u64) -> ! {
    sched::run_first();
    leave_if_dying();
    let (entry, stack, argument) = current_shared().start;
    // SAFETY: the scheduler loaded this thread's space and stacks; entry and stack are checked lower-half addresses.
    unsafe { cpu::enter_user(entry, stack, argument, 0) }
}

/// The thread that runs.
pub fn current() -> Arc<Thread> {
    let owner = sched::current().owner().cast::<Thread>();
    // SAFETY: `Thread::new` stored `Arc::as_ptr`, and the process holds the thread until it has exited.
    unsafe {
        Arc::increment_strong_count(owner);
        Arc::from_raw(owner)
    }
}

/// As [`current`], without counting: for the length of one entry of this very thread.
#[inline]
pub(crate) fn current_shared() -> ManuallyDrop<Arc<Thread>> {
    let owner = sched::current().owner().cast::<Thread>();
    // SAFETY: as for `current`; the count that this pointer stands for is the process', and is never given back here.
    ManuallyDrop::new(unsafe { Arc::from_raw(owner) })
}

/// What boot and idle tasks close.
static CLOSING: Lock<Closing> = Lock::new(Closing {
    busy: false,
    next: Vec::new(),
});

/// What the task that runs, or that an interrupt came to, is closing.
pub(crate) fn current_closing() -> &'static Lock<Closing> {
    let owner = sched::current().owner().cast::<Thread>();
    if owner.is_null() {
        return &CLOSING;
    }
    // SAFETY: as for `current`; used by the thread itself, or by an interrupt that came to it.
    unsafe { &(*owner).closing }
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
    let run = frames::allocate_for_program(order, frames::Use::Area)?;
    let shared = run.shared();
    let memory = MemoryObject::from_run(run, pages)?;
    let bytes = u64::from(layout.bytes);
    let address = process
        .vm
        .map_object(&memory, 0, bytes, paging::Access::ReadWrite, None)?;
    Ok(Area::new(shared, layout, submissions, address, memory))
}

/// What the scheduler runs for a thread.
fn new_task(process: &Process, spec: &ThreadSpec, fs_base: u64) -> Result<Arc<Task>, Refusal> {
    let most = match sabotage!(THREAD_ABOVE_PROCESS) {
        true => spec.priority,
        false => process.account().priority(),
    };
    let task = Task::new(TaskSpec {
        space: Some(process.vm.space().clone()),
        account: Some(process.account().clone()),
        fs_base,
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
                number: process.next_thread_number(),
                area,
                register: Lock::new(None),
                ring: Lock::new(Ring::default()),
                outbound: Lock::new(Vec::new()),
                pool: Lock::new(Pool::default()),
                lending: Lock::new(None),
                loan_depth: AtomicU8::new(0),
                receives: Lock::new(Receives::new()),
                ended_last: AtomicUsize::new(0),
                start: (spec.entry, spec.stack, spec.argument),
                leaving: AtomicBool::new(false),
                ended: AtomicBool::new(false),
                code: AtomicI64::new(0),
                joiners: Lock::new(Queue::new()),
                closing: Lock::new(Closing::default()),
                _seat: seat,
            })
        };
        let thread = frames::with_room(THREAD_BYTES, make).inspect_err(|_| undo())?;
        thread.task.set_owner(Arc::as_ptr(&thread).cast());
        process.adopt_thread(&thread).inspect_err(|_| undo())?;
        Ok(thread)
    }

    /// Gives up a thread that was made and never started.
    pub fn abandon(self: &Arc<Self>) {
        let _ = self.process.vm.unmap_object(self.area.memory());
        self.process.remove_thread(self);
    }

    /// Lets a new thread run.
    pub fn start(&self) {
        sched::wake(&self.task);
    }

    /// Takes a call object for an operation. `None`: the thread has as many calls in flight as its ring allows.
    #[inline(always)]
    pub(crate) fn take_call(&self) -> Option<Arc<Call>> {
        if let Some(call) = self.pool.lock().free.pop() {
            return Some(call);
        }
        self.make_call()
    }

    #[inline(never)]
    fn make_call(&self) -> Option<Arc<Call>> {
        let mut pool = self.pool.lock();
        if pool.all.len() > self.area.completions() as usize {
            return None;
        }
        // Grows to the most calls that were ever in flight at once, and stays there. The call itself has no way to be
        // refused.
        frames::refusable(|| pool.all.try_reserve(1)).ok()?;
        let room = pool.all.len() + 1 - pool.free.len();
        frames::refusable(|| pool.free.try_reserve(room)).ok()?;
        let call = frames::with_room(CALL_BYTES, Call::new).ok()?;
        pool.all.put(call.clone()).ok()?;
        Some(call)
    }

    #[inline(always)]
    pub(crate) fn recycle(&self, call: Arc<Call>) {
        // Room was reserved when the call was made.
        let kept = self.pool.lock().free.put(call);
        debug_assert!(kept.is_ok(), "a call has its place in the pool");
    }

    /// An empty list for outgoing capabilities, to be given back with [`Thread::return_list`].
    pub(crate) fn take_list(&self) -> Vec<Outbound> {
        core::mem::take(&mut self.outbound.lock())
    }

    pub(crate) fn return_list(&self, mut list: Vec<Outbound>) {
        list.clear();
        *self.outbound.lock() = list;
    }

    /// The call objects that the thread has made, one by one from the one at `first`: none is ever taken out of the list.
    pub(crate) fn calls(&self, first: usize) -> impl Iterator<Item = Arc<Call>> {
        (first..).map_while(|at| self.pool.lock().all.get(at).cloned())
    }

    /// Notes that a receive may be pending on an endpoint.
    ///
    /// # Errors
    /// `OverBudget`.
    #[inline(always)]
    pub(crate) fn note_receive(&self, core: &Arc<EndpointCore>) -> Result<(), Refusal> {
        self.receives.lock().note(core)
    }

    /// Endpoints on which a receive may be pending, one after the other.
    pub(crate) fn receive_cores(&self) -> impl Iterator<Item = Arc<EndpointCore>> {
        core::iter::successors(self.receives.lock().next(None), |last| {
            self.receives.lock().next(Some(last))
        })
    }

    /// Hands a finished operation to this thread, and wakes it if it was waiting for that.
    #[inline(always)]
    pub(crate) fn complete(&self, route: Route, f: Finished) -> Woken {
        match route {
            Route::Register => *self.register.lock() = Some(f),
            Route::Ring(user_data) => {
                if !self.post(user_data, f.status, f.cookie, f.reply) {
                    return Woken::NOBODY;
                }
            }
        }
        Woken::claim(&self.task)
    }

    /// Writes a completion. `true`: the thread has what it waits for.
    #[inline(never)]
    pub(crate) fn post(&self, user_data: u64, status: u64, cookie: u64, reply: u64) -> bool {
        let completion = Completion {
            user_data,
            status,
            cookie,
            reply,
        };
        let (has_all, traced) = {
            let mut ring = self.ring.lock();
            (ring.post(&self.area, completion), ring.traced)
        };
        if traced && !trace::posted(self, user_data, status) {
            self.ring.lock().traced = false;
        }
        has_all
    }

    /// Moves the result of the operation in registers to where the program gets it. `false`: it is not there yet.
    #[inline(always)]
    pub(crate) fn take_register(&self, frame: &mut SyscallFrame) -> bool {
        let mut register = self.register.lock();
        match &*register {
            Some(finished) => finished.store(frame),
            None => return false,
        }
        *register = None;
        true
    }

    /// As [`Thread::take_register`], before the thread waits.
    pub(crate) fn take_own(&self) -> Option<Finished> {
        self.register.lock().take()
    }

    /// Whether it has begun to end.
    #[inline]
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
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

    /// Answers when the thread has ended.
    pub fn join(&self, later: Late<thread_handle::call::Join>) {
        let (later, ended) = {
            let mut joiners = self.joiners.lock();
            if self.ended.load(Ordering::Acquire) {
                (later, true)
            } else {
                joiners.retain(Late::is_live);
                match joiners.push(later) {
                    Ok(()) => return,
                    Err(later) => (later, false),
                }
            }
        };
        if ended {
            let code = self.code.load(Ordering::Acquire);
            later.send(thread_handle::JoinReply { code });
        } else {
            later.refuse(Refusal::OverBudget);
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
        crate::park::forget(&me);
        me.code.store(code, Ordering::Release);
        let mut waiting = {
            let mut joiners = me.joiners.lock();
            me.ended.store(true, Ordering::Release);
            core::mem::take(&mut *joiners)
        };
        while let Some(later) = waiting.pop() {
            later.send(thread_handle::JoinReply { code });
            let _ = sched::point();
        }
        // Each of the threads of a process that ends may hand the CPU to the next.
        let _ = sched::point();
        let last = me.process.remove_thread(&me);
        if last {
            Process::teardown(&me.process);
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
    let me = current_shared();
    if me.process.is_plain() {
        return;
    }
    if me.process.is_dying() {
        exit_thread(-1);
    }
    trace::returned(&me, frame);
}

impl Thread {
    /// Copies an exit text out of the message area; how many bytes there were.
    pub fn exit_text(&self, offset: u32, bytes: u32, out: &mut [u8]) -> usize {
        self.area.read_text(offset, bytes, out)
    }
}
