//! PRP building against a device that walks the result by the rules of section 4.3.

use nvme_format::prp::{ListMemory, Piece, Prp, PrpError, build, list_bytes};
use proptest::prelude::*;
use std::collections::HashMap;

const PAGE: u64 = 4096;

/// List memory in pages that are scattered over the address space.
struct Scattered {
    pages: Vec<u64>,
    words: HashMap<u64, u64>,
}

impl Scattered {
    fn new(pages: usize) -> Self {
        // Descending and far apart, so that an assumption of neighbours would show.
        let pages = (0..pages as u64)
            .map(|i| 0x9_0000_0000 - i * 7 * PAGE)
            .collect();
        Self {
            pages,
            words: HashMap::new(),
        }
    }
}

impl ListMemory for Scattered {
    fn page_address(&self, offset: usize) -> Option<u64> {
        self.pages.get(offset / PAGE as usize).copied()
    }

    fn store(&mut self, offset: usize, entry: u64) -> bool {
        let Some(page) = self.page_address(offset) else {
            return false;
        };
        self.words.insert(page + offset as u64 % PAGE, entry);
        true
    }
}

/// What a device does: it knows the length from the command, and nothing of how the list was made.
fn walk(prp: &Prp, length: u64, words: &HashMap<u64, u64>) -> Vec<Piece> {
    let mut out = Vec::new();
    let first = (PAGE - prp.prp1 % PAGE).min(length);
    out.push(Piece {
        address: prp.prp1,
        bytes: first as u32,
    });
    let mut left = length - first;
    if left == 0 {
        return out;
    }
    if left <= PAGE {
        assert_eq!(prp.prp2 % PAGE, 0);
        out.push(Piece {
            address: prp.prp2,
            bytes: left as u32,
        });
        return out;
    }
    let mut at = prp.prp2;
    assert_eq!(at % 8, 0);
    while left > 0 {
        let entry = words[&at];
        if at % PAGE == PAGE - 8 && left > PAGE {
            assert_eq!(entry % PAGE, 0, "a chained list begins at a page");
            at = entry;
            continue;
        }
        assert_eq!(entry % PAGE, 0);
        let bytes = left.min(PAGE);
        out.push(Piece {
            address: entry,
            bytes: bytes as u32,
        });
        left -= bytes;
        at += 8;
    }
    out
}

/// A transfer of `length` bytes that begins at `offset` in its first page, over pages at odd places.
fn transfer(offset: u64, length: u64, seed: u64) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut left = length;
    let mut offset = offset;
    let mut page = 0;
    while left > 0 {
        let bytes = (PAGE - offset).min(left);
        let address = ((seed.wrapping_add(page * 0x9e37_79b9) & 0xff_ffff) << 12) + offset;
        pieces.push(Piece {
            address,
            bytes: bytes as u32,
        });
        left -= bytes;
        offset = 0;
        page += 1;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn a_device_visits_exactly_the_pieces(
        offset in (0..1024u64).prop_map(|n| n * 4),
        length in prop_oneof![1..20_000u64, 2_000_000..2_200_000u64, 4_100_000..8_500_000u64],
        start in prop_oneof![Just(0u64), 0..512u64, 505..512u64].prop_map(|n| n * 8),
        seed in any::<u64>(),
    ) {
        let pieces = transfer(offset, length, seed);
        let mut list = Scattered::new(8);
        let prp = build(pieces.iter().copied(), &mut list, start as usize).unwrap();
        prop_assert_eq!(u64::from(prp.bytes), length);
        prop_assert_eq!(walk(&prp, length, &list.words), pieces);
    }

    #[test]
    fn the_promised_list_memory_is_enough(offset in 0..1024u64, length in 1..9_000_000u32) {
        struct Exact(usize);
        impl ListMemory for Exact {
            fn page_address(&self, offset: usize) -> Option<u64> {
                (offset < self.0).then_some(0)
            }
            fn store(&mut self, offset: usize, _: u64) -> bool {
                offset + 8 <= self.0
            }
        }
        let pieces = transfer(offset * 4, u64::from(length), 0);
        let mut list = Exact(list_bytes(length));
        prop_assert!(build(pieces, &mut list, 0).is_ok());
    }

    #[test]
    fn any_pieces_give_an_answer(
        raw in proptest::collection::vec((any::<u64>(), any::<u32>()), 0..20),
        start in any::<u16>(),
    ) {
        let pieces = raw.into_iter().map(|(address, bytes)| Piece { address, bytes });
        let _ = build(pieces, &mut Scattered::new(2), usize::from(start));
    }
}

fn refused(pieces: &[(u64, u32)]) -> PrpError {
    let pieces = pieces
        .iter()
        .map(|&(address, bytes)| Piece { address, bytes });
    build(pieces, &mut Scattered::new(1), 0).unwrap_err()
}

#[test]
fn broken_transfers_are_refused_by_name() {
    assert_eq!(refused(&[]), PrpError::Empty);
    assert_eq!(refused(&[(2, 512)]), PrpError::Misaligned);
    assert_eq!(refused(&[(0, 0)]), PrpError::Gap);
    assert_eq!(refused(&[(0xff0, 17)]), PrpError::Gap);
    assert_eq!(
        refused(&[(0, 512), (0x1000, 512)]),
        PrpError::Gap,
        "the first page is not full"
    );
    assert_eq!(
        refused(&[(0, 4096), (0x1200, 512)]),
        PrpError::Gap,
        "the second begins inside its page"
    );
    assert_eq!(refused(&[(0, 4096); 514]), PrpError::ListFull);
}

#[test]
fn short_transfers_need_no_list() {
    let mut none = Scattered::new(0);
    let one = build(
        [Piece {
            address: 0x5004,
            bytes: 4092,
        }],
        &mut none,
        0,
    )
    .unwrap();
    assert_eq!((one.prp1, one.prp2, one.bytes), (0x5004, 0, 4092));
    let pieces = [
        Piece {
            address: 0x5e00,
            bytes: 512,
        },
        Piece {
            address: 0x9000,
            bytes: 512,
        },
    ];
    let two = build(pieces, &mut none, 0).unwrap();
    assert_eq!((two.prp1, two.prp2, two.bytes), (0x5e00, 0x9000, 1024));
    assert!(none.words.is_empty());
}

#[test]
fn a_full_list_page_holds_512_entries_and_the_513th_chains() {
    let mut list = Scattered::new(2);
    let pieces = |n: u64| {
        (0..n).map(|i| Piece {
            address: i * PAGE,
            bytes: 4096,
        })
    };
    build(pieces(513), &mut list, 0).unwrap();
    assert_eq!(list.words.len(), 512);
    let mut list = Scattered::new(2);
    build(pieces(514), &mut list, 0).unwrap();
    assert_eq!(
        list.words.len(),
        514,
        "511 entries, the address of the next page, two entries"
    );
    assert_eq!(list.words[&(list.pages[0] + 4088)], list.pages[1]);
    assert_eq!(list_bytes(513 * 4096), 4096 + 16);
    assert_eq!(list_bytes(8192), 16);
    assert_eq!((list_bytes(4096), list_bytes(0)), (0, 0));
}
