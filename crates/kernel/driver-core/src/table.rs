//! The driver table: entries gathered by the linker, checked once at boot.

use alloc::boxed::Box;
use core::fmt;

use linkme::distributed_slice;
use pci_format::{PciMatch, VirtioRegions};
use ring_abi::Refusal;

use crate::Broker;

/// One driver, as it registers itself:
///
/// ```ignore
/// #[distributed_slice(driver_core::DRIVERS)]
/// static ENTRY: DriverEntry = DriverEntry { name: "nvme", matches: MATCHES, probe };
/// ```
#[derive(Debug)]
pub struct DriverEntry {
    /// The name manifests use.
    pub name: &'static str,
    /// Which functions it drives.
    pub matches: &'static [PciMatch],
    /// Makes a broker for one function that matched.
    pub probe: fn(&Probed) -> Result<Box<dyn Broker>, Refusal>,
}

/// What a probe function is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probed {
    /// PCI vendor.
    pub vendor: u16,
    /// PCI device.
    pub device: u16,
    /// Bytes of each memory BAR, 0 where there is none.
    pub bar_bytes: [u64; 6],
    /// Bytes of each I/O BAR, 0 where there is none.
    pub port_bytes: [u64; 6],
    /// MSI-X vectors. Where there are any, MSI-X is enabled from the claim on, until a provider opens the pin instead.
    pub msix_vectors: u16,
    /// Where a virtio function that can be driven the modern way keeps its registers.
    pub virtio: Option<VirtioRegions>,
}

/// Every driver linked into the kernel, in link order: nothing may depend on that order.
#[distributed_slice]
pub static DRIVERS: [DriverEntry];

/// Why a driver table stops the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableError<'a> {
    /// The manifest lists a driver that is not in the table.
    Missing(&'a str),
    /// The table holds a driver that the manifest does not list.
    Extra(&'a str),
    /// Two entries of one name.
    Duplicate(&'a str),
    /// Two entries would match the same function equally well: their names, and what both match.
    Overlap(&'a str, &'a str, PciMatch),
    /// An entry without any match.
    Empty(&'a str),
}

impl fmt::Display for TableError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(
                f,
                "the manifest lists the driver {name:?}, which is not linked into the kernel"
            ),
            Self::Extra(name) => write!(
                f,
                "the driver {name:?} is linked into the kernel, and the manifest does not list it"
            ),
            Self::Duplicate(name) => write!(f, "the driver {name:?} is there twice"),
            Self::Overlap(first, second, both) => write!(
                f,
                "the drivers {first:?} and {second:?} both match {both}, and nothing decides which one takes it"
            ),
            Self::Empty(name) => write!(f, "the driver {name:?} matches no device at all"),
        }
    }
}

impl core::error::Error for TableError<'_> {}

/// Compares the table with the manifest's list. Order never matters.
///
/// # Errors
/// The first contradiction, in name order.
pub fn check_table<'a>(
    table: &[&'a DriverEntry],
    listed: &[&'a str],
) -> Result<(), TableError<'a>> {
    for (i, entry) in table.iter().enumerate() {
        if entry.matches.is_empty() {
            return Err(TableError::Empty(entry.name));
        }
        if !listed.contains(&entry.name) {
            return Err(TableError::Extra(entry.name));
        }
        for other in table.iter().skip(i + 1) {
            if entry.name == other.name {
                return Err(TableError::Duplicate(entry.name));
            }
            let mut ours = entry.matches.iter();
            let overlap = ours.find(|a| other.matches.iter().any(|b| a.overlaps(b)));
            if let Some(both) = overlap {
                let (first, second) = if entry.name < other.name {
                    (entry.name, other.name)
                } else {
                    (other.name, entry.name)
                };
                return Err(TableError::Overlap(first, second, *both));
            }
        }
    }
    for (i, name) in listed.iter().enumerate() {
        if listed.iter().skip(i + 1).any(|other| other == name) {
            return Err(TableError::Duplicate(name));
        }
        if !table.iter().any(|entry| entry.name == *name) {
            return Err(TableError::Missing(name));
        }
    }
    Ok(())
}
