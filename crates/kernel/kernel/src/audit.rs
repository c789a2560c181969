//! The hardware audit log of this boot: a ring that the device manager records into, and those who wait for its edge.
//!
//! Recording takes one lock that is held for the copy of one record, waits for nobody and decides nothing. Who reads folds
//! the chain, with no lock held, and copies records out; what nobody read in time is overwritten and counted.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use arrayvec::ArrayVec;
use audit_format::{Ahead, Counters, Event, RECORD_BYTES, Ring, Window};
use cpu::Lock;
use frames::Grow;
use ipc::{Late, Waitlist};
use sabotage::sabotage;
use schema::audit::hardware_audit_log;
use stub::Refusal;

/// Records that are held.
const HELD: usize = 512;
/// Records of one read, at most: as many as a segment on disk takes.
pub const READ_RECORDS: u32 = audit_format::SEGMENT_RECORDS as u32;
/// Calls of one process that wait for the edge at once, at most: what one reader does leaves the others theirs.
const SHARE: usize = 4;
/// Calls that are answered, or looked at, in one go.
const STEP: usize = 16;

static LOG: Lock<Ring<HELD>> = Lock::new(Ring::new());
/// Somebody waits: whoever records says so to the timer.
static AWAITED: AtomicBool = AtomicBool::new(false);
/// By the number of the record they wait for.
static WAITING: Lock<Waitlist<u64, Waiting, SHARE>> = Lock::new(Waitlist::new());

/// A call that waits.
struct Waiting {
    /// The reader whose right it is, 0 for one by manifest.
    reader: u64,
    later: Late<hardware_audit_log::call::Wait>,
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

/// Links between two looks: a link is one or two hashes, of about 7,000 instructions each.
const LINKS: usize = 3;
/// Links that one read makes, at most, so that it ends while others record.
const MOST_LINKS: usize = 2 * HELD;

/// Folds the chain up to the newest record.
fn fold() {
    sabotage!(SKIP_AUDIT_FOLD => return);
    for number in 1..=MOST_LINKS {
        // The copy ends its borrow of the log here.
        let link = LOG.lock().link();
        let Some(link) = link else { return };
        let folded = link.fold();
        LOG.lock().put(&folded);
        if number % LINKS == 0 {
            // A read is done to its end, whoever ends.
            let _ = sched::point();
        }
    }
}

/// Copies at most `max` records from `from` on, folding the chain first.
///
/// # Errors
/// `OutOfRange` for a cursor beyond the edge, `NoMemory`.
pub fn read(from: u64, max: u32) -> Result<Read, Refusal> {
    let mut records = Vec::new();
    // Before the lock is taken: nobody who records waits for memory.
    let most = max.min(HELD as u32) as usize;
    records.grow(most * RECORD_BYTES)?;
    fold();
    let log = LOG.lock();
    let window = log
        .window(from, most as u32)
        .map_err(|Ahead| Refusal::OutOfRange)?;
    for sequence in window.first..window.next {
        if let Some(record) = log.get(sequence) {
            frames::append(&mut records, record)?;
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

/// Answers once there is a record of number `from` or later. `reader` is 0 for a reader by manifest. A process
/// that has its share of waits is refused `busy`.
pub fn wait(from: u64, reader: u64, later: Late<hardware_audit_log::call::Wait>) {
    let holder = holder_of(&later);
    let waiting = Waiting { reader, later };
    let (added, gone) = {
        let mut list = WAITING.lock();
        AWAITED.store(true, Ordering::Release);
        list.add(holder, from, waiting, |one| one.later.is_live())
    };
    drop(gone);
    if let Err(waiting) = added {
        waiting.later.refuse(Refusal::Busy);
    }
    // A record that came in between told nobody.
    wake(0);
}

/// Whose share a wait counts in.
fn holder_of(later: &Late<hardware_audit_log::call::Wait>) -> u64 {
    sabotage!(SHARE_AUDIT_WAITS => return 1);
    later.call().holder()
}

/// Ends the waits of a reader whose right was taken away.
pub fn end_waits(reader: u64) {
    let mut from = None;
    loop {
        let mut ended = ArrayVec::<Waiting, STEP>::new();
        {
            let mut list = WAITING.lock();
            from = list.take_chosen(
                from,
                STEP,
                |one| one.reader == reader,
                |one| ended.push(one),
            );
            AWAITED.store(!list.is_empty(), Ordering::Release);
        }
        for one in ended {
            one.later.refuse(Refusal::Revoked);
        }
        if from.is_none() {
            break;
        }
        let _ = sched::point();
    }
}

/// Answers those whose record is there, a few at a time.
fn wake(_: u64) {
    let edge = edge();
    for _ in 0..STEP {
        let next = {
            let mut list = WAITING.lock();
            let next = list.pop_if(|from| *from < edge);
            AWAITED.store(!list.is_empty(), Ordering::Release);
            next
        };
        let Some(one) = next else { return };
        one.later.send(hardware_audit_log::WaitReply { edge });
    }
    sched::callback_at(sched::now_ns(), wake, 0);
}
