//! The races between the CPUs that may end a call, in every interleaving and memory order that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p call-state --test races --release`
#![cfg(loom)]

use call_state::{CallState, CallWord, Ending, Loans, Lost, Mailbox, RESULT_WORDS};
use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// Starts a call of generation 1.
fn started() -> Arc<CallWord> {
    let word = Arc::new(CallWord::new());
    word.begin(1).unwrap();
    word
}

/// The same, in the hands of a server.
fn delivered() -> Arc<CallWord> {
    let word = started();
    word.deliver(1).unwrap();
    word
}

fn racing(word: &Arc<CallWord>, ending: Ending) -> thread::JoinHandle<Result<(), Lost>> {
    let word = word.clone();
    thread::spawn(move || word.end(1, ending))
}

/// Races three endings on a delivered call; one wins, the others learn which.
fn exactly_one_of(endings: [Ending; 3]) {
    loom::model(move || {
        let word = delivered();
        let others = [racing(&word, endings[0]), racing(&word, endings[1])];
        let mut results = vec![word.end(1, endings[2])];
        results.splice(0..0, others.map(|thread| thread.join().unwrap()));
        let winner = word.consume(1).unwrap().ending;
        for (ending, result) in endings.into_iter().zip(results) {
            let expected = if ending == winner {
                Ok(())
            } else {
                Err(Lost::State(winner.state()))
            };
            assert_eq!(result, expected);
        }
    });
}

#[test]
fn reply_cancel_timeout() {
    exactly_one_of([Ending::Replied, Ending::Cancelled, Ending::TimedOut]);
}

#[test]
fn reply_server_death_revoke() {
    exactly_one_of([Ending::Replied, Ending::ServerDied, Ending::Revoked]);
}

#[test]
fn dropped_reply_timeout_server_death() {
    exactly_one_of([Ending::NoReply, Ending::TimedOut, Ending::ServerDied]);
}

#[test]
fn an_answer_in_one_step_races_two_endings() {
    loom::model(|| {
        let word = Arc::new(CallWord::new());
        word.begin_delivered(1).unwrap();
        let others = [
            racing(&word, Ending::TimedOut),
            racing(&word, Ending::Revoked),
        ];
        let answered = word.answer(1);
        let ends = others.map(|thread| thread.join().unwrap());
        let won = ends.iter().filter(|end| end.is_ok()).count();
        assert_eq!(won + usize::from(answered.is_ok()), 1);
        if answered.is_ok() {
            // Whoever lost finds the object free, and the generation that it named gone.
            assert_eq!(ends, [Err(Lost::Stale); 2]);
            assert_eq!(word.load(), (2, CallState::Idle));
        }
    });
}

/// A call that begins with its server at hand, and a revocation of its facet. The one takes its step and then looks at the epoch,
/// both with the call's body locked; the other raises the epoch before it looks into that body. So one of them ends the call.
#[test]
fn a_call_that_begins_delivered_never_outlives_a_revocation() {
    loom::model(|| {
        let word = Arc::new(CallWord::new());
        // Whether the body names the facet, and the facet's epoch.
        let body = Arc::new(Mutex::new(false));
        let epoch = Arc::new(AtomicU64::new(1));
        let revoker = {
            let (word, body, epoch) = (word.clone(), body.clone(), epoch.clone());
            thread::spawn(move || {
                epoch.fetch_add(1, Relaxed);
                let hit = *body.lock().unwrap();
                hit.then(|| word.revoke(1))
            })
        };
        let refused = {
            let mut body = body.lock().unwrap();
            *body = true;
            word.begin_delivered(1).unwrap();
            epoch.load(Relaxed) != 1
        };
        let refused = refused.then(|| word.drop_reply(1));
        let revoked = revoker.join().unwrap();
        let ends = [refused, revoked];
        assert_eq!(ends.iter().filter(|end| **end == Some(Ok(()))).count(), 1);
    });
}

#[test]
fn cancel_races_delivery_and_always_ends_the_call() {
    loom::model(|| {
        let word = started();
        let canceller = racing(&word, Ending::Cancelled);
        let delivered = word.deliver(1);
        let replied = word.reply(1);
        let cancelled = canceller.join().unwrap();
        // A cancel that arrives while the call turns from queued to delivered must not be lost in between.
        assert!(cancelled.is_ok() != replied.is_ok());
        assert!(delivered == Ok(()) || delivered == Err(Lost::State(CallState::Cancelled)));
        assert!(word.load().1.ending().is_some());
    });
}

#[test]
fn server_death_before_delivery_leaves_the_call_queued() {
    loom::model(|| {
        let word = started();
        let death = racing(&word, Ending::ServerDied);
        let delivered = word.deliver(1);
        let died = death.join().unwrap();
        assert_eq!(delivered, Ok(()));
        let expected = match died {
            Ok(()) => CallState::ServerDied,
            Err(lost) => {
                assert_eq!(lost, Lost::State(CallState::Queued));
                CallState::Delivered
            }
        };
        assert_eq!(word.load(), (1, expected));
    });
}

#[test]
fn delivery_races_timeout_and_revocation() {
    loom::model(|| {
        let word = started();
        let others = [
            racing(&word, Ending::TimedOut),
            racing(&word, Ending::Revoked),
        ];
        let delivered = word.deliver(1);
        let ends = others.map(|thread| thread.join().unwrap());
        assert_eq!(ends.iter().filter(|end| end.is_ok()).count(), 1);
        if let Err(lost) = delivered {
            assert!(matches!(
                lost,
                Lost::State(CallState::TimedOut | CallState::Revoked)
            ));
        }
    });
}

#[test]
fn a_late_reply_never_ends_the_next_call() {
    loom::model(|| {
        let word = delivered();
        let late = racing(&word, Ending::Replied);
        let cancelled = word.cancel(1);
        if cancelled.is_ok() {
            let next = word.consume(1).unwrap().next.unwrap();
            word.begin(next).unwrap();
            word.deliver(next).unwrap();
            assert!(matches!(
                late.join().unwrap(),
                Err(Lost::Stale | Lost::State(CallState::Cancelled))
            ));
            assert_eq!(word.load(), (2, CallState::Delivered));
        } else {
            assert_eq!(late.join().unwrap(), Ok(()));
        }
    });
}

#[test]
fn one_consumer_wins() {
    loom::model(|| {
        let word = delivered();
        word.reply(1).unwrap();
        let other = {
            let word = word.clone();
            thread::spawn(move || word.consume(1))
        };
        let here = word.consume(1);
        let there = other.join().unwrap();
        assert!(here.is_ok() != there.is_ok());
        assert_eq!(word.load(), (2, CallState::Idle));
    });
}

#[test]
fn the_result_belongs_to_the_winner_and_the_next_call_sees_it() {
    loom::model(|| {
        let word = delivered();
        let result = Arc::new(AtomicU64::new(0));
        let server = {
            let (word, result) = (word.clone(), result.clone());
            thread::spawn(move || {
                if word.reply(1).is_ok() {
                    result.store(1, Relaxed);
                    word.consume(1).unwrap();
                }
            })
        };
        if word.cancel(1).is_ok() {
            result.store(2, Relaxed);
            word.consume(1).unwrap();
        }
        // Whoever sees the object idle again sees the whole result of exactly one winner.
        if word.begin(2).is_ok() {
            assert_ne!(result.load(Relaxed), 0);
        }
        server.join().unwrap();
    });
}

/// A call and what it lends, as `ipc` keeps them: the loan lies in the body, under the body's lock, beside the caller
/// whom the winner of an ending takes out.
struct Lending {
    word: CallWord,
    body: Mutex<(Option<()>, Option<u8>)>,
    server: Mutex<Loans>,
}

impl Lending {
    fn begun() -> Arc<Self> {
        let call = Self {
            word: CallWord::new(),
            body: Mutex::new((Some(()), None)),
            server: Mutex::new(Loans::new(4)),
        };
        call.word.begin(1).unwrap();
        Arc::new(call)
    }

    fn deliver(&self) {
        if self.word.deliver(1).is_err() {
            return;
        }
        let mut body = self.body.lock().unwrap();
        if body.0.is_some() {
            body.1 = Some(16);
            self.server.lock().unwrap().lend(16);
        }
    }

    fn end(&self, ending: Ending) -> bool {
        if self.word.end(1, ending).is_err() {
            return false;
        }
        let loan = {
            let mut body = self.body.lock().unwrap();
            body.0 = None;
            body.1.take()
        };
        if let Some(priority) = loan {
            self.server.lock().unwrap().give_back(priority);
        }
        true
    }
}

#[test]
fn whatever_ends_a_call_takes_back_what_it_lent() {
    loom::model(|| {
        let call = Lending::begun();
        let ends = [Ending::Cancelled, Ending::Revoked].map(|ending| {
            let call = call.clone();
            thread::spawn(move || call.end(ending))
        });
        call.deliver();
        let ended = ends.map(|end| end.join().unwrap());
        assert_eq!(ended.iter().filter(|won| **won).count(), 1);
        assert_eq!(call.server.lock().unwrap().effective(), 4);
    });
}

#[test]
fn a_reply_that_races_a_timeout_takes_it_back_once() {
    loom::model(|| {
        let call = Lending::begun();
        call.deliver();
        // Another call of the same priority: it keeps its own loan.
        call.server.lock().unwrap().lend(16);
        let late = call.clone();
        let late = thread::spawn(move || late.end(Ending::TimedOut));
        let replied = call.end(Ending::Replied);
        assert!(replied != late.join().unwrap());
        assert_eq!(call.server.lock().unwrap().effective(), 16);
        call.server.lock().unwrap().give_back(16);
        assert_eq!(call.server.lock().unwrap().effective(), 4);
    });
}

/// What the scheduler keeps of a wait: whether the task is blocked, and whether it was woken before it was.
#[derive(Default)]
struct Wait {
    blocked: bool,
    pending: bool,
}

fn wake(wait: &Mutex<Wait>) {
    let mut wait = wait.lock().unwrap();
    if wait.blocked {
        wait.blocked = false;
    } else {
        wait.pending = true;
    }
}

/// Blocks as `sched::block` does: a wake-up that came before ends it at once.
fn block(wait: &Mutex<Wait>) {
    {
        let mut wait = wait.lock().unwrap();
        if std::mem::take(&mut wait.pending) {
            return;
        }
        wait.blocked = true;
    }
    while wait.lock().unwrap().blocked {
        thread::yield_now();
    }
}

/// A thread waits for one operation after the other; who ends one writes its result and then wakes the thread. Each result is there
/// whole when the thread runs again, and none is seen twice.
#[test]
fn a_result_in_a_mailbox_is_whole_and_is_there_after_the_wake_up() {
    loom::model(|| {
        let mailbox = Arc::new(Mailbox::default());
        let wait = Arc::new(Mutex::new(Wait::default()));
        // The operation that is under way: who takes it out ends it.
        let under_way = Arc::new(Mutex::new(Some(1u64)));
        let server = {
            let (mailbox, wait) = (mailbox.clone(), wait.clone());
            let under_way = under_way.clone();
            thread::spawn(move || {
                for operation in 1..=2 {
                    while under_way
                        .lock()
                        .unwrap()
                        .take_if(|n| *n == operation)
                        .is_none()
                    {
                        thread::yield_now();
                    }
                    mailbox.put([operation; RESULT_WORDS]);
                    wake(&wait);
                }
            })
        };
        for operation in 1..=2 {
            if operation == 2 {
                *under_way.lock().unwrap() = Some(2);
            }
            let result = loop {
                block(&wait);
                if let Some(result) = mailbox.take() {
                    break result;
                }
            };
            assert_eq!(result, [operation; RESULT_WORDS]);
            assert_eq!(mailbox.take(), None);
        }
        server.join().unwrap();
    });
}
