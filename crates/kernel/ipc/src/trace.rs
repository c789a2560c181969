//! What a process calls, for whoever was given the right to look.
//!
//! One word of the process, which every call reads, says whether anybody looks. A record holds what was called and how that
//! ended, never a word of a message. Invariant: recording allocates nothing; what there is no room for is counted.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use cpu::{Lock, SyscallFrame};
use frames::Grow;
use pieces::Pieces;
use ring_abi::{Refusal, StatusWord};
use sabotage::sabotage;

use crate::operation::{Begun, Entry, Outcome, call_untraced};
use crate::stop::Stop;
use crate::{Process, Route, Thread};

/// One call that ended.
#[derive(Clone, Copy, Debug)]
pub struct CallRecord {
    /// When it began, in nanoseconds since the start of the machine.
    pub began_ns: u64,
    /// From then until its result was there, in nanoseconds.
    pub took_ns: u64,
    /// The interface of the capability; 0 for a handle that names none.
    pub interface: u64,
    /// Number of the thread within its process.
    pub thread: u64,
    /// Number of the method.
    pub method: u16,
    /// 0, or the code of a refusal.
    pub status: u8,
}

/// A call that has not ended.
#[derive(Debug)]
struct Open {
    route: Route,
    record: CallRecord,
}

/// Records in one piece of the ring.
const KEPT: usize = 64;
/// Calls that are followed at once, at most.
const MOST_OPEN: usize = 64;

#[derive(Debug)]
struct Records {
    /// A ring: the record of sequence number n is at n modulo `most`.
    ended: Pieces<CallRecord, KEPT>,
    most: usize,
    /// The sequence number that comes next.
    next: u64,
    open: Vec<Open>,
    /// Calls that began while `MOST_OPEN` were followed.
    unseen: u64,
}

/// Where the calls of one process are recorded.
#[derive(Debug)]
pub(crate) struct Log(Lock<Records>);

impl Log {
    fn begin(&self, open: Open) {
        let mut records = self.0.lock();
        // There is room for `MOST_OPEN` of them.
        if records.open.put(open).is_err() {
            records.unseen += 1;
        }
    }

    /// The oldest open call of a thread by this way has ended.
    fn end(&self, thread: u64, route: Route, status: u8) {
        let now = sched::now_ns();
        let mut records = self.0.lock();
        let mut open = records.open.iter();
        let Some(at) = open.position(|o| o.record.thread == thread && o.route == route) else {
            return;
        };
        let mut record = records.open.remove(at).record;
        record.took_ns = now.saturating_sub(record.began_ns);
        record.status = status;
        let place = (records.next % records.most as u64) as usize;
        match records.ended.get_mut(place) {
            Some(oldest) => *oldest = record,
            // There is room for `most` of them.
            None => {
                let _ = records.ended.push(record);
            }
        }
        records.next += 1;
    }
}

/// The trace of one process. It ends with its last owner.
#[derive(Debug)]
pub struct Trace {
    log: Arc<Log>,
    of: Weak<Process>,
}

impl Trace {
    /// Records what `process` calls from now on, `most` calls at a time. The process that runs pays for the memory.
    ///
    /// # Errors
    /// `Busy` while it is traced already, `OverBudget`.
    pub fn begin(process: &Arc<Process>, most: usize) -> Result<Self, Refusal> {
        let (mut ended, mut open) = (Pieces::new(), Vec::new());
        frames::refusable(|| ended.reserve(most)).map_err(|_| Refusal::OverBudget)?;
        open.grow(MOST_OPEN)?;
        let log = frames::arc(Log(Lock::new(Records {
            ended,
            most: most.max(1),
            next: 0,
            open,
            unseen: 0,
        })))?;
        {
            let mut traced = process.trace.lock();
            if traced.is_some() {
                return Err(Refusal::Busy);
            }
            *traced = Some(log.clone());
        }
        process.begin_trace();
        Ok(Self {
            log,
            of: Arc::downgrade(process),
        })
    }

    /// Calls `f` with the records from sequence number `from` on, until it says `false`. Returns where to go on, and how many
    /// calls from `from` on are not there any more or were never followed.
    pub fn visit(&self, from: u64, mut f: impl FnMut(u64, &CallRecord) -> bool) -> (u64, u64) {
        let mut records = self.log.0.lock();
        let oldest = records.next.saturating_sub(records.ended.len() as u64);
        let mut at = from.max(oldest);
        let dropped = oldest.saturating_sub(from) + core::mem::take(&mut records.unseen);
        while at < records.next {
            let place = (at % records.most as u64) as usize;
            let Some(record) = records.ended.get(place) else {
                break;
            };
            if !f(at, record) {
                break;
            }
            at += 1;
        }
        (at, dropped)
    }

    /// Whether the process has ended.
    pub fn is_over(&self) -> bool {
        self.of
            .upgrade()
            .is_none_or(|process| process.is_finished())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let Some(process) = self.of.upgrade() else {
            return;
        };
        if sabotage!(KEEP_TRACE) {
            return;
        }
        process.end_trace();
        let log = process.trace.lock().take();
        drop(log);
    }
}

fn log_of(thread: &Thread) -> Option<Arc<Log>> {
    thread.process.trace.lock().clone()
}

/// A call of a traced process.
#[cold]
#[inline(never)]
pub(crate) fn call(entry: &Entry<'_>) -> Outcome {
    let Entry { me, route, op } = *entry;
    let Some(log) = log_of(me) else {
        return call_untraced(entry);
    };
    let interface = {
        let handles = me.process.handles.lock();
        handles.slot(op.handle).map_or(0, cap::Slot::interface)
    };
    if route != Route::Register {
        me.ring.lock().traced = true;
    }
    // Before the call: its answer may be there before this thread goes on.
    log.begin(Open {
        route,
        record: CallRecord {
            began_ns: sched::now_ns(),
            took_ns: 0,
            interface,
            thread: me.number,
            method: op.method(),
            status: 0,
        },
    });
    let outcome = call_untraced(entry);
    let status = match &outcome {
        Ok(Begun::Waiting(_) | Begun::Deferred) => return outcome,
        Ok(Begun::Done(finished)) => StatusWord::unpack(finished.status).status,
        Err(Stop::Refused(refusal)) => refusal.code(),
        Err(Stop::Misuse(_)) => Refusal::BadArgument.code(),
    };
    log.end(me.number, route, status);
    outcome
}

/// A traced thread is on its way back from `enter`: a call in registers for which it waited has ended.
#[cold]
#[inline(never)]
pub(crate) fn returned(me: &Thread, frame: &SyscallFrame) {
    if let Some(log) = log_of(me) {
        let status = StatusWord::unpack(frame.rax).status;
        log.end(me.number, Route::Register, status);
    }
}

/// A completion of a thread that was traced is in its ring. `false`: it is traced no longer.
#[cold]
#[inline(never)]
pub(crate) fn posted(thread: &Thread, user_data: u64, status: u64) -> bool {
    let Some(log) = log_of(thread) else {
        return false;
    };
    let status = StatusWord::unpack(status).status;
    log.end(thread.number, Route::Ring(user_data), status);
    true
}
