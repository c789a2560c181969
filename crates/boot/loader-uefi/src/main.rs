//! The loader UEFI firmware starts, as `EFI/BOOT/BOOTX64.EFI`.
//!
//! Owns the reading of the boot package from the volume it was itself loaded from, the end of boot services, and the
//! translation of the firmware's memory map; everything else is `loader`. Invariant: it never writes to a disk or to a
//! firmware variable, and never starts a kernel after an error.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), no_main)]
#![cfg_attr(not(test), allow(unsafe_code))]

#[cfg(not(test))]
mod cd;
#[cfg(not(test))]
mod files;
#[cfg(not(test))]
mod run;

#[cfg(test)]
fn main() {}
