//! Google's virtual NIC (gVNIC) as data: registers, admin commands, what the device says of itself, page lists, and the
//! descriptors of its two families of queues.
//!
//! Owns: the registers and doorbells ([`registers`]), the 64-byte admin command ([`Command`]) and its status
//! ([`Status`]), the device descriptor with its options ([`Descriptor`], [`Formats`]), the page list ([`pages`]), the
//! big-endian descriptors of GQI queues ([`gqi`]) and the little-endian ones of DQO queues ([`dqo`]), and what a provider and the
//! broker of such a device say to each other ([`brokered`]).
//!
//! Both directions are here: what a broker writes a device model reads, and the other way round. Readers are strict: a
//! reserved field that is not zero, or a value that means nothing, is a [`Refusal`].
//!
//! Invariant: this crate never touches a device or memory that one can see, never allocates and never panics, whatever the
//! bytes; a number is not believed to be an address, a length or an index of anything.
//!
//! Source: there is no published specification. The facts are those of the vendor's drivers, which agree: Linux
//! (`drivers/net/ethernet/google/gve`, MIT or GPL: `gve_register.h`, `gve_adminq.h`, `gve_desc.h`, `gve_desc_dqo.h`,
//! `gve_dqo.h`), DPDK (`drivers/net/gve/base`, MIT) and FreeBSD (`sys/dev/gve`, BSD). Names of fields are theirs.
#![no_std]
#![forbid(unsafe_code)]

mod be;
pub mod brokered;
mod command;
mod descriptor;
pub mod dqo;
pub mod gqi;
mod option;
pub mod pages;
mod queue;
mod refusal;
pub mod registers;

pub use command::{
    COMMAND_BYTES, COMMANDS, Command, DRIVER_INFO_BYTES, PTYPE_MAP_BYTES, Parameter, Status, opcode,
};
pub use descriptor::{DESCRIPTOR_BYTES, DESCRIPTOR_VERSION, Descriptor};
pub use option::{DeviceOption, Formats, OPTION_BYTES, Options, feature, option_id};
pub use queue::{CreateRx, CreateTx, QueueFormat, RAW_LIST, Resources, queue_resources};
pub use refusal::Refusal;

/// Vendor and device id on the PCI bus.
pub const ID: (u16, u16) = (0x1ae0, 0x0042);
/// The BAR of the registers, of the MSI-X table, and of the doorbells.
pub const BARS: (u8, u8, u8) = (0, 1, 2);
/// Bytes of a page of a page list, and of the admin queue.
pub const PAGE_BYTES: u32 = 4096;
