//! One process: what it may hold, its capabilities and its threads.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};

use account::{Account, KINDS, Kind, Limits};
use arrayvec::ArrayString;
use cap::CapTable;
use cpu::Lock;
use handles::Reservation;
use memory::Vm;
use pieces::Sorted;
use ring_abi::Refusal;
use sabotage::sabotage;
use schema::process::process_handle;
use stub::Deferred;

use crate::exit::{End, Exit, Exits};
use crate::marks::Marks;
use crate::object::{Found, release};
use crate::parking::Parking;
use crate::records::{Bank, Object, Pending, Process, Quick, Slot, Thread};
use crate::roster::Roster;
use crate::table::{Holder, Table};

/// What whoever starts a process says of it.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// Its name.
    pub name: &'a str,
    /// The number of who starts it, 0 for the kernel.
    pub started_by: u64,
    /// How often its starter says that it has started it anew.
    pub restarts: u32,
    /// Whether its threads may use the floating-point and vector unit.
    pub fpu: bool,
    /// Whether its account is to share nothing with others that the processor learns of branches.
    pub distrusting: bool,
}

/// Processes in one piece of the list.
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
    /// `OverBudget` for more than `from` has, or more than is given here; `NoMemory`; `NotSupported` for an FPU that the
    /// processor does not have.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub fn new(
        label: Label<'_>,
        from: &Arc<Account>,
        limits: &Limits,
    ) -> Result<Arc<Self>, Refusal> {
        if label.fpu && !cpu::has_fpu() {
            return Err(Refusal::NotSupported);
        }
        let account = from.open(limits)?;
        let payer = (*account).clone();
        let _paying = frames::paid_by(&payer);
        let name = ArrayString::from(label.name).map_err(|_| Refusal::BadArgument)?;
        let vm = Vm::new()?;
        let exits = Exits::new()?;
        let bank = Bank::new()?;
        let make = || {
            Arc::new(Self {
                id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
                name,
                started_by: label.started_by,
                restarts: label.restarts,
                has_fpu: label.fpu,
                is_distrusting: label.distrusting,
                account,
                bank,
                vm,
                handles: Table::new(),
                threads: Roster::new(),
                parked: Lock::new(Parking::new()),
                marks: Marks::default(),
                trace: Lock::new(None),
                exits,
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

    /// Who pays for the places of its table.
    #[inline(always)]
    fn holder(&self) -> Holder<'_> {
        Holder {
            account: &self.account,
            marks: &self.marks,
        }
    }

    /// Gives the places that its table of handles does not use back to its account, to be given to somebody else.
    pub fn settle_handles(&self) {
        self.handles.settle(self.holder());
    }

    /// Puts a capability into a table that may have to take more places for it.
    ///
    /// # Errors
    /// `OverBudget`, `Exhausted`, `NoMemory`; the capability comes back.
    #[inline(always)]
    pub(crate) fn insert(&self, slot: Slot) -> Result<u64, (Refusal, Slot)> {
        self.handles.insert(self.holder(), slot)
    }

    /// Takes a place for a transaction.
    ///
    /// # Errors
    /// As for an insertion.
    pub(crate) fn reserve(&self, table: &mut CapTable<Object>) -> Result<Reservation, Refusal> {
        self.handles.reserve(self.holder(), table)
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
        Ok(match slot.check()? {
            Object::Facet(facet) => Found::Facet(facet.clone()),
            object => Found::Object(object.clone()),
        })
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

    /// The first capability from place `from` of its table on, and the place to go on from: a bounded part of the table is looked
    /// at. What comes is a copy, and of a reply right only its name.
    pub fn held_from(&self, from: u32) -> (Option<Slot>, Option<u32>) {
        let table = self.handles.lock();
        let (handle, next) = table.next_live(from);
        let slot = handle.and_then(|handle| table.slot(handle).ok());
        (slot.cloned(), next)
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

    /// CPU time of all its threads, past and present, up to now.
    pub fn cpu_ns(&self) -> u64 {
        sched::tsc_to_ns(sched::spent_by(self.account()))
    }

    /// CPU time of the processes below it that have ended.
    pub fn cpu_below_ns(&self) -> u64 {
        sched::tsc_to_ns(self.account().spent_below())
    }

    /// Its threads, oldest first. Nothing is locked between two of them, and one that begins or ends meanwhile is there or
    /// not.
    pub fn threads(&self) -> impl Iterator<Item = Arc<Thread>> {
        core::iter::successors(self.threads.after(0), |last| {
            self.threads.after(last.number)
        })
    }

    /// How many threads it has now.
    pub fn thread_count(&self) -> usize {
        self.threads.len()
    }

    /// Whether the process is ending.
    #[inline]
    pub fn is_dying(&self) -> bool {
        self.marks.is_dying()
    }

    /// Whether every thread has left and everything it held is gone.
    pub fn is_finished(&self) -> bool {
        self.exits.is_finished()
    }

    /// Begins the end: every thread leaves at its next way back to user mode. The first reason given stands.
    pub fn end(&self, kind: End, code: i64, text: &str) {
        self.exits.decide(&self.account, kind, code, text);
        self.marks.set_dying();
        for thread in self.threads() {
            thread.task.set_ending();
            sched::wake(&thread.task);
            let _ = sched::point();
        }
        (0..sched::cpu_count()).for_each(sched::kick);
    }

    /// Ends the processes whose accounts were given out of this one's, which has ended: what they have is not theirs any more. They
    /// end in their own time.
    pub(crate) fn end_children(&self) {
        let given = KINDS.iter().any(|kind| self.account.usage(*kind).given > 0);
        if !given || sabotage!(KEEP_ORPHANS) {
            return;
        }
        for_each_process(|process| {
            let parent = process.account.parent();
            if parent.is_some_and(|parent| Arc::ptr_eq(parent, &self.account)) {
                process.end(
                    End::Killed,
                    -1,
                    "the account ended that its own was part of",
                );
            }
        });
    }

    /// Calls `f` when the process has ended, from its last thread. For the kernel's own first process.
    pub fn wait_with(&self, f: fn(&Exit)) {
        self.exits.watch(f);
    }

    /// Answers when the process has ended.
    pub fn wait(&self, later: Deferred<Pending, process_handle::call::Wait>) {
        self.exits.wait(later);
    }

    /// What is told of every end of a process, if this one was ever there: one that never got a thread was not.
    pub(crate) fn tell_end(&self, exit: &Exit) {
        let told = *ON_EXIT.lock();
        if let (Some(f), true) = (told, self.threads.had_any()) {
            f(self, exit);
            let _ = sched::point();
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
