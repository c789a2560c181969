//! Configuration space of a few functions: dwords that say which of their bits can be written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pci_format::ConfigAccess;
use units::Bdf;

use super::bdf;

/// Where BAR 0 of device `n` lies.
pub const BAR0: u64 = 0xfe00_0000;
const BAR_BYTES: u32 = 0x4000;
const MSIX: u16 = 0x40;
pub const PCIE: u16 = 0x60;

struct Function {
    values: Box<[u32; 64]>,
    writable: Box<[u32; 64]>,
    resets: u32,
    /// It no longer answers after a function-level reset.
    dies: bool,
}

#[derive(Clone)]
pub struct FakeConfig(Arc<Mutex<BTreeMap<u32, Function>>>);

impl FakeConfig {
    /// Two NVMe-like functions, and a bridge.
    pub fn new() -> Self {
        let config = Self(Arc::default());
        for device in [4, 5] {
            config.add(device, 0x0001, 0x0108_0200);
        }
        config.add(1, 0x0002, 0x0600_0000);
        config
    }

    fn add(&self, device: u8, id: u32, class: u32) {
        let mut f = Function {
            values: Box::new([0; 64]),
            writable: Box::new([0; 64]),
            resets: 0,
            dies: false,
        };
        let mut set = |offset: u16, value: u32, writable: u32| {
            f.values[usize::from(offset / 4)] = value;
            f.writable[usize::from(offset / 4)] = writable;
        };
        set(0, id << 16 | 0x1234, 0);
        set(4, 0x0010_0000, 0x0407);
        set(8, class, 0);
        let bar = BAR0 as u32 + u32::from(device) * 0x10_0000;
        set(0x10, bar, !(BAR_BYTES - 1));
        set(0x34, u32::from(MSIX), 0);
        // Four vectors; the table in page 2 of BAR 0, the pending bits in page 3.
        set(MSIX, 3 << 16 | u32::from(PCIE) << 8 | 0x11, 0xc000_0000);
        set(MSIX + 4, 0x2000, 0);
        set(MSIX + 8, 0x3000, 0);
        set(PCIE, 0x0002_0010, 0);
        set(PCIE + 4, 1 << 28, 0);
        set(PCIE + 8, 0x0000_2810, 0xffff);
        self.0.lock().unwrap().insert(bdf(device).as_u32(), f);
    }

    pub fn functions(&self) -> Vec<Bdf> {
        let all = self.0.lock().unwrap();
        all.keys()
            .map(|key| Bdf::from_u32(*key))
            .filter(|bdf| bdf.device() > 1)
            .collect()
    }

    pub fn edit(&self, bdf: Bdf, offset: u16, value: u32) {
        let mut all = self.0.lock().unwrap();
        all.get_mut(&bdf.as_u32()).unwrap().values[usize::from(offset / 4)] = value;
    }

    /// Gives every function 32 ports in BAR 1, the first at 0xc040 and the others behind it.
    pub fn with_ports(self) -> Self {
        for (bdf, port) in self.functions().into_iter().zip((0xc041..).step_by(0x20)) {
            let mut all = self.0.lock().unwrap();
            let f = all.get_mut(&bdf.as_u32()).unwrap();
            (f.values[5], f.writable[5]) = (port, 0xffe0);
        }
        self
    }

    /// Gives each function one MSI, without mask bits, in place of MSI-X.
    pub fn with_plain_msi(self) -> Self {
        for bdf in self.functions() {
            let mut all = self.0.lock().unwrap();
            let f = all.get_mut(&bdf.as_u32()).unwrap();
            let at = usize::from(MSIX / 4);
            f.values[at] = 1 << 23 | u32::from(PCIE) << 8 | 0x05;
            f.writable[at] = 0x0071_0000;
            for word in 1..4 {
                (f.values[at + word], f.writable[at + word]) = (0, u32::MAX);
            }
        }
        self
    }

    /// Gives each function a pin.
    pub fn with_pin(self) -> Self {
        for bdf in self.functions() {
            self.edit(bdf, 0x3c, 1 << 8);
        }
        self
    }

    /// The device has an interrupt to signal by its pin.
    pub fn set_cause(&self, bdf: Bdf) {
        let before = self.read32(bdf, 4);
        self.edit(bdf, 4, before | 1 << 19);
    }

    /// The function may assert its pin.
    pub fn pin_enabled(&self, bdf: Bdf) -> bool {
        self.read32(bdf, 4) & 1 << 10 == 0
    }

    /// Message address, message data, and whether MSI is on.
    pub fn message(&self, bdf: Bdf) -> (u32, u32, bool) {
        let on = self.read32(bdf, MSIX) & 1 << 16 != 0;
        (self.read32(bdf, MSIX + 4), self.read32(bdf, MSIX + 12), on)
    }

    /// Takes function-level reset away.
    pub fn without_flr(self) -> Self {
        for bdf in self.functions() {
            self.edit(bdf, PCIE + 4, 0);
        }
        self
    }

    /// Replaces PCI Express by the advanced features structure.
    pub fn with_advanced_features(self) -> Self {
        for bdf in self.functions() {
            self.edit(bdf, PCIE, 0x0306_0013);
            self.edit(bdf, PCIE + 4, 0);
            self.edit(bdf, PCIE + 8, 0);
        }
        self
    }

    pub fn die_on_reset(&self) {
        for f in self.0.lock().unwrap().values_mut() {
            f.dies = true;
        }
    }

    pub fn resets(&self, bdf: Bdf) -> u32 {
        self.0.lock().unwrap()[&bdf.as_u32()].resets
    }
}

impl ConfigAccess for FakeConfig {
    fn read32(&self, bdf: Bdf, offset: u16) -> u32 {
        let all = self.0.lock().unwrap();
        match all.get(&bdf.as_u32()) {
            Some(f) if offset < 256 => f.values[usize::from(offset / 4)],
            _ => u32::MAX,
        }
    }

    fn write32(&mut self, bdf: Bdf, offset: u16, value: u32) {
        let mut all = self.0.lock().unwrap();
        let Some(f) = all.get_mut(&bdf.as_u32()) else {
            return;
        };
        let at = usize::from(offset / 4);
        let Some(writable) = f.writable.get(at).copied() else {
            return;
        };
        f.values[at] = f.values[at] & !writable | value & writable;
        let advanced = f.values[usize::from(PCIE / 4)] & 0xff == 0x13;
        let initiated = if advanced {
            offset == PCIE + 4 && value & 1 != 0
        } else {
            offset == PCIE + 8 && value & 1 << 15 != 0
        };
        if initiated {
            // A function-level reset: everything that was written is gone.
            f.resets += 1;
            for (value, writable) in f.values.iter_mut().zip(f.writable.iter()) {
                *value &= !*writable;
            }
            if f.dies {
                f.values.fill(u32::MAX);
                f.writable.fill(0);
            }
        }
    }
}
