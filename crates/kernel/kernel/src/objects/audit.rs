//! `HardwareAuditLog`, `AuditGate`, `AuditBroker`: who may read what was done with device authority.
//!
//! Invariant: nothing here reaches the device manager but to read a function's address; holding any of these
//! capabilities gives no authority over a device.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering};

use audit_format::{Event, Kind, concerns_authority};
use cap::Epoch;
use cpu::Lock;
use dma_ledger::Claim;
use ipc::{KernelCall, KernelObject, Object, Slot};
use pieces::Tree;
use sabotage::sabotage;
use schema::audit::{audit_admission, audit_broker, audit_gate, hardware_audit_log};
use stub::{Answered, Method, Refusal};

use super::served::{self, Owed, Served, kernel_object, or_refuse};
use crate::audit;

/// The right to read the log.
pub struct Log {
    epoch: Epoch,
    /// Number of the admission it came from; 0 for one by manifest.
    reader: u64,
}

impl Log {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
            reader: 0,
        })
    }

    fn of(reader: u64) -> Result<Arc<Self>, Refusal> {
        frames::arc(Self {
            epoch: Epoch::default(),
            reader,
        })
    }
}

kernel_object!(Log, hardware_audit_log, long from 0);

/// The most records that one read gives.
fn limit(max: u32) -> u32 {
    if max == 0 {
        return audit::READ_RECORDS;
    }
    if sabotage!(SKIP_AUDIT_CLAMP) {
        return max;
    }
    max.min(audit::READ_RECORDS)
}

impl<'a> hardware_audit_log::Server<KernelCall<'a>> for Served<Log> {
    fn snapshot(
        &mut self,
        reply: Owed<'a, hardware_audit_log::call::Snapshot>,
        from: u64,
        max: u32,
    ) -> Answered {
        match audit::read(from, limit(max)) {
            Ok(read) => reply.send(hardware_audit_log::SnapshotReply {
                first: read.window.first,
                next: read.window.next,
                edge: read.window.edge,
                dropped: read.window.dropped,
                suppressed: read.suppressed,
                limit: audit::READ_RECORDS,
                truncated: read.window.next < read.window.edge,
                before: &read.window.before.0,
                head: &read.window.head.0,
                records: &read.records,
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn counters(&mut self, reply: Owed<'a, hardware_audit_log::call::Counters>) -> Answered {
        let counters = audit::counters();
        let kinds = (0..)
            .zip(counters.kinds)
            .filter(|(_, events)| *events != 0)
            .map(|(kind, events)| hardware_audit_log::Count { kind, events });
        let kinds = or_refuse!(reply, frames::list(kinds));
        reply.send(hardware_audit_log::CountersReply {
            recorded: counters.recorded,
            overwritten: counters.overwritten,
            suppressed: counters.suppressed,
            kinds: &kinds,
        })
    }

    fn wait(&mut self, reply: Owed<'a, hardware_audit_log::call::Wait>, from: u64) -> Answered {
        let edge = audit::edge();
        if from < edge {
            return reply.send(hardware_audit_log::WaitReply { edge });
        }
        let (answered, later) = reply.defer();
        audit::wait(from, self.0.reader, later);
        if self.0.epoch.is_raised() {
            // Revoked since the call was let in.
            audit::end_waits(self.0.reader);
        }
        answered
    }
}

/// The broker's consent, good for one subscription.
pub struct Admission {
    epoch: Epoch,
    reader: u64,
    used: AtomicBool,
}

impl KernelObject for Admission {
    fn interface(&self) -> u64 {
        audit_admission::INTERFACE_ID
    }
    fn epoch(&self) -> &Epoch {
        &self.epoch
    }
    fn call(self: Arc<Self>, call: KernelCall<'_>, _: stub::Received<'_>) -> Answered {
        stub::refuse(call, Refusal::NoSuchMethod)
    }
    fn as_any(self: Arc<Self>) -> Arc<dyn core::any::Any + Send + Sync> {
        self
    }
}

/// What one admission stands for.
struct Reader {
    admission: Weak<Admission>,
    log: Weak<Log>,
}

impl Reader {
    /// Whether anybody holds what it stands for.
    fn is_held(&self) -> bool {
        self.admission.strong_count() + self.log.strong_count() > 0
    }
}

#[derive(Default)]
struct Readers {
    by_number: Tree<u64, Reader>,
    last: u64,
}

static READERS: Lock<Option<Readers>> = Lock::new(None);
/// Admissions and readers at once, at most.
const MAX_READERS: usize = 64;

fn note(kind: Kind, caller: u64, reader: u64, refusal: Option<Refusal>) {
    let event = Event::new(kind)
        .value(reader)
        .outcome(refusal.map_or(0, Refusal::code));
    audit::record(Event {
        owner: caller,
        ..event
    });
}

/// Where a process asks to read at run time. Anybody may hold it.
pub struct Gate {
    epoch: Epoch,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Gate, audit_gate);

fn subscribe(admission: &Slot) -> Result<Arc<Log>, Refusal> {
    if sabotage!(ADMIT_ANY_READER) {
        return Ok(Log::new());
    }
    let admission = admission
        .check()?
        .downcast::<Admission>()
        .map_err(|_| Refusal::NotAdmitted)?;
    let mut readers = READERS.lock();
    let known = readers.get_or_insert_default();
    let reader = known.by_number.get_mut(&admission.reader);
    // The broker may have taken it away since the check.
    let reader = reader.ok_or(Refusal::Revoked)?;
    let log = Log::of(admission.reader)?;
    if admission.used.swap(true, Ordering::AcqRel) {
        return Err(Refusal::Duplicate);
    }
    reader.log = Arc::downgrade(&log);
    Ok(log)
}

impl<'a> audit_gate::Server<KernelCall<'a>> for Served<Gate> {
    fn subscribe(
        &mut self,
        reply: Owed<'a, audit_gate::call::Subscribe>,
        admission: Slot,
    ) -> Answered {
        let caller = reply.call().process().id;
        let result = subscribe(&admission);
        match &result {
            Ok(log) => note(Kind::ReaderAdmitted, caller, log.reader, None),
            Err(refusal) => note(Kind::ReaderRefused, caller, 0, Some(*refusal)),
        }
        reply.answer(result.map(|log| audit_gate::SubscribeReply {
            log: Object::kernel(log),
        }))
    }
}

/// The authority over who reads at run time.
pub struct Broker {
    epoch: Epoch,
}

impl Broker {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Broker, audit_broker);

/// Most that the tree of readers grows by for one more.
const READER_BYTES: u64 = 2048;

#[expect(clippy::disallowed_methods, reason = "room: made here")]
fn admit() -> Result<Arc<Admission>, Refusal> {
    let mut readers = READERS.lock();
    let known = readers.get_or_insert_default();
    if known.by_number.len() >= MAX_READERS {
        known.by_number.retain(|_, reader| reader.is_held());
    }
    if known.by_number.len() >= MAX_READERS {
        return Err(Refusal::OverBudget);
    }
    let number = known.last + 1;
    let admission = frames::arc(Admission {
        epoch: Epoch::default(),
        reader: number,
        used: AtomicBool::new(false),
    })?;
    let reader = Reader {
        admission: Arc::downgrade(&admission),
        log: Weak::new(),
    };
    frames::with_room(READER_BYTES, || known.by_number.insert(number, reader))?;
    known.last = number;
    Ok(admission)
}

fn revoke(number: u64) -> Result<(), Refusal> {
    let reader = READERS
        .lock()
        .get_or_insert_default()
        .by_number
        .remove(&number)
        .ok_or(Refusal::NotFound)?;
    if let Some(admission) = reader.admission.upgrade() {
        admission.epoch.revoke();
    }
    if let Some(log) = reader.log.upgrade() {
        log.epoch.revoke();
    }
    audit::end_waits(number);
    Ok(())
}

impl<'a> audit_broker::Server<KernelCall<'a>> for Served<Broker> {
    fn admit(&mut self, reply: Owed<'a, audit_broker::call::Admit>) -> Answered {
        reply.answer(admit().map(|admission| audit_broker::AdmitReply {
            reader: admission.reader,
            admission: Object::kernel(admission),
        }))
    }

    fn revoke(&mut self, reply: Owed<'a, audit_broker::call::Revoke>, reader: u64) -> Answered {
        let caller = reply.call().process().id;
        let result = revoke(reader);
        if result.is_ok() {
            note(Kind::ReaderRevoked, caller, reader, None);
        }
        reply.answer(result)
    }
}

/// Records that method `M` refused something about a claim, if it was for a reason of authority.
pub fn note_refusal<M: Method>(caller: u64, claim: &Claim, refusal: Refusal) {
    if concerns_authority(refusal) {
        audit::record(Event {
            function: crate::devices::manager().address_of(claim),
            owner: caller,
            claim: claim.generation(),
            // The low half of the interface's number, then the method's.
            detail: (M::INTERFACE_ID as u32) << 16 | u32::from(M::ORDINAL),
            ..Event::new(Kind::Refused).outcome(refusal.code())
        });
    }
}

/// Answers a call about a claim; a refusal is recorded first.
pub fn answer<'a, M: Method>(
    reply: Owed<'a, M>,
    claim: &Claim,
    result: Result<M::Reply<'_, Slot>, Refusal>,
) -> Answered {
    if let Err(refusal) = &result {
        note_refusal::<M>(reply.call().process().id, claim, *refusal);
    }
    reply.answer(result)
}
