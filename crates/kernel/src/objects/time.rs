//! `Timer` and `EntropySource`.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use cap::Epoch;
use cpu::Lock;
use ipc::Pending;
use schema::process::{entropy_source, timer};
use stub::{Answered, Refusal};

use super::{Owed, Served, kernel_object};

/// The monotonic clock.
pub struct Timer {
    epoch: Epoch,
}

impl Timer {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { epoch: Epoch::default() })
    }
}

kernel_object!(Timer, timer);

/// Who sleeps until when; the number parts equal times.
static SLEEPERS: Lock<BTreeMap<(u64, u64), Pending>> = Lock::new(BTreeMap::new());

fn wake_due(_: u64) {
    loop {
        let next = {
            let mut sleepers = SLEEPERS.lock();
            match sleepers.first_key_value() {
                Some(((until, _), _)) if *until <= sched::now_ns() => sleepers.pop_first(),
                _ => None,
            }
        };
        let Some((_, pending)) = next else { return };
        stub::Respond::respond(pending, ());
    }
}

impl<'a> timer::Server<ipc::KernelCall<'a>> for Served<Timer> {
    fn now(&mut self, reply: Owed<'a, timer::call::Now>) -> Answered {
        reply.send(timer::NowReply { ns: sched::now_ns() })
    }

    fn sleep(&mut self, reply: Owed<'a, timer::call::Sleep>, until_ns: u64) -> Answered {
        if until_ns <= sched::now_ns() {
            return reply.send(());
        }
        let (answered, later) = reply.defer();
        {
            let mut sleepers = SLEEPERS.lock();
            // Sleepers that gave up leave when they are due; a caller has no more of them than its ring has slots.
            let mut number = 0;
            while sleepers.contains_key(&(until_ns, number)) {
                number += 1;
            }
            sleepers.insert((until_ns, number), later.into_inner());
        }
        sched::callback_at(until_ns, wake_due, 0);
        answered
    }
}

/// RDRAND, and nothing in its place.
pub struct Entropy {
    epoch: Epoch,
    present: bool,
}

impl Entropy {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { epoch: Epoch::default(), present: cpu::features().rdrand })
    }
}

kernel_object!(Entropy, entropy_source);

fn word() -> Option<u64> {
    // Ten tries, as the vendor recommends (Intel SDM vol. 1, 7.3.17.1).
    (0..10).find_map(|_| cpu::random_word())
}

impl<'a> entropy_source::Server<ipc::KernelCall<'a>> for Served<Entropy> {
    fn fill(&mut self, reply: Owed<'a, entropy_source::call::Fill>) -> Answered {
        if !self.0.present {
            return reply.refuse(Refusal::NotSupported);
        }
        match (word(), word(), word(), word()) {
            (Some(a), Some(b), Some(c), Some(d)) => {
                reply.send(entropy_source::FillReply { a, b, c, d })
            }
            _ => reply.refuse(Refusal::NotSupported),
        }
    }
}
