//! Google's virtual NIC (gVNIC) as an executable model: strict towards its driver, and faulty on demand.
//!
//! Invariant: it never uses a number of the driver before it was compared, and never leaves a mistake untold. A fault is told, too, when
//! it happens. A format of queues that the model does not offer it does not name in its descriptor, and refuses.
//!
//! Owns: a [`Gve`], which `vfio-user` serves to QEMU as a PCI function: its registers, its admin queue, queues (GQI with
//! page lists, or DQO with or without them), several of them, checksums, segmentation, interrupts with their masks. Frames go through a [`Port`]. What a driver may not do is a
//! [violation](Gve::violations): a line that begins with `model.violation`, and a command that fails or a queue that stands still.
//! What the device does wrong itself is asked for: [`Fault`].
//!
//! Source: that of `gve-format`. What a device answers beyond the formats is what the vendor's Linux driver relies on.
#![forbid(unsafe_code)]

mod admin;
mod device;
mod dma;
mod dqo_receive;
mod dqo_transmit;
mod fault;
mod interrupt;
mod judge;
mod offload;
mod port;
mod receive;
mod shape;
mod transmit;

pub use device::Gve;
pub use fault::Fault;
pub use port::{Datagrams, Port};
pub use shape::Shape;
