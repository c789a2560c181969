//! The memory of an I/O pair, taken in parts before the pair is opened.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod model;

use driver_core::{Operation, QueueSpec, Refusal, Step};
use model::{ADMIN, Harness, PAGE, from_device, pair, read};

/// As deep as the controller lets one be.
const DEEP: u16 = 255;
/// The longest transfer of the model, in pages.
const LONGEST: usize = 32;

fn prepare(it: &mut Harness, spec: QueueSpec) -> Result<bool, Refusal> {
    it.broker.prepare(&mut it.io, spec)
}

/// Takes all of it. How many steps that were.
fn prepare_all(it: &mut Harness, spec: QueueSpec) -> u32 {
    let mut steps = 1;
    while !prepare(it, spec).unwrap() {
        steps += 1;
    }
    steps
}

/// The last slot of a pair moves as much as any.
fn use_last(it: &mut Harness, queue: u16, depth: u16) {
    let buffer = it.buffer(LONGEST);
    let bytes = (LONGEST * PAGE) as u32;
    let blocks = bytes / 512;
    it.submit(
        queue,
        depth - 1,
        &read(0, blocks),
        &[from_device(&buffer, 0, bytes)],
    )
    .unwrap();
    assert_eq!(it.finish(queue).unwrap().len(), 1);
    assert_eq!(
        it.read_buffer(&buffer, 0, bytes as usize),
        it.device.disk[..bytes as usize]
    );
}

#[test]
fn each_step_takes_a_run_of_lists_and_opening_takes_no_more() {
    let mut it = Harness::up(8);
    let mut steps = 0;
    loop {
        let before = it.io.runs;
        let all = prepare(&mut it, pair(2, DEEP)).unwrap();
        if all {
            assert_eq!(it.io.runs, before);
            break;
        }
        // The first one takes the two rings.
        assert_eq!(it.io.runs - before, if steps == 0 { 2 } else { 1 });
        steps += 1;
    }
    assert!(steps > 2, "{steps}");
    let (runs, seen) = (it.io.runs, it.device.seen.len());
    assert_eq!(
        prepare(&mut it, pair(2, DEEP)),
        Ok(true),
        "nothing is missing"
    );
    assert_eq!(it.device.seen.len(), seen, "the device hears nothing of it");
    assert_eq!(it.open(pair(2, DEEP)), Ok(Step::QueueOpen));
    assert_eq!(it.io.runs, runs);
    use_last(&mut it, 2, DEEP);
}

#[test]
fn what_was_taken_before_a_reset_is_used_after_it() {
    let mut undisturbed = Harness::up(8);
    prepare_all(&mut undisturbed, pair(2, DEEP));
    for parts in 1..4 {
        let mut it = Harness::up(8);
        for _ in 0..parts {
            assert_eq!(prepare(&mut it, pair(2, DEEP)), Ok(false));
        }
        it.bring_up(8);
        prepare_all(&mut it, pair(2, DEEP));
        assert_eq!(it.io.runs, undisturbed.io.runs, "{parts}");
        assert_eq!(it.open(pair(2, DEEP)), Ok(Step::QueueOpen));
        use_last(&mut it, 2, DEEP);
    }
}

#[test]
fn what_cannot_be_had_is_refused_and_the_rest_is_used_later() {
    let mut it = Harness::up(8);
    for more in 0..5 {
        it.io.most_runs = it.io.runs + u32::from(more > 0);
        let refused = loop {
            match prepare(&mut it, pair(2, DEEP)) {
                Ok(true) => panic!("nothing was missing"),
                Ok(false) => {}
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refused, Refusal::NoMemory);
        assert_eq!(it.open(pair(2, DEEP)), Err(Refusal::NoMemory));
    }
    it.io.most_runs = u32::MAX;
    // Nothing of it is at the device: another one may be opened in its place.
    prepare_all(&mut it, pair(2, 100));
    assert_eq!(it.open(pair(2, 100)), Ok(Step::QueueOpen));
    use_last(&mut it, 2, 100);
}

#[test]
fn two_who_want_the_same_pair_come_to_an_end() {
    for [one, other] in [[8, DEEP], [DEEP, 8], [100, DEEP], [DEEP, 100]] {
        let mut it = Harness::up(8);
        let mut turns = 0;
        loop {
            turns += 1;
            assert!(turns < 20, "{one} {other}");
            let first = prepare(&mut it, pair(2, one)).unwrap();
            if first & prepare(&mut it, pair(2, other)).unwrap() {
                break;
            }
        }
        let runs = it.io.runs;
        assert_eq!(it.open(pair(2, one)), Ok(Step::QueueOpen));
        assert_eq!(it.io.runs, runs, "all of it was taken before");
        use_last(&mut it, 2, one);
    }
}

#[test]
fn what_may_not_be_opened_is_not_prepared() {
    let mut it = Harness::up(8);
    let mut refused = |spec| prepare(&mut it, spec).unwrap_err();
    assert_eq!(refused(pair(1, 8)), Refusal::WrongState, "open");
    assert_eq!(refused(ADMIN), Refusal::WrongState, "open");
    assert_eq!(refused(pair(3, 8)), Refusal::OutOfRange, "two were agreed");
    assert_eq!(refused(pair(2, 0)), Refusal::OutOfRange);
    assert_eq!(refused(pair(2, 256)), Refusal::OutOfRange);
    it.begin(Operation::Open(pair(2, 8))).unwrap();
    let runs = it.io.runs;
    assert_eq!(prepare(&mut it, pair(2, DEEP)), Err(Refusal::Busy));
    assert_eq!(it.io.runs, runs);
    it.drive().unwrap();
    let mut it = Harness::new();
    assert_eq!(prepare(&mut it, pair(1, 8)), Err(Refusal::WrongState));
}
