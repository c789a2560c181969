//! What kind of device it is.

use gve_format::Descriptor;
use vfio_user::Way;

use crate::fault::Fault;

/// What a device offers, and what it does wrong.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Pairs of queues at most.
    pub pairs: u16,
    /// The MAC address.
    pub mac: [u8; 6],
    /// The largest payload.
    pub mtu: u16,
    /// Descriptors of each queue.
    pub entries: u16,
    /// How memory is reached.
    pub way: Way,
    /// What it does wrong.
    pub faults: Vec<Fault>,
}

impl Default for Shape {
    /// One pair of queues with 256 descriptors each, no faults.
    fn default() -> Self {
        Self {
            pairs: 1,
            mac: [0x42, 0x01, 0x0a, 0x00, 0x02, 0x0f],
            mtu: 1460,
            entries: 256,
            way: Way::Memory,
            faults: Vec::new(),
        }
    }
}

impl Shape {
    /// Pages of a transmit queue's list.
    pub const TX_PAGES: u16 = 64;

    /// The descriptor that says so, without options: GQI with page lists is all there is.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            max_pages: u64::from(self.pairs) * u64::from(Self::TX_PAGES + self.entries),
            tx_entries: self.entries,
            rx_entries: self.entries,
            default_queues: self.pairs,
            mtu: self.mtu,
            counters: self.pairs * 2,
            tx_pages: Self::TX_PAGES,
            rx_pages: self.entries,
            mac: self.mac,
            options: 0,
            total_bytes: gve_format::DESCRIPTOR_BYTES as u16,
        }
    }

    /// Vectors: one for each queue, and the one of management.
    pub const fn vectors(&self) -> u16 {
        self.pairs * 2 + 1
    }

    /// Whether that fault was asked for.
    pub fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// Where hostile writes go.
    pub fn victims(&self) -> impl Iterator<Item = u64> {
        self.faults.iter().filter_map(|fault| match fault {
            Fault::Hostile(address) => Some(*address),
            _ => None,
        })
    }
}
