//! `Timer` and `EntropySource`.

use alloc::sync::Arc;

use arrayvec::ArrayVec;
use cap::Epoch;
use cpu::Lock;
use ipc::{Late, Quick, Slot};
use pieces::Tree;
use sabotage::sabotage;
use schema::process::{entropy_source, timer};
use stub::{Answered, Outgoing, Refusal};

use super::served::{self, Owed, Served, kernel_object};

/// The monotonic clock.
pub struct Timer {
    epoch: Epoch,
}

impl Timer {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }

    #[inline]
    fn quick(&self, method: u16, _: &[u64; 4]) -> Option<Quick> {
        (method == timer::method::NOW).then(|| {
            let ns = sched::now_ns();
            Quick::Answer(Outgoing::<Slot>::words(&timer::NowReply { ns }))
        })
    }

    fn finish(&self) {}
}

kernel_object!(Timer, timer, quick);

/// Who sleeps.
type Sleeper = Late<timer::call::Sleep>;

/// Most that a sleeper takes: its place in the list.
const SLEEPER_BYTES: u64 = 2048;

/// Who sleeps until when; the number parts equal times.
#[derive(Debug)]
struct Sleepers {
    list: Tree<(u64, u64), Sleeper>,
    number: u64,
    /// The earliest time a callback is armed for.
    armed: u64,
    /// Where the search for sleepers that gave up goes on.
    swept: (u64, u64),
}

/// Sleepers that are woken in one go.
const WAKES: usize = 8;
/// Sleepers that the end of a process looks at in one go.
const FORGETS: usize = 32;
/// Sleepers at which an addition looks whether they gave up: fewer than half of the list are such ones before long.
const SWEEP: usize = 2;

static SLEEPERS: Lock<Sleepers> = Lock::new(Sleepers {
    list: Tree::new(),
    number: 0,
    armed: sched::NEVER,
    swept: (0, 0),
});

impl Sleepers {
    /// Takes out those that gave up among the next few from `from` on; to be dropped outside of the lock. `false`: there
    /// are no more.
    fn take_ended(&mut self, from: &mut (u64, u64), gone: &mut ArrayVec<Sleeper, FORGETS>) -> bool {
        for _ in 0..FORGETS {
            use core::ops::Bound::{Excluded, Unbounded};
            let next = self.list.first_in((Excluded(*from), Unbounded));
            let Some((key, later)) = next else {
                return false;
            };
            *from = *key;
            if !later.is_live() {
                let _ = self.list.remove(from).map(|one| gone.try_push(one));
            }
        }
        true
    }

    /// Takes out those of the next few that gave up; to be dropped outside of the lock.
    fn sweep(&mut self) -> [Option<Sleeper>; SWEEP] {
        [(); SWEEP].map(|()| {
            use core::ops::Bound::{Excluded, Unbounded};
            let next = self.list.first_in((Excluded(self.swept), Unbounded));
            let Some((key, later)) = next else {
                self.swept = (0, 0);
                return None;
            };
            self.swept = *key;
            if later.is_live() {
                return None;
            }
            self.list.remove(&self.swept)
        })
    }
}

#[expect(clippy::disallowed_methods, reason = "room: made here")]
fn add(until: u64, later: Sleeper) -> Result<(), (Refusal, Sleeper)> {
    let mut sleeper = Some(later);
    let (gone, room, arm) = {
        let mut s = SLEEPERS.lock();
        let gone = s.sweep();
        s.number += 1;
        let key = (until, s.number);
        let room = frames::with_room(SLEEPER_BYTES, || {
            let _ = sleeper.take().map(|later| s.list.insert(key, later));
        });
        let arm = room.is_ok() && until < s.armed;
        if arm {
            s.armed = until;
        }
        (gone, room, arm)
    };
    drop(gone);
    if let (Err(refusal), Some(later)) = (room, sleeper) {
        return Err((refusal, later));
    }
    if arm {
        sched::callback_at(until, wake_due, 0);
    }
    Ok(())
}

/// Forgets who sleeps no more, a few in one go: with a process that has ended goes what its sleepers cost.
pub fn forget_ended() {
    let mut from = (0, 0);
    loop {
        let mut gone = ArrayVec::<Sleeper, FORGETS>::new();
        let more = SLEEPERS.lock().take_ended(&mut from, &mut gone);
        drop(gone);
        if !more {
            break;
        }
        let _ = sched::point();
    }
}

/// Wakes those whose time has come, a few in one go.
fn wake_due(_: u64) {
    let mut left = WAKES;
    loop {
        let next = {
            let mut s = SLEEPERS.lock();
            match s.list.first().map(|(key, _)| *key) {
                Some(key) if key.0 <= sched::now_ns() && left > 0 => s.list.remove(&key),
                Some((until, _)) => {
                    s.armed = until;
                    drop(s);
                    return sched::callback_at(until, wake_due, 0);
                }
                None => {
                    s.armed = sched::NEVER;
                    return;
                }
            }
        };
        left -= 1;
        if let Some(later) = next {
            later.send(());
        }
    }
}

impl<'a> timer::Server<ipc::KernelCall<'a>> for Served<Timer> {
    fn now(&mut self, reply: Owed<'a, timer::call::Now>) -> Answered {
        reply.send(timer::NowReply {
            ns: sched::now_ns(),
        })
    }

    fn sleep(&mut self, reply: Owed<'a, timer::call::Sleep>, until_ns: u64) -> Answered {
        if until_ns <= sched::now_ns() {
            return reply.send(());
        }
        let (answered, later) = reply.defer();
        if let Err((refusal, later)) = add(until_ns, later) {
            later.refuse(refusal);
        }
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
        served::at_boot(Self {
            epoch: Epoch::default(),
            present: cpu::features().rdrand,
        })
    }
}

kernel_object!(Entropy, entropy_source);

fn word() -> Option<u64> {
    // Ten tries, as the vendor recommends (Intel SDM vol. 1, 7.3.17.1).
    (0..10).find_map(|_| cpu::random_word())
}

impl<'a> entropy_source::Server<ipc::KernelCall<'a>> for Served<Entropy> {
    fn fill(&mut self, reply: Owed<'a, entropy_source::call::Fill>) -> Answered {
        if !self.0.present && sabotage!(WEAK_ENTROPY) {
            let a = sched::now_ns();
            return reply.send(entropy_source::FillReply {
                a,
                b: a,
                c: a,
                d: a,
            });
        }
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
