//! Ringing against waiting, in every interleaving and memory order that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p bell-word --test races --release`
#![cfg(loom)]

use bell_word::{BellWord, Rung};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// As the kernel does it: a list of who waits behind a lock, and the word beside it.
#[derive(Default)]
struct Bell {
    word: BellWord,
    waiting: Mutex<Option<u64>>,
    woken_with: Mutex<u64>,
}

impl Bell {
    fn ring(&self, bits: u64) {
        if self.word.ring(bits) == Rung::Unheard {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap();
        if let Some(mask) = *waiting {
            let taken = self.word.take(mask);
            if taken != 0 {
                *waiting = None;
                self.word.leave(0);
                *self.woken_with.lock().unwrap() |= taken;
            }
        }
    }

    /// What it gets at once; 0: it waits.
    fn wait(&self, mask: u64) -> u64 {
        let mut waiting = self.waiting.lock().unwrap();
        let taken = self.word.ask(0, mask);
        if taken == 0 {
            *waiting = Some(mask);
        } else {
            self.word.leave(0);
        }
        taken
    }
}

#[test]
fn whoever_waits_is_woken_and_each_bit_is_taken_once() {
    loom::model(|| {
        let bell = Arc::new(Bell::default());
        let ringers: Vec<_> = [1, 2]
            .map(|bits| {
                let bell = bell.clone();
                thread::spawn(move || bell.ring(bits))
            })
            .into_iter()
            .collect();
        let at_once = bell.wait(3);
        for ringer in ringers {
            ringer.join().unwrap();
        }
        let later = *bell.woken_with.lock().unwrap();
        assert!(at_once | later != 0, "asleep for ever");
        assert_eq!(at_once & later, 0);
        // What was not taken is still there.
        assert_eq!(at_once | later | bell.word.take(u64::MAX), 3);
    });
}
