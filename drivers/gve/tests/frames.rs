//! Frames through the broker and the model, which objects to whatever the vendor's driver does not do.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod support;

use dma_ledger::ResetProof;
use driver_core::{Direction, Operation, Refusal, Step};
use gve_format::QueueFormat;
use gve_format::brokered::{Side, Template};
use gve_model::{Fault, Shape};
use support::{FORMATS, HALF, LISTS, Machine, RECEIVE, TRANSMIT, frame, lead};

#[test]
fn frames_go_both_ways_and_the_device_has_nothing_to_object() {
    for format in FORMATS {
        let mut it = Machine::up(format, &[]);
        let mut sent = Vec::new();
        // More than a lap of every ring, one at a time and eight at a time.
        for round in 0..80u32 {
            for slot in 0..8 {
                it.post(slot, u32::from(slot) * 2048).unwrap();
            }
            for slot in 0..8u16 {
                let bytes = 14 + (round as usize * 37 + usize::from(slot) * 211) % 1460;
                let all = frame(bytes, (round + u32::from(slot)) as u8);
                // Some cross from one page into another.
                it.send(slot, HALF + u32::from(slot) * 3500, &all).unwrap();
                sent.push(all);
                let come = frame(14 + (bytes * 3) % 1460, !(round as u8));
                it.arrive(&come);
                let got = it.take(RECEIVE).unwrap().unwrap();
                assert_eq!((got.slot, got.status), (slot, 0));
                assert_eq!(got.result as usize, come.len());
                let at = u32::from(slot) * 2048 + lead(format);
                assert_eq!(it.seen(at, come.len()), come);
            }
            for slot in 0..8 {
                let done = it.take(TRANSMIT).unwrap().unwrap();
                assert_eq!((done.slot, done.status, done.result), (slot, 0, 0));
            }
            assert_eq!(it.take(TRANSMIT), Ok(None));
            assert_eq!(it.take(RECEIVE), Ok(None));
        }
        assert!(*it.wire.sent.lock().unwrap() == sent);
        assert_eq!(it.violations(), Vec::<String>::new(), "{format:?}");
    }
}

#[test]
fn a_queue_takes_no_more_than_its_depth_and_all_of_it() {
    for format in FORMATS {
        let mut it = Machine::up(format, &[]);
        let (receive, transmit) = it.facts().depths;
        // There are no more buffers in the window than that; the ring has more room.
        assert!(receive >= 64 && transmit >= 127, "{format:?}");
        for slot in 0..64 {
            it.post(slot, u32::from(slot) * 2048).unwrap();
        }
        for number in 0..64u8 {
            it.arrive(&frame(60, number));
        }
        for slot in 0..64 {
            assert_eq!(it.take(RECEIVE).unwrap().unwrap().slot, slot);
        }
        let outside = it.submit(RECEIVE, receive, &[], &[(0, 2048, Direction::FromDevice)]);
        assert_eq!(outside, Err(Refusal::OutOfRange), "{format:?}");
        assert_eq!(it.violations(), Vec::<String>::new(), "{format:?}");
    }
}

#[test]
fn each_queue_raises_its_own_vector_and_polled_ones_none() {
    for format in FORMATS {
        let mut it = Machine::up(format, &[]);
        it.post(0, 0).unwrap();
        it.arrive(&frame(60, 1));
        it.take(RECEIVE).unwrap().unwrap();
        assert_eq!(it.interrupts(), [0], "{format:?}");
        for slot in 0..3 {
            it.send(slot, HALF, &frame(60, 2)).unwrap();
            it.take(TRANSMIT).unwrap().unwrap();
            assert_eq!(it.interrupts(), [1], "{format:?} {slot}");
        }
        it.enable().unwrap();
        it.open(LISTS, None).unwrap();
        if format.has_lists() {
            it.register().unwrap();
        }
        it.open(RECEIVE, None).unwrap();
        it.open(TRANSMIT, None).unwrap();
        it.send(0, HALF, &frame(60, 2)).unwrap();
        it.take(TRANSMIT).unwrap().unwrap();
        assert_eq!(it.interrupts(), [0u16; 0], "{format:?}");
        assert_eq!(it.violations(), Vec::<String>::new(), "{format:?}");
    }
}

#[test]
fn an_interrupt_that_was_on_its_way_masks_nothing_for_good() {
    let mut it = Machine::up(QueueFormat::DqoRda, &[]);
    it.post(0, 0).unwrap();
    it.post(1, 2048).unwrap();
    it.arrive(&frame(60, 1));
    it.take(RECEIVE).unwrap().unwrap();
    assert_eq!(it.take(RECEIVE), Ok(None));
    it.interrupts();
    it.arrive(&frame(60, 1));
    assert_eq!(it.interrupts(), [0]);
}

#[test]
fn it_is_what_the_device_said() {
    for format in FORMATS {
        let mut it = Machine::up(format, &[]);
        let facts = it.facts();
        assert_eq!(facts.format, format);
        assert_eq!(facts.mac, [0x42, 0x01, 0x0a, 0x00, 0x02, 0x0f]);
        assert_eq!(facts.mtu, 1460);
        match format {
            QueueFormat::DqoRda => assert_eq!(facts.pages, (0, 0)),
            _ => assert_eq!(facts.pages, (256, 64)),
        }
    }
}

#[test]
fn resets_prove_that_the_device_let_go_and_take_no_more_memory() {
    for format in FORMATS {
        let mut it = Machine::up(format, &[]);
        let runs = it.io.runs;
        for _ in 0..3 {
            it.post(0, 0).unwrap();
            let stopped = Step::Stopped(ResetProof::AdminQueueReleased);
            assert_eq!(it.run(Operation::Reset), Ok(stopped));
            assert_eq!(it.post(1, 2048), Err(Refusal::WrongState));
            assert!(it.take(RECEIVE).is_err());
            it.enable().unwrap();
            it.open(LISTS, None).unwrap();
            it.open_frames();
            it.send(0, HALF, &frame(60, 1)).unwrap();
            assert_eq!(it.take(TRANSMIT).unwrap().map(|done| done.slot), Some(0));
        }
        assert_eq!(it.io.runs, runs);
        assert_eq!(it.violations(), Vec::<String>::new(), "{format:?}");
    }
}

#[test]
fn a_device_that_keeps_its_admin_queue_has_not_stopped() {
    let mut it = Machine::up(QueueFormat::GqiQpl, &[Fault::StuckReset]);
    assert_eq!(it.run(Operation::Reset), Err(Refusal::TimedOut));
}

#[test]
fn operations_are_taken_in_their_order_alone() {
    let mut it = Machine::new(QueueFormat::GqiQpl, &[]);
    assert_eq!(it.run(Operation::Enable), Err(Refusal::WrongState));
    it.enable().unwrap();
    assert_eq!(it.run(Operation::Enable), Err(Refusal::WrongState));
    assert_eq!(
        it.register(),
        Err(Refusal::OutOfRange),
        "no queue for lists"
    );
    it.open(LISTS, None).unwrap();
    // No list, no queue.
    assert_eq!(it.open(RECEIVE, Some(0)), Err(Refusal::WrongState));
    it.register().unwrap();
    // A list is given once, and its queue opened once.
    assert_eq!(it.register(), Err(Refusal::WrongState));
    assert_eq!(it.open(RECEIVE, Some(2)), Err(Refusal::OutOfRange));
    it.open(RECEIVE, Some(0)).unwrap();
    assert_eq!(it.open(RECEIVE, Some(0)), Err(Refusal::WrongState));
    assert_eq!(it.open(TRANSMIT, Some(0)), Err(Refusal::OutOfRange));
    it.open(TRANSMIT, Some(1)).unwrap();
    assert_eq!(it.run(Operation::Stop(RECEIVE)), Err(Refusal::NotSupported));
    assert_eq!(it.run(Operation::Reopen(RECEIVE)), Err(Refusal::WrongState));
    assert_eq!(it.violations(), Vec::<String>::new());
}

#[test]
fn what_is_no_frame_and_no_room_for_one_is_refused() {
    use Direction::{FromDevice, ToDevice};
    for format in FORMATS {
        let mut it = Machine::up(format, &[]);
        let cases = [
            (RECEIVE, 0, 2047, FromDevice, Refusal::LengthMismatch),
            (RECEIVE, 0, 2049, FromDevice, Refusal::LengthMismatch),
            (RECEIVE, 64, 2048, FromDevice, Refusal::Misaligned),
            (RECEIVE, 0, 2048, ToDevice, Refusal::BadArgument),
            (TRANSMIT, HALF, 13, ToDevice, Refusal::LengthMismatch),
            (TRANSMIT, HALF, 1475, ToDevice, Refusal::LengthMismatch),
            (TRANSMIT, HALF, u32::MAX, ToDevice, Refusal::LengthMismatch),
            (TRANSMIT, HALF, 60, FromDevice, Refusal::BadArgument),
        ];
        for (place, offset, length, direction, why) in cases {
            let taken = it.submit(place, 0, &[], &[(offset, length, direction)]);
            assert_eq!(taken, Err(why), "{format:?} {offset} {length}");
        }
        let segment = (0, 2048, FromDevice);
        assert_eq!(
            it.submit(RECEIVE, 0, &[0], &[segment]),
            Err(Refusal::TemplateRefused)
        );
        assert_eq!(
            it.submit(RECEIVE, 0, &[], &[]),
            Err(Refusal::LengthMismatch)
        );
        let both = [segment, segment];
        assert_eq!(
            it.submit(RECEIVE, 0, &[], &both),
            Err(Refusal::LengthMismatch)
        );
        // Nothing of that reached the device.
        it.post(0, 0).unwrap();
        assert_eq!(it.violations(), Vec::<String>::new());
    }
}

#[test]
fn a_frame_lies_in_the_list_of_its_own_queue() {
    for format in [QueueFormat::GqiQpl, QueueFormat::DqoQpl] {
        let mut it = Machine::up(format, &[]);
        // The other queue's pages, the page behind the list, one that begins inside and ends outside.
        assert_eq!(it.post(0, HALF), Err(Refusal::OutOfRange));
        assert_eq!(it.send(0, 0, &frame(60, 0)), Err(Refusal::OutOfRange));
        assert_eq!(
            it.send(0, HALF - 30, &frame(60, 0)),
            Err(Refusal::OutOfRange)
        );
        // The same place in another buffer.
        let own = std::mem::take(&mut it.pages);
        it.pages = driver_core::PageAddresses::of(own.iter().skip(1).copied()).unwrap();
        assert_eq!(it.post(0, 0), Err(Refusal::OutOfRange));
        it.pages = own;
        it.post(0, 0).unwrap();
        assert_eq!(it.violations(), Vec::<String>::new());
    }
}

#[test]
fn lists_are_whole_pages_and_no_more_than_the_device_takes() {
    use Direction::{FromDevice, ToDevice};
    let mut it = Machine::new(QueueFormat::GqiQpl, &[]);
    it.enable().unwrap();
    it.open(LISTS, None).unwrap();
    let register = Template::Register(Side::Receive).bytes();
    let mut with = |template: &[u8], segments: &[(u32, u32, Direction)]| {
        it.submit(LISTS, 0, template, segments)
    };
    type Case<'a> = (&'a [u8], &'a [(u32, u32, Direction)], Refusal);
    let cases: [Case<'_>; 9] = [
        (&register, &[], Refusal::LengthMismatch),
        (
            &register,
            &[(0, 4096, FromDevice); 2],
            Refusal::LengthMismatch,
        ),
        (&register, &[(0, 4096, ToDevice)], Refusal::BadArgument),
        (&register, &[(8, 4096, FromDevice)], Refusal::Misaligned),
        (&register, &[(0, 4095, FromDevice)], Refusal::Misaligned),
        (
            &register,
            &[(0, 257 * 4096, FromDevice)],
            Refusal::OutOfRange,
        ),
        (
            &[1, 3, 0, 0],
            &[(0, 4096, FromDevice)],
            Refusal::TemplateRefused,
        ),
        (&[2, 4, 0, 0], &[], Refusal::TemplateRefused),
        (
            &[2, 0, 0, 0],
            &[(0, 4096, FromDevice)],
            Refusal::LengthMismatch,
        ),
    ];
    for (template, segments, why) in cases {
        assert_eq!(
            with(template, segments),
            Err(why),
            "{template:?} {segments:?}"
        );
    }
    let mut plain = Machine::new(QueueFormat::DqoRda, &[]);
    plain.enable().unwrap();
    plain.open(LISTS, None).unwrap();
    assert_eq!(plain.register(), Err(Refusal::NotSupported));
}

#[test]
fn a_list_in_flight_stays_and_one_that_is_refused_comes_back() {
    let mut it = Machine::up(QueueFormat::GqiQpl, &[]);
    assert_eq!(
        it.take(LISTS),
        Ok(None),
        "the device has it: it stays in flight"
    );
    let mut it = Machine::new(QueueFormat::GqiQpl, &[Fault::Refuse(3)]);
    it.enable().unwrap();
    it.open(LISTS, None).unwrap();
    it.register().unwrap();
    let back: Vec<u16> = (0..2)
        .map(|_| it.take(LISTS).unwrap().unwrap().slot)
        .collect();
    assert_eq!(back, [0, 1]);
    assert_eq!(it.open(RECEIVE, Some(0)), Err(Refusal::WrongState));
}

#[test]
fn a_device_that_the_broker_does_not_know_is_left_alone() {
    let mut it = Machine::shaped(Shape {
        entries: 4096,
        ..Shape::default()
    });
    assert_eq!(it.enable(), Err(Refusal::NotSupported));
    let mut it = Machine::shaped(Shape {
        pairs: 0,
        ..Shape::default()
    });
    assert_eq!(it.enable(), Err(Refusal::DeviceError));
}
