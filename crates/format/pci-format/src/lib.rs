//! The layout of PCI configuration space, read through a trait.
//!
//! Owns: what the dwords of a function mean: identity ([`FunctionInfo`]), BARs and their sizes ([`BarSet`]), expansion
//! ROMs, bridges and what lies behind them ([`BusNumbers`]), the capability lists, MSI, MSI-X, PCI Express, advanced
//! features and power management structures, the walk over all buses, which dwords a provider may read
//! ([`ConfigFilter`]), what is turned off at boot ([`quiesce()`]), driver match tables ([`PciMatch`]). Sources: PCI Local
//! Bus 3.0 (called PCI below) and PCI Express Base 4.0 (PCIe).
//!
//! Invariant: this crate never touches a port or memory, only [`ConfigAccess`]; it never assigns an address or a bus
//! number, never sets bus mastering on its own account, and never believes a device: every list is bounded, every
//! range checked, and a layout that breaks a rule is refused with a [`ConfigError`] that names the rule and the place.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod access;
mod access_control;
mod advanced;
mod bar;
mod bridge;
mod capability;
mod enumerate;
mod error;
mod extended;
mod filter;
mod function;
mod matching;
mod msi;
mod msix;
mod pcie;
mod power;
mod quiesce;
mod rom;
#[cfg(test)]
mod testing;
mod topology;
mod translation;
mod virtio;

pub use access::{Command, ConfigAccess, Status, read_command, reg, update_command};
pub use access_control::{SEPARATES, SEPARATES_FUNCTIONS, separate};
pub use advanced::{AdvancedFeatures, FunctionReset, read_advanced};
pub use bar::{Bar, BarKind, BarSet, MAX_BARS, MAX_MEMORY_BAR_BYTES, size_bars};
pub use bridge::{Bridge, assert_secondary_reset, read_bridge, release_secondary_reset};
pub use capability::{
    Capability, CapabilityList, MAX_CAPABILITIES, cap_id, read_capabilities, walk_capabilities,
};
pub use enumerate::{Scan, enumerate};
pub use error::{ConfigError, Rule};
pub use extended::{ExtendedCapability, ExtendedList, MAX_EXTENDED, ext_cap_id, read_extended};
pub use filter::ConfigFilter;
pub use function::{FunctionInfo, HeaderKind, read_function};
pub use matching::{ClassMatch, PciMatch, best_match};
pub use msi::{Msi, read_msi};
pub use msix::{MSIX_ENTRY_BYTES, Msix, MsixRegion, msix_entry, read_msix};
pub use pcie::{FLR_WAIT, Pcie, read_pcie};
pub use power::{Power, PowerState, read_power};
pub use quiesce::{QuiesceReport, Quieted, quiesce};
pub use rom::{ExpansionRom, size_rom};
pub use topology::{BridgeFault, BusNumbers, ambiguous, follow};
pub use translation::{Translating, turn_translation_off};
pub use virtio::{VIRTIO_COMMON_BYTES, VIRTIO_VENDOR, VirtioRegion, VirtioRegions, read_virtio};
