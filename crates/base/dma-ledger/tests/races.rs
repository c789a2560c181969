//! The races around one interrupt route, in every interleaving and memory order that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p dma-ledger --test races --release`
#![cfg(loom)]

use dma_ledger::{Arrival, Refusal, RouteState, RouteWord};
use loom::sync::Arc;
use loom::thread;

/// A route of generation 1, armed.
fn armed() -> Arc<RouteWord> {
    let word = Arc::new(RouteWord::after(0));
    assert_eq!(word.register(), Ok(1));
    word.take(1).unwrap();
    word.unmask(1).unwrap();
    word
}

#[test]
fn an_interrupt_racing_a_reset_wakes_nobody_afterwards() {
    loom::model(|| {
        let word = armed();
        let handler = {
            let word = word.clone();
            thread::spawn(move || word.dispatch(1))
        };
        word.detach();
        // The same source again, for the next holder.
        assert_eq!(word.register(), Ok(2));
        word.take(2).unwrap();
        word.unmask(2).unwrap();
        let old = handler.join().unwrap();
        assert!(matches!(old, Ok(()) | Err(Refusal::Stale)));
        // Whether the old interrupt came in time or not, it is not the new holder's.
        assert_eq!(word.poll_wait(2), Ok(false));
        assert_eq!(word.acknowledge(2), Err(Refusal::WrongState));
        assert_eq!(word.poll_wait(1), Err(Refusal::Stale));
        assert_eq!(word.load(), (2, RouteState::Armed));
    });
}

#[test]
fn one_dispatch_completes_one_wait_and_takes_one_acknowledgement() {
    loom::model(|| {
        let word = armed();
        word.dispatch(1).unwrap();
        let other = {
            let word = word.clone();
            thread::spawn(move || (word.poll_wait(1), word.acknowledge(1)))
        };
        let here = (word.poll_wait(1), word.acknowledge(1));
        let there = other.join().unwrap();
        let waits = [&here.0, &there.0]
            .iter()
            .filter(|wait| ***wait == Ok(true))
            .count();
        assert!(waits <= 1);
        let acknowledged = [&here.1, &there.1]
            .iter()
            .filter(|ack| ***ack == Ok(true))
            .count();
        assert_eq!(acknowledged, 1);
        assert!(
            [&here.1, &there.1]
                .iter()
                .any(|ack| **ack == Err(Refusal::Duplicate))
        );
        assert_eq!(word.load(), (1, RouteState::Armed));
    });
}

#[test]
fn a_mask_is_never_lost_to_an_interrupt() {
    loom::model(|| {
        let word = armed();
        let handler = {
            let word = word.clone();
            thread::spawn(move || word.dispatch(1))
        };
        word.mask(1).unwrap();
        if handler.join().unwrap().is_ok() {
            // It came first: the acknowledgement leaves the source masked.
            assert_eq!(word.acknowledge(1), Ok(false));
        }
        assert_eq!(word.load(), (1, RouteState::ClaimedMasked));
        assert_eq!(word.dispatch(1), Err(Refusal::WrongState));
    });
}

#[test]
fn a_wait_racing_the_interrupt_and_the_teardown_ends_one_way() {
    loom::model(|| {
        let word = armed();
        let handler = {
            let word = word.clone();
            thread::spawn(move || word.dispatch(1))
        };
        let teardown = {
            let word = word.clone();
            thread::spawn(move || word.detach())
        };
        let wait = word.poll_wait(1);
        let dispatched = handler.join().unwrap();
        teardown.join().unwrap();
        if wait == Ok(true) {
            assert_eq!(dispatched, Ok(()));
        }
        assert_eq!(word.dispatches(), u64::from(dispatched.is_ok()));
        assert_eq!(word.poll_wait(1), Err(Refusal::Stale));
    });
}

#[test]
fn a_message_racing_the_acknowledgement_is_never_lost() {
    loom::model(|| {
        let word = armed();
        assert_eq!(word.arrive(1), Ok(Arrival::Dispatched));
        let handler = {
            let word = word.clone();
            thread::spawn(move || word.arrive(1))
        };
        let unmask = word.acknowledge(1).unwrap();
        let arrival = handler.join().unwrap().unwrap();
        // It came before the acknowledgement and is the next dispatch by that, or after it and was dispatched at once.
        assert_eq!(unmask, arrival == Arrival::Dispatched);
        assert_eq!(word.load(), (1, RouteState::Dispatched));
        assert_eq!(
            (word.poll_wait(1), word.poll_wait(1)),
            (Ok(true), Ok(false))
        );
        assert_eq!(word.dispatches(), 2);
        assert_eq!(word.acknowledge(1), Ok(true));
    });
}

#[test]
fn a_message_racing_mask_and_reset_is_kept_or_stale() {
    loom::model(|| {
        let word = armed();
        let handler = {
            let word = word.clone();
            thread::spawn(move || word.arrive(1))
        };
        word.mask(1).unwrap();
        word.detach();
        let next = word.register().unwrap();
        word.take(next).unwrap();
        let late = handler.join().unwrap();
        assert!(matches!(late, Ok(_) | Err(Refusal::Stale)));
        // Nothing of it is left for the next holder.
        assert_eq!(word.unmask(next), Ok(true));
        assert_eq!(word.poll_wait(next), Ok(false));
    });
}

#[test]
fn only_one_registers() {
    loom::model(|| {
        let word = Arc::new(RouteWord::after(0));
        let other = {
            let word = word.clone();
            thread::spawn(move || word.register())
        };
        let (here, there) = (word.register(), other.join().unwrap());
        assert!(matches!(
            (here, there),
            (Ok(1), Err(Refusal::AlreadyExists)) | (Err(Refusal::AlreadyExists), Ok(1))
        ));
    });
}
