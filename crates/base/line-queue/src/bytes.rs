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

    /// Appends bytes for which there is room.
    pub(crate) fn put_all(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(..self.room()).unwrap_or(bytes);
        let at = self.first.wrapping_add(self.len) % N;
        // Up to the end of the place, and from its beginning on.
        let (before, after) = bytes.split_at(bytes.len().min(N - at));
        if let Some(place) = self.place.get_mut(at..at + before.len()) {
            place.copy_from_slice(before);
        }
        if let Some(place) = self.place.get_mut(..after.len()) {
            place.copy_from_slice(after);
        }
        self.len += bytes.len();
    }

    /// Takes as many as there are and fit; how many.
    pub(crate) fn take_into(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.len);
        let (before, after) = into
            .get_mut(..count)
            .unwrap_or_default()
            .split_at_mut(count.min(N - self.first));
        if let Some(place) = self.place.get(self.first..self.first + before.len()) {
            before.copy_from_slice(place);
        }
        if let Some(place) = self.place.get(..after.len()) {
            after.copy_from_slice(place);
        }
        self.first = (self.first + count) % N;
        self.len -= count;
        count
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
