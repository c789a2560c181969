//! The facts that the manager states, and how many of them a holder may bring about: whoever has a device can ask for what
//! states one again and again, and each takes room in the log, and on the serial line, from everybody else's.

use core::fmt;

use evidence::{FactWriter, write_fact};
use sabotage::sabotage;
use units::Bdf;

use crate::Platform;
use crate::job::{Job, Stage};
use crate::turn::Turn;

/// Starts a fact about a function.
pub(crate) fn about<'s>(sink: &'s mut dyn fmt::Write, topic: &str, bdf: Bdf) -> FactWriter<'s> {
    write_fact(sink, topic).stable("function", format_args!("{bdf}"))
}

/// Facts that may come at once, and after how long there may be one more.
const AT_ONCE: u64 = 256;
const ONE_MORE_NS: u64 = 250_000_000;

/// Whether a fact is stated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saying {
    /// It is.
    Aloud,
    /// There were too many of that function.
    Nothing,
}

/// How much may be said of what the holder of one function asks for.
#[derive(Debug)]
pub(crate) struct Voice {
    /// Said and not forgotten since.
    said: u64,
    /// Up to when it was forgotten.
    at_ns: u64,
    unsaid: u64,
}

impl Default for Voice {
    fn default() -> Self {
        Self::new()
    }
}

impl Voice {
    pub(crate) const fn new() -> Self {
        Self {
            said: 0,
            at_ns: 0,
            unsaid: 0,
        }
    }

    /// Whether one more may be said now, and how many were not before it.
    pub(crate) fn ask(&mut self, now_ns: u64) -> (Saying, u64) {
        match self.ask_alone(now_ns) {
            Saying::Aloud => (Saying::Aloud, core::mem::take(&mut self.unsaid)),
            Saying::Nothing => (Saying::Nothing, 0),
        }
    }

    /// Whether one more may be said now; how many were not before it is still to be told.
    fn ask_alone(&mut self, now_ns: u64) -> Saying {
        if self.is_hoarse(now_ns) {
            self.unsaid += 1;
            return Saying::Nothing;
        }
        self.said += 1;
        Saying::Aloud
    }

    /// Whether nothing may be said now.
    fn is_hoarse(&mut self, now_ns: u64) -> bool {
        let more = now_ns.saturating_sub(self.at_ns) / ONE_MORE_NS;
        self.at_ns += more * ONE_MORE_NS;
        self.said = self.said.saturating_sub(more);
        self.said >= AT_ONCE && !sabotage!(STATE_WITHOUT_END)
    }

    /// When it may be told how many were not said, where some were not.
    pub(crate) fn tells_at_ns(&self) -> Option<u64> {
        (self.unsaid > 0).then(|| self.at_ns.saturating_add(ONE_MORE_NS))
    }

    /// How many were not said, where that may be told now; told so, it takes the place of one.
    fn take_unsaid(&mut self, now_ns: u64) -> Option<u64> {
        if self.unsaid == 0 || self.is_hoarse(now_ns) {
            return None;
        }
        self.said += 1;
        Some(core::mem::take(&mut self.unsaid))
    }
}

impl<P: Platform> Turn<'_, P> {
    /// Whether one more fact may be stated of what the holder of this function asks for. Says how many were not.
    pub(crate) fn may_say(&mut self) -> Saying {
        let now_ns = self.at.machine.platform.now_ns();
        let (saying, unsaid) = self.function.voice.ask(now_ns);
        if unsaid > 0 {
            self.state_unsaid(unsaid);
        }
        self.see_to_unsaid();
        saying
    }

    /// The same of a fact that is stated once the lock is open, out of an interrupt: nothing is stated here, and how many were
    /// not is told later.
    pub(crate) fn may_say_later(&mut self) -> Saying {
        let now_ns = self.at.machine.platform.now_ns();
        let saying = self.function.voice.ask_alone(now_ns);
        self.see_to_unsaid();
        saying
    }

    /// States a fact of what the holder of this function asked for.
    pub(crate) fn say(&mut self, write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) {
        if self.may_say() == Saying::Aloud {
            self.at.machine.platform.fact(write);
        }
    }

    /// States a fact that there is once of a function, however much was said of it before.
    pub(crate) fn say_once(&mut self, write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) {
        self.at.machine.platform.fact(write);
        self.see_to_unsaid();
    }

    /// Has it told how many facts were not stated, also where nothing more is stated of the function. What is under way at it
    /// has the timer, and whoever ends that comes by here: the end of a claim with its last fact, and that of an operation in
    /// any case, since many state nothing when they end.
    pub(crate) fn see_to_unsaid(&mut self) {
        let Some(at_ns) = self.function.voice.tells_at_ns() else {
            return;
        };
        let job = self.function.held.as_ref().map(|held| &held.job);
        // After a stuck teardown nothing comes any more.
        if matches!(job, None | Some(Job::Idle | Job::Teardown(Stage::Stuck))) {
            self.effects.arm_if_idle(at_ns);
        }
    }

    /// Tells how many facts were not stated, or waits until that may be told: the function's timer has fired, for nothing else.
    pub(crate) fn tell_unsaid(&mut self) {
        let now_ns = self.at.machine.platform.now_ns();
        match self.function.voice.take_unsaid(now_ns) {
            Some(unsaid) => self.state_unsaid(unsaid),
            None => self.see_to_unsaid(),
        }
    }

    fn state_unsaid(&self, unsaid: u64) {
        self.at.machine.platform.fact(&|sink| {
            about(sink, "device.unsaid", self.at.bdf())
                .volatile("facts", unsaid)
                .end()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, ONE_MORE_NS, Saying, Voice};

    #[test]
    fn so_many_are_said_at_once_and_then_one_at_a_time() {
        let mut voice = Voice::new();
        let start = 1_000_000_000_000;
        for _ in 0..AT_ONCE {
            assert_eq!(voice.ask(start), (Saying::Aloud, 0));
        }
        for _ in 0..7 {
            assert_eq!(voice.ask(start + ONE_MORE_NS / 2).0, Saying::Nothing);
        }
        let later = start + ONE_MORE_NS;
        assert_eq!(voice.ask(later), (Saying::Aloud, 7));
        assert_eq!(voice.ask(later).0, Saying::Nothing);
        // A long silence gives no more than there are at once.
        let much_later = start * 1000;
        let said = (0..10 * AT_ONCE).filter(|_| voice.ask(much_later).0 == Saying::Aloud);
        assert_eq!(said.count() as u64, AT_ONCE);
        // Time that goes back gives none.
        assert_eq!(voice.ask(0).0, Saying::Nothing);
    }

    #[test]
    fn how_many_were_not_said_is_told_once_and_in_the_place_of_one() {
        let mut voice = Voice::new();
        let start = 1_000_000_000_000;
        assert_eq!(voice.tells_at_ns(), None);
        let said = (0..AT_ONCE + 5).filter(|_| voice.ask(start).0 == Saying::Aloud);
        assert_eq!(said.count() as u64, AT_ONCE);
        assert_eq!(voice.take_unsaid(start), None);
        let at = voice.tells_at_ns().unwrap();
        assert_eq!((at, voice.take_unsaid(at - 1)), (start + ONE_MORE_NS, None));
        assert_eq!(voice.take_unsaid(at), Some(5));
        assert_eq!((voice.take_unsaid(at), voice.tells_at_ns()), (None, None));
        assert_eq!(voice.ask(at).0, Saying::Nothing);
        // One that is said alone leaves them to be told.
        let at = at + ONE_MORE_NS;
        assert_eq!(voice.ask_alone(at), Saying::Aloud);
        assert_eq!(voice.ask_alone(at), Saying::Nothing);
        let at = voice.tells_at_ns().unwrap();
        assert_eq!(voice.take_unsaid(at), Some(2));
    }
}
