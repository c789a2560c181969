//! A ring of bytes.

/// Bytes in the order in which they came, at most `N`.
pub(crate) struct Bytes<const N: usize> {
    place: [u8; N],
    first: usize,
    len: usize,
}

impl<const N: usize> Bytes<N> {
    pub(crate) const fn new() -> Self {
        Self {
            place: [0; N],
            first: 0,
            len: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) const fn room(&self) -> usize {
        N.saturating_sub(self.len)
    }

    /// Appends a byte; one for which there is no room is lost, so callers look first.
    pub(crate) fn put(&mut self, byte: u8) {
        let at = self.first.wrapping_add(self.len) % N;
        if self.room() > 0
            && let Some(place) = self.place.get_mut(at)
        {
            *place = byte;
            self.len += 1;
        }
    }

    pub(crate) fn take(&mut self) -> Option<u8> {
        if self.len == 0 {
            return None;
        }
        let byte = self.place.get(self.first % N).copied();
        self.first = (self.first + 1) % N;
        self.len -= 1;
        byte
    }
}
