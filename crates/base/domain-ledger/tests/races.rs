//! Unmapping against flushing on another processor, in every interleaving that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p domain-ledger --test races`
#![cfg(loom)]

use std::sync::Arc;

use domain_ledger::{Domain, FlushClock, Numbers, Owner, Refusal, Scope, WaitProof, Window};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

struct Seen;
impl WaitProof for Seen {}

const OWNER: Owner = Owner {
    source: 0x20,
    generation: 1,
};

/// A unit that reads the one entry whenever it likes until it is told to forget, and once more right after that.
struct Unit {
    entry: AtomicU64,
    remembered: AtomicU64,
}

impl Unit {
    fn flush(&self) {
        self.remembered.store(0, Ordering::Relaxed);
        self.remembered
            .store(self.entry.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[test]
fn a_receipt_that_holds_means_that_the_unit_forgot() {
    loom::model(|| {
        let clock = Arc::new(FlushClock::new(0));
        let unit = Arc::new(Unit {
            entry: AtomicU64::new(7),
            remembered: AtomicU64::new(7),
        });
        let mut numbers = Numbers::new(4);
        let mut domain = Domain::new(&clock, &mut numbers, OWNER, Window::LOW).unwrap();
        let reserved = domain.reserve(OWNER, 7u64, 0x7000, 1).unwrap();
        let iova = reserved.iova();
        domain.confirm(reserved).unwrap();
        let domain = Arc::new(Mutex::new(domain));

        let flusher = {
            let (clock, unit) = (clock.clone(), unit.clone());
            thread::spawn(move || {
                let pending = clock.begin(Scope::Unit).unwrap();
                unit.flush();
                clock.finish(pending, Seen).unwrap()
            })
        };
        let unmapped = {
            let clear = |_| unit.entry.store(0, Ordering::Relaxed);
            domain
                .lock()
                .unwrap()
                .unmap(OWNER, &clock, iova, clear)
                .unwrap()
        };
        let receipt = flusher.join().unwrap();
        match domain.lock().unwrap().forget(unmapped, &receipt) {
            Ok(_) => assert_eq!(unit.remembered.load(Ordering::Relaxed), 0),
            Err((refusal, _)) => assert_eq!(refusal, Refusal::Receipt),
        };
    });
}
