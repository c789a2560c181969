//! A controller that contradicts itself.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod model;

use driver_core::Refusal;
use model::{Harness, Posting, from_device, read};

/// Puts a held completion into the queue after changing it.
fn hostile(change: impl Fn(&mut [u64; 2])) -> Harness {
    let mut it = Harness::up(8);
    let buffer = it.buffer(1);
    it.device.posting = Posting::Hold;
    it.submit(1, 4, &read(0, 8), &[from_device(&buffer, 0, 4096)])
        .unwrap();
    it.ring(1);
    it.step();
    let (cq, mut words) = it.held()[0];
    change(&mut words);
    it.device.post(cq, words);
    it
}

#[test]
fn completions_that_do_not_fit_end_the_queue() {
    let corrupt = |name: &str, change: &dyn Fn(&mut [u64; 2])| {
        let mut it = hostile(change);
        assert_eq!(it.take(1), Err(Refusal::Corrupt), "{name}");
        assert_eq!(it.take(1), Err(Refusal::Corrupt), "{name}: for good");
        let buffer = it.buffer(1);
        let more = [from_device(&buffer, 0, 4096)];
        let doorbells = it.device.doorbells();
        assert_eq!(
            it.submit(1, 0, &read(0, 8), &more),
            Err(Refusal::WrongState),
            "{name}"
        );
        it.ring(1);
        it.broker.completions_taken(&mut it.io, model::place(1));
        assert_eq!(it.device.doorbells(), doorbells);
        it.device.posting = Posting::AtOnce;
        it.bring_up(8);
        it.submit(1, 0, &read(0, 8), &more).unwrap();
        assert_eq!(it.finish(1).unwrap().len(), 1, "{name}: a reset heals");
    };
    corrupt("a slot that is not in flight", &|words| words[1] ^= 1 << 32);
    corrupt("a slot beyond the depth", &|words| words[1] |= 0x3ff << 32);
    corrupt("an earlier generation", &|words| words[1] ^= 1 << (32 + 10));
    corrupt("another submission queue", &|words| words[1] ^= 2 << 16);
    corrupt("the administration queue", &|words| {
        words[1] &= !(0xffff << 16)
    });
    corrupt("a fetch position beyond what was rung", &|words| {
        words[1] += 1
    });
    corrupt("a fetch position outside the ring", &|words| {
        words[1] |= 0xffff
    });
}

#[test]
fn a_completion_twice_is_refused() {
    let mut it = hostile(|_| ());
    assert_eq!(it.take(1).unwrap().len(), 1);
    let (cq, words) = it.held()[0];
    it.device.post(cq, words);
    assert_eq!(it.take(1), Err(Refusal::Corrupt));
}

#[test]
fn an_entry_of_the_wrong_phase_is_no_completion() {
    let mut it = Harness::up(8);
    let buffer = it.buffer(1);
    it.device.posting = Posting::Hold;
    it.submit(1, 4, &read(0, 8), &[from_device(&buffer, 0, 4096)])
        .unwrap();
    it.ring(1);
    it.step();
    let (_, words) = it.held()[0];
    it.write_completion_raw(words);
    assert_eq!(it.take(1), Ok(vec![]));
    it.post_held();
    assert_eq!(it.take(1).unwrap().len(), 1);
}

#[test]
fn status_and_result_are_handed_out_as_the_device_said() {
    let mut it = hostile(|words| {
        words[0] = 0x1234_5678;
        words[1] |= 0x4281 << 49;
    });
    let done = it.take(1).unwrap();
    assert_eq!(
        (done[0].slot, done[0].status, done[0].result),
        (4, 0x4281, 0x1234_5678)
    );
}

#[test]
fn a_corrupt_queue_rings_no_more() {
    let mut it = Harness::up(8);
    let buffer = it.buffer(2);
    it.device.posting = Posting::Hold;
    it.submit(1, 0, &read(0, 8), &[from_device(&buffer, 0, 4096)])
        .unwrap();
    it.ring(1);
    it.step();
    it.submit(1, 1, &read(0, 8), &[from_device(&buffer, 4096, 4096)])
        .unwrap();
    let (cq, mut words) = it.held()[0];
    words[1] ^= 1 << 32;
    it.device.post(cq, words);
    assert_eq!(it.take(1), Err(Refusal::Corrupt));
    let before = it.device.doorbells();
    it.ring(1);
    assert_eq!(it.device.doorbells(), before);
}
