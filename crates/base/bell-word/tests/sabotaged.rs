//! What the sabotage breaks, and only that.
#![cfg(sabotage)]

use bell_word::{BellWord, Rung};
use sabotage::{choose, points};

#[test]
fn without_the_second_look_a_wake_up_is_lost() {
    choose(points::BELL_SKIP_SECOND_LOOK);
    let word = BellWord::default();
    assert_eq!(word.ring(1), Rung::Unheard);
    // It was rung, nobody was woken for it, and who asks now is told to wait.
    assert_eq!(word.ask(0, 1), 0);
    assert_eq!(word.take(1), 1);
}
