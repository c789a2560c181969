//! Which dwords of configuration space a provider may read.

use crate::{
    CapabilityList, ConfigAccess, ConfigError, ExtendedList, FunctionInfo, HeaderKind, Rule,
    VIRTIO_VENDOR, cap_id, ext_cap_id, reg,
};
use units::Bdf;

const DWORDS: usize = 1024;
const BITS: usize = 64;

/// `cfg_type` of the structure whose last dword reads the device's BARs (virtio 1.2, 4.1.4.9).
const VIRTIO_CONFIG_WINDOW: u8 = 5;

/// The set of dwords of one function that may be read outside the kernel. Everything is denied that is not known to be
/// free of side effects and of addresses:
///
/// - of the header: identity, command and status, class, header type, subsystem, capability pointer, interrupt pin; of
///   the BARs only the bits that say what they decode;
/// - of every capability its first dword, and the body of power management, MSI-X (not of MSI, which holds a message
///   address), PCI Express up to link status, and virtio's descriptions of its regions, but not virtio's window into
///   the BARs, where a read reaches the device;
/// - of every extended capability its first dword, and the serial number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigFilter {
    bdf: Bdf,
    allowed: DwordSet,
    /// One bit for each BAR slot that is the upper half of a 64-bit BAR.
    upper_halves: u8,
}

/// One bit for each dword of 4 KiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct DwordSet([u64; DWORDS / BITS]);

impl ConfigFilter {
    /// Builds the filter of one function from its checked lists.
    pub fn new<C: ConfigAccess + ?Sized>(
        cfg: &C,
        info: &FunctionInfo,
        capabilities: &CapabilityList,
        extended: &ExtendedList,
    ) -> Self {
        let mut allowed = DwordSet([0; DWORDS / BITS]);
        let mut denied = allowed;
        allowed.add(reg::ID, 4);
        if info.header == HeaderKind::Endpoint {
            allowed.add(reg::BAR0, 6);
            allowed.add(reg::SUBSYSTEM, 1);
            allowed.add(reg::CAPABILITIES, 1);
            allowed.add(reg::INTERRUPT, 1);
        }
        for one in capabilities.as_slice() {
            let offset = u16::from(one.offset);
            let dwords = match one.id {
                cap_id::POWER => 2,
                cap_id::MSIX => 3,
                cap_id::PCIE => 5,
                cap_id::VENDOR if info.id.vendor == VIRTIO_VENDOR => {
                    let [_, _, length, kind] = cfg.read32(info.bdf, offset).to_le_bytes();
                    match kind {
                        1..=4 | 8 => u16::from(length / 4).clamp(1, 6),
                        VIRTIO_CONFIG_WINDOW => {
                            denied.add(offset + 16, 1);
                            4
                        }
                        _ => 1,
                    }
                }
                cap_id::MSI => {
                    // Address and data, in the longest form.
                    denied.add(offset + 4, 3);
                    1
                }
                _ => 1,
            };
            // A structure does not reach past the first 256 bytes.
            allowed.add(offset, dwords.min((256 - offset) / 4));
        }
        for one in extended.as_slice() {
            let dwords = match one.id {
                ext_cap_id::SERIAL_NUMBER => 3,
                _ => 1,
            };
            allowed.add(one.offset, dwords);
        }
        // Where a device lays structures on one another, the denial wins.
        for (allowed, denied) in allowed.0.iter_mut().zip(denied.0) {
            *allowed &= !denied;
        }
        Self {
            bdf: info.bdf,
            allowed,
            upper_halves: upper_halves(cfg, info.bdf),
        }
    }

    /// Reads a dword on behalf of a provider.
    ///
    /// # Errors
    /// [`Rule::NotReadable`] where `offset` is no multiple of 4, lies past the end, or is not in the set.
    pub fn read<C: ConfigAccess + ?Sized>(&self, cfg: &C, offset: u16) -> Result<u32, ConfigError> {
        if !self.allows(offset) {
            return Err(ConfigError::new(Rule::NotReadable, offset));
        }
        let value = cfg.read32(self.bdf, offset);
        let slot = offset.wrapping_sub(reg::BAR0) / 4;
        Ok(match slot {
            0..6 if self.upper_halves >> slot & 1 != 0 => 0,
            0..6 => bar_type(value),
            _ => value,
        })
    }

    /// Whether the dword at `offset` is in the set.
    pub fn allows(&self, offset: u16) -> bool {
        offset.is_multiple_of(4) && self.allowed.contains(offset)
    }
}

impl DwordSet {
    fn add(&mut self, offset: u16, dwords: u16) {
        for dword in offset / 4..(offset / 4).saturating_add(dwords) {
            let dword = usize::from(dword);
            if let Some(word) = self.0.get_mut(dword / BITS) {
                *word |= 1 << (dword % BITS);
            }
        }
    }

    fn contains(&self, offset: u16) -> bool {
        let dword = usize::from(offset / 4);
        let word = self.0.get(dword / BITS);
        word.is_some_and(|word| word >> (dword % BITS) & 1 != 0)
    }
}

/// Marks the slots that hold nothing but address bits.
fn upper_halves<C: ConfigAccess + ?Sized>(cfg: &C, bdf: Bdf) -> u8 {
    let mut marks = 0;
    let mut slot = 0;
    while slot < 5 {
        let is_64 = cfg.read32(bdf, reg::BAR0 + 4 * slot) & 7 == 4;
        slot += 1;
        if is_64 {
            marks |= 1 << slot;
            slot += 1;
        }
    }
    marks
}

/// Keeps of a BAR the bits that say what it decodes, and no bit of its address.
fn bar_type(value: u32) -> u32 {
    if value & 1 != 0 { 1 } else { value & 0xe }
}

#[cfg(test)]
mod tests;
