//! A device's I/O ports, behind bounds.

use core::fmt;

use crate::{OutOfRegion, check, order};

/// The instructions behind a [`Ports`] window, or a model of them.
pub trait PortBus: Sync {
    /// Reads a byte.
    fn read8(&self, port: u16) -> u8;
    /// Reads 16 bits.
    fn read16(&self, port: u16) -> u16;
    /// Reads 32 bits.
    fn read32(&self, port: u16) -> u32;
    /// Writes a byte.
    fn write8(&self, port: u16, value: u8);
    /// Writes 16 bits.
    fn write16(&self, port: u16, value: u16);
    /// Writes 32 bits.
    fn write32(&self, port: u16, value: u32);
}

/// The processor's own port instructions.
struct Machine;

impl PortBus for Machine {
    fn read8(&self, port: u16) -> u8 {
        // SAFETY: reached only through a window, whose maker promised that the ports in it are its device's.
        unsafe { cpu::port::read8(port) }
    }

    fn read16(&self, port: u16) -> u16 {
        // SAFETY: as in `read8`.
        unsafe { cpu::port::read16(port) }
    }

    fn read32(&self, port: u16) -> u32 {
        // SAFETY: as in `read8`.
        unsafe { cpu::port::read32(port) }
    }

    fn write8(&self, port: u16, value: u8) {
        // SAFETY: as in `read8`.
        unsafe { cpu::port::write8(port, value) };
    }

    fn write16(&self, port: u16, value: u16) {
        // SAFETY: as in `read8`.
        unsafe { cpu::port::write16(port, value) };
    }

    fn write32(&self, port: u16, value: u32) {
        // SAFETY: as in `read8`.
        unsafe { cpu::port::write32(port, value) };
    }
}

/// A range of I/O ports that belong to one device: the ports of one BAR. Offsets count from its first port.
pub struct Ports {
    first: u16,
    len: u16,
    bus: &'static dyn PortBus,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

macro_rules! access {
    ($read:ident, $write:ident, $ty:ty) => {
        /// Reads one register of this width at an offset.
        ///
        /// # Errors
        /// [`OutOfRegion`] past the end or misaligned.
        pub fn $read(&self, offset: usize) -> Result<$ty, OutOfRegion> {
            Ok(self.bus.$read(self.port(offset, size_of::<$ty>())?))
        }

        /// Writes one register of this width at an offset.
        ///
        /// # Errors
        /// [`OutOfRegion`] past the end or misaligned.
        pub fn $write(&self, offset: usize, value: $ty) -> Result<(), OutOfRegion> {
            let port = self.port(offset, size_of::<$ty>())?;
            order::check_released();
            self.bus.$write(port, value);
            Ok(())
        }
    };
}

impl Ports {
    /// A window over `len` ports from `first` on; `None` where they are none or do not lie below 2^16.
    ///
    /// # Safety
    /// The ports decode to one device, which its caller owns, while this value lives; and no access to them has an effect
    /// outside that device.
    pub const unsafe fn new(first: u16, len: u16) -> Option<Self> {
        Self::over(&Machine, first, len)
    }

    /// A window over a model.
    pub const fn over(bus: &'static dyn PortBus, first: u16, len: u16) -> Option<Self> {
        if len == 0 || first.checked_add(len - 1).is_none() {
            return None;
        }
        Some(Self { first, len, bus })
    }

    /// Number of ports.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Never: a window has at least one port.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn port(&self, offset: usize, width: usize) -> Result<u16, OutOfRegion> {
        check(offset, width, width, self.len.into())?;
        // Inside the window, whose last port lies below 2^16.
        Ok(self.first + offset as u16)
    }

    access!(read8, write8, u8);
    access!(read16, write16, u16);
    access!(read32, write32, u32);
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::sync::Mutex;
    use std::vec::Vec;

    struct Log(Mutex<Vec<(u16, u8, u32)>>);

    impl Log {
        fn note(&self, port: u16, width: u8, value: u32) {
            self.0.lock().unwrap().push((port, width, value));
        }
    }

    impl PortBus for Log {
        fn read8(&self, port: u16) -> u8 {
            self.note(port, 1, 0);
            1
        }
        fn read16(&self, port: u16) -> u16 {
            self.note(port, 2, 0);
            2
        }
        fn read32(&self, port: u16) -> u32 {
            self.note(port, 4, 0);
            4
        }
        fn write8(&self, port: u16, value: u8) {
            self.note(port, 1, value.into());
        }
        fn write16(&self, port: u16, value: u16) {
            self.note(port, 2, value.into());
        }
        fn write32(&self, port: u16, value: u32) {
            self.note(port, 4, value);
        }
    }

    #[test]
    fn every_access_stays_inside() {
        static LOG: Log = Log(Mutex::new(Vec::new()));
        let ports = Ports::over(&LOG, 0xc040, 0x20).unwrap();
        assert_eq!(ports.read8(0x1f), Ok(1));
        assert_eq!(ports.read16(0x1e), Ok(2));
        assert_eq!(ports.read32(0x1c), Ok(4));
        ports.write8(0, 7).unwrap();
        ports.write16(2, 8).unwrap();
        ports.write32(4, 9).unwrap();
        let seen = std::mem::take(&mut *LOG.0.lock().unwrap());
        let expected = [
            (0xc05f, 1, 0),
            (0xc05e, 2, 0),
            (0xc05c, 4, 0),
            (0xc040, 1, 7),
            (0xc042, 2, 8),
            (0xc044, 4, 9),
        ];
        assert_eq!(seen, expected);
        for offset in [0x20, 0x21, 0xfff0, 0x1_0000, usize::MAX] {
            assert!(ports.read8(offset).is_err() && ports.write8(offset, 0).is_err());
        }
        assert!(ports.read16(0x1f).is_err() && ports.write16(1, 0).is_err());
        assert!(ports.read32(0x1e).is_err() && ports.write32(0x20, 0).is_err());
        assert!(
            LOG.0.lock().unwrap().is_empty(),
            "a refused access reaches no port"
        );
    }

    #[test]
    fn a_window_ends_with_the_port_space() {
        static LOG: Log = Log(Mutex::new(Vec::new()));
        assert!(Ports::over(&LOG, 0xfff8, 8).is_some());
        assert!(Ports::over(&LOG, 0xfff8, 9).is_none());
        assert!(Ports::over(&LOG, 0, 0).is_none());
        let last = Ports::over(&LOG, 0xfff8, 8).unwrap();
        assert_eq!(last.read8(7), Ok(1));
        assert!(last.read8(8).is_err());
    }
}
