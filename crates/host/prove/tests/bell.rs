//! Bells.

use prove::subjects::bell::Bell;
use prove::{Most, at_random, each_was_done, explore};

#[test]
fn of_every_bell_of_three_bits_and_two_that_wait() {
    let found = explore(|| Bell::new(&[1, 2, 3, 4, 5, 6, 7], 2), Most::ALL);
    assert!(found.is_all);
    found.say("bell-word", "3 bits, 2 waiting");
    each_was_done("bell-word", &[found]);
}

#[test]
fn of_bells_of_all_bits() {
    const MASKS: &[u64] = &[
        1,
        1 << 63,
        u64::MAX,
        0xff00,
        0x8000_0001,
        0xaaaa_aaaa_aaaa_aaaa,
    ];
    at_random("bell-word", "64 bits, 8 waiting", 100, 200, || {
        Bell::new(MASKS, 8)
    });
}
