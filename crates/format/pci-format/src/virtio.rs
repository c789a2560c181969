//! Where a virtio function keeps its registers, as its vendor capabilities say (Virtio 1.2, 4.1.4).
//!
//! There may be several structures of one kind; the first that can be used counts (4.1.4.1). One that breaks a rule cannot
//! be used, and is passed over as if it were not there.

use crate::{BarSet, Capability, CapabilityList, ConfigAccess, Msix, cap_id};
use units::Bdf;

/// Vendor id of every virtio function.
pub const VIRTIO_VENDOR: u16 = 0x1af4;

const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const ISR: u8 = 3;
const DEVICE: u8 = 4;

/// Bytes of a structure, and of the one with the notification multiplier behind it.
const STRUCTURE_BYTES: u8 = 16;
const NOTIFY_STRUCTURE_BYTES: u8 = 20;

/// Bytes of the common configuration up to `queue_device` (Virtio 1.2, 4.1.4.3).
pub const VIRTIO_COMMON_BYTES: u64 = 56;

/// A range inside an assigned memory BAR.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VirtioRegion {
    /// Slot of the BAR.
    pub bar: u8,
    /// First byte.
    pub offset: u64,
    /// Bytes, at least one.
    pub length_bytes: u64,
}

impl VirtioRegion {
    fn overlaps(&self, other: &Self) -> bool {
        self.bar == other.bar
            && self.offset < other.offset + other.length_bytes
            && other.offset < self.offset + self.length_bytes
    }
}

/// The structures of a function that can be driven the modern way. No two lie on one another, and none on the MSI-X table
/// or its pending bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VirtioRegions {
    /// Common configuration, at least [`VIRTIO_COMMON_BYTES`].
    pub common: VirtioRegion,
    /// Notification area.
    pub notify: VirtioRegion,
    /// Bytes between the notification addresses of two queues; 0 where all share one.
    pub notify_multiplier: u32,
    /// The ISR byte. Reading it clears it.
    pub isr: VirtioRegion,
    /// Device-specific configuration, where the device has one.
    pub device: Option<VirtioRegion>,
}

/// Reads the structures; `None` where one that must be there is missing or cannot be used. Structures in I/O BARs cannot.
pub fn read_virtio<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
    list: &CapabilityList,
    bars: &BarSet,
    msix: Option<&Msix>,
) -> Option<VirtioRegions> {
    let mut common: Option<VirtioRegion> = None;
    let mut notify = None;
    let mut isr = None;
    let mut device = None;
    let mut multiplier = 0;
    for one in list
        .as_slice()
        .iter()
        .filter(|one| one.id == cap_id::VENDOR)
    {
        let Some((kind, region)) = read_structure(cfg, bdf, *one, bars) else {
            continue;
        };
        let place = match kind {
            COMMON => &mut common,
            NOTIFY => &mut notify,
            ISR => &mut isr,
            _ => &mut device,
        };
        if place.is_some() {
            continue;
        }
        let touched =
            msix.is_some_and(|msix| msix.touches(region.bar, region.offset, region.length_bytes));
        let others = [common, notify, isr, device];
        if touched || others.iter().flatten().any(|other| other.overlaps(&region)) {
            continue;
        }
        match kind {
            COMMON => common = Some(region),
            NOTIFY => {
                multiplier = cfg.read32(bdf, u16::from(one.offset) + 16);
                notify = Some(region);
            }
            ISR => isr = Some(region),
            _ => device = Some(region),
        }
    }
    Some(VirtioRegions {
        common: common?,
        notify: notify?,
        notify_multiplier: multiplier,
        isr: isr?,
        device,
    })
}

/// Reads one structure; `None` for one of another kind or one that breaks a rule.
fn read_structure<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
    found: Capability,
    bars: &BarSet,
) -> Option<(u8, VirtioRegion)> {
    let at = found.at_least(STRUCTURE_BYTES.into()).ok()?;
    let [_, _, length, kind] = cfg.read32(bdf, at).to_le_bytes();
    let (needed, least, align) = match kind {
        COMMON => (STRUCTURE_BYTES, VIRTIO_COMMON_BYTES, 4),
        NOTIFY => (NOTIFY_STRUCTURE_BYTES, 2, 2),
        ISR => (STRUCTURE_BYTES, 1, 1),
        DEVICE => (STRUCTURE_BYTES, 1, 4),
        _ => return None,
    };
    if length < needed {
        return None;
    }
    found.at_least(needed.into()).ok()?;
    let bar = cfg.read8(bdf, at + 4);
    let offset = u64::from(cfg.read32(bdf, at + 8));
    let length_bytes = u64::from(cfg.read32(bdf, at + 12));
    let decoded = bars.get(bar).filter(|bar| bar.is_memory())?;
    if length_bytes < least || !offset.is_multiple_of(align) {
        return None;
    }
    decoded.subregion(offset, length_bytes).ok()?;
    let region = VirtioRegion {
        bar,
        offset,
        length_bytes,
    };
    Some((kind, region))
}

#[cfg(test)]
mod tests;
