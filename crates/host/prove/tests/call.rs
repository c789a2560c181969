//! Calls, what they lend, and where their results lie.

use call_state::{FIRST_GENERATION, LAST_GENERATION};
use prove::subjects::call::{Call, Lent, Letter, narrow};
use prove::{Most, at_random, each_was_done, explore};

#[test]
fn of_every_call_of_an_object_with_three_generations() {
    let found = explore(narrow::<3>, Most::ALL);
    assert!(found.is_all);
    found.say("call-state", "generations 1 to 3");
    each_was_done("call-state", &[found]);
}

#[test]
fn of_calls_at_both_ends_of_the_generations_that_there_are() {
    for first in [FIRST_GENERATION, 1 << 40, LAST_GENERATION - 3] {
        at_random("call-state", "generation 56 bits", 60, 120, || {
            Call::<LAST_GENERATION>::new(first)
        });
    }
}

#[test]
fn of_every_loan_of_up_to_four_calls() {
    let found = explore(|| Lent::new(4, &[0, 3, 4, 17, 31, 255], 4), Most::ALL);
    assert!(found.is_all);
    found.say("call-state", "loans of 4 calls, 6 priorities");
    each_was_done("call-state", &[found]);
    at_random("call-state", "loans of 40 calls", 60, 300, || {
        Lent::new(9, &[0, 1, 2, 8, 9, 10, 16, 30, 31, 255], 40)
    });
}

#[test]
fn of_every_result_that_is_left_and_taken() {
    let found = explore(Letter::default, Most::ALL);
    found.say("call-state", "mailbox, 2 results");
    each_was_done("call-state", &[found]);
}
