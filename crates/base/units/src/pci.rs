//! PCI function addresses and the identities found in a configuration header.

use core::fmt;

/// Why four numbers do not address a PCI function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BdfError {
    /// The device number is above 31.
    Device,
    /// The function number is above 7.
    Function,
}

impl fmt::Display for BdfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Device => "PCI device number above 31",
            Self::Function => "PCI function number above 7",
        })
    }
}

impl core::error::Error for BdfError {}

/// The address of one PCI function: segment (0 to 65535), bus (0 to 255), device (0 to 31), function (0 to 7).
///
/// Printed as `ssss:bb:dd.f` in hexadecimal. Ordered by segment, bus, device, function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Bdf(u32);

impl Bdf {
    /// Checks the ranges of device and function.
    ///
    /// # Errors
    /// [`BdfError`] names the number that is out of range.
    pub const fn new(segment: u16, bus: u8, device: u8, function: u8) -> Result<Self, BdfError> {
        if device > 31 {
            return Err(BdfError::Device);
        }
        if function > 7 {
            return Err(BdfError::Function);
        }
        Ok(Self(
            (segment as u32) << 16 | (bus as u32) << 8 | (device as u32) << 3 | function as u32,
        ))
    }

    /// Unpacks `segment << 16 | bus << 8 | device << 3 | function`: every 32-bit number is a function address.
    pub const fn from_u32(packed: u32) -> Self {
        Self(packed)
    }

    /// Returns `segment << 16 | bus << 8 | device << 3 | function`.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// Returns the segment group number.
    pub const fn segment(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Returns the bus number.
    pub const fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Returns the device number, 0 to 31.
    pub const fn device(self) -> u8 {
        (self.0 >> 3) as u8 & 0x1f
    }

    /// Returns the function number, 0 to 7.
    pub const fn function(self) -> u8 {
        self.0 as u8 & 7
    }

    /// Returns the 16-bit requester id (bus, device, function) that transactions of this function carry.
    pub const fn requester_id(self) -> u16 {
        self.0 as u16
    }

    /// Returns function `function` (taken modulo 8) of the same device.
    pub const fn with_function(self, function: u8) -> Self {
        Self(self.0 & !7 | (function & 7) as u32)
    }

    /// Returns the byte offset of this function's 4 KiB page from the address that ECAM gives to bus 0
    /// (PCI Express Base 4.0, 7.2.2).
    pub const fn ecam_offset(self) -> u64 {
        (self.requester_id() as u64) << 12
    }
}

impl fmt::Display for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{:x}",
            self.segment(),
            self.bus(),
            self.device(),
            self.function()
        )
    }
}

impl fmt::Debug for Bdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bdf({self})")
    }
}

/// A vendor and device id, or a subsystem vendor and subsystem id.
///
/// Printed as `vvvv:dddd` in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DeviceId {
    /// Vendor id, assigned by the PCI-SIG.
    pub vendor: u16,
    /// Device id, assigned by the vendor.
    pub device: u16,
}

impl DeviceId {
    /// Pairs the two ids.
    pub const fn new(vendor: u16, device: u16) -> Self {
        Self { vendor, device }
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.vendor, self.device)
    }
}

/// A class code triple (PCI Code and ID Assignment Specification).
///
/// Printed as `bbsspp` in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ClassCode {
    /// Base class, such as 0x01 for mass storage.
    pub base: u8,
    /// Sub-class, such as 0x08 for non-volatile memory.
    pub sub: u8,
    /// Programming interface, such as 0x02 for NVM Express.
    pub interface: u8,
}

impl ClassCode {
    /// Joins the three bytes.
    pub const fn new(base: u8, sub: u8, interface: u8) -> Self {
        Self {
            base,
            sub,
            interface,
        }
    }
}

impl fmt::Display for ClassCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.base, self.sub, self.interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_function_address_prints_and_unpacks() {
        let bdf = Bdf::new(0xabc, 0xfe, 31, 7).unwrap();
        assert_eq!(bdf.to_string(), "0abc:fe:1f.7");
        assert_eq!(bdf.as_u32(), 0x0abc_feff);
        assert_eq!(
            (bdf.segment(), bdf.bus(), bdf.device(), bdf.function()),
            (0xabc, 0xfe, 31, 7)
        );
        assert_eq!(Bdf::from_u32(bdf.as_u32()), bdf);
        assert_eq!(bdf.requester_id(), 0xfeff);
        assert_eq!(bdf.with_function(8), Bdf::new(0xabc, 0xfe, 31, 0).unwrap());
    }

    #[test]
    fn device_and_function_ranges_are_checked() {
        assert_eq!(Bdf::new(0, 0, 32, 0), Err(BdfError::Device));
        assert_eq!(Bdf::new(0, 0, 0, 8), Err(BdfError::Function));
        assert_eq!(Bdf::new(0, 0, 255, 255), Err(BdfError::Device));
    }

    #[test]
    fn every_requester_id_round_trips_through_new() {
        for packed in 0..=0xffff {
            let bdf = Bdf::from_u32(packed);
            assert_eq!(
                Bdf::new(0, bdf.bus(), bdf.device(), bdf.function()),
                Ok(bdf)
            );
        }
    }

    #[test]
    fn order_is_segment_bus_device_function() {
        let mut all = [
            Bdf::new(1, 0, 0, 0).unwrap(),
            Bdf::new(0, 1, 0, 0).unwrap(),
            Bdf::new(0, 0, 1, 0).unwrap(),
            Bdf::new(0, 0, 0, 1).unwrap(),
        ];
        all.sort();
        assert_eq!(all.map(Bdf::as_u32), [1, 8, 0x100, 0x1_0000]);
    }

    #[test]
    fn ecam_offsets_are_one_page_per_function() {
        assert_eq!(
            Bdf::new(9, 1, 2, 3).unwrap().ecam_offset(),
            1 << 20 | 2 << 15 | 3 << 12
        );
        assert_eq!(Bdf::from_u32(0xffff).ecam_offset(), 0x0fff_f000);
    }

    #[test]
    fn ids_and_classes_print_in_hex() {
        assert_eq!(DeviceId::new(0x1af4, 0x41).to_string(), "1af4:0041");
        assert_eq!(ClassCode::new(1, 8, 2).to_string(), "010802");
    }
}
