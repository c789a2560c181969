//! The record of what one process calls: what was called and how that ended, never a word of a message.
//!
//! Invariant: recording allocates nothing; what there is no room for is counted.

use alloc::vec::Vec;

use cpu::Lock;
use frames::Grow;
use pieces::Pieces;
use ring_abi::Refusal;

use crate::finished::Route;

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
    /// Room for `most` records.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub(crate) fn new(most: usize) -> Result<Self, Refusal> {
        let (mut ended, mut open) = (Pieces::new(), Vec::new());
        frames::reserve(|| ended.reserve(most))?;
        open.grow(MOST_OPEN)?;
        Ok(Self(Lock::new(Records {
            ended,
            most: most.max(1),
            next: 0,
            open,
            unseen: 0,
        })))
    }

    /// A call begins: `thread` calls a method of `interface` by this way.
    pub(crate) fn begin(&self, thread: u64, route: Route, interface: u64, method: u16) {
        let record = CallRecord {
            began_ns: sched::now_ns(),
            took_ns: 0,
            interface,
            thread,
            method,
            status: 0,
        };
        let mut records = self.0.lock();
        // There is room for `MOST_OPEN` of them.
        if records.open.put(Open { route, record }).is_err() {
            records.unseen += 1;
        }
    }

    /// The oldest open call of a thread by this way has ended.
    pub(crate) fn end(&self, thread: u64, route: Route, status: u8) {
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

    /// Calls `f` with the records from sequence number `from` on, until it says `false`. Returns where to go on, and how many
    /// calls from `from` on are not there any more or were never followed.
    pub(crate) fn visit(
        &self,
        from: u64,
        mut f: impl FnMut(u64, &CallRecord) -> bool,
    ) -> (u64, u64) {
        let mut records = self.0.lock();
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
}
