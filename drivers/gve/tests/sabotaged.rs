//! What each sabotage lets through. One test, because the choice is the whole program's.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]
#![cfg(sabotage)]

mod support;

use driver_core::{Direction, Operation};
use gve_format::QueueFormat;
use gve_model::Fault;
use sabotage::{choose, points};
use support::{HALF, Machine, RECEIVE, TRANSMIT, frame};

#[test]
fn each_point_lets_through_what_it_says() {
    let mut it = Machine::up(QueueFormat::GqiQpl, &[]);
    choose(points::GVE_SKIP_LENGTH_CHECK);
    let little = it.submit(RECEIVE, 0, &[], &[(0, 1024, Direction::FromDevice)]);
    assert_eq!(little, Ok(()));

    let mut it = Machine::up(QueueFormat::GqiQpl, &[]);
    choose(points::GVE_SKIP_LIST_CHECK);
    assert!(it.send(0, HALF - 30, &frame(60, 1)).is_err());
    assert_eq!(it.post(0, HALF), Ok(()));

    let mut it = Machine::up(QueueFormat::GqiQpl, &[Fault::StuckReset]);
    choose(points::GVE_RECEIPT_WITHOUT_RELEASE);
    assert!(it.run(Operation::Reset).is_ok());

    let mut it = Machine::up(QueueFormat::GqiQpl, &[Fault::Sequence(0)]);
    choose(points::GVE_SKIP_SEQUENCE_CHECK);
    it.post(0, 0).unwrap();
    it.arrive(&frame(60, 1));
    assert!(it.take(RECEIVE).is_ok_and(|taken| taken.is_some()));

    let mut it = Machine::up(QueueFormat::GqiQpl, &[Fault::Spurious(0)]);
    choose(points::GVE_BELIEVE_COUNTER);
    it.send(0, HALF, &frame(60, 1)).unwrap();
    assert!(it.take(TRANSMIT).is_ok_and(|taken| taken.is_some()));
    assert_eq!(it.take(TRANSMIT), Ok(None));
}
