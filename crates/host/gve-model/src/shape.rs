//! What kind of device it is.

use gve_format::{Descriptor, DeviceOption, QueueFormat};
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
    /// How queues look: [`QueueFormat::GqiRda`] is not there.
    pub format: QueueFormat,
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
            format: QueueFormat::GqiQpl,
            way: Way::Memory,
            faults: Vec::new(),
        }
    }
}

impl Shape {
    /// Pages of a transmit queue's list.
    pub const TX_PAGES: u16 = 64;

    /// The option that names the format; none for the one that is meant without.
    fn option(&self) -> Option<DeviceOption> {
        let pages = match self.format {
            QueueFormat::GqiQpl | QueueFormat::GqiRda => return None,
            QueueFormat::DqoRda => (self.entries, self.entries),
            QueueFormat::DqoQpl => (Self::TX_PAGES, self.entries),
        };
        Some(DeviceOption::Format {
            format: self.format,
            features: 0,
            pages,
        })
    }

    /// What DESCRIBE_DEVICE brings.
    pub fn description(&self) -> Vec<u8> {
        let mut bytes = self.descriptor().bytes().to_vec();
        if let Some(option) = self.option() {
            let (option, length) = option.bytes();
            bytes.extend_from_slice(&option[..length]);
        }
        bytes
    }

    /// The descriptor, which says how long it is with its option.
    pub fn descriptor(&self) -> Descriptor {
        let option = self.option().map(|option| option.bytes().1);
        let lists = match self.format {
            QueueFormat::GqiQpl => Self::TX_PAGES + self.entries,
            // A driver with DQO takes what it thinks right.
            _ => 1 << 13,
        };
        Descriptor {
            max_pages: u64::from(self.pairs) * u64::from(lists),
            tx_entries: self.entries,
            rx_entries: self.entries,
            default_queues: self.pairs,
            mtu: self.mtu,
            counters: self.pairs * 2,
            tx_pages: Self::TX_PAGES,
            rx_pages: self.entries,
            mac: self.mac,
            options: u16::from(option.is_some()),
            total_bytes: (gve_format::DESCRIPTOR_BYTES + option.unwrap_or(0)) as u16,
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
