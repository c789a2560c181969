//! Configuration space of a model (PCI 3.0, 6.1 and 6.8).

use crate::wire::{u16_at, u32_at};

/// What a device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Description {
    /// Vendor and device id.
    pub id: (u16, u16),
    /// Base class, subclass, interface.
    pub class: (u8, u8, u8),
    /// Bytes of each BAR, all of memory with 32 bits: 0, or a power of two of at least 4096.
    pub bars: [u32; 6],
    /// MSI-X vectors, at most 2048, and the BAR of table and pending bits, which must hold them: the table at 0, the
    /// pending bits in its second half.
    pub msix: Option<(u16, u8)>,
}

/// Bytes of the space.
const BYTES: usize = 256;
const COMMAND: usize = 4;
const BARS: usize = 0x10;
const MSIX: usize = 0x40;

/// Configuration space: what it holds, and which bits can be written.
#[derive(Clone, Debug)]
pub struct Config {
    bytes: [u8; BYTES],
    writable: [u8; BYTES],
}

impl Config {
    /// Makes the space of a device.
    pub fn new(device: &Description) -> Self {
        let mut it = Self {
            bytes: [0; BYTES],
            writable: [0; BYTES],
        };
        it.put(0, &device.id.0.to_le_bytes());
        it.put(2, &device.id.1.to_le_bytes());
        it.put(9, &[device.class.2, device.class.1, device.class.0]);
        it.put(0x2c, &device.id.0.to_le_bytes());
        it.put(0x2e, &device.id.1.to_le_bytes());
        // Memory, bus master, interrupt disable; cache line size and interrupt line are memory only.
        it.writable[COMMAND] = 0b110;
        it.writable[COMMAND + 1] = 0b100;
        it.writable[0x0c] = 0xff;
        it.writable[0x3c] = 0xff;
        for (index, bytes) in device.bars.iter().enumerate() {
            if bytes.is_power_of_two() && *bytes >= 4096 {
                let mask = (!(bytes - 1)).to_le_bytes();
                it.writable[BARS + index * 4..][..4].copy_from_slice(&mask);
            }
        }
        if let Some((vectors, bar)) = device.msix {
            let half = device
                .bars
                .get(usize::from(bar))
                .map_or(0, |bytes| bytes / 2);
            // Status: there is a list of capabilities.
            it.bytes[6] = 0x10;
            it.bytes[0x34] = MSIX as u8;
            it.put(MSIX, &[0x11, 0]);
            it.put(MSIX + 2, &vectors.saturating_sub(1).to_le_bytes());
            it.put(MSIX + 4, &u32::from(bar).to_le_bytes());
            it.put(MSIX + 8, &(half | u32::from(bar)).to_le_bytes());
            it.writable[MSIX + 3] = 0xc0;
        }
        it
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Reads; what lies outside reads as zeros.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) {
        for (index, byte) in buffer.iter_mut().enumerate() {
            let at = usize::try_from(offset)
                .ok()
                .and_then(|at| at.checked_add(index));
            *byte = at.and_then(|at| self.bytes.get(at)).copied().unwrap_or(0);
        }
    }

    /// Writes the bits that can be written.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let at = usize::try_from(offset)
                .ok()
                .and_then(|at| at.checked_add(index));
            let Some(at) = at.filter(|at| *at < BYTES) else {
                return;
            };
            let mask = self.writable[at];
            self.bytes[at] = self.bytes[at] & !mask | byte & mask;
        }
    }

    /// The command register.
    pub fn command(&self) -> u16 {
        u16_at(&self.bytes, COMMAND).unwrap_or(0)
    }

    /// What a BAR holds.
    pub fn bar(&self, index: usize) -> Option<u32> {
        u32_at(&self.bytes, BARS + index * 4).filter(|_| index < 6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_its_size_and_ids_stay() {
        let mut config = Config::new(&Description {
            id: (0x1234, 0x5678),
            class: (0xff, 0, 0),
            bars: [4096, 0, 8192, 0, 0, 0],
            msix: Some((4, 2)),
        });
        config.write(0, &[0xff; 256]);
        let mut head = [0; 4];
        config.read(0, &mut head);
        assert_eq!(head, [0x34, 0x12, 0x78, 0x56]);
        assert_eq!(
            (config.bar(0), config.bar(1), config.bar(2)),
            (Some(0xffff_f000), Some(0), Some(0xffff_e000))
        );
        assert_eq!(config.command(), 0x406);
        let mut msix = [0; 12];
        config.read(0x40, &mut msix);
        assert_eq!(msix, [0x11, 0, 3, 0xc0, 2, 0, 0, 0, 2, 0x10, 0, 0]);
        config.write(u64::MAX, &[1, 2]);
        config.read(255, &mut head);
        assert_eq!(head[1..], [0; 3]);
    }
}
