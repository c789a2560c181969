//! The files of a medium.

use std::collections::BTreeMap;

/// Files by path without the leading slash. The order is that of the paths, so the same files give the same medium.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Where UEFI firmware looks on a medium it knows nothing about.
pub const UEFI_PATH: &str = "EFI/BOOT/BOOTX64.EFI";
