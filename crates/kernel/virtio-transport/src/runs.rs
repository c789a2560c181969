//! Segments as contiguous runs of device addresses.

use driver_core::{DeviceAddress, PageAddresses, Segment};

const PAGE: u64 = dma_ledger::PAGE_BYTES;

/// A piece of memory that one descriptor describes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Run {
    pub(crate) address: DeviceAddress,
    pub(crate) length: u32,
}

/// The runs of one segment, in order, none longer than a given length. Ends early where the segment has too few pages.
pub(crate) struct Runs<'a> {
    pages: &'a PageAddresses,
    at: u64,
    left: u32,
    longest: u32,
}

impl<'a> Runs<'a> {
    pub(crate) const fn new(segment: &Segment<'a>, longest: u32) -> Self {
        Self {
            pages: segment.pages,
            at: segment.offset as u64,
            left: segment.length,
            longest,
        }
    }

    fn page(&self, index: u64) -> Option<DeviceAddress> {
        self.pages.get(usize::try_from(index).ok()?).copied()
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let most = u64::from(self.left.min(self.longest));
        if most == 0 {
            return None;
        }
        let (page, within) = (self.at / PAGE, self.at % PAGE);
        let first = self.page(page)?;
        let mut length = PAGE - within;
        let mut next = page + 1;
        while length < most && self.page(next) == Some(first.offset((next - page) * PAGE)) {
            length += PAGE;
            next += 1;
        }
        let length = length.min(most) as u32;
        self.at += u64::from(length);
        self.left -= length;
        Some(Run {
            address: first.offset(within),
            length,
        })
    }
}

/// How many pages a segment reaches.
pub(crate) const fn pages(segment: &Segment<'_>) -> u64 {
    let within = segment.offset as u64 % PAGE;
    (within + segment.length as u64).div_ceil(PAGE)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use driver_core::Direction;
    use std::vec::Vec;

    fn runs(pages: &[u64], offset: u32, length: u32, longest: u32) -> Vec<(u64, u32)> {
        let pages = PageAddresses::of(pages.iter().copied().map(DeviceAddress::new)).unwrap();
        let segment = Segment {
            pages: &pages,
            offset,
            length,
            direction: Direction::ToDevice,
        };
        Runs::new(&segment, longest)
            .map(|run| (run.address.bus(), run.length))
            .collect()
    }

    #[test]
    fn neighbours_join_and_gaps_split() {
        let pages = [0x10000, 0x11000, 0x30000, 0x31000, 0x20000];
        assert_eq!(runs(&pages, 0, 100, u32::MAX), [(0x10000, 100)]);
        assert_eq!(
            runs(&pages, 0, 0x5000, u32::MAX),
            [(0x10000, 0x2000), (0x30000, 0x2000), (0x20000, 0x1000)]
        );
        assert_eq!(
            runs(&pages, 0xfff, 0x1002, u32::MAX),
            [(0x10fff, 0x1001), (0x30000, 1)]
        );
        assert_eq!(runs(&pages, 0x2010, 16, u32::MAX), [(0x30010, 16)]);
    }

    #[test]
    fn a_page_counts_however_little_of_it_is_reached() {
        let all = PageAddresses::of([]).unwrap();
        let count = |offset, length| {
            pages(&Segment {
                pages: &all,
                offset,
                length,
                direction: Direction::ToDevice,
            })
        };
        assert_eq!(
            [count(0, 0), count(0, 4096), count(1, 4096), count(4095, 2)],
            [0, 1, 2, 2]
        );
        assert_eq!(count(4095, u32::MAX), (1 << 20) + 1);
    }

    #[test]
    fn a_limit_cuts_runs() {
        let pages = [0x10000, 0x11000];
        assert_eq!(
            runs(&pages, 512, 2048, 1000),
            [(0x10200, 1000), (0x105e8, 1000), (0x109d0, 48)]
        );
        assert_eq!(runs(&pages, 0, 10, 0), []);
    }

    #[test]
    fn a_segment_past_its_pages_ends_early() {
        assert_eq!(runs(&[0x10000], 0, 0x2000, u32::MAX), [(0x10000, 0x1000)]);
        assert_eq!(runs(&[0x10000], 0x1000, 1, u32::MAX), []);
        assert_eq!(runs(&[], u32::MAX, u32::MAX, u32::MAX), []);
    }
}
