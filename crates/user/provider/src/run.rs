//! One thread that waits for calls and for its device at once, through its ring.

use sdk::device::interrupt::call::{Acknowledge, Wait};
use sdk::{Cap, Endpoint, Error, Interface, Interrupt, NEVER, Refusal, Ring, Service, Timer, exit};

use crate::notice::{MAX_SOURCES, Notice};

/// Receives that are out at a time: so many calls can come in with one system call.
const RECEIVES: u16 = 8;

/// Slots of the ring: the receives, and for each source a wait and an acknowledgement, twice: those of before a reset may
/// not have been looked at yet.
const SLOTS: u16 = RECEIVES + 4 * MAX_SOURCES as u16;

/// How long the device may take for a command before it is given up, and with it this process: its successor gets the
/// device back through a reset.
const PATIENCE_NS: u64 = 15_000_000_000;

/// The waits between two looks at a device that raises nothing: they double while nothing is found.
const POLL_LEAST_NS: u64 = 50_000;
const POLL_MOST_NS: u64 = 2_000_000;

/// The `user` values of the ring: a kind, and for a source its number and the run's.
const RECEIVE: u64 = 1;
const WAIT: u64 = 2;
const ACKNOWLEDGE: u64 = 3;
const KIND_BITS: u32 = 8;
const SOURCE_BITS: u32 = 8;

/// What a provider does between two waits.
pub trait Work: Service {
    /// Submits what can be submitted.
    ///
    /// # Errors
    /// `Revoked` and the like: the device is no longer this process's.
    fn submit(&mut self) -> Result<(), Refusal>;

    /// Takes everything that the device has completed.
    ///
    /// # Errors
    /// `Corrupt` when the device contradicts itself, `Revoked` and the like.
    fn complete(&mut self) -> Result<(), Refusal>;

    /// This source was raised; [`Self::complete`] follows.
    ///
    /// # Errors
    /// As [`Self::complete`].
    fn heard(&mut self, source: usize) -> Result<(), Refusal> {
        let _ = source;
        Ok(())
    }

    /// How many more calls can be taken.
    fn room(&self) -> usize;

    /// Commands that the device must complete in finite time.
    fn owed(&self) -> usize;

    /// Whether the device may complete anything at all.
    fn expects(&self) -> bool {
        self.owed() > 0
    }

    /// Commands completed since the start.
    fn completed(&self) -> u64;

    /// The device must be reset and brought up again before anything else.
    fn is_over(&self) -> bool {
        false
    }
}

/// The loop's state over any number of runs: a device that is brought up again gets a new run, while calls keep coming.
pub struct Runner<'a> {
    endpoint: &'a Endpoint,
    timer: &'a Timer,
    ring: Ring,
    /// Receives that are out.
    receives: u16,
    /// The number of the run.
    run: u64,
}

/// What became of the operations that have completed since the last look.
#[derive(Default)]
struct Seen {
    received: u16,
    dispatched: [bool; MAX_SOURCES],
}

impl Seen {
    fn is_dispatched(&self) -> bool {
        self.dispatched.contains(&true)
    }
}

impl<'a> Runner<'a> {
    /// A loop for calls on `endpoint` whose messages have at most `slot_bytes` bytes.
    ///
    /// # Errors
    /// As `Ring::new`.
    pub fn new(endpoint: &'a Endpoint, timer: &'a Timer, slot_bytes: u32) -> Result<Self, Refusal> {
        Ok(Self {
            endpoint,
            timer,
            ring: Ring::new(SLOTS, slot_bytes)?,
            receives: 0,
            run: 0,
        })
    }

    /// Works until the device must be brought up again.
    ///
    /// # Errors
    /// The device or the endpoint was taken away, or the device contradicts itself. A device that does not answer ends
    /// the process.
    pub fn run(&mut self, work: &mut impl Work, notice: &Notice) -> Result<(), Error> {
        if self.run == 0 {
            sdk::name_unused_grants();
        }
        self.run += 1;
        let sources = notice.sources();
        let mut patience = Patience::new(self.timer)?;
        let mut polling = POLL_LEAST_NS;
        let mut dispatched = [true; MAX_SOURCES];
        let mut first = true;
        while !work.is_over() {
            work.submit()?;
            // One completion is worth waking up for, beside those of acknowledgements, which come at once.
            let mut completions = 1;
            for (source, interrupt) in sources.iter().enumerate() {
                if dispatched.get(source) == Some(&true) {
                    if !first {
                        // Everything that was done before the dispatch is answered, so the source may raise again.
                        self.call_acknowledge(interrupt, source)?;
                        completions += 1;
                    }
                    let user = self.user(WAIT, source);
                    self.ring.call::<Wait>(object(interrupt), (), user, NEVER)?;
                }
            }
            first = false;
            // No more calls than there is room for: the others wait in the endpoint's queue.
            while self.receives < RECEIVES && usize::from(self.receives) < work.room() {
                self.ring.receive(object(self.endpoint), RECEIVE)?;
                self.receives += 1;
            }
            let deadline = match notice {
                Notice::Interrupts(_) => patience.deadline(work),
                Notice::Polled if work.expects() => self.timer.now()?.ns.saturating_add(polling),
                Notice::Polled => NEVER,
            };
            self.ring.wait(completions, deadline);
            let seen = self.look(work)?;
            let heard = seen.is_dispatched();
            for (source, _) in seen.dispatched.iter().enumerate().filter(|(_, on)| **on) {
                work.heard(source)?;
            }
            let polled = sources.is_empty() && work.expects();
            if heard || polled || (seen.received == 0 && patience.is_over(self.timer, work)?) {
                let before = work.completed();
                work.complete()?;
                polling = if work.completed() == before {
                    (2 * polling).min(POLL_MOST_NS)
                } else {
                    POLL_LEAST_NS
                };
            }
            if polled && patience.is_over(self.timer, work)? {
                work.complete()?;
            }
            dispatched = seen.dispatched;
        }
        Ok(())
    }

    fn user(&self, kind: u64, source: usize) -> u64 {
        kind | (source as u64) << KIND_BITS | self.run << (KIND_BITS + SOURCE_BITS)
    }

    fn call_acknowledge(&mut self, interrupt: &Interrupt, source: usize) -> Result<(), Refusal> {
        let user = self.user(ACKNOWLEDGE, source);
        self.ring
            .call::<Acknowledge>(object(interrupt), (), user, NEVER)
    }

    /// Takes every completion that is there.
    fn look(&mut self, work: &mut impl Service) -> Result<Seen, Refusal> {
        let mut seen = Seen::default();
        let mine = self.run;
        while let Some(completion) = self.ring.completed() {
            let user = completion.user();
            let kind = user & ((1 << KIND_BITS) - 1);
            let source = user >> KIND_BITS & ((1 << SOURCE_BITS) - 1);
            if kind == RECEIVE {
                seen.received += 1;
                completion.serve(work)?;
                continue;
            }
            if user >> (KIND_BITS + SOURCE_BITS) != mine {
                // Of before the reset: it ended with the route.
                continue;
            }
            if kind == WAIT {
                completion.read::<Wait, _>(|_| ())?;
                let at = usize::try_from(source).unwrap_or(usize::MAX);
                if let Some(dispatched) = seen.dispatched.get_mut(at) {
                    *dispatched = true;
                }
            } else {
                completion.read::<Acknowledge, _>(|()| ())?;
            }
        }
        self.receives -= seen.received;
        Ok(seen)
    }
}

fn object<I: Interface<Cap>>(client: &I) -> &Cap {
    client.object()
}

/// Notices a device that does not answer, without asking for the time at each command.
struct Patience {
    /// The time when it was last asked for.
    now_ns: u64,
    /// Commands completed by then.
    completed: u64,
    /// The queue has been looked at once without an interrupt.
    looked: bool,
}

impl Patience {
    fn new(timer: &Timer) -> Result<Self, Refusal> {
        Ok(Self {
            now_ns: timer.now()?.ns,
            completed: 0,
            looked: false,
        })
    }

    /// When to look again. The time known may be an old one: then the wait ends early, once, and the time is new.
    fn deadline(&self, work: &impl Work) -> u64 {
        if work.owed() == 0 {
            NEVER
        } else {
            self.now_ns.saturating_add(PATIENCE_NS)
        }
    }

    /// Whether the queue should be looked at although nothing was heard of it. Ends the process when that has not
    /// helped the last time.
    fn is_over(&mut self, timer: &Timer, work: &impl Work) -> Result<bool, Refusal> {
        let now_ns = timer.now()?.ns;
        let waited = now_ns >= self.now_ns.saturating_add(PATIENCE_NS);
        if work.owed() == 0 || work.completed() != self.completed {
            *self = Self {
                now_ns,
                completed: work.completed(),
                looked: false,
            };
            return Ok(false);
        }
        if !waited {
            return Ok(false);
        }
        if self.looked {
            exit(
                1,
                format_args!("the device has not answered {} commands", work.owed()),
            );
        }
        *self = Self {
            now_ns,
            completed: work.completed(),
            looked: true,
        };
        Ok(true)
    }
}
