//! The virtual I/O translation table (VIOT, revision 0): which devices are below which virtio-iommu.

use crate::{Rule, Signature, Table, TableError};
use le::checked;

/// Bytes before the first node may begin.
const FIXED_BYTES: usize = 48;
/// Type, a reserved byte, and the length in 16 bits.
const NODE_HEADER_BYTES: usize = 4;
const RANGE_BYTES: usize = 24;
const UNIT_BYTES: usize = 16;
/// Most nodes that a table may have.
const MAX_NODES: u16 = 256;

/// A range of PCI functions whose requests one unit translates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PciRange {
    /// Segment groups, first and last.
    pub segments: (u16, u16),
    /// Requester ids in each of them, first and last.
    pub functions: (u16, u16),
    /// What the unit calls the first function of the first segment; the others follow, a segment 2^16 after the one before.
    pub endpoint: u32,
    /// Offset of the unit's node.
    pub unit: u16,
}

/// One node of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ViotNode {
    /// Type 1.
    PciRange(PciRange),
    /// Type 2: a device with registers at an address, below the unit whose node has this offset.
    MmioEndpoint(u16),
    /// Type 3: a virtio-iommu that is a PCI function, by segment and requester id.
    PciUnit(u16, u16),
    /// Type 4: a virtio-iommu with registers at this physical address.
    MmioUnit(u64),
    /// A type that this crate does not decode.
    Unknown(u8),
}

impl ViotNode {
    /// Whether it is a unit.
    const fn is_unit(self) -> bool {
        matches!(self, Self::PciUnit(..) | Self::MmioUnit(_))
    }

    /// The node that it names as its unit.
    const fn output(self) -> Option<u16> {
        match self {
            Self::PciRange(range) => Some(range.unit),
            Self::MmioEndpoint(unit) => Some(unit),
            Self::PciUnit(..) | Self::MmioUnit(_) | Self::Unknown(_) => None,
        }
    }
}

impl PciRange {
    fn overlaps(&self, other: &Self) -> bool {
        let meet = |one: (u16, u16), other: (u16, u16)| one.0 <= other.1 && other.0 <= one.1;
        meet(self.segments, other.segments) && meet(self.functions, other.functions)
    }
}

/// A checked VIOT table: every node decodes, and every one that names a unit names one.
#[derive(Clone, Copy, Debug)]
pub struct Viot<'a> {
    bytes: &'a [u8],
    first: u16,
    count: u16,
}

impl<'a> Viot<'a> {
    /// Checks the table and its nodes.
    ///
    /// # Errors
    /// As [`Table::parse`], and
    /// - `EntryLength`: a node shorter than its fixed fields;
    /// - `EntryOverrun`: nodes that begin inside the header or reach past the table;
    /// - `BusRange`: a range of functions or segments that ends before it starts;
    /// - `Field`: a node whose unit is none;
    /// - `Address`: a range whose last endpoint would not have 32 bits; a unit's registers at 0, misaligned or above 52 bits;
    /// - `Overlap`: two ranges that hold one function, two units at one place;
    /// - `TooMany`: over 256 nodes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        let table = Table::parse(bytes, Signature::VIOT)?.at_least(FIXED_BYTES)?;
        let error = |rule| table.error(rule);
        let field = |at| checked::u16(table.bytes(), at).ok_or(error(Rule::Truncated));
        let viot = Self {
            bytes: table.bytes(),
            count: field(36)?,
            first: field(38)?,
        };
        if viot.count > MAX_NODES {
            return Err(error(Rule::TooMany));
        }
        if usize::from(viot.first) < FIXED_BYTES {
            return Err(error(Rule::EntryOverrun));
        }
        let mut at = viot.first;
        for _ in 0..viot.count {
            let (_, after) = node(viot.bytes, at).map_err(error)?;
            at = after;
        }
        viot.compare().map_err(error)?;
        Ok(viot)
    }

    /// Compares each node with the others: nothing is claimed twice, and units are units.
    fn compare(&self) -> Result<(), Rule> {
        for (place, (_, one)) in self.nodes().enumerate() {
            if let Some(unit) = one.output() {
                let named = self.nodes().find(|(at, _)| *at == unit);
                if !named.is_some_and(|(_, node)| node.is_unit()) {
                    return Err(Rule::Field);
                }
            }
            let twice = |other: ViotNode| match (one, other) {
                (ViotNode::PciRange(one), ViotNode::PciRange(other)) => one.overlaps(&other),
                _ => one.is_unit() && one == other,
            };
            if self.nodes().take(place).any(|(_, other)| twice(other)) {
                return Err(Rule::Overlap);
            }
        }
        Ok(())
    }

    /// Visits the nodes in table order, each with its offset.
    pub fn nodes(&self) -> impl Iterator<Item = (u16, ViotNode)> + Clone + 'a {
        let bytes = self.bytes;
        let mut at = self.first;
        // `parse` saw every node decode, so an error here only ends the walk.
        (0..self.count).map_while(move |_| {
            let (decoded, after) = node(bytes, at).ok()?;
            let offset = core::mem::replace(&mut at, after);
            Some((offset, decoded))
        })
    }
}

/// Decodes the node at an offset, and says where the next one begins.
fn node(bytes: &[u8], at: u16) -> Result<(ViotNode, u16), Rule> {
    let start = usize::from(at);
    let over = Rule::EntryOverrun;
    let (Some(kind), Some(length)) = (
        checked::u8(bytes, start),
        checked::u16(bytes, start.saturating_add(2)),
    ) else {
        return Err(over);
    };
    let after = at.checked_add(length).ok_or(over)?;
    let node = bytes.get(start..usize::from(after)).ok_or(over)?;
    let short = Rule::EntryLength;
    let least = match kind {
        1 | 2 => RANGE_BYTES,
        3 | 4 => UNIT_BYTES,
        _ => NODE_HEADER_BYTES,
    };
    if node.len() < least {
        return Err(short);
    }
    let half = |at| checked::u16(node, at).ok_or(short);
    let decoded = match kind {
        1 => ViotNode::PciRange(range(node)?),
        2 => ViotNode::MmioEndpoint(half(16)?),
        3 => ViotNode::PciUnit(half(4)?, half(6)?),
        4 => {
            let base = checked::u64(node, 8).ok_or(short)?;
            if base == 0 || base & 0xfff != 0 || base >> units::PHYS_ADDR_BITS != 0 {
                return Err(Rule::Address);
            }
            ViotNode::MmioUnit(base)
        }
        other => ViotNode::Unknown(other),
    };
    Ok((decoded, after))
}

fn range(node: &[u8]) -> Result<PciRange, Rule> {
    let short = Rule::EntryLength;
    let half = |at| checked::u16(node, at).ok_or(short);
    let range = PciRange {
        endpoint: checked::u32(node, 4).ok_or(short)?,
        segments: (half(8)?, half(10)?),
        functions: (half(12)?, half(14)?),
        unit: half(16)?,
    };
    let ends = |(first, last): (u16, u16)| last.checked_sub(first).ok_or(Rule::BusRange);
    let last = u32::from(ends(range.segments)?) << 16 | u32::from(ends(range.functions)?);
    range.endpoint.checked_add(last).ok_or(Rule::Address)?;
    Ok(range)
}

#[cfg(test)]
mod tests;
