//! PRP entries and lists: what a device reads out of them is exactly what was asked for, in order, and nothing beside it.

use std::collections::BTreeMap;

use nvme_format::prp::{self, ListMemory, Piece, Prp, PrpError};

use crate::source::Source;

/// A segment of a transfer: bytes from an offset on, over pages of a buffer.
#[derive(Clone, Debug)]
pub struct Segment {
    offset: u32,
    length: u32,
    /// Addresses of the buffer's pages, in order.
    pages: Vec<u64>,
}

/// Memory for a list: pages that are no neighbours, of which some bytes belong to the list.
struct List<const PAGE: usize> {
    pages: u64,
    bytes: usize,
    stored: BTreeMap<u64, u64>,
    first: usize,
}

impl<const PAGE: usize> List<PAGE> {
    fn address(&self, offset: usize) -> u64 {
        let page = (offset / PAGE) as u64;
        (0x1000 + self.pages * 16 - page * 3) * PAGE as u64
    }
}

impl<const PAGE: usize> ListMemory for List<PAGE> {
    fn page_address(&self, offset: usize) -> Option<u64> {
        (offset < self.bytes).then(|| self.address(offset))
    }

    fn store(&mut self, offset: usize, entry: u64) -> bool {
        let is_inside = offset < self.bytes;
        if is_inside {
            assert!(offset >= self.first, "written in front of the list");
            let at = self.address(offset) + (offset % PAGE) as u64;
            assert_eq!(
                self.stored.insert(at, entry),
                None,
                "an entry was written twice"
            );
        }
        is_inside
    }
}

/// What a device reads: every byte's address, in order (NVMe Base 1.4, section 4.3). It believes nothing but the command and
/// the list.
fn device<const PAGE: usize>(prp: Prp, list: &List<PAGE>) -> Vec<u64> {
    let page = PAGE as u64;
    let mut bytes = Vec::new();
    let mut left = u64::from(prp.bytes);
    let mut take = |address: u64, left: &mut u64| {
        let n = (page - address % page).min(*left);
        bytes.extend(address..address + n);
        *left -= n;
    };
    take(prp.prp1, &mut left);
    if left == 0 {
        assert_eq!(prp.prp2, 0, "PRP2 says nothing that nobody reads");
        return bytes;
    }
    if left <= page {
        assert_eq!(prp.prp2 % page, 0, "PRP2 is a page's beginning");
        take(prp.prp2, &mut left);
        return bytes;
    }
    let mut at = prp.prp2;
    assert_eq!(at % 8, 0);
    while left > 0 {
        let Some(entry) = list.stored.get(&at).copied() else {
            panic!("the device reads an entry that was not written, at {at:#x}");
        };
        assert_eq!(entry % page, 0, "an entry of a list is a page's beginning");
        if at % page == page - 8 && left > page {
            at = entry;
            continue;
        }
        take(entry, &mut left);
        at += 8;
    }
    bytes
}

/// The pieces of some segments, as a broker cuts them.
fn pieces<const PAGE: usize>(segments: &[Segment]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for segment in segments {
        let mut done = 0;
        while done < segment.length {
            let cut = prp::cut_in::<PAGE>(segment.offset, segment.length, done);
            let page = segment.pages[cut.page as usize];
            pieces.push(Piece {
                address: page + u64::from(cut.within),
                bytes: cut.bytes,
            });
            done += cut.bytes;
            assert!(cut.bytes > 0, "cutting ends");
        }
        assert_eq!(done, segment.length);
    }
    pieces
}

/// Every byte that was asked for.
fn asked<const PAGE: usize>(segments: &[Segment]) -> Vec<u64> {
    let byte = |segment: &Segment, at: u32| {
        let at = at as usize;
        segment.pages[at / PAGE] + (at % PAGE) as u64
    };
    let of = |segment: &Segment| -> Vec<u64> {
        (segment.offset..segment.offset + segment.length)
            .map(|at| byte(segment, at))
            .collect()
    };
    segments.iter().flat_map(of).collect()
}

/// Whether PRPs can say it: only the first byte may lie inside a page, and only the last may end in one.
fn can_be_said<const PAGE: usize>(segments: &[Segment]) -> Result<(), PrpError> {
    let page = PAGE as u32;
    if !segments[0].offset.is_multiple_of(4) {
        return Err(PrpError::Misaligned);
    }
    let joins = segments.windows(2).all(|two| {
        (two[0].offset + two[0].length).is_multiple_of(page) && two[1].offset.is_multiple_of(page)
    });
    if joins { Ok(()) } else { Err(PrpError::Gap) }
}

/// Bytes of a list, from its beginning on, for so many pages beside the first.
const fn list_need<const PAGE: usize>(pages: usize, start: usize) -> usize {
    if pages <= 1 {
        return 0;
    }
    let (mut at, mut left) = (start, pages);
    while left > 0 {
        if at % PAGE == PAGE - 8 && left > 1 {
            at += 8;
        }
        at += 8;
        left -= 1;
    }
    at - start
}

/// Builds one transfer, and judges what a device makes of it.
fn judge<const PAGE: usize>(segments: &[Segment], start: usize, memory: usize) {
    let mut list = List::<PAGE> {
        pages: memory.div_ceil(PAGE) as u64,
        bytes: memory,
        stored: BTreeMap::new(),
        first: start,
    };
    let built = prp::build_in::<PAGE, _>(pieces::<PAGE>(segments), &mut list, start);
    let asked = asked::<PAGE>(segments);
    let first = PAGE - segments[0].offset as usize % PAGE;
    let others = asked.len().saturating_sub(first).div_ceil(PAGE);
    let need = list_need::<PAGE>(others, start);
    match can_be_said::<PAGE>(segments) {
        // A list may be full before a gap is found.
        Err(PrpError::Gap) => assert!(
            matches!(built, Err(PrpError::Gap | PrpError::ListFull)),
            "{built:?}"
        ),
        Err(refusal) => assert_eq!(built, Err(refusal)),
        Ok(()) if need > 0 && start + need > memory => assert_eq!(built, Err(PrpError::ListFull)),
        Ok(()) => {
            let Ok(prp) = built else {
                panic!("{built:?} for {segments:?}")
            };
            assert_eq!(device::<PAGE>(prp, &list), asked, "{segments:?} {prp:x?}");
            assert_eq!(prp.bytes as usize, asked.len());
            assert_eq!(
                list.stored.len() * 8,
                need,
                "no more is written than is read"
            );
        }
    }
    let bytes = asked.len() as u32;
    if segments[0].offset.is_multiple_of(4) {
        let room = prp::list_bytes_in::<PAGE>(bytes);
        assert!(
            list_need::<PAGE>(others, 0) <= room,
            "room for {bytes} bytes"
        );
    }
    if let [only] = &pieces::<PAGE>(segments)[..] {
        assert_eq!(
            prp::alone_in::<PAGE>(*only).ok(),
            built.ok().map(|prp| prp.prp1)
        );
    }
}

fn segment<const PAGE: usize>(
    source: &mut dyn Source,
    number: u64,
    offset: u32,
    most: u32,
) -> Segment {
    let length = 1 + source.below(u64::from(most)) as u32;
    let pages = u64::from((offset + length).div_ceil(PAGE as u32));
    // Runs of neighbours, and pages that go down.
    let rising = source.below(2) == 0;
    let page = |at: u64| 0x10_0000 * (number + 1) + if rising { at } else { 2 * (pages - at) };
    Segment {
        offset,
        length,
        pages: (0..pages).map(|at| page(at) * PAGE as u64).collect(),
    }
}

/// One segment, of up to `most` bytes, wherever it begins in its first two pages and wherever its list begins and ends.
pub fn one<const PAGE: usize>(source: &mut dyn Source, most: u32) {
    let offset = source.below(2 * PAGE as u64) as u32;
    let segment = segment::<PAGE>(source, 0, offset, most);
    let start = 8 * source.below(PAGE as u64 / 8) as usize;
    let memory = PAGE * (1 + source.below(5) as usize);
    judge::<PAGE>(&[segment], start, memory);
}

/// Two segments, which join at pages or do not.
pub fn two<const PAGE: usize>(source: &mut dyn Source, most: u32) {
    let offset = 4 * source.below(PAGE as u64 / 4) as u32;
    let first = segment::<PAGE>(source, 0, offset, most);
    let second_offset = source.below(PAGE as u64 + 1) as u32;
    let second = segment::<PAGE>(source, 1, second_offset, most);
    judge::<PAGE>(&[first, second], 0, 8 * PAGE);
}

/// The list of a command's slot, for transfers of up to some length: it holds every list that there can be, and none crosses
/// into the next slot.
pub fn slots<const PAGE: usize>(source: &mut dyn Source, most: u32) {
    let longest = 1 + source.below(u64::from(most)) as u32;
    let stride = prp::list_stride_in::<PAGE>(longest);
    assert!(stride >= prp::list_bytes_in::<PAGE>(longest));
    let bytes = 1 + source.below(u64::from(longest)) as u32;
    let offset = 4 * source.below(PAGE as u64 / 4) as u32;
    let slot = source.below(4) as usize;
    let start = if stride == 0 { 0 } else { slot * stride % PAGE };
    let others = (bytes as usize)
        .saturating_sub(PAGE - offset as usize)
        .div_ceil(PAGE);
    let need = list_need::<PAGE>(others, start);
    assert!(
        need <= stride,
        "{bytes} bytes at {offset} need {need} of {stride}"
    );
}
