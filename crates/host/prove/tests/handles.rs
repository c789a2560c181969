//! Handle tables.

use handles::{GENERATION_BITS, MAX_SLOTS};
use prove::subjects::handles::Table;
use prove::{Most, at_random, each_was_done, explore};

#[test]
fn of_every_table_with_few_slots_and_generations() {
    let found = explore(|| Table::<2, 2>::new(&[2, 1]), Most::ALL);
    assert!(found.is_all);
    found.say("handles", "generation 2 bits, 2 slots");
    each_was_done("handles", &[found]);
    let found = explore(|| Table::<3, 2>::new(&[2]), Most::ALL);
    assert!(found.is_all);
    found.say("handles", "generation 3 bits, 2 slots");
    each_was_done("handles", &[found]);
    let found = explore(|| Table::<2, 3>::new(&[3]), Most::ALL);
    assert!(found.is_all);
    found.say("handles", "generation 2 bits, 3 slots");
    each_was_done("handles", &[found]);
}

#[test]
fn of_every_table_with_three_slots_and_one_generation() {
    let found = explore(|| Table::<1, 3>::new(&[4, 2]), Most::ALL);
    assert!(found.is_all);
    found.say("handles", "generation 1 bit, 3 slots");
    each_was_done("handles", &[found]);
}

#[test]
fn of_the_table_that_the_kernel_has() {
    at_random(
        "handles",
        "generation 40 bits, index 24 bits",
        60,
        300,
        || Table::<GENERATION_BITS, MAX_SLOTS>::new(&[6, 200, 3]),
    );
}
