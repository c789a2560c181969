//! Queues whose rings their holder writes, against a device model that reads them.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod class;
mod model;

use class::make;
use driver_core::{
    Counts, DeviceAddress, DirectRing, DirectSpec, Operation, Poll, QueuePlace, QueueSpec, Refusal,
    Step,
};
use model::{BUS, Buffer, FROM, Harness, KINDS, Kind, PAGE, Piece, usual};

const ENTRIES: u16 = 8;
const OVER_BUS: u64 = 1 << 33;
const MODERN: Kind = Kind::Modern { vectors: 3 };

fn place(index: u16) -> QueuePlace {
    QueuePlace { kind: 0, index }
}

fn ring(buffer: &Buffer) -> DirectRing {
    DirectRing {
        address: buffer.pages[0],
        bytes: PAGE as u64,
    }
}

/// A device that is up and said at its claim which addresses it uses.
fn up(kind: Kind, offered: u64) -> Harness {
    let mut it = Harness::new(kind, &[64, 32], make);
    it.state().offered |= offered | 0b1010;
    let Harness { broker, io, .. } = &mut it;
    broker.addressing(io).unwrap();
    it.up(usual());
    it
}

struct Rings {
    submissions: Buffer,
    completions: Buffer,
}

impl Rings {
    fn new(it: &mut Harness) -> Self {
        let (submissions, completions) = (it.buffer(1), it.buffer(1));
        for ring in [&submissions, &completions] {
            it.write(ring.pages[0].bus(), &[0; PAGE]);
        }
        Self {
            submissions,
            completions,
        }
    }

    fn spec(&self, index: u16, depth: u16) -> DirectSpec {
        let queue = QueueSpec {
            kind: 0,
            index,
            depth,
            vector: None,
        };
        DirectSpec {
            queue,
            submissions: ring(&self.submissions),
            completions: ring(&self.completions),
        }
    }

    /// Makes one descriptor available, as its holder would.
    fn push(&self, it: &Harness, nth: u16, address: u64, length: u32) {
        let base = self.submissions.pages[0].bus();
        let at = base + u64::from(nth % ENTRIES) * 16;
        it.write(at, &address.to_le_bytes());
        let rest = u64::from(length) | 2 << 32;
        it.write(at + 8, &rest.to_le_bytes());
        let available = base + u64::from(ENTRIES) * 16;
        let entry = available + 4 + u64::from(nth % ENTRIES) * 2;
        it.write(entry, &(nth % ENTRIES).to_le_bytes());
        it.write(available + 2, &nth.wrapping_add(1).to_le_bytes());
    }
}

fn open(it: &mut Harness, spec: DirectSpec) -> Result<Step, Refusal> {
    it.broker.begin(&mut it.io, Operation::OpenDirect(spec))?;
    for _ in 0..1000 {
        match it.broker.poll(&mut it.io) {
            Poll::Pending { after_ns } => it.io.now_ns += after_ns.max(1),
            Poll::Done(step) => return Ok(step),
            Poll::Failed(refusal) => return Err(refusal),
        }
    }
    panic!("an opening without an end");
}

fn bell(it: &mut Harness, index: u16, tail: u16, head: u16) -> Result<(), Refusal> {
    let Harness { broker, io, .. } = it;
    broker.doorbell(io, place(index), Counts { tail, head })
}

#[test]
fn the_device_is_stopped_and_started_with_the_holders_rings() {
    let mut it = up(MODERN, OVER_BUS);
    let rings = Rings::new(&mut it);
    let before = it.state().accepted;
    it.state().statuses.clear();
    assert_eq!(open(&mut it, rings.spec(0, ENTRIES)), Ok(Step::QueueOpen));
    let state = it.state();
    assert_eq!(state.statuses, [0, 1, 3, 11, 15]);
    assert_eq!(state.accepted, before);
    let base = rings.submissions.pages[0].bus();
    let used = rings.completions.pages[0].bus();
    assert_eq!(state.queues[0].parts, [base, base + 128, used]);
    assert_eq!(state.queues[0].size, ENTRIES);
    assert_eq!(state.queues[0].vector, 0xffff, "nothing is raised unasked");
    let own = [base, used].map(|address| address / PAGE as u64);
    for part in state.queues[1].parts {
        assert!(
            !own.contains(&(part / PAGE as u64)),
            "the other's own pages"
        );
    }
}

#[test]
fn what_its_holder_writes_reaches_the_device_and_the_other_queue_runs_on() {
    let mut it = up(MODERN, OVER_BUS);
    let rings = Rings::new(&mut it);
    open(&mut it, rings.spec(1, ENTRIES)).unwrap();
    it.open(0, 32).unwrap();
    let data = it.buffer(1);
    for nth in 0..20 {
        rings.push(&it, nth, data.pages[0].bus(), 64);
        it.state().notified.clear();
        bell(&mut it, 1, (nth + 1) % ENTRIES, nth % ENTRIES).unwrap();
        assert_eq!(it.state().notified, [(4, 1)], "its own notification");
        let (head, links) = it.state().take(1).unwrap();
        assert_eq!(head, nth % ENTRIES);
        assert_eq!(links[0].address, data.pages[0].bus());
        it.state().post(1, head.into(), 64);

        it.submit(0, 0, &[], &[Piece(&data, 0, 64, FROM)]).unwrap();
        it.ring(0);
        let (head, _) = it.state().take(0).unwrap();
        it.state().post(0, head.into(), 64);
        assert!(it.next(0).unwrap().is_some());
    }
}

#[test]
fn only_its_own_notification_is_written_and_only_for_indices_of_its_rings() {
    let mut it = up(MODERN, OVER_BUS);
    let rings = Rings::new(&mut it);
    open(&mut it, rings.spec(0, ENTRIES)).unwrap();
    it.open(1, 32).unwrap();
    it.state().notified.clear();
    for (tail, head) in [(ENTRIES, 0), (0, ENTRIES), (u16::MAX, 0), (0, u16::MAX)] {
        assert_eq!(bell(&mut it, 0, tail, head), Err(Refusal::OutOfRange));
    }
    for index in [1, 2, 99] {
        assert_eq!(bell(&mut it, index, 1, 0), Err(Refusal::NotSupported));
    }
    let Harness { broker, io, .. } = &mut it;
    let other = QueuePlace { kind: 1, index: 0 };
    let counts = Counts { tail: 1, head: 0 };
    assert_eq!(
        broker.doorbell(io, other, counts),
        Err(Refusal::NotSupported)
    );
    assert!(it.state().notified.is_empty());
    // A full ring has the index of an empty one.
    for _ in 0..2 {
        bell(&mut it, 0, 0, 0).unwrap();
    }
    assert_eq!(it.state().notified, [(0, 0), (0, 0)]);
}

#[test]
fn nothing_else_is_done_with_its_entries() {
    let mut it = up(MODERN, OVER_BUS);
    let rings = Rings::new(&mut it);
    open(&mut it, rings.spec(0, ENTRIES)).unwrap();
    let data = it.buffer(1);
    let refused = it.submit(0, 0, &[], &[Piece(&data, 0, 64, FROM)]);
    assert_eq!(refused, Err(Refusal::NotSupported));
    assert_eq!(it.next(0), Err(Refusal::NotSupported));
    let before = it.read(rings.submissions.pages[0].bus(), PAGE);
    it.ring(0);
    assert_eq!(it.read(rings.submissions.pages[0].bus(), PAGE), before);
    assert!(it.state().notified.is_empty());
    let again = it.open_with(0, ENTRIES, None);
    assert_eq!(again, Err(Refusal::WrongState));
    // A reset ends it; then the queue is the broker's again.
    it.up(usual());
    assert_eq!(bell(&mut it, 0, 0, 0), Err(Refusal::NotSupported));
    it.open(0, ENTRIES).unwrap();
    let parts = it.state().queues[0].parts;
    assert!(parts.iter().all(|part| *part < BUS + 900 * PAGE as u64));
}

#[test]
fn what_cannot_be_direct_is_refused_before_any_effect() {
    // Legacy devices, and such as use addresses of memory.
    for kind in KINDS {
        let mut it = up(kind, 0);
        let rings = Rings::new(&mut it);
        let refused = open(&mut it, rings.spec(0, ENTRIES));
        assert_eq!(refused, Err(Refusal::NotSupported), "{kind:?}");
    }
    let mut it = up(MODERN, OVER_BUS);
    let rings = Rings::new(&mut it);
    it.state().statuses.clear();
    for (index, depth, refusal) in [
        (2, ENTRIES, Refusal::OutOfRange),
        (0, 128, Refusal::OutOfRange),
        (0, 6, Refusal::BadArgument),
    ] {
        let refused = open(&mut it, rings.spec(index, depth));
        assert_eq!(refused, Err(refusal), "{index} {depth}");
    }
    let short = |bytes| DirectRing {
        address: DeviceAddress::new(BUS),
        bytes,
    };
    // 8 entries take 128 bytes of descriptors and 22 of the ring behind them, and 70 where they are used.
    for (submissions, completions) in [(short(149), short(70)), (short(150), short(69))] {
        let spec = DirectSpec {
            submissions,
            completions,
            ..rings.spec(0, ENTRIES)
        };
        assert_eq!(open(&mut it, spec), Err(Refusal::OutOfRange));
    }
    let mut wrong = rings.spec(0, ENTRIES);
    wrong.queue.vector = Some(1);
    assert_eq!(open(&mut it, wrong), Err(Refusal::BadArgument));
    // What is open would lose what it has in flight.
    it.open(1, 32).unwrap();
    let refused = open(&mut it, rings.spec(0, ENTRIES));
    assert_eq!(refused, Err(Refusal::WrongState));
    assert!(it.state().statuses.is_empty(), "the device was left alone");
}

#[test]
fn a_device_that_does_not_come_back_as_it_was_is_no_device() {
    for change in [
        (|it: &Harness| it.state().offered &= !OVER_BUS) as fn(&Harness),
        |it| it.state().offered &= !0b1000,
        |it| it.state().reset_looks = None,
        |it| it.state().gone = true,
    ] {
        let mut it = up(MODERN, OVER_BUS);
        let rings = Rings::new(&mut it);
        change(&it);
        it.broker
            .begin(&mut it.io, Operation::OpenDirect(rings.spec(0, ENTRIES)))
            .unwrap();
        let end = loop {
            match it.broker.poll(&mut it.io) {
                Poll::Pending { after_ns } => it.io.now_ns += after_ns * 1000,
                other => break other,
            }
        };
        assert!(matches!(end, Poll::Failed(_)), "{end:?}");
        it.state().gone = false;
        it.state().status = 0;
        it.state().reset_looks = Some(1);
        it.state().offered |= OVER_BUS;
        let spec = QueueSpec {
            kind: 0,
            index: 1,
            depth: 8,
            vector: None,
        };
        let refused = it.broker.begin(&mut it.io, Operation::Open(spec));
        assert_eq!(refused, Err(Refusal::WrongState));
        assert_eq!(bell(&mut it, 0, 1, 0), Err(Refusal::WrongState));
        it.up(usual());
    }
}
