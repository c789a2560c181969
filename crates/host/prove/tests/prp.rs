//! PRP entries and lists.

use prove::subjects::prp::{one, slots, two};
use prove::{every_choice, random_choices};

#[test]
fn of_every_transfer_over_small_pages() {
    every_choice("prp", 4, |source| one::<16>(source, 5 * 16));
    every_choice("prp", 4, |source| one::<32>(source, 6 * 32));
}

#[test]
fn of_every_two_segments_over_small_pages() {
    every_choice("prp", 4, |source| two::<16>(source, 3 * 16));
}

#[test]
fn of_every_slot_of_lists() {
    every_choice("prp", 4, |source| slots::<32>(source, 9 * 32));
}

#[test]
fn of_transfers_over_pages_of_4_kib() {
    random_choices("prp", 400, |source| one::<4096>(source, 2 << 20));
    random_choices("prp", 100, |source| two::<4096>(source, 64 << 10));
    random_choices("prp", 2000, |source| slots::<4096>(source, 8 << 20));
}
