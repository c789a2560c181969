//! What VIOT says, as the record keeps it.

use acpi_tables::{PciRange, Viot, ViotNode};
use units::Bdf;

use super::{Discovery, Record, ScopeRecord, ScopeTarget, Unsupported};
use crate::{UnitRecord, UnitStatus, Vendor};

impl Record {
    pub(super) fn keep_viot(&mut self, viot: &Viot<'_>) -> Discovery {
        let mut all = true;
        let mut one_segment = true;
        for (offset, node) in viot.nodes() {
            let function = match node {
                ViotNode::PciUnit(segment, id) => Some(function(segment, id)),
                ViotNode::MmioUnit(_) => None,
                ViotNode::Unknown(_) => {
                    self.unknown += 1;
                    continue;
                }
                ViotNode::PciRange(_) | ViotNode::MmioEndpoint(_) => continue,
            };
            let ranges = viot.nodes().filter_map(|(_, node)| match node {
                ViotNode::PciRange(range) if range.unit == offset => Some(range),
                _ => None,
            });
            let segment = ranges.clone().next().map(|range| range.segments.0);
            one_segment &= { ranges.clone() }.all(|range| {
                range.segments.0 == range.segments.1 && segment == Some(range.segments.0)
            });
            let number = self.add_unit(UnitRecord {
                vendor: Vendor::Virtio { function },
                segment: segment.unwrap_or(0),
                base: 0,
                register_bytes: 0,
                include_all: false,
                status: UnitStatus::Unread,
            });
            all &= number.is_some();
            for range in ranges {
                let target = endpoints(&range);
                all &= self.add_scope(ScopeRecord {
                    unit: number,
                    target,
                });
            }
        }
        match one_segment {
            true => self.outcome(all, true),
            false => Discovery::Unsupported(Unsupported::Segments),
        }
    }

    /// What the unit of a number calls the functions that it serves, as first and last requester id and the first one's endpoint.
    pub fn endpoints(&self, unit: u8) -> impl Iterator<Item = (u16, u16, u32)> + '_ {
        self.scopes
            .iter()
            .filter_map(move |scope| match scope.target {
                ScopeTarget::Endpoints(first, last, endpoint) if scope.unit == Some(unit) => {
                    Some((first, last, endpoint))
                }
                _ => None,
            })
    }

    /// Notes that a unit reserves device addresses for a function, which a domain of its own would have to leave out; `false` where
    /// there is no room to note it.
    #[must_use = "what was not noted is not reserved"]
    pub fn reserve(&mut self, function: Bdf) -> bool {
        self.add_scope(ScopeRecord {
            unit: None,
            target: ScopeTarget::Function(function),
        })
    }
}

fn function(segment: u16, id: u16) -> Bdf {
    Bdf::from_u32(u32::from(segment) << 16 | u32::from(id))
}

const fn endpoints(range: &PciRange) -> ScopeTarget {
    let (first, last) = range.functions;
    ScopeTarget::Endpoints(first, last, range.endpoint)
}
