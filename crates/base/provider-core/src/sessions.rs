//! The sessions of clients: each has a window of its own, and ends only when nothing of it is in flight any more.

use alloc::vec::Vec;

use ring_abi::Refusal;

/// The most sessions at a time.
pub const MAX_SESSIONS: usize = 64;

const INDEX_BITS: u32 = 8;

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
