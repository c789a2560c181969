//! A mapping of a domain, as whoever made it keeps it.

use domain_ledger::PAGE_BYTES;

/// A mapping, and what its caller holds of it: of which domain, where, which frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept<T> {
    pub(super) at: usize,
    pub(super) iova: u64,
    pub(super) frame: u64,
    pub(super) pages: u64,
    pub(super) value: T,
}

impl<T> Kept<T> {
    pub(super) fn with<U>(self, value: impl FnOnce(T) -> U) -> Kept<U> {
        Kept {
            at: self.at,
            iova: self.iova,
            frame: self.frame,
            pages: self.pages,
            value: value(self.value),
        }
    }

    pub(super) const fn place(&self) -> Kept<()> {
        Kept {
            at: self.at,
            iova: self.iova,
            frame: self.frame,
            pages: self.pages,
            value: (),
        }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = (u64, u64)> + use<T> {
        let (iova, frame) = (self.iova, self.frame);
        (0..self.pages).map(move |page| (iova + page * PAGE_BYTES, frame + page))
    }
}
