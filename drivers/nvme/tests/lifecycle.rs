//! Matching, reset, configuration, enabling and opening, against a controller model.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod model;

use dma_ledger::ResetProof;
use driver_core::{
    DRIVERS, DeviceAddress, Operation, Poll, Probed, QueuePlace, QueueSpec, Refusal, Settings,
    Step, VirtioSettings,
};
use model::{ADMIN, CC, CSTS, Harness, Posting, from_device, pair, read};
use nvme_format::Command;
use pci_format::{FunctionInfo, HeaderKind};
use units::{Bdf, ClassCode, DeviceId};

const STOPPED: Result<Step, Refusal> = Ok(Step::Stopped(ResetProof::CstsRdyZero));

#[test]
fn matches_controllers_of_any_vendor_and_nothing_else() {
    let table = DRIVERS
        .iter()
        .find(|entry| entry.name == "nvme")
        .unwrap()
        .matches;
    let matches = |vendor: u16, base: u8, sub: u8, interface: u8| {
        let info = FunctionInfo {
            bdf: Bdf::from_u32(0x10),
            id: DeviceId::new(vendor, 0x10),
            subsystem: DeviceId::new(0, 0),
            class: ClassCode::new(base, sub, interface),
            revision: 0,
            header: HeaderKind::Endpoint,
            multifunction: false,
            interrupt_pin: 1,
            interrupt_line: 0,
        };
        table.iter().any(|one| one.matches(&info))
    };
    for vendor in [0x1b36, 0x1d0f, 0x1ae0] {
        assert!(matches(vendor, 1, 8, 2));
    }
    for (base, sub, interface) in [
        (1, 8, 1),
        (1, 8, 3),
        (1, 6, 1),
        (1, 1, 2),
        (2, 0, 0),
        (8, 8, 2),
    ] {
        assert!(
            !matches(0x1b36, base, sub, interface),
            "{base:02x}{sub:02x}{interface:02x}"
        );
    }
}

#[test]
fn a_bar_without_doorbells_is_not_probed() {
    let probe = DRIVERS
        .iter()
        .find(|entry| entry.name == "nvme")
        .unwrap()
        .probe;
    let with = |bytes| Probed {
        vendor: 1,
        device: 1,
        bar_bytes: [bytes, 0, 0, 0, 0, 0],
        msix_vectors: 1,
        ..Probed::default()
    };
    assert_eq!(probe(&with(0x1000)).err(), Some(Refusal::NotSupported));
    assert!(probe(&with(0x4000)).is_ok());
}

#[test]
fn what_firmware_left_running_is_stopped() {
    let mut it = Harness::new();
    it.set_register(0x24, 0x001f_001f);
    it.set_register(0x2c, 0x12);
    it.set_register(0x34, 0x12);
    it.set_register(CC, 0x0046_0001);
    it.step();
    assert_eq!(it.register(CSTS), 1);
    assert_eq!(it.reset(), STOPPED);
    assert_eq!((it.register(CC) & 1, it.register(CSTS)), (0, 0));
}

#[test]
fn no_receipt_before_ready_reads_zero() {
    let mut it = Harness::new();
    it.set_register(CC, 0x0046_0001);
    it.set_register(CSTS, 1);
    it.begin(Operation::Reset).unwrap();
    assert_eq!(it.register(CC) & 1, 0);
    for _ in 0..5 {
        assert!(matches!(it.poll(), Poll::Pending { .. }));
        assert_eq!(it.configure([8, 1, 12]), Err(Refusal::WrongState));
    }
    it.set_register(CSTS, 0);
    assert_eq!(it.poll(), Poll::Done(STOPPED.unwrap()));
    assert_eq!(
        it.poll(),
        Poll::Failed(Refusal::WrongState),
        "one receipt per reset"
    );
}

#[test]
fn a_controller_that_does_not_stop_in_its_time_gets_no_receipt() {
    let mut it = Harness::new();
    it.device.will_not_stop = true;
    it.set_register(CSTS, 1);
    let before = it.io.now_ns;
    assert_eq!(it.reset(), Err(Refusal::TimedOut));
    assert!(
        it.io.now_ns - before >= 1_000_000_000,
        "CAP.TO says two units of 500 ms"
    );
    assert_eq!(it.configure([8, 1, 12]), Err(Refusal::WrongState));
}

#[test]
fn a_controller_coming_up_is_let_up_before_it_is_stopped() {
    let mut it = Harness::new();
    it.set_register(CC, 0x0046_0001);
    it.begin(Operation::Reset).unwrap();
    assert_eq!(
        it.register(CC) & 1,
        1,
        "clearing CC.EN now has no defined result"
    );
    assert!(
        matches!(it.poll(), Poll::Pending { .. }),
        "RDY is 0 and proves nothing"
    );
    it.set_register(CSTS, 1);
    assert!(matches!(it.poll(), Poll::Pending { .. }));
    assert_eq!(it.register(CC) & 1, 0);
    assert!(matches!(it.poll(), Poll::Pending { .. }));
    it.set_register(CSTS, 0);
    assert_eq!(it.poll(), Poll::Done(STOPPED.unwrap()));
}

#[test]
fn a_controller_with_fatal_status_can_be_stopped() {
    let mut it = Harness::new();
    it.set_register(CC, 0x0046_0001);
    it.set_register(CSTS, 2);
    it.begin(Operation::Reset).unwrap();
    assert_eq!(
        it.register(CC) & 1,
        0,
        "no waiting for a ready that will not come"
    );
    assert_eq!(it.poll(), Poll::Done(STOPPED.unwrap()));
}

#[test]
fn a_device_that_is_gone_never_yields_a_receipt() {
    let mut it = Harness::up(8);
    it.device.gone = true;
    it.step();
    assert_eq!(it.reset(), Err(Refusal::DeviceError));
    let mut it = Harness::up(8);
    it.begin(Operation::Reset).unwrap();
    it.device.gone = true;
    assert_eq!(it.drive(), Err(Refusal::DeviceError));
}

#[test]
fn configure_agrees_on_what_there_is() {
    let mut it = Harness::new();
    assert_eq!(
        it.configure([8, 1, 12]),
        Err(Refusal::WrongState),
        "not reset"
    );
    it.reset().unwrap();
    for other in [
        Settings::Plain,
        Settings::Virtio(&mut VirtioSettings::default()),
    ] {
        let refused = it.broker.configure(&mut it.io, other);
        assert_eq!(refused, Err(Refusal::NotSupported));
    }
    let mut ask = |request| it.configure(request);
    assert_eq!(ask([8, 1, 12]), Ok([8, 1, 12]));
    assert_eq!(ask([u16::MAX, u16::MAX, 12]), Ok([62, 8, 12]));
    for bad in [
        [0, 1, 12],
        [8, 0, 12],
        [8, 1, 13],
        [8, 1, 11],
        [8, 1, 0],
        [8, 1, u16::MAX],
    ] {
        assert_eq!(ask(bad), Err(Refusal::BadArgument), "{bad:?}");
    }
    assert_eq!(
        it.broker.queue_limit(QueuePlace { kind: 0, index: 0 }),
        Some(62)
    );
    assert_eq!(
        it.broker.queue_limit(QueuePlace { kind: 1, index: 8 }),
        Some(255)
    );
    for (kind, index) in [(0, 1), (1, 0), (1, 9), (2, 0), (u16::MAX, u16::MAX)] {
        assert_eq!(it.broker.queue_limit(QueuePlace { kind, index }), None);
    }
}

#[test]
fn enabling_learns_what_the_controller_grants() {
    let mut it = Harness::new();
    it.reset().unwrap();
    assert_eq!(it.enable(), Err(Refusal::WrongState), "not configured");
    it.configure([8, 8, 12]).unwrap();
    assert_eq!(it.enable(), Ok(Step::Ready));
    assert_eq!(it.register(CC), 0x0046_0001);
    assert!(
        it.broker
            .queue_limit(QueuePlace { kind: 1, index: 4 })
            .is_some(),
        "four pairs granted"
    );
    assert_eq!(
        it.broker.queue_limit(QueuePlace { kind: 1, index: 5 }),
        None
    );
    assert_eq!(
        it.configure([8, 1, 12]),
        Err(Refusal::WrongState),
        "it runs"
    );
}

#[test]
fn controllers_without_a_namespace_list_are_asked_one_by_one() {
    let mut it = Harness::new();
    it.device.no_namespace_list = true;
    it.bring_up(8);
    let buffer = it.buffer(1);
    assert_eq!(
        it.submit(1, 0, &read(0, 8), &[from_device(&buffer, 0, 4096)]),
        Ok(())
    );
}

#[test]
fn enabling_ends_when_the_controller_fails_or_takes_too_long() {
    let mut it = Harness::new();
    it.device.will_not_start = true;
    it.reset().unwrap();
    it.configure([8, 1, 12]).unwrap();
    assert_eq!(it.enable(), Err(Refusal::TimedOut));
    assert_eq!(
        it.reset(),
        Err(Refusal::TimedOut),
        "ready was never seen, so not ready proves nothing"
    );
    it.device.will_not_start = false;
    it.reset().unwrap();
    it.configure([8, 1, 12]).unwrap();
    it.begin(Operation::Enable).unwrap();
    it.set_register(CSTS, 2);
    assert_eq!(it.poll(), Poll::Failed(Refusal::DeviceError));
    assert_eq!(it.poll(), Poll::Failed(Refusal::WrongState));

    let mut it = Harness::new();
    it.device.posting = Posting::Hold;
    it.reset().unwrap();
    it.configure([8, 1, 12]).unwrap();
    assert_eq!(
        it.enable(),
        Err(Refusal::TimedOut),
        "IDENTIFY never completes"
    );
}

#[test]
fn queues_open_once_within_their_limits() {
    let mut it = Harness::up(16);
    let refused = |it: &mut Harness, spec| it.open(spec).unwrap_err();
    assert_eq!(refused(&mut it, ADMIN), Refusal::WrongState, "already open");
    assert_eq!(
        refused(&mut it, pair(1, 16)),
        Refusal::WrongState,
        "already open"
    );
    assert_eq!(
        refused(&mut it, pair(3, 16)),
        Refusal::OutOfRange,
        "two pairs were agreed"
    );
    assert_eq!(refused(&mut it, pair(2, 0)), Refusal::OutOfRange);
    assert_eq!(
        refused(&mut it, pair(2, 256)),
        Refusal::OutOfRange,
        "CAP.MQES"
    );
    let vector = |vector| QueueSpec {
        vector,
        ..pair(2, 16)
    };
    assert_eq!(
        refused(&mut it, vector(Some(4))),
        Refusal::OutOfRange,
        "four vectors"
    );
    assert_eq!(it.open(vector(None)), Ok(Step::QueueOpen));
    assert_eq!(
        it.open(QueueSpec {
            vector: Some(1),
            ..ADMIN
        }),
        Err(Refusal::BadArgument)
    );
    let created: Vec<u8> = it
        .device
        .seen
        .iter()
        .map(|(_, command)| command[0])
        .collect();
    assert_eq!(
        created[created.len() - 4..],
        [5, 1, 5, 1],
        "completion queue first"
    );
}

#[test]
fn a_queue_the_device_refuses_stays_closed() {
    let mut it = Harness::up(16);
    it.device.create_status = 0x101;
    assert_eq!(it.open(pair(2, 16)), Err(Refusal::DeviceError));
    let buffer = it.buffer(1);
    assert_eq!(
        it.submit(2, 0, &read(0, 8), &[from_device(&buffer, 0, 4096)]),
        Err(Refusal::WrongState)
    );
    assert_eq!(
        it.open(pair(2, 16)),
        Err(Refusal::WrongState),
        "until a reset"
    );
    it.device.create_status = 0;
    it.bring_up(16);
    assert_eq!(it.open(pair(2, 16)), Ok(Step::QueueOpen));
}

#[test]
fn opening_a_queue_does_not_disturb_the_providers_commands() {
    let mut it = Harness::up(16);
    let buffer = it.buffer(4);
    it.device.posting = Posting::Hold;
    let identify = Command::identify(1, 0, 0).to_bytes();
    for slot in 0..3 {
        it.submit(
            0,
            slot,
            &identify,
            &[from_device(&buffer, u32::from(slot) * 4096, 4096)],
        )
        .unwrap();
    }
    it.ring(0);
    it.step();
    it.begin(Operation::Open(pair(2, 16))).unwrap();
    assert_eq!(it.begin(Operation::Open(pair(2, 16))), Err(Refusal::Busy));
    it.step();
    it.post_held();
    // The provider looks first and meets the broker's completion; the broker finds its own all the same.
    let first = it.next(0).unwrap().unwrap();
    it.device.posting = Posting::AtOnce;
    assert_eq!(it.drive(), Ok(Step::QueueOpen));
    let mut slots: Vec<u16> = it
        .take(0)
        .unwrap()
        .iter()
        .map(|completed| completed.slot)
        .collect();
    slots.push(first.slot);
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2]);
    assert_eq!(it.read_buffer(&buffer, 24, 5), b"Model");
}

#[test]
fn resets_use_the_same_pages_again() {
    let mut it = Harness::up(16);
    let runs = it.io.runs;
    for _ in 0..5 {
        it.bring_up(16);
        let buffer: Vec<DeviceAddress> = it.buffer(1);
        it.submit(1, 3, &read(8, 8), &[from_device(&buffer, 0, 4096)])
            .unwrap();
        assert_eq!(it.finish(1).unwrap().len(), 1);
        assert_eq!(it.read_buffer(&buffer, 0, 4096), it.device.disk[4096..8192]);
    }
    assert_eq!(it.io.runs, runs);
}

#[test]
fn nothing_is_submitted_over_a_reset() {
    let mut it = Harness::up(16);
    let buffer = it.buffer(1);
    let segments = [from_device(&buffer, 0, 4096)];
    it.begin(Operation::Reset).unwrap();
    assert_eq!(
        it.submit(1, 0, &read(0, 8), &segments),
        Err(Refusal::OutOfRange)
    );
    assert_eq!(it.next(1), Err(Refusal::OutOfRange));
    it.ring(1);
    let polled = it.poll();
    assert_ne!(
        polled,
        Poll::Done(Step::QueueOpen),
        "the reset is under way"
    );
}

#[test]
fn providers_read_no_register_that_holds_an_address() {
    let it = Harness::new();
    assert!(
        it.broker.access().mappable.is_empty(),
        "page 0 holds ASQ and ACQ"
    );
    assert!(
        it.broker.access().windows.is_empty(),
        "INTMS and INTMC are not to be touched with MSI-X"
    );
    for (bar, offset, bytes) in &it.broker.access().readable {
        assert!(*bar == 0 && offset + bytes <= 0x24, "{offset:x}");
    }
    let pin = Harness::with_vectors(0);
    let offsets: Vec<u64> = pin
        .broker
        .access()
        .windows
        .iter()
        .map(|window| window.offset)
        .collect();
    assert_eq!(offsets, [0xc, 0x10]);
}

const LET_GO: Result<Step, Refusal> = Ok(Step::QueueStopped(
    dma_ledger::QueueProof::SubmissionQueueDeleted,
));

fn reset_queue(it: &mut Harness, queue: u16) -> Result<Step, Refusal> {
    it.begin(Operation::Stop(model::place(queue)))?;
    it.drive()
}

#[test]
fn one_queue_is_made_again_while_the_other_runs_on() {
    let mut it = Harness::up(8);
    it.open(pair(2, 8)).unwrap();
    let pages = it.buffer(1);
    it.device.posting = Posting::Hold;
    for slot in 0..3 {
        it.submit(1, slot, &read(0, 1), &[from_device(&pages, 0, 512)])
            .unwrap();
    }
    it.submit(2, 0, &read(0, 1), &[from_device(&pages, 512, 512)])
        .unwrap();
    assert!(it.finish(1).unwrap().is_empty());
    it.device.posting = Posting::AtOnce;
    let old = it.held();
    assert_eq!(reset_queue(&mut it, 1), LET_GO);
    // Until it is made again nothing goes to it.
    assert_eq!(
        it.submit(1, 5, &read(0, 1), &[from_device(&pages, 0, 512)]),
        Err(Refusal::WrongState)
    );
    assert_eq!(
        it.begin(Operation::Stop(model::place(2))),
        Err(Refusal::Busy)
    );
    it.begin(Operation::Reopen(model::place(1))).unwrap();
    let open = it.drive();
    assert_eq!(open, Ok(Step::QueueOpen));
    // The same slots again; the other queue's command was not touched.
    for slot in 0..3 {
        it.submit(1, slot, &read(0, 1), &[from_device(&pages, 0, 512)])
            .unwrap();
    }
    assert_eq!(it.finish(1).unwrap().len(), 3);
    assert_eq!(it.finish(2).unwrap().len(), 1);
    // An entry of before, posted again, is of no command: identifiers went on where they were.
    let (cq, words) = old[0];
    it.submit(1, 0, &read(0, 1), &[from_device(&pages, 0, 512)])
        .unwrap();
    it.device.posting = Posting::Hold;
    it.finish(1).unwrap();
    it.device.post(cq, words);
    assert_eq!(it.take(1), Err(Refusal::Corrupt));
}

#[test]
fn no_proof_no_stopped_queue() {
    let mut it = Harness::up(8);
    assert_eq!(
        it.begin(Operation::Stop(model::place(0))),
        Err(Refusal::NotSupported),
        "administration ends with the controller"
    );
    assert_eq!(
        it.begin(Operation::Stop(model::place(9))),
        Err(Refusal::OutOfRange)
    );
    it.device.delete_status = 0x101;
    assert_eq!(reset_queue(&mut it, 1), Err(Refusal::DeviceError));
    assert_eq!(
        it.begin(Operation::Reopen(model::place(1))),
        Err(Refusal::WrongState)
    );
    it.device.delete_status = 0;
    it.bring_up(8);
    assert_eq!(reset_queue(&mut it, 1), LET_GO);
}
