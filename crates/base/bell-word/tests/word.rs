//! One step after the other.
#![cfg(not(any(loom, sabotage)))]

use bell_word::{BellWord, Rung};

#[test]
fn bits_stay_until_they_are_taken_once() {
    let word = BellWord::new();
    assert_eq!(word.ring(0b101), Rung::Unheard);
    assert_eq!(word.ring(0b001), Rung::Unheard);
    assert_eq!(word.take(0b011), 0b001);
    assert_eq!(word.take(0b011), 0);
    assert_eq!(word.take(u64::MAX), 0b100);
}

#[test]
fn only_what_is_asked_for_is_awaited() {
    let word = BellWord::new();
    assert_eq!(word.ask(0, 0b10), 0);
    assert_eq!(word.ring(0b01), Rung::Unheard);
    assert_eq!(word.ring(0b11), Rung::Awaited);
    word.leave(0);
    assert_eq!(word.ring(0b10), Rung::Unheard);
}

#[test]
fn the_second_look_finds_what_was_rung_before_the_question() {
    let word = BellWord::new();
    let _ = word.ring(0b110);
    assert_eq!(word.ask(0b1000, 0b010), 0b010);
    assert_eq!(word.ask(0b1000, 0b010), 0);
    // The others' question was stated, too.
    assert_eq!(word.ring(0b1000), Rung::Awaited);
}
