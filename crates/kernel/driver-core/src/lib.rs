//! What a device broker is, and the table in which brokers register.
//!
//! Owns the contract between `device-manager` and the brokers in `drivers/`: a broker is the only code that forms a
//! device's commands, writes an address the device will use, or rings a doorbell; it lets a queue's holder write the first two
//! itself only where `device-manager` says that a domain confines the device. Invariant: this crate never
//! decides ownership, budgets or states (that is `dma-ledger`), and a broker never sees a process, a handle, a page
//! table or the frame allocator: it gets registers, pages of its own, and segments already admitted by the ledger.
#![no_std]
#![allow(unsafe_code)] // the linkme slice expands to a static with a link section

extern crate alloc;

mod broker;
mod pages;
mod settings;
mod table;
// Not in a guest: it panics.
#[cfg(not(target_os = "none"))]
mod trial;

pub use broker::{
    Access, Addressing, Broker, BrokerIo, CommandSlot, Completed, Counts, DirectRing, DirectSpec,
    DmaPath, MAX_READABLE, Mappable, Operation, Poll, QueuePlace, QueueSpec, Segment, Step,
    Transfer, Window, ring,
};
pub use device_ring::Opcode;
pub use dma_ledger::Direction;
/// Growth that can be refused: brokers grow at the account of whoever drives their device.
pub use frames::{Grow, boxed, list};
pub use mmio::{OutOfRegion, Ports, Registers};
pub use pages::{DeviceAddress, DmaPages, PageAddresses, release_to_device};
pub use pci_format::{PciMatch, VirtioRegion, VirtioRegions};
pub use ring_abi::Refusal;
pub use settings::{ConfigRange, NvmeSettings, Settings, VirtioSettings};
pub use table::{DRIVERS, DriverEntry, Probed, TableError, check_table};
#[cfg(not(target_os = "none"))]
pub use trial::operate;
