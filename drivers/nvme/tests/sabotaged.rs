//! What each sabotage lets through, against a controller model. One test, because the choice is the whole program's.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]
#![cfg(sabotage)]

mod model;

use dma_ledger::{QueueProof, ResetProof};
use driver_core::{Operation, Refusal, Step};
use model::{CC, CSTS, Harness, from_device, read};
use sabotage::{choose, points};

#[test]
fn each_point_lets_through_what_it_says() {
    the_length_check();
    a_queue_receipt_without_the_deletion();
    a_receipt_without_csts();
    another_page_size();
}

fn the_length_check() {
    let mut it = Harness::up(8);
    let buffer = it.buffer(1);
    choose(points::SKIP_LENGTH_CHECK);
    assert_eq!(
        it.submit(1, 0, &read(0, 9), &[from_device(&buffer, 0, 4096)]),
        Ok(())
    );
}

fn a_queue_receipt_without_the_deletion() {
    let mut it = Harness::up(8);
    it.device.delete_status = 0x101;
    choose(points::QUEUE_RECEIPT_WITHOUT_DELETE);
    it.begin(Operation::Stop(model::place(1))).unwrap();
    assert_eq!(
        it.drive(),
        Ok(Step::QueueStopped(QueueProof::SubmissionQueueDeleted))
    );
}

fn a_receipt_without_csts() {
    let mut it = Harness::up(8);
    choose(points::RECEIPT_WITHOUT_CSTS);
    assert_eq!(it.reset(), Ok(Step::Stopped(ResetProof::CstsRdyZero)));
    assert_eq!(it.register(CSTS), 1, "it still runs");
    assert_eq!(it.configure([8, 1, 12]), Err(Refusal::WrongState));
}

fn another_page_size() {
    let mut it = Harness::new();
    choose(points::LET_MPS_THROUGH);
    it.reset().unwrap();
    assert_eq!(it.configure([8, 1, 13]).unwrap(), [8, 1, 13]);
    assert!(it.configure([8, 1, 17]).is_err());
    it.enable().unwrap();
    assert_eq!(it.register(CC), 0x0046_0081);
}
