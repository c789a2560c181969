//! Descriptors of the invalidation queue (VT-d 4.1, 6.5.2).

use crate::{DomainId, PAGE_BYTES};

/// What the unit is to forget, or to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalidation {
    /// Every context entry (6.5.2.1).
    AllContexts,
    /// The context entry of one function, which had this domain.
    Context {
        /// The domain.
        domain: DomainId,
        /// Requester id.
        source: u16,
    },
    /// That a function's context entry was absent: what a unit with caching mode found so it keeps as domain 0's (6.1).
    AbsentContext(u16),
    /// Every translation (6.5.2.3).
    AllPages,
    /// Every translation of one domain.
    Domain(DomainId),
    /// The translations of 2^`order` pages from an address that is a multiple of their length.
    Pages {
        /// The domain.
        domain: DomainId,
        /// First address.
        iova: u64,
        /// Count, as a power of two.
        order: u8,
    },
    /// Every interrupt entry (6.5.2.7).
    AllInterrupts,
    /// One interrupt entry.
    Interrupt(u16),
    /// When everything before is done, `data` is written to `address`, a multiple of four (6.5.2.8). What comes later
    /// waits for it, and writes of devices that were translated before have reached memory (`FN` and drains below).
    Wait {
        /// Where to, physical.
        address: u64,
        /// What.
        data: u32,
    },
}

const CONTEXT: u64 = 1;
const IOTLB: u64 = 2;
const INTERRUPTS: u64 = 4;
const WAIT: u64 = 5;
/// `DW` and `DR`: writes and reads on their way are done first (6.5.4).
const DRAIN: u64 = 1 << 6 | 1 << 7;
const STATUS_WRITE: u64 = 1 << 5;
const FENCE: u64 = 1 << 6;

impl Invalidation {
    /// Returns both words, the low one first.
    pub const fn words(self) -> [u64; 2] {
        match self {
            Self::AllContexts => [CONTEXT | 1 << 4, 0],
            Self::Context { domain, source } => {
                let domain = (domain.get() as u64) << 16;
                [CONTEXT | 3 << 4 | domain | (source as u64) << 32, 0]
            }
            Self::AbsentContext(source) => [CONTEXT | 3 << 4 | (source as u64) << 32, 0],
            Self::AllPages => [IOTLB | 1 << 4 | DRAIN, 0],
            Self::Domain(domain) => [IOTLB | 2 << 4 | DRAIN | (domain.get() as u64) << 16, 0],
            Self::Pages {
                domain,
                iova,
                order,
            } => {
                let low = IOTLB | 3 << 4 | DRAIN | (domain.get() as u64) << 16;
                // `IH` stays clear: entries that lead to tables are forgotten too.
                [low, iova & !(PAGE_BYTES - 1) | (order & 0x3f) as u64]
            }
            Self::AllInterrupts => [INTERRUPTS, 0],
            Self::Interrupt(index) => [INTERRUPTS | 1 << 4 | (index as u64) << 32, 0],
            Self::Wait { address, data } => [
                WAIT | STATUS_WRITE | FENCE | (data as u64) << 32,
                address & !3,
            ],
        }
    }
}

/// How much of a domain an invalidation for a run of pages reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// A naturally aligned block of 2^`order` pages that holds the run.
    Block {
        /// First address.
        iova: u64,
        /// Count, as a power of two.
        order: u8,
    },
    /// The whole domain.
    Domain,
}

impl Reach {
    /// The smallest block that holds `pages` pages from `iova`, or the domain where the unit's largest mask is smaller.
    pub const fn of(iova: u64, pages: u64, page_mask: Option<u8>) -> Self {
        let (Some(largest), true) = (page_mask, pages > 0) else {
            return Self::Domain;
        };
        let first = iova / PAGE_BYTES;
        let Some(last) = first.checked_add(pages - 1) else {
            return Self::Domain;
        };
        // Two numbers lie in one block of 2^n exactly if they are the same but for their lowest n bits.
        let order = u64::BITS - (first ^ last).leading_zeros();
        if order > largest as u32 || order >= 52 {
            return Self::Domain;
        }
        Self::Block {
            iova: (first >> order << order) * PAGE_BYTES,
            order: order as u8,
        }
    }

    /// Returns the descriptor.
    pub const fn in_domain(self, domain: DomainId) -> Invalidation {
        match self {
            Self::Block { iova, order } => Invalidation::Pages {
                domain,
                iova,
                order,
            },
            Self::Domain => Invalidation::Domain(domain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVEN: DomainId = DomainId::new(7).unwrap();

    #[test]
    fn fields_lie_where_the_specification_has_them() {
        let source = 0x0123;
        let domain = SEVEN;
        let all = [
            (Invalidation::AllContexts, [0x11, 0]),
            (
                Invalidation::Context { domain, source },
                [0x0123_0007_0031, 0],
            ),
            (Invalidation::AbsentContext(source), [0x0123_0000_0031, 0]),
            (Invalidation::AllPages, [0xd2, 0]),
            (Invalidation::Domain(domain), [0x7_00e2, 0]),
            (
                Invalidation::Pages {
                    domain,
                    iova: 0x20_3000,
                    order: 3,
                },
                [0x7_00f2, 0x20_3003],
            ),
            (Invalidation::AllInterrupts, [4, 0]),
            (Invalidation::Interrupt(0x1234), [0x1234_0000_0014, 0]),
            (
                Invalidation::Wait {
                    address: 0x5008,
                    data: 0xdead_beef,
                },
                [0xdead_beef_0000_0065, 0x5008],
            ),
        ];
        for (one, words) in all {
            assert_eq!(one.words(), words, "{one:?}");
        }
    }
}
