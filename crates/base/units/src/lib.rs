//! Addresses, page counts, PCI function addresses and times as types.
//!
//! Owns: the newtypes every layer shares ([`PhysAddr`], [`VirtAddr`], [`FrameNumber`], [`Bdf`], [`DeviceId`],
//! [`ClassCode`], [`Nanoseconds`]) and the page arithmetic on plain byte counts.
//!
//! Invariant: this crate never touches memory or a device, and holding one of its values never proves that
//! anything exists behind the address: it proves only that the number has a legal shape.
//! Arithmetic never wraps: it either saturates by name or returns `None`.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod addr;
mod pci;
mod time;

pub use addr::{
    AddressError, FrameNumber, PAGE_BYTES, PAGE_SHIFT, PHYS_ADDR_BITS, PhysAddr, VirtAddr,
    page_ceil, page_floor, page_offset, pages_spanned, pages_to_bytes, pages_to_hold,
};
pub use pci::{Bdf, BdfError, ClassCode, DeviceId};
pub use time::Nanoseconds;
