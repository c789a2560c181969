//! The hardware audit log of this boot: a ring that the device manager records into, and those who wait for its edge.
//!
//! Recording takes one lock that is held for the copy of one record, waits for nobody and decides nothing. Reading
//! copies records out; what nobody read in time is overwritten and counted.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use audit_format::{Ahead, Counters, Event, RECORD_BYTES, Ring, Window};
use cpu::Lock;
use ipc::Pending;
use schema::audit::hardware_audit_log;
use stub::Refusal;

/// Records that are held.
const HELD: usize = 512;
/// Records of one read, at most: as many as a segment on disk takes.
pub const READ_RECORDS: u32 = audit_format::SEGMENT_RECORDS as u32;
/// Calls that wait for the edge at once, at most.
const WAITERS: usize = 64;

static LOG: Lock<Ring<HELD>> = Lock::new(Ring::new());
/// Somebody waits: whoever records says so to the timer.
static AWAITED: AtomicBool = AtomicBool::new(false);
static WAITING: Lock<Vec<Waiting>> = Lock::new(Vec::new());

/// A call that waits for a record of number `from` or later.
struct Waiting {
    from: u64,
    /// The reader whose right it is, 0 for one by manifest.
    reader: u64,
    pending: Pending,
}

/// Records an event.
pub fn record(event: Event) {
    let recorded = LOG.lock().record(event, sched::now_ns());
    if recorded.is_some() && AWAITED.load(Ordering::Acquire) {
        // Answering wakes tasks, which is not for whoever records, perhaps under a function's lock.
        sched::callback_at(sched::now_ns(), wake, 0);
    }
}

/// One read.
pub struct Read {
    /// What it covers.
    pub window: Window,
    /// Refusals that were counted and not recorded.
    pub suppressed: u64,
    /// The records, one after the other.
    pub records: Vec<u8>,
}

/// Copies at most `max` records from `from` on.
///
/// # Errors
/// `OutOfRange` for a cursor beyond the edge, `NoMemory`.
pub fn read(from: u64, max: u32) -> Result<Read, Refusal> {
    let mut records = Vec::new();
    // Before the lock is taken: nobody who records waits for memory.
    let most = max.min(HELD as u32) as usize;
    records
        .try_reserve_exact(most * RECORD_BYTES)
        .map_err(|_| Refusal::NoMemory)?;
    let log = LOG.lock();
    let window = log
        .window(from, most as u32)
        .map_err(|Ahead| Refusal::OutOfRange)?;
    for sequence in window.first..window.next {
        if let Some(record) = log.get(sequence) {
            records.extend_from_slice(record);
        }
    }
    let suppressed = log.counters().suppressed;
    Ok(Read {
        window,
        suppressed,
        records,
    })
}

/// What was counted.
pub fn counters() -> Counters {
    *LOG.lock().counters()
}

/// Sequence number that the next event will have.
pub fn edge() -> u64 {
    LOG.lock().edge()
}

/// Answers `pending` once there is a record of number `from` or later. `reader` is 0 for a reader by manifest.
pub fn wait(from: u64, reader: u64, pending: Pending) {
    let waiting = Waiting {
        from,
        reader,
        pending,
    };
    let mut gone = Vec::new();
    let full = {
        let mut list = WAITING.lock();
        if list.len() >= WAITERS {
            let (live, dead): (Vec<_>, Vec<_>) = core::mem::take(&mut *list)
                .into_iter()
                .partition(|one| one.pending.is_live());
            *list = live;
            gone = dead;
        }
        if list.len() < WAITERS {
            list.push(waiting);
            AWAITED.store(true, Ordering::Release);
            None
        } else {
            Some(waiting)
        }
    };
    drop(gone);
    if let Some(waiting) = full {
        waiting.pending.try_refuse(Refusal::Busy);
    }
    // A record that came in between told nobody.
    wake(0);
}

/// Ends the waits of a reader whose right was taken away.
pub fn end_waits(reader: u64) {
    for one in take(|one| one.reader == reader) {
        one.pending.try_refuse(Refusal::Revoked);
    }
}

fn wake(_: u64) {
    let edge = edge();
    for one in take(|one| one.from < edge) {
        one.pending
            .try_respond(hardware_audit_log::WaitReply { edge });
    }
}

fn take(ready: impl Fn(&Waiting) -> bool) -> Vec<Waiting> {
    let mut list = WAITING.lock();
    let (taken, left): (Vec<_>, Vec<_>) = core::mem::take(&mut *list).into_iter().partition(ready);
    *list = left;
    AWAITED.store(!list.is_empty(), Ordering::Release);
    taken
}
