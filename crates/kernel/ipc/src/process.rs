//! One process: what it may hold, its capabilities, its threads, and its end.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use account::{Account, Kind, Limits, Opened};
use arrayvec::ArrayString;
use cap::CapTable;
use cpu::Lock;
use frames::Grow;
use handles::Reservation;
use memory::Vm;
use pieces::Sorted;
use ring_abi::Refusal;
use sabotage::sabotage;
use schema::process::process_handle;

use crate::exit::{End, Exit, TEXT_BYTES, TEXT_EXTRA};
use crate::kernel_call::Late;
use crate::object::{Found, Quick};
use crate::park::Parked;
use crate::queue::Queue;
use crate::trace::Log;
use crate::{Object, Slot, Thread, release};

/// What a process is called by whoever starts it.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// Its name.
    pub name: &'a str,
    /// How often its starter says that it has started it anew.
    pub restarts: u32,
}

#[derive(Debug, Default)]
struct ExitState {
    exit: Option<Exit>,
    finished: bool,
    waiters: Queue<Late<process_handle::call::Wait>>,
    watcher: Option<fn(&Exit)>,
}

/// One process: an address space, its capabilities, its threads, and the account that pays for them.
#[derive(Debug)]
pub struct Process {
    /// Number, never used again.
    pub id: u64,
    /// Name, for people.
    pub name: ArrayString<NAME_BYTES>,
    /// How often its starter says that it has started it anew.
    pub restarts: u32,
    /// What it was given, and what of it is in use.
    account: Opened,
    /// Its memory.
    pub vm: Arc<Vm>,
    pub(crate) handles: Lock<CapTable<Object>>,
    /// How many places of its account the table of handles took. Changes under the lock of the table.
    places: AtomicU32,
    threads: Lock<Sorted<u64, Arc<Thread>, LISTED>>,
    /// Threads that wait on a word of its memory.
    pub(crate) parked: Lock<Queue<Parked>>,
    threads_made: AtomicU64,
    /// [`DYING`] and [`TRACED`]: what every call and every way back to the program looks at.
    marks: AtomicU32,
    /// Where its calls are recorded.
    pub(crate) trace: Lock<Option<Arc<Log>>>,
    exit: Lock<ExitState>,
    /// Memory for the text of its end, however much it has used up by then: given back just before.
    last_words: Lock<Vec<u8>>,
}

/// It is ending: every thread leaves at its next way back to user mode.
const DYING: u32 = 1;
/// Its calls are recorded.
const TRACED: u32 = 2;

/// Longest name of a process, in bytes.
pub const NAME_BYTES: usize = 32;
/// Places by which a table of handles grows in one go, at least and at most.
const PLACES: (u32, u32) = (64, 1024);
/// Processes or threads in one piece of a list.
const LISTED: usize = 256;
/// Most that the record of a process takes.
const PROCESS_BYTES: u64 = size_of::<Process>() as u64 + 128;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// Every process by its number.
static ALL: Lock<Sorted<u64, Weak<Process>, LISTED>> = Lock::new(Sorted::new());
/// What is told of the end of every process.
type OnExit = fn(&Process, &Exit);
static ON_EXIT: Lock<Option<OnExit>> = Lock::new(None);

/// Processes that a walk over all of them passes from one look to the next.
const PROCESSES_PER_LOOK: u64 = 32;

/// Calls `f` with every process, oldest first. The caller holds no lock.
pub fn for_each_process(mut f: impl FnMut(&Arc<Process>)) {
    let mut from = 0;
    for nth in 1u64.. {
        let next = {
            let all = ALL.lock();
            all.from(from).find_map(|(_, p)| p.upgrade())
        };
        let Some(process) = next else { break };
        from = process.id + 1;
        f(&process);
        if nth.is_multiple_of(PROCESSES_PER_LOOK) {
            let _ = sched::point();
        }
    }
}

/// Finds a process by its number.
pub fn process_by_id(id: u64) -> Option<Arc<Process>> {
    ALL.lock().get(id)?.upgrade()
}

impl Process {
    /// Makes a process without threads, whose account `from` gives out of its own.
    ///
    /// # Errors
    /// `OverBudget` for more than `from` has, or more than is given here; `NoMemory`.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub fn new(
        label: Label<'_>,
        from: &Arc<Account>,
        limits: &Limits,
    ) -> Result<Arc<Self>, Refusal> {
        let account = from.open(limits)?;
        let payer = (*account).clone();
        let _paying = frames::paid_by(&payer);
        let name = ArrayString::from(label.name).map_err(|_| Refusal::BadArgument)?;
        let vm = Vm::new()?;
        let mut last_words = Vec::new();
        last_words.grow((TEXT_BYTES + TEXT_EXTRA) as usize)?;
        let make = || {
            Arc::new(Self {
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                name,
                restarts: label.restarts,
                account,
                vm,
                handles: Lock::new(CapTable::new(0)),
                places: AtomicU32::new(0),
                threads: Lock::new(Sorted::new()),
                parked: Lock::new(Queue::new()),
                threads_made: AtomicU64::new(0),
                marks: AtomicU32::new(0),
                trace: Lock::new(None),
                exit: Lock::new(ExitState::default()),
                last_words: Lock::new(last_words),
            })
        };
        let process = frames::with_room(PROCESS_BYTES, make)?;
        {
            let _kernel = frames::paid_by_kernel();
            let mut all = ALL.lock();
            let listed = frames::refusable(|| all.insert(process.id, Arc::downgrade(&process)));
            listed.map_err(|_| Refusal::OverBudget)?;
        }
        Ok(process)
    }

    /// What it was given, and what of it is in use.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Gives the places that its table of handles does not use back to its account, to be given to somebody else.
    pub fn settle_handles(&self) {
        let mut table = self.handles.lock();
        let used = table.len() + table.reserved();
        let places = self.places.load(Ordering::Relaxed);
        if !self.is_dying() && places > used {
            table.set_quota(used);
            self.places.store(used, Ordering::Relaxed);
            drop(
                self.account
                    .give_back(Kind::Handles, u64::from(places - used)),
            );
        }
    }

    /// Makes room for more capabilities, at its account's cost. With the table's lock held.
    #[cold]
    #[inline(never)]
    fn more_places(&self, table: &mut CapTable<Object>) -> Result<(), Refusal> {
        if self.is_dying() {
            return Err(Refusal::OverBudget);
        }
        let places = self.places.load(Ordering::Relaxed);
        let left = self.account.usage(Kind::Handles).left();
        let more = u64::from((places / 2).clamp(PLACES.0, PLACES.1)).min(left) as u32;
        if more == 0 {
            return Err(Refusal::OverBudget);
        }
        self.account.take(Kind::Handles, u64::from(more))?;
        let _paying = frames::paid_by(&self.account);
        let room = frames::refusable(|| table.make_room(more));
        if room.is_ok() {
            self.places.store(places + more, Ordering::Relaxed);
        } else {
            drop(self.account.give_back(Kind::Handles, u64::from(more)));
        }
        room
    }

    /// Puts a capability into a table that may have to take more places for it.
    ///
    /// # Errors
    /// `OverBudget`, `Exhausted`, `NoMemory`; the capability comes back.
    #[inline(always)]
    pub(crate) fn insert(&self, slot: Slot) -> Result<u64, (Refusal, Slot)> {
        let mut table = self.handles.lock();
        match table.insert(slot) {
            Err((Refusal::OverBudget, slot)) => match self.more_places(&mut table) {
                Ok(()) => table.insert(slot),
                Err(refusal) => Err((refusal, slot)),
            },
            done => done,
        }
    }

    /// Takes a place for a transaction.
    ///
    /// # Errors
    /// As for an insertion.
    pub(crate) fn reserve(&self, table: &mut CapTable<Object>) -> Result<Reservation, Refusal> {
        match table.reserve() {
            Err(Refusal::OverBudget) => {
                self.more_places(table)?;
                table.reserve()
            }
            done => done,
        }
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
        let inserted = self.insert(slot);
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

    /// As [`Self::lookup`]; a kernel object that has the answer at hand gives it, while the table's lock keeps it.
    ///
    /// # Errors
    /// As [`Self::lookup`].
    #[inline(always)]
    pub(crate) fn find(
        &self,
        handle: u64,
        method: u16,
        words: &[u64; 4],
    ) -> Result<Found, Refusal> {
        sabotage!(SKIP_GENERATION_CHECK => return self.lookup(handle).map(Found::Object));
        let table = self.handles.lock();
        let slot = table.slot(handle)?;
        if let Object::Kernel(object) = slot.object()
            && let Some(answer) = object.quick(slot.granted(), method, words)
        {
            return Ok(match answer {
                Quick::Answer(words) => Found::Answer(words),
                Quick::Then(words) => Found::Then(words, object.clone()),
            });
        }
        slot.check().cloned().map(Found::Object)
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
        self.account.usage(Kind::Threads).own() as u32
    }

    /// Its threads, oldest first. Nothing is locked between two of them, and one that begins or ends meanwhile is there or
    /// not.
    pub fn threads(&self) -> impl Iterator<Item = Arc<Thread>> {
        let after = |number: u64| {
            let threads = self.threads.lock();
            threads.from(number + 1).next().map(|(_, t)| t.clone())
        };
        core::iter::successors(after(0), move |last| after(last.number))
    }

    /// How many threads it has now.
    pub fn thread_count(&self) -> usize {
        self.threads.lock().len()
    }

    pub(crate) fn next_thread_number(&self) -> u64 {
        self.threads_made.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn adopt_thread(&self, thread: &Arc<Thread>) -> Result<(), Refusal> {
        let mut threads = self.threads.lock();
        if self.is_dying() {
            return Err(Refusal::WrongState);
        }
        let listed = frames::refusable(|| threads.insert(thread.number, thread.clone()));
        listed.map(drop).map_err(|_| Refusal::OverBudget)
    }

    /// Takes a leaving thread out. `true`: it was the last.
    pub(crate) fn remove_thread(&self, thread: &Arc<Thread>) -> bool {
        let mut threads = self.threads.lock();
        let gone = threads.remove(thread.number);
        let last = threads.is_empty();
        if last {
            self.marks.fetch_or(DYING, Ordering::Release);
        }
        drop(threads);
        drop(gone);
        last
    }

    /// Whether the process is ending.
    #[inline]
    pub fn is_dying(&self) -> bool {
        self.marks.load(Ordering::Acquire) & DYING != 0
    }

    /// Whether its calls are recorded.
    #[inline(always)]
    pub(crate) fn is_traced(&self) -> bool {
        self.marks.load(Ordering::Relaxed) & TRACED != 0
    }

    /// Whether it is neither ending nor traced.
    #[inline(always)]
    pub(crate) fn is_plain(&self) -> bool {
        self.marks.load(Ordering::Acquire) == 0
    }

    pub(crate) fn begin_trace(&self) {
        self.marks.fetch_or(TRACED, Ordering::Relaxed);
    }

    pub(crate) fn end_trace(&self) {
        self.marks.fetch_and(!TRACED, Ordering::Relaxed);
    }

    /// Whether every thread has left and everything it held is gone.
    pub fn is_finished(&self) -> bool {
        self.exit.lock().finished
    }

    /// A copy of the text of its end, at its own cost: counted, so that whoever hears of it needs no copy.
    fn keep(&self, text: &str) -> Option<Arc<str>> {
        let kept = text.get(..text.floor_char_boundary(TEXT_BYTES as usize))?;
        if kept.is_empty() {
            return None;
        }
        // What was set aside for it when the process was made.
        drop(core::mem::take(&mut *self.last_words.lock()));
        let _paying = frames::paid_by(&self.account);
        let bytes = kept.len() as u64 + TEXT_EXTRA;
        // room: made here
        frames::with_room(bytes, || Arc::<str>::from(kept)).ok()
    }

    /// Begins the end: every thread leaves at its next way back to user mode. The first reason given stands.
    pub fn end(&self, kind: End, code: i64, text: &str) {
        {
            let mut state = self.exit.lock();
            if state.exit.is_none() {
                let text = self.keep(text);
                state.exit = Some(Exit { kind, code, text });
            }
        }
        self.marks.fetch_or(DYING, Ordering::Release);
        for thread in self.threads() {
            thread.task.set_ending();
            sched::wake(&thread.task);
            let _ = sched::point();
        }
        (0..sched::cpu_count()).for_each(sched::kick);
    }

    /// Ends a process that never got a thread: what a failed spawn leaves.
    pub fn abandon(self: &Arc<Self>) {
        self.marks.fetch_or(DYING, Ordering::Release);
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
        while process.handles.lock().shed() {
            let _ = sched::point();
        }
        let places = process.places.swap(0, Ordering::Relaxed);
        drop(process.account.give_back(Kind::Handles, u64::from(places)));
        process.vm.retire();
        let _ = sched::point();
        // What is left of it is whoever's that gave it, before anybody hears of the end. The rest of this thread's way is
        // the kernel's to pay.
        let _kernel = frames::paid_by_kernel();
        sched::count_time();
        process.account.end();
        let (exit, mut waiters, watcher) = {
            let mut state = process.exit.lock();
            state.finished = true;
            let exit = state.exit.get_or_insert(Exit {
                kind: End::Exited,
                code: 0,
                text: None,
            });
            let exit = exit.clone();
            (exit, core::mem::take(&mut state.waiters), state.watcher)
        };
        let told = *ON_EXIT.lock();
        // One that never got a thread was never there.
        if let (Some(f), true) = (told, process.threads_made.load(Ordering::Relaxed) > 0) {
            f(process, &exit);
            let _ = sched::point();
        }
        while let Some(waiter) = waiters.pop() {
            waiter.send(exit.told());
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

    /// Answers when the process has ended.
    pub fn wait(&self, later: Late<process_handle::call::Wait>) {
        let exit = {
            let mut state = self.exit.lock();
            if !state.finished {
                state.waiters.retain(Late::is_live);
                let queued = state.waiters.push(later);
                drop(state);
                if let Err(later) = queued {
                    later.refuse(Refusal::OverBudget);
                }
                return;
            }
            state.exit.clone()
        };
        if let Some(exit) = exit {
            later.send(exit.told());
        }
    }
}

impl Drop for Process {
    /// Takes it out of the list, so that its memory goes with it.
    fn drop(&mut self) {
        let gone = ALL.lock().remove(self.id);
        drop(gone);
    }
}
