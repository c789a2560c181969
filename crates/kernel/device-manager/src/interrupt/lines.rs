//! Interrupt lines: level-triggered, and shared by whichever functions' pins are wired to them.
//!
//! The I/O APIC entry is masked while the handler looks for who asserts, and no longer: a function that does is silenced
//! at its own INTx disable bit, which every function that can be claimed has, and stays so until its holder acknowledges.
//! So a holder that never does stops nobody else on the line.

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use cpu::Lock;
use frames::Grow;
use ring_abi::Refusal;

use super::give_back;
use super::vectors::{Place, SourceOf, Target, VectorTable};
use crate::facts::Voice;
use crate::{Line, Message, Platform, Raiser, Saying};

/// Routes on one line, at most.
const MAX_USERS: usize = 16;
/// Lines in use, at most; firmware's tables name at most four for each bus.
const MAX_LINES: usize = 64;
/// So often may a line fire in a row with nobody of ours asserting it before it is a storm.
const UNCLAIMED: u32 = 64;
/// How long a line that storms stays masked at a time.
const HELD_NS: u64 = 10_000_000;

/// One line in use.
#[derive(Debug)]
struct Wire {
    line: Line,
    message: Message,
    /// The vector before a move, on which the line may still arrive.
    previous: Option<Place>,
    users: ArrayVec<SourceOf, MAX_USERS>,
    /// How often in a row nobody of ours asserted it.
    unclaimed: u32,
    /// It is masked because of that.
    held: bool,
    fired: u64,
    nobody: u64,
    storms: u64,
}

/// What anybody may know of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineView {
    /// The global interrupt.
    pub gsi: u32,
    /// CPU and vector where it arrives.
    pub cpu: u16,
    /// The vector there.
    pub vector: u8,
    /// Routes that share it.
    pub users: u16,
    /// How often it fired.
    pub fired: u64,
    /// How often none of ours had asserted it.
    pub nobody: u64,
    /// How often it began to storm.
    pub storms: u64,
    /// It is masked because it storms.
    pub held: bool,
}

impl Wire {
    /// Moves the line. Its I/O APIC and its entry are changed while it is masked and nothing of it is on its way.
    fn move_to<P: Platform>(
        &mut self,
        platform: &P,
        vectors: &VectorTable,
        target: Target,
        cpu: u16,
    ) -> Result<(), Refusal> {
        let fresh = platform.allocate_vector(Some(cpu))?;
        let new = fresh.place();
        if !platform.hold_line(self.line.gsi) {
            platform.retire_vector(&fresh);
            return Err(Refusal::Busy);
        }
        vectors.set(new, Some(target));
        let mut old = self.message;
        let moved = match old.entry {
            None => Ok(fresh),
            Some(_) => platform.redirect(&mut old, fresh),
        };
        let moved = moved.and_then(|message| {
            let routed = platform.route_line(&self.line, &message);
            routed.then_some(message).ok_or(Refusal::DeviceError)
        });
        if let Ok(message) = moved {
            self.message = message;
            self.previous = Some(old.place());
            platform.retire_vector(&old);
        } else {
            // Its unit does not answer, or its I/O APIC: neither vector is used again.
            vectors.set(new, None);
        }
        // A level that is asserted by now arrives at the new place.
        if self.held {
            platform.mask_line(self.line.gsi);
        } else {
            platform.unmask_line(self.line.gsi);
        }
        moved.map(drop)
    }
}

/// The lines in use, by index; an index is used again once its line has no users.
#[derive(Debug, Default)]
pub(crate) struct Lines(Lock<Vec<Option<Wire>>>, Lock<Voice>);

impl Lines {
    /// Runs `f` on a line that is in use.
    fn with<T>(&self, line: u32, f: impl FnOnce(&mut Wire) -> T) -> Option<T> {
        let mut all = self.0.lock();
        all.get_mut(line as usize)?.as_mut().map(f)
    }
}

impl Lines {
    /// Adds a user to the line where a pin arrives, and routes the line if it is the first. Gives the line's index and
    /// the message that stands for it.
    pub(super) fn join<P: Platform>(
        &self,
        platform: &P,
        vectors: &VectorTable,
        line: Line,
        user: SourceOf,
    ) -> Result<(u32, Message), Refusal> {
        let mut all = self.0.lock();
        let known = |wire: &Option<Wire>| wire.as_ref().is_some_and(|w| w.line.gsi == line.gsi);
        if let Some(index) = all.iter().position(known)
            && let Some(Some(wire)) = all.get_mut(index)
        {
            let full = wire.users.try_push(user).is_err();
            let joined = (index as u32, wire.message);
            return (!full).then_some(joined).ok_or(Refusal::Exhausted);
        }
        let index = all.iter().position(Option::is_none).unwrap_or(all.len());
        if index >= MAX_LINES {
            return Err(Refusal::Exhausted);
        }
        if index == all.len() {
            all.grow(1)?;
        }
        let message = platform.allocate_vector(None)?;
        let place = message.place();
        vectors.set(place, Some(Target::Line(index as u32)));
        let message = match platform.admit(Raiser::Line(line), message) {
            Ok(admitted) if platform.route_line(&line, &admitted) => admitted,
            other => {
                vectors.set(place, None);
                let refusal = other.as_ref().err().copied();
                give_back(platform, message, other);
                return Err(refusal.unwrap_or(Refusal::NotSupported));
            }
        };
        let wire = Wire {
            line,
            message,
            previous: None,
            users: ArrayVec::from_iter([user]),
            unclaimed: 0,
            held: false,
            fired: 0,
            nobody: 0,
            storms: 0,
        };
        match all.get_mut(index) {
            Some(entry) => *entry = Some(wire),
            None => {
                let added = all.put(Some(wire));
                debug_assert!(added.is_ok(), "there is room for it");
            }
        }
        platform.unmask_line(line.gsi);
        Ok((index as u32, message))
    }

    /// Takes a user away; the last one masks the line.
    pub(super) fn leave<P: Platform>(
        &self,
        platform: &P,
        vectors: &VectorTable,
        line: u32,
        user: SourceOf,
    ) {
        let mut all = self.0.lock();
        let Some(entry) = all.get_mut(line as usize) else {
            return;
        };
        let Some(wire) = entry else { return };
        wire.users.retain(|one| *one != user);
        if !wire.users.is_empty() {
            return;
        }
        platform.mask_line(wire.line.gsi);
        let place = wire.message.place();
        vectors.set(place, None);
        if let Some(previous) = wire.previous {
            vectors.set(previous, None);
        }
        platform.retire_vector(&wire.message);
        *entry = None;
    }

    /// Moves a line, with everybody on it, to another CPU.
    pub(super) fn move_to<P: Platform>(
        &self,
        platform: &P,
        vectors: &VectorTable,
        line: u32,
        cpu: u16,
    ) -> Result<(), Refusal> {
        let moved = self.with(line, |wire| {
            if wire.message.cpu == cpu {
                return Ok(());
            }
            if wire.previous.is_some() {
                return Err(Refusal::Busy);
            }
            wire.move_to(platform, vectors, Target::Line(line), cpu)
        });
        moved.unwrap_or(Err(Refusal::Stale))
    }

    /// The vector of before a move is quiet.
    pub(super) fn settled(&self, line: u32, place: Place) {
        self.with(line, |wire| {
            if wire.previous == Some(place) {
                wire.previous = None;
            }
        });
    }

    /// The vector where a line arrives.
    pub(super) fn message(&self, line: u32) -> Option<Message> {
        self.with(line, |wire| wire.message)
    }

    /// A line fires: it is masked while the handler asks its users, which are given.
    pub(super) fn fired<P: Platform>(
        &self,
        platform: &P,
        line: u32,
    ) -> Option<ArrayVec<SourceOf, MAX_USERS>> {
        self.with(line, |wire| {
            platform.mask_line(wire.line.gsi);
            wire.fired = wire.fired.saturating_add(1);
            wire.users.clone()
        })
    }

    /// Whether it may be said that a line storms: how often each did is in its view in any case. A line has no one holder, and
    /// is made anew for the next, so all of them have one share.
    pub(super) fn may_say(&self, now_ns: u64) -> Saying {
        self.1.lock().ask(now_ns).0
    }

    /// Opens a line after its handler ran, unless it storms. Returns its number when that has just begun.
    pub(super) fn reopen<P: Platform>(&self, platform: &P, line: u32, cause: Cause) -> Option<u32> {
        self.with(line, |wire| reopen(platform, line, wire, cause))?
    }

    /// Opens a line that was masked because it stormed: its timer has fired.
    pub(super) fn poll<P: Platform>(&self, platform: &P, line: u32) {
        self.with(line, |wire| {
            if core::mem::take(&mut wire.held) {
                platform.unmask_line(wire.line.gsi);
            }
        });
    }

    /// Visits every line in use.
    pub(super) fn visit(&self, visit: &mut dyn FnMut(&LineView)) {
        for line in 0..MAX_LINES as u32 {
            let view = self.with(line, |wire| LineView {
                gsi: wire.line.gsi,
                cpu: wire.message.cpu,
                vector: wire.message.vector,
                users: wire.users.len() as u16,
                fired: wire.fired,
                nobody: wire.nobody,
                storms: wire.storms,
                held: wire.held,
            });
            if let Some(view) = view {
                visit(&view);
            }
        }
    }
}

/// Whether one of a line's users had raised it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Found,
    Nobody,
}

fn reopen<P: Platform>(platform: &P, line: u32, wire: &mut Wire, cause: Cause) -> Option<u32> {
    let gsi = wire.line.gsi;
    if cause == Cause::Found {
        (wire.unclaimed, wire.held) = (0, false);
    } else {
        wire.nobody = wire.nobody.saturating_add(1);
        wire.unclaimed = wire.unclaimed.saturating_add(1);
        if wire.unclaimed >= UNCLAIMED {
            wire.held = true;
            let until = platform.now_ns().saturating_add(HELD_NS);
            platform.arm_line(line, until);
            // Once it is one, each single interrupt that nobody claims masks it again.
            let begins = wire.unclaimed == UNCLAIMED;
            wire.storms = wire.storms.saturating_add(u64::from(begins));
            return begins.then_some(gsi);
        }
    }
    platform.unmask_line(gsi);
    None
}
