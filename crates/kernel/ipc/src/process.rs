//! One process: what it may hold, its capabilities, its threads, and its end.

use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cap::CapTable;
use cpu::Lock;
use memory::{Quota, Vm};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::kernel_call::Pending;
use crate::{Object, Slot, Thread, release};

/// What a process may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pages of memory.
    pub memory_pages: u32,
    /// Capabilities.
    pub handles: u32,
    /// Threads.
    pub threads: u32,
    /// Endpoints.
    pub endpoints: u32,
    /// Facets.
    pub facets: u32,
    /// Highest priority of its threads.
    pub priority: u8,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It called `exit`.
    Exited,
    /// It panicked; the text says why.
    Panicked,
    /// It did what no correct program does; the text names the rule.
    Faulted,
    /// Somebody ended it.
    Killed,
}

/// How and why a process ended.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The kind of end.
    pub kind: End,
    /// Exit code.
    pub code: i64,
    /// Panic message or fault.
    pub text: String,
}

#[derive(Debug, Default)]
struct ExitState {
    exit: Option<Exit>,
    finished: bool,
    waiters: Vec<Pending>,
    watcher: Option<fn(&Exit)>,
}

/// One process: an address space, its capabilities, its threads, its quotas.
#[derive(Debug)]
pub struct Process {
    /// Number, never used again.
    pub id: u64,
    /// Name, for people.
    pub name: String,
    /// Its limits.
    pub limits: Limits,
    /// Its memory.
    pub vm: Arc<Vm>,
    pub(crate) handles: Lock<CapTable<Object>>,
    /// Pays for endpoints it makes.
    pub endpoint_quota: Arc<Quota>,
    /// Pays for facets minted on its endpoints.
    pub facet_quota: Arc<Quota>,
    /// Pays for its threads.
    pub(crate) thread_quota: Arc<Quota>,
    threads: Lock<Vec<Arc<Thread>>>,
    threads_made: AtomicU64,
    dying: AtomicBool,
    exit: Lock<ExitState>,
    /// CPU time of threads that ended.
    past_cpu_ns: AtomicU64,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
static ALL: Lock<Vec<Weak<Process>>> = Lock::new(Vec::new());
/// What is told of the end of every process.
type OnExit = fn(&Process, &Exit);
static ON_EXIT: Lock<Option<OnExit>> = Lock::new(None);

/// Calls `f` with every process, oldest first.
pub fn for_each_process(mut f: impl FnMut(&Arc<Process>)) {
    let all: Vec<_> = ALL.lock().iter().filter_map(Weak::upgrade).collect();
    all.iter().for_each(&mut f);
}

/// Finds a process by its number.
pub fn process_by_id(id: u64) -> Option<Arc<Process>> {
    ALL.lock()
        .iter()
        .filter_map(Weak::upgrade)
        .find(|p| p.id == id)
}

impl Process {
    /// Makes a process without threads.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn new(name: &str, limits: Limits) -> Result<Arc<Self>, Refusal> {
        let quota = |limit| Arc::new(Quota::new(limit));
        let process = Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name: String::from(name),
            limits,
            vm: Vm::new(quota(limits.memory_pages))?,
            handles: Lock::new(CapTable::new(limits.handles)),
            endpoint_quota: quota(limits.endpoints),
            facet_quota: quota(limits.facets),
            thread_quota: quota(limits.threads),
            threads: Lock::new(Vec::new()),
            threads_made: AtomicU64::new(0),
            dying: AtomicBool::new(false),
            exit: Lock::new(ExitState::default()),
            past_cpu_ns: AtomicU64::new(0),
        });
        let mut all = ALL.lock();
        all.retain(|p| p.strong_count() > 0);
        all.push(Arc::downgrade(&process));
        Ok(process)
    }

    /// Registers what is told of every end of a process: the evidence.
    pub fn on_exit(f: fn(&Self, &Exit)) {
        *ON_EXIT.lock() = Some(f);
    }

    /// Gives the process a capability.
    ///
    /// # Errors
    /// `OverBudget`; the capability is dropped then.
    pub fn grant(&self, slot: Slot) -> Result<u64, Refusal> {
        let inserted = self.handles.lock().insert(slot);
        inserted.map_err(|(refusal, slot)| {
            release(slot);
            refusal
        })
    }

    /// Looks a capability up, in full.
    ///
    /// # Errors
    /// `BadHandle`, `Stale`, `Revoked`, or the object's reason.
    #[inline(always)]
    pub fn lookup(&self, handle: u64) -> Result<Object, Refusal> {
        let table = self.handles.lock();
        sabotage!(SKIP_GENERATION_CHECK => {
            let slot = table
                .slot_of_any_generation(handle)
                .ok_or(Refusal::BadHandle)?;
            return slot.check().cloned();
        });
        table.get(handle).cloned()
    }

    /// Takes a capability out.
    ///
    /// # Errors
    /// `BadHandle`, `Stale`.
    pub fn remove(&self, handle: u64) -> Result<Slot, Refusal> {
        self.handles.lock().remove(handle)
    }

    /// Copies the capability a handle names, for handing on.
    ///
    /// # Errors
    /// As [`Self::lookup`]; `BadTransfer` for a reply right.
    pub fn copy_slot(&self, handle: u64) -> Result<Slot, Refusal> {
        let table = self.handles.lock();
        let slot = table.slot(handle)?;
        match slot.check()? {
            Object::Reply(_) => Err(Refusal::BadTransfer),
            _ => Ok(slot.clone()),
        }
    }

    /// Count of capabilities held.
    pub fn handle_count(&self) -> u32 {
        self.handles.lock().len()
    }

    /// Places of the handle table: in use, set aside for a transfer, worn out for good.
    pub fn handle_places(&self) -> (u32, u32, u32) {
        let table = self.handles.lock();
        (table.len(), table.reserved(), table.retired())
    }

    /// Threads that it pays for.
    pub fn threads_charged(&self) -> u32 {
        self.thread_quota.used()
    }

    /// Its threads now.
    pub fn threads(&self) -> Vec<Arc<Thread>> {
        self.threads.lock().clone()
    }

    /// CPU time of all its threads, past and present.
    pub fn cpu_ns(&self) -> u64 {
        let live: u64 = self.threads.lock().iter().map(|t| t.task.cpu_ns()).sum();
        live + self.past_cpu_ns.load(Ordering::Relaxed)
    }

    pub(crate) fn next_thread_number(&self) -> u64 {
        self.threads_made.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn adopt_thread(&self, thread: &Arc<Thread>) -> Result<(), Refusal> {
        let mut threads = self.threads.lock();
        if self.is_dying() {
            return Err(Refusal::WrongState);
        }
        threads.push(thread.clone());
        Ok(())
    }

    /// Takes a leaving thread out. `true`: it was the last.
    pub(crate) fn remove_thread(&self, thread: &Arc<Thread>) -> bool {
        let mut threads = self.threads.lock();
        let mut gone = None;
        if let Some(at) = threads.iter().position(|t| Arc::ptr_eq(t, thread)) {
            gone = Some(threads.swap_remove(at));
        }
        let last = threads.is_empty();
        if last {
            self.dying.store(true, Ordering::Release);
        }
        drop(threads);
        self.past_cpu_ns
            .fetch_add(thread.task.cpu_ns(), Ordering::Relaxed);
        drop(gone);
        last
    }

    /// Whether the process is ending.
    #[inline]
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::Acquire)
    }

    /// Whether every thread has left and everything it held is gone.
    pub fn is_finished(&self) -> bool {
        self.exit.lock().finished
    }

    /// Begins the end: every thread leaves at its next way back to user mode. The first reason given stands.
    pub fn end(&self, kind: End, code: i64, text: &str) {
        {
            let mut state = self.exit.lock();
            if state.exit.is_none() {
                state.exit = Some(Exit {
                    kind,
                    code,
                    text: String::from(text),
                });
            }
        }
        self.dying.store(true, Ordering::Release);
        // From the last one down: a thread that leaves meanwhile is replaced by the last, which was seen to.
        let mut left = self.threads.lock().len();
        while left > 0 {
            left -= 1;
            let thread = self.threads.lock().get(left).cloned();
            if let Some(thread) = thread {
                thread.task.set_ending();
                sched::wake(&thread.task);
            }
            let _ = sched::point();
        }
        (0..sched::cpu_count()).for_each(sched::kick);
    }

    /// Ends a process that never got a thread: what a failed spawn leaves.
    pub fn abandon(self: &Arc<Self>) {
        self.dying.store(true, Ordering::Release);
        Self::teardown(self);
    }

    /// Runs in the last thread: gives everything back, then tells whoever waits.
    pub(crate) fn teardown(process: &Arc<Self>) {
        // A call that is on its way here from now on finds the table closed. One that had its place before fills it, or
        // gives it back, within the few steps that another CPU has left.
        process.handles.lock().close();
        for _ in 0..1_000_000 {
            if process.handles.lock().reserved() == 0 {
                break;
            }
            cpu::relax();
            let _ = sched::point();
        }
        // Calls delivered here and never answered: their callers hear that the server died.
        let mut from = Some(0);
        while let Some(at) = from {
            let slot = {
                let mut table = process.handles.lock();
                let (handle, next) = table.next_live(at);
                from = next;
                handle.and_then(|handle| table.remove(handle).ok())
            };
            if let Some(slot) = slot {
                if let Object::Reply(right) = slot.object() {
                    right.server_died();
                }
                drop(slot);
            }
            let _ = sched::point();
        }
        process.vm.retire();
        let (exit, waiters, watcher) = {
            let mut state = process.exit.lock();
            state.finished = true;
            let exit = state.exit.get_or_insert(Exit {
                kind: End::Exited,
                code: 0,
                text: String::new(),
            });
            let exit = exit.clone();
            (exit, core::mem::take(&mut state.waiters), state.watcher)
        };
        let told = *ON_EXIT.lock();
        // One that never got a thread was never there.
        if let (Some(f), true) = (told, process.threads_made.load(Ordering::Relaxed) > 0) {
            f(process, &exit);
        }
        for waiter in waiters {
            waiter.answer_exit(&exit);
            let _ = sched::point();
        }
        if let Some(f) = watcher {
            f(&exit);
        }
    }

    /// Calls `f` when the process has ended, from its last thread. For the kernel's own first process.
    pub fn wait_with(&self, f: fn(&Exit)) {
        let exit = {
            let mut state = self.exit.lock();
            if !state.finished {
                state.watcher = Some(f);
                return;
            }
            state.exit.clone()
        };
        if let Some(exit) = exit {
            f(&exit);
        }
    }

    /// Completes `pending` when the process has ended.
    pub fn wait(&self, pending: Pending) {
        let exit = {
            let mut state = self.exit.lock();
            if !state.finished {
                state.waiters.retain(Pending::is_live);
                state.waiters.push(pending);
                return;
            }
            state.exit.clone()
        };
        if let Some(exit) = exit {
            pending.answer_exit(&exit);
        }
    }
}
