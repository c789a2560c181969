//! What the provider knows of NVMe disks: their shape and their commands.
//!
//! Owns: which namespace data make which [`Geometry`], and the commands of a disk ([`Nvm`]). Invariant: it never calls
//! anything, and never sees an address.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

use alloc::format;
use alloc::string::String;

use nvme_format::identify::{Controller, Namespace};
use nvme_format::{MAX_TRANSFER_BYTES, PAGE_BYTES, Status};
use provider_core::block::{Commands, Geometry};

/// The longest requests to make zeros, which a device may do by writing them, and to discard: others wait behind them.
const ZERO_BYTES: u32 = 32 << 20;
const DISCARD_BYTES: u32 = 1 << 30;

/// The commands of one namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nvm {
    /// Namespace identifier, as a queue's ring has room for it.
    pub nsid: u16,
}

impl Commands for Nvm {
    fn unit(&self) -> u16 {
        self.nsid
    }

    fn block(&self, block: u64) -> Option<u64> {
        Some(block)
    }

    fn is_success(&self, status: u16) -> bool {
        Status::from_field(status).is_success()
    }

    fn is_final(&self, status: u16) -> bool {
        let status = Status::from_field(status);
        let may_pass = match (status.kind(), status.code()) {
            // Data transfer error, internal error (4.6.1.2.1). A namespace that is not ready (0x82) is not so for long enough
            // that what follows at once is refused as well: the client is told, who can wait.
            (0, 0x04 | 0x06) => true,
            // Of the media: where the device tried all that it can, it says so by DNR.
            (kind, _) => kind == 2,
        };
        status.do_not_retry() || !may_pass
    }
}

/// The disk that controller and namespace make.
pub fn geometry(controller: &Controller, namespace: &Namespace) -> Geometry {
    // The broker runs controllers with a least page of 4 KiB only, so CAP.MPSMIN is 0.
    let bytes = controller.max_transfer_bytes(0, MAX_TRANSFER_BYTES);
    let clear = |taken, bytes: u32| match taken {
        true => bytes >> namespace.block_shift,
        false => 0,
    };
    Geometry {
        // Its count of blocks is of 16 bits.
        zero_blocks: clear(controller.writes_zeroes(), ZERO_BYTES).min(65_536),
        discard_blocks: clear(controller.discards(), DISCARD_BYTES),
        blocks: namespace.blocks,
        block_shift: namespace.block_shift,
        command_blocks: (bytes >> namespace.block_shift).clamp(1, 65_536),
        read_only: namespace.write_protected,
        write_cache: controller.has_write_cache(),
    }
}

/// Entries of the list of one command in direct mode: pages after its first, so at least 1 MiB.
pub const LIST_ENTRIES: usize = 256;

/// The most bytes of one command in direct mode, wherever in a page they begin.
pub const LIST_MOST_BYTES: u32 = LIST_ENTRIES as u32 * PAGE_BYTES;

/// What follows the first entry of a command's pages (NVMe 1.4, 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prps {
    /// The second field: 0, the second page, or where the list lies.
    pub second: u64,
    first_page: u64,
    listed: u64,
}

impl Prps {
    /// What is to stand in the list.
    pub fn entries(self) -> impl Iterator<Item = u64> {
        (1..=self.listed).map(move |page| self.first_page + page * u64::from(PAGE_BYTES))
    }
}

/// The pages of `length` bytes at `at`, all of which follow one another; `list` is where a list may lie. `None` for what no
/// command takes, or more pages than a list has room for.
pub fn prps(at: u64, length: u32, list: u64) -> Option<Prps> {
    let page = u64::from(PAGE_BYTES);
    if length == 0 || !at.is_multiple_of(4) {
        return None;
    }
    let in_first = page - at % page;
    let after = u64::from(length).saturating_sub(in_first).div_ceil(page);
    let first_page = at - at % page;
    let (second, listed) = match after {
        0 => (0, 0),
        1 => (first_page + page, 0),
        more if more <= LIST_ENTRIES as u64 => (list, more),
        _ => return None,
    };
    Some(Prps {
        second,
        first_page,
        listed,
    })
}

/// Of the namespaces that a controller lists those after the first `most`, which are not served: the first one, and what is said
/// of them all there.
#[must_use]
pub fn beyond(listed: &[u32], most: usize) -> Option<(u32, String)> {
    let first = *listed.get(most)?;
    let more = listed.len() - most;
    let why = format!("{more} namespaces from this one on are not looked at; the first {most} are");
    Some((first, why))
}

#[cfg(test)]
mod tests {
    #[test]
    fn namespaces_that_are_not_served_are_counted_and_the_first_is_named() {
        let listed: Vec<u32> = (1..=40).collect();
        let why = "8 namespaces from this one on are not looked at; the first 32 are";
        assert_eq!(beyond(&listed, 32), Some((33, String::from(why))));
        assert_eq!(beyond(&listed[..33], 32).map(|(first, _)| first), Some(33));
        assert_eq!(beyond(&listed[..32], 32), None);
        assert_eq!(beyond(&[], 32), None);
    }

    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_command_names_each_page_that_it_touches_and_no_other() {
        const LIST: u64 = 0xdead_0000;
        for at in [0x10_0000u64, 0x10_0004, 0x10_0e00, 0x10_0ffc] {
            for length in [4u32, 512, 4096, 4097, 8192, 8193, 0x8000, LIST_MOST_BYTES] {
                let found = prps(at, length, LIST).unwrap();
                let listed: Vec<u64> = found.entries().collect();
                let mut named = std::vec![at & !0xfff];
                match (found.second, listed.len()) {
                    (0, 0) => {}
                    (LIST, more) => {
                        assert!(more > 1);
                        named.extend(&listed);
                    }
                    (second, 0) => named.push(second),
                    other => panic!("{other:?}"),
                }
                let last = (at + u64::from(length) - 1) >> 12;
                let touched: Vec<u64> = (at >> 12..=last).map(|page| page << 12).collect();
                assert_eq!(named, touched, "{at:#x} {length}");
            }
        }
        assert_eq!(prps(0x1000, 0, LIST), None);
        assert_eq!(prps(0x1002, 512, LIST), None);
        assert_eq!(prps(0x1000, LIST_MOST_BYTES + 4097, LIST), None);
    }

    #[test]
    fn commands_are_the_namespaces() {
        let disk = Nvm { nsid: 3 };
        assert_eq!((disk.unit(), disk.block(7)), (3, Some(7)));
        assert!(disk.is_success(0) && !disk.is_success(0x281));
    }

    #[test]
    fn what_passes_at_once_is_asked_again_and_nothing_else() {
        let disk = Nvm { nsid: 1 };
        let field = |kind: u16, code: u16| kind << 8 | code;
        for (kind, code) in [(0, 0x04), (0, 0x06), (2, 0x81)] {
            let status = field(kind, code);
            assert_eq!(Status::from_field(status).code(), code as u8);
            assert!(!disk.is_final(status), "{kind} {code:#x}");
            // Do not retry.
            assert!(disk.is_final(status | 1 << 14), "{kind} {code:#x}");
        }
        // Invalid field, namespace not ready.
        assert!(disk.is_final(field(0, 0x02)) && disk.is_final(field(0, 0x82)));
    }

    #[test]
    fn commands_are_cut_where_the_controller_or_the_broker_stops() {
        let mut data = [0; 4096];
        data[77] = 5;
        let controller = Controller::parse(&data).unwrap();
        let namespace = Namespace {
            nsid: 3,
            blocks: 10,
            block_shift: 12,
            write_protected: true,
        };
        let disk = geometry(&controller, &namespace);
        assert_eq!(
            (disk.command_blocks, disk.read_only, disk.write_cache),
            (32, true, false)
        );
        data[77] = 0;
        data[525] = 1;
        let controller = Controller::parse(&data).unwrap();
        let namespace = Namespace {
            block_shift: 9,
            write_protected: false,
            ..namespace
        };
        let disk = geometry(&controller, &namespace);
        assert_eq!(
            (disk.command_blocks, disk.read_only, disk.write_cache),
            (8184, false, true)
        );
        assert_eq!((disk.zero_blocks, disk.discard_blocks), (0, 0));
        data[520] = 0b1100;
        let controller = Controller::parse(&data).unwrap();
        let disk = geometry(&controller, &namespace);
        assert_eq!(disk.clear_bytes(), [32 << 20, 1 << 30]);
        let large = Namespace {
            block_shift: 12,
            ..namespace
        };
        let disk = geometry(&controller, &large);
        assert_eq!(disk.clear_bytes(), [32 << 20, 1 << 30]);
    }
}
