//! The sessions of clients: each has a window of its own, and ends only when nothing of it is in flight any more. Until then
//! nobody else writes to the blocks that it has claimed.

use alloc::vec::Vec;

use ring_abi::Refusal;
use sabotage::sabotage;

/// The most sessions at a time.
pub const MAX_SESSIONS: usize = 64;

const INDEX_BITS: u32 = 8;

/// Blocks of one unit of a device, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    unit: u16,
    first: u64,
    end: u64,
}

impl Range {
    /// `blocks` blocks from `first` on.
    ///
    /// # Errors
    /// `ZeroLength`; `OutOfRange` for what has no end.
    pub fn new(unit: u16, first: u64, blocks: u64) -> Result<Self, Refusal> {
        if blocks == 0 {
            return Err(Refusal::ZeroLength);
        }
        let end = first.checked_add(blocks).ok_or(Refusal::OutOfRange)?;
        Ok(Self { unit, first, end })
    }

    /// The block after the last one.
    pub const fn end(&self) -> u64 {
        self.end
    }

    const fn overlaps(&self, other: &Self) -> bool {
        self.unit == other.unit && self.first < other.end && other.first < self.end
    }
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The session has it.
    Taken,
    /// A session that has ended still has writes in flight there: another try may succeed when one of them is over.
    Later,
}

/// A session; `B` is its buffer.
#[derive(Debug)]
pub struct Session<B> {
    /// What its window lies in.
    pub buffer: B,
    /// Bytes of the window.
    pub window_bytes: u32,
    /// Requests accepted and not yet answered.
    pending: u32,
    /// The client is gone.
    closing: bool,
    /// What it alone may write.
    range: Option<Range>,
}

impl<B> Session<B> {
    /// Whether it may write `blocks` blocks from `first` on.
    pub fn may_write(&self, first: u64, blocks: u64) -> bool {
        let (Some(range), Some(end)) = (self.range, first.checked_add(blocks)) else {
            return sabotage!(BLOCK_WRITE_ANYWHERE);
        };
        (first >= range.first && end <= range.end) || sabotage!(BLOCK_WRITE_ANYWHERE)
    }

    /// As [`Self::may_write`], for blocks that become zeros or are discarded.
    pub fn may_clear(&self, first: u64, blocks: u64) -> bool {
        self.may_write(first, blocks) || sabotage!(BLOCK_CLEAR_ANYWHERE)
    }
}

#[derive(Debug)]
struct Slot<B> {
    generation: u64,
    session: Option<Session<B>>,
}

/// All sessions. A cookie names a slot and its use, and is never given out twice; cookie 0 is the disk itself.
#[derive(Debug)]
pub struct Sessions<B> {
    slots: Vec<Slot<B>>,
}

impl<B> Default for Sessions<B> {
    fn default() -> Self {
        Self { slots: Vec::new() }
    }
}

impl<B> Sessions<B> {
    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.slots.len() < MAX_SESSIONS || self.slots.iter().any(|slot| slot.session.is_none())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.slots
            .iter()
            .filter(|slot| slot.session.is_some())
            .count()
    }

    /// Opens a session and gives its cookie.
    ///
    /// # Errors
    /// The buffer, when there are [`MAX_SESSIONS`].
    pub fn open(&mut self, buffer: B, window_bytes: u32) -> Result<u64, B> {
        let free = self.slots.iter().position(|slot| slot.session.is_none());
        let index = match free {
            Some(index) => index,
            None if self.slots.len() < MAX_SESSIONS => {
                self.slots.push(Slot {
                    generation: 0,
                    session: None,
                });
                self.slots.len() - 1
            }
            None => return Err(buffer),
        };
        let Some(slot) = self.slots.get_mut(index) else {
            return Err(buffer);
        };
        slot.generation += 1;
        slot.session = Some(Session {
            buffer,
            window_bytes,
            pending: 0,
            closing: false,
            range: None,
        });
        Ok(slot.generation << INDEX_BITS | index as u64)
    }

    fn slot(&mut self, cookie: u64) -> Option<&mut Slot<B>> {
        let index = usize::try_from(cookie & ((1 << INDEX_BITS) - 1)).ok()?;
        self.slots
            .get_mut(index)
            .filter(|slot| slot.generation == cookie >> INDEX_BITS)
    }

    /// The session of a cookie, while its client lives.
    ///
    /// # Errors
    /// `Stale` for a session that has ended.
    pub fn get(&mut self, cookie: u64) -> Result<&mut Session<B>, Refusal> {
        self.slot(cookie)
            .and_then(|slot| slot.session.as_mut())
            .filter(|session| !session.closing)
            .ok_or(Refusal::Stale)
    }

    /// Gives blocks to a session to write, and to nobody else.
    ///
    /// # Errors
    /// `Stale`; `Duplicate` where it has some; `Busy` where another session has one of them.
    pub fn claim(&mut self, cookie: u64, range: Range) -> Result<Claim, Refusal> {
        if self.get(cookie)?.range.is_some() {
            return Err(Refusal::Duplicate);
        }
        let mut claim = Claim::Taken;
        for other in self.slots.iter().filter_map(|slot| slot.session.as_ref()) {
            if !other.range.is_some_and(|taken| taken.overlaps(&range)) {
                continue;
            }
            if !other.closing && !sabotage!(BLOCK_SHARE_RANGE) {
                return Err(Refusal::Busy);
            }
            // Also a late write of a client that is gone must not come after this one's.
            claim = match sabotage!(BLOCK_SHARE_RANGE) {
                true => Claim::Taken,
                false => Claim::Later,
            };
        }
        if claim == Claim::Taken {
            self.get(cookie)?.range = Some(range);
        }
        Ok(claim)
    }

    /// A request of this session was accepted.
    pub fn began(&mut self, cookie: u64) {
        if let Some(session) = self.slot(cookie).and_then(|slot| slot.session.as_mut()) {
            session.pending += 1;
        }
    }

    /// A request of this session was answered. Gives the buffer back when that was the last thing the session waited
    /// for: nothing of it is in flight then.
    pub fn ended(&mut self, cookie: u64) -> Option<B> {
        let slot = self.slot(cookie)?;
        let session = slot.session.as_mut()?;
        session.pending = session.pending.saturating_sub(1);
        let over = session.closing && session.pending == 0;
        if over {
            slot.session.take().map(|session| session.buffer)
        } else {
            None
        }
    }

    /// The client is gone. Gives the buffer back at once when nothing is pending.
    pub fn close(&mut self, cookie: u64) -> Option<B> {
        let slot = self.slot(cookie)?;
        let session = slot.session.as_mut()?;
        session.closing = true;
        if session.pending == 0 {
            slot.session.take().map(|session| session.buffer)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_with_its_last_request() {
        let mut sessions = Sessions::default();
        let a = sessions.open('a', 4096).unwrap();
        let b = sessions.open('b', 8192).unwrap();
        assert!(a != 0 && b != 0 && a != b);
        sessions.began(a);
        sessions.began(a);
        assert_eq!(sessions.close(a), None);
        assert_eq!(sessions.get(a).err(), Some(Refusal::Stale));
        assert_eq!(sessions.ended(a), None);
        assert_eq!(sessions.ended(a), Some('a'));
        assert_eq!(sessions.ended(a), None);
        assert_eq!(sessions.get(b).unwrap().window_bytes, 8192);
        assert_eq!(sessions.close(b), Some('b'));
        assert_eq!(sessions.close(b), None);
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn blocks_have_one_writer_until_nothing_of_it_is_in_flight() {
        let range = |first, blocks| Range::new(0, first, blocks).unwrap();
        let mut sessions = Sessions::default();
        let [a, b, c] = ['a', 'b', 'c'].map(|name| sessions.open(name, 4096).unwrap());
        assert!(!sessions.get(a).unwrap().may_write(10, 1));
        assert_eq!(sessions.claim(a, range(10, 10)), Ok(Claim::Taken));
        assert_eq!(sessions.claim(a, range(30, 1)), Err(Refusal::Duplicate));
        for (first, blocks) in [(0, 11), (10, 10), (12, 2), (19, 100), (0, u64::MAX)] {
            assert_eq!(sessions.claim(b, range(first, blocks)), Err(Refusal::Busy));
        }
        // The same numbers of another unit are other blocks.
        assert_eq!(
            sessions.claim(c, Range::new(1, 10, 10).unwrap()),
            Ok(Claim::Taken)
        );
        for (first, blocks, may) in [(10, 10, true), (9, 2, false), (19, 2, false), (15, 0, true)] {
            assert_eq!(sessions.get(a).unwrap().may_write(first, blocks), may);
        }
        assert!(!sessions.get(a).unwrap().may_write(u64::MAX, 2));
        sessions.began(a);
        assert_eq!(sessions.close(a), None);
        assert_eq!(sessions.claim(b, range(19, 2)), Ok(Claim::Later));
        assert!(!sessions.get(b).unwrap().may_write(19, 1));
        assert_eq!(sessions.ended(a), Some('a'));
        assert_eq!(sessions.claim(b, range(19, 2)), Ok(Claim::Taken));
        assert!(sessions.get(b).unwrap().may_write(20, 1));
        assert_eq!(Range::new(0, 1, 0), Err(Refusal::ZeroLength));
        assert_eq!(Range::new(0, u64::MAX, 2), Err(Refusal::OutOfRange));
    }

    #[test]
    fn cookies_are_never_given_out_twice() {
        let mut sessions = Sessions::default();
        let mut seen = std::collections::BTreeSet::from([0]);
        for _ in 0..1000 {
            let cookie = sessions.open((), 1).unwrap();
            assert!(seen.insert(cookie));
            sessions.close(cookie);
            assert!(sessions.get(cookie).is_err());
        }
        for _ in 0..MAX_SESSIONS {
            assert!(sessions.open((), 1).is_ok());
        }
        assert!(!sessions.has_room() && sessions.open((), 1).is_err());
    }
}
