//! The lines that were entered.

/// The last `COUNT` lines of at most `N` bytes.
#[derive(Clone)]
pub(crate) struct History<const N: usize, const COUNT: usize> {
    lines: [[u8; N]; COUNT],
    lens: [usize; COUNT],
    /// Slot of the next line.
    next: usize,
    count: usize,
}

impl<const N: usize, const COUNT: usize> History<N, COUNT> {
    pub(crate) const fn new() -> Self {
        Self {
            lines: [[0; N]; COUNT],
            lens: [0; COUNT],
            next: 0,
            count: 0,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Returns a line by its age: 1 is the latest.
    pub(crate) fn get(&self, age: usize) -> Option<&str> {
        if age == 0 || age > self.count {
            return None;
        }
        let slot = (self.next + COUNT - age) % COUNT;
        let bytes = self.lines.get(slot)?.get(..*self.lens.get(slot)?)?;
        core::str::from_utf8(bytes).ok()
    }

    /// Keeps `line` unless it is blank or the same as the latest; the oldest makes room.
    pub(crate) fn push(&mut self, line: &str) {
        if line.trim().is_empty() || self.get(1) == Some(line) {
            return;
        }
        let (Some(room), Some(len)) = (self.lines.get_mut(self.next), self.lens.get_mut(self.next))
        else {
            return;
        };
        let Some(bytes) = room.get_mut(..line.len()) else {
            return;
        };
        bytes.copy_from_slice(line.as_bytes());
        *len = line.len();
        self.next = (self.next + 1) % COUNT;
        self.count = COUNT.min(self.count + 1);
    }
}
