//! Devices that lie: each lie ends in a refusal that names it, before anything of it is used.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod support;

use driver_core::{Operation, Refusal};
use gve_format::QueueFormat;
use gve_model::Fault;
use support::{FORMATS, HALF, LISTS, Machine, RECEIVE, TRANSMIT, frame};

#[test]
fn a_received_frame_that_cannot_be_ends_the_queue() {
    for format in FORMATS {
        for fault in [Fault::Sequence(1), Fault::Short(1), Fault::Long(1)] {
            let mut it = Machine::up(format, &[fault]);
            for slot in 0..4 {
                it.post(slot, u32::from(slot) * 2048).unwrap();
            }
            it.arrive(&frame(100, 1));
            assert_eq!(it.take(RECEIVE).unwrap().map(|done| done.slot), Some(0));
            it.arrive(&frame(100, 2));
            for _ in 0..2 {
                assert_eq!(
                    it.take(RECEIVE),
                    Err(Refusal::Corrupt),
                    "{format:?} {fault:?}"
                );
            }
            assert_eq!(it.post(5, 0), Err(Refusal::WrongState));
            // The other queue goes on, and a reset makes all of it good.
            it.send(0, HALF, &frame(60, 1)).unwrap();
            assert!(it.take(TRANSMIT).unwrap().is_some());
            it.enable().unwrap();
            it.open(LISTS, None).unwrap();
            it.open_frames();
            it.post(0, 0).unwrap();
        }
    }
}

#[test]
fn a_transmission_that_was_not_asked_for_ends_the_queue() {
    for format in FORMATS {
        let mut it = Machine::up(format, &[Fault::Spurious(1)]);
        it.send(0, HALF, &frame(60, 1)).unwrap();
        assert!(it.take(TRANSMIT).unwrap().is_some());
        it.send(0, HALF, &frame(60, 1)).unwrap();
        let seen: Vec<_> = (0..2).map(|_| it.take(TRANSMIT)).collect();
        assert!(seen.contains(&Err(Refusal::Corrupt)), "{format:?} {seen:?}");
        assert_eq!(it.take(TRANSMIT), Err(Refusal::Corrupt));
    }
}

#[test]
fn a_refused_command_ends_its_operation_alone() {
    let cases = [
        (1, "describe"),
        (2, "configure"),
        (5, "transmit"),
        (6, "receive"),
    ];
    for (opcode, _) in cases {
        let mut it = Machine::new(QueueFormat::GqiQpl, &[Fault::Refuse(opcode)]);
        let enabled = it.enable();
        if opcode <= 2 {
            assert_eq!(enabled, Err(Refusal::DeviceError));
            continue;
        }
        it.open(LISTS, None).unwrap();
        it.register().unwrap();
        let (receive, transmit) = (it.open(RECEIVE, Some(0)), it.open(TRANSMIT, Some(1)));
        assert_eq!(transmit.is_ok(), opcode == 6);
        assert_eq!(receive.is_ok(), opcode == 5);
        let runs = it.io.runs;
        // Half of it may be there: only a reset goes on, in the same memory.
        assert_eq!(it.open(RECEIVE, Some(0)), Err(Refusal::WrongState));
        it.enable().unwrap();
        it.open(LISTS, None).unwrap();
        it.register().unwrap();
        let _ = it.open(RECEIVE, Some(0));
        let _ = it.open(TRANSMIT, Some(1));
        assert_eq!(it.io.runs, runs);
    }
}

#[test]
fn a_command_that_hangs_is_given_up_and_a_reset_goes_on() {
    for opcode in [1, 2, 3, 6] {
        let mut it = Machine::new(QueueFormat::GqiQpl, &[Fault::Hang(opcode)]);
        let enabled = it.enable();
        if opcode <= 2 {
            assert_eq!(enabled, Err(Refusal::TimedOut));
        } else {
            it.open(LISTS, None).unwrap();
            it.register().unwrap();
            assert_eq!(it.open(RECEIVE, Some(0)), Err(Refusal::TimedOut));
        }
        assert!(it.run(Operation::Reset).is_ok());
    }
}
