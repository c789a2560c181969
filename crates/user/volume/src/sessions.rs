//! Who has what open, by the cookies of the facets they hold.

use alloc::vec::Vec;

use ring_abi::Refusal;

/// The most client sessions at a time.
pub const MAX_SESSIONS: usize = 32;
/// The most open directories and files of all sessions together.
pub const MAX_NODES: usize = 512;

/// Marks the cookies made here; those of exports are small numbers without it.
const MINTED: u64 = 1 << 63;

/// An open node and the session it belongs to.
pub struct Open<'a, W, T> {
    /// What it is.
    pub opened: &'a mut T,
    /// The session's window.
    pub window: &'a mut W,
    /// The session, for opening more in it.
    pub session: usize,
}

struct Session<W> {
    window: W,
    nodes: usize,
}

struct Slot<T> {
    /// Counts reuse, so that a cookie of an earlier node never finds a later one.
    generation: u32,
    node: Option<(usize, T)>,
}

/// All sessions. `W` is a client's window, `T` what a facet stands for: each file system has nodes of its own.
pub struct Sessions<W, T> {
    sessions: Vec<Option<Session<W>>>,
    slots: Vec<Slot<T>>,
}

impl<W, T> Default for Sessions<W, T> {
    fn default() -> Self {
        Self {
            sessions: Vec::new(),
            slots: Vec::new(),
        }
    }
}

impl<W, T> Sessions<W, T> {
    /// Starts a session whose window is `window`, with its root directory open. Returns the cookie of that.
    ///
    /// # Errors
    /// [`Refusal::OverBudget`] with the window given back, when there is no room.
    pub fn attach(&mut self, window: W, root: T) -> Result<u64, (W, Refusal)> {
        let idx = match self.sessions.iter().position(Option::is_none) {
            Some(idx) => idx,
            None if self.sessions.len() < MAX_SESSIONS => {
                self.sessions.push(None);
                self.sessions.len() - 1
            }
            None => return Err((window, Refusal::OverBudget)),
        };
        let slot = match self.free_slot() {
            Ok(slot) => slot,
            Err(refusal) => return Err((window, refusal)),
        };
        if let Some(place) = self.sessions.get_mut(idx) {
            *place = Some(Session { window, nodes: 1 });
        }
        Ok(self.fill(slot, idx, root))
    }

    /// Opens a node in a session. Returns its cookie.
    ///
    /// # Errors
    /// [`Refusal::OverBudget`] when there is no room, [`Refusal::Stale`] when the session is gone.
    pub fn open(&mut self, session: usize, opened: T) -> Result<u64, Refusal> {
        let slot = self.free_slot()?;
        let place = self
            .sessions
            .get_mut(session)
            .and_then(Option::as_mut)
            .ok_or(Refusal::Stale)?;
        place.nodes += 1;
        Ok(self.fill(slot, session, opened))
    }

    /// Everything that is open.
    pub fn opened(&self) -> impl Iterator<Item = &T> {
        let nodes = self.slots.iter().filter_map(|slot| slot.node.as_ref());
        nodes.map(|(_, opened)| opened)
    }

    /// Whether one more can be opened.
    pub fn has_room(&mut self) -> bool {
        self.free_slot().is_ok()
    }

    /// Finds a free slot, or makes one.
    fn free_slot(&mut self) -> Result<usize, Refusal> {
        let is_free = |s: &Slot<T>| s.node.is_none() && s.generation < u32::MAX >> 1;
        if let Some(idx) = self.slots.iter().position(is_free) {
            return Ok(idx);
        }
        if self.slots.len() >= MAX_NODES {
            return Err(Refusal::OverBudget);
        }
        self.slots.push(Slot {
            generation: 0,
            node: None,
        });
        Ok(self.slots.len() - 1)
    }

    /// Puts a node into a free slot and makes its cookie.
    fn fill(&mut self, idx: usize, session: usize, opened: T) -> u64 {
        let Some(slot) = self.slots.get_mut(idx) else {
            return MINTED;
        };
        slot.generation += 1;
        slot.node = Some((session, opened));
        MINTED | u64::from(slot.generation) << 32 | idx as u64
    }

    /// Finds what a cookie stands for.
    ///
    /// # Errors
    /// [`Refusal::Stale`] when it stands for nothing.
    pub fn get(&mut self, cookie: u64) -> Result<Open<'_, W, T>, Refusal> {
        let (session, opened) = self
            .slot(cookie)
            .and_then(|idx| self.slots.get_mut(idx)?.node.as_mut())
            .ok_or(Refusal::Stale)?;
        let session = *session;
        let place = self
            .sessions
            .get_mut(session)
            .and_then(Option::as_mut)
            .ok_or(Refusal::Stale)?;
        Ok(Open {
            opened,
            window: &mut place.window,
            session,
        })
    }

    /// Whether a cookie was made here and stands for something.
    pub fn holds(&self, cookie: u64) -> bool {
        self.slot(cookie).is_some()
    }

    /// Closes what a cookie stands for. Returns the window of its session if that was the last of it.
    pub fn close(&mut self, cookie: u64) -> Option<W> {
        let idx = self.slot(cookie)?;
        let (session, _) = self.slots.get_mut(idx)?.node.take()?;
        let place = self.sessions.get_mut(session)?;
        let entry = place.as_mut()?;
        entry.nodes = entry.nodes.saturating_sub(1);
        if entry.nodes > 0 {
            return None;
        }
        place.take().map(|s| s.window)
    }

    fn slot(&self, cookie: u64) -> Option<usize> {
        if cookie & MINTED == 0 {
            return None;
        }
        let idx = usize::try_from(cookie & 0xffff_ffff).ok()?;
        let generation = u32::try_from(cookie >> 32 & 0x7fff_ffff).ok()?;
        let slot = self.slots.get(idx)?;
        (slot.generation == generation && slot.node.is_some()).then_some(idx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_lives_as_long_as_its_last_node() {
        let mut sessions = Sessions::default();
        let first = sessions.attach('a', "root").unwrap();
        let idx = sessions.get(first).unwrap().session;
        let second = sessions.open(idx, "root").unwrap();
        assert_eq!(sessions.close(first), None);
        assert_eq!(sessions.close(first), None);
        assert!(!sessions.holds(first) && sessions.holds(second));
        assert_eq!(*sessions.get(second).unwrap().window, 'a');
        assert_eq!(sessions.close(second), Some('a'));
        assert!(matches!(sessions.get(second), Err(Refusal::Stale)));
    }

    #[test]
    fn an_old_cookie_never_finds_a_new_node() {
        let mut sessions = Sessions::default();
        let old = sessions.attach((), "root").unwrap();
        sessions.close(old);
        let new = sessions.attach((), "root").unwrap();
        assert_ne!(old, new);
        assert!(sessions.get(old).is_err());
        assert_eq!(sessions.close(old), None);
        assert!(sessions.holds(new));
        assert!(!sessions.holds(0) && !sessions.holds(1) && !sessions.holds(u64::MAX));
    }

    #[test]
    fn sessions_and_nodes_are_bounded() {
        let mut sessions = Sessions::default();
        let first = sessions.attach(0, "root").unwrap();
        for number in 1..MAX_SESSIONS {
            sessions.attach(number, "root").unwrap();
        }
        assert_eq!(sessions.attach(99, "root"), Err((99, Refusal::OverBudget)));
        let idx = sessions.get(first).unwrap().session;
        for _ in MAX_SESSIONS..MAX_NODES {
            sessions.open(idx, "root").unwrap();
        }
        assert_eq!(sessions.open(idx, "root"), Err(Refusal::OverBudget));
        sessions.close(first);
        assert!(sessions.open(idx, "root").is_ok());
    }
}
