//! Page lists: which pages a queue's offsets mean.
//!
//! A list is big-endian 64-bit addresses of pages, one after the other; where a queue is bound to it, an "address" in its
//! descriptors is an offset into the pages in the order of the list.

use crate::PAGE_BYTES;

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 8;

/// One entry; `None` where the address is not that of a page.
pub const fn entry(address: u64) -> Option<[u8; ENTRY_BYTES]> {
    match address.is_multiple_of(PAGE_BYTES as u64) {
        true => Some(address.to_be_bytes()),
        false => None,
    }
}

/// The address of an entry; `None` where it is not that of a page.
pub const fn address(entry: [u8; ENTRY_BYTES]) -> Option<u64> {
    let address = u64::from_be_bytes(entry);
    match address.is_multiple_of(PAGE_BYTES as u64) {
        true => Some(address),
        false => None,
    }
}

/// Bytes of a list; `None` where it has no end.
pub const fn list_bytes(pages: u32) -> Option<usize> {
    (pages as usize).checked_mul(ENTRY_BYTES)
}

/// A part of an offset range that lies in one page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Index of the page in its list.
    pub page: u32,
    /// First byte in the page.
    pub from: u32,
    /// Bytes, at least 1.
    pub bytes: u32,
}

/// Cuts `bytes` at `offset` of a list of `pages` into what lies in one page each; `None` where it is empty or not all inside.
pub fn pieces(pages: u32, offset: u64, bytes: u32) -> Option<impl Iterator<Item = Piece>> {
    let all = u64::from(pages) * u64::from(PAGE_BYTES);
    let end = offset.checked_add(u64::from(bytes))?;
    if bytes == 0 || end > all {
        return None;
    }
    let mut at = offset;
    Some(core::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let page = u64::from(PAGE_BYTES);
        let from = at % page;
        let here = (page - from).min(end - at);
        let piece = Piece {
            page: (at / page) as u32,
            from: from as u32,
            bytes: here as u32,
        };
        at += here;
        Some(piece)
    }))
}
