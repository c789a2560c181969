//! The device descriptor: what DESCRIBE_DEVICE brings (`gve_device_descriptor`).

use crate::be;
use crate::option::Options;
use crate::refusal::Refusal;

/// Bytes of the descriptor without its options.
pub const DESCRIPTOR_BYTES: usize = 40;
/// Its version.
pub const DESCRIPTOR_VERSION: u32 = 1;

/// What a device says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// Most pages in all page lists together.
    pub max_pages: u64,
    /// Descriptors of a transmit queue.
    pub tx_entries: u16,
    /// Descriptors of a receive queue.
    pub rx_entries: u16,
    /// Queues that a driver should use where nobody says otherwise.
    pub default_queues: u16,
    /// The largest payload.
    pub mtu: u16,
    /// Event counters there are.
    pub counters: u16,
    /// Pages that a transmit queue's list should have.
    pub tx_pages: u16,
    /// Pages that a receive queue's list should have; GQI: its data slots, too.
    pub rx_pages: u16,
    /// The MAC address.
    pub mac: [u8; 6],
    /// How many options follow.
    pub options: u16,
    /// Bytes with all options.
    pub total_bytes: u16,
}

impl Descriptor {
    /// Reads what a device wrote, and gives what iterates over its options. Its reserved fields are the device's own and may be
    /// anything.
    ///
    /// # Errors
    /// `Short` where the bytes end before the descriptor or before the length that it claims; `Value` where that length does not
    /// even hold the descriptor, where a queue has no or not a power of two of descriptors, where the MAC address is a group's
    /// or zero, or where the payload is less than IPv4 demands.
    pub fn read(bytes: &[u8]) -> Result<(Self, Options<'_>), Refusal> {
        if bytes.len() < DESCRIPTOR_BYTES {
            return Err(Refusal::Short);
        }
        let it = Self {
            max_pages: be::u64(bytes, 0),
            tx_entries: be::u16(bytes, 10),
            rx_entries: be::u16(bytes, 12),
            default_queues: be::u16(bytes, 14),
            mtu: be::u16(bytes, 16),
            counters: be::u16(bytes, 18),
            tx_pages: be::u16(bytes, 20),
            rx_pages: be::u16(bytes, 22),
            mac: le::array(bytes, 24),
            options: be::u16(bytes, 30),
            total_bytes: be::u16(bytes, 32),
        };
        let [first, ..] = it.mac;
        let is_mac = first & 1 == 0 && it.mac != [0; 6];
        let has_rings = it.tx_entries.is_power_of_two() && it.rx_entries.is_power_of_two();
        let total = usize::from(it.total_bytes);
        if total < DESCRIPTOR_BYTES || !is_mac || !has_rings || it.mtu < 68 {
            return Err(Refusal::Value);
        }
        let options = bytes.get(DESCRIPTOR_BYTES..total).ok_or(Refusal::Short)?;
        Ok((it, Options::new(options, it.options)))
    }

    /// Writes it, without options.
    pub fn bytes(&self) -> [u8; DESCRIPTOR_BYTES] {
        let mut bytes = [0; DESCRIPTOR_BYTES];
        be::put64(&mut bytes, 0, self.max_pages);
        be::put16(&mut bytes, 10, self.tx_entries);
        be::put16(&mut bytes, 12, self.rx_entries);
        be::put16(&mut bytes, 14, self.default_queues);
        be::put16(&mut bytes, 16, self.mtu);
        be::put16(&mut bytes, 18, self.counters);
        be::put16(&mut bytes, 20, self.tx_pages);
        be::put16(&mut bytes, 22, self.rx_pages);
        le::put(&mut bytes, 24, &self.mac);
        be::put16(&mut bytes, 30, self.options);
        be::put16(&mut bytes, 32, self.total_bytes);
        bytes
    }
}
