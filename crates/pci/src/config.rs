//! Configuration space of all segments, each bus through the best way there is.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use mmio::Registers;
use pci_format::{ConfigAccess, FunctionInfo, Scan, enumerate, quiesce};
use units::Bdf;

use crate::{facts, ports};

/// Configuration space of one bus: 32 devices of 8 functions of 4 KiB.
const BUS_BYTES: u64 = 1 << 20;
const LEGACY_BYTES: u16 = 256;
const EXTENDED_BYTES: u16 = 4096;

/// Maps registers for the kernel, uncached, for good; `None` when it cannot.
pub type MapFn = fn(physical: u64, bytes: u64) -> Option<*mut u8>;

/// Writes one fact into the sink it is given.
pub type WriteFact<'a> = &'a dyn Fn(&mut dyn fmt::Write) -> fmt::Result;

/// One window of memory-mapped configuration space, as firmware's table lists it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The segment group.
    pub segment: u16,
    /// First bus that is decoded.
    pub start_bus: u8,
    /// Last bus that is decoded.
    pub end_bus: u8,
    /// Physical address of the first decoded bus.
    pub start: u64,
}

/// One function that the boot scan found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// What it says about itself.
    pub info: FunctionInfo,
    /// It was told to be quiet and is not: nobody may use it.
    pub stuck: bool,
}

impl Window {
    fn bus(&self, segment: u16, bus: u8) -> Option<u64> {
        let inside = segment == self.segment && (self.start_bus..=self.end_bus).contains(&bus);
        let nth = u64::from(bus.wrapping_sub(self.start_bus));
        inside.then_some(())?;
        self.start.checked_add(nth * BUS_BYTES)
    }
}

/// Configuration space. Whoever holds it serialises its callers.
///
/// A bus is read through the legacy ports until something answers on it; then its megabyte of ECAM is mapped, if a
/// window has it. So a scan over 256 empty buses maps nothing. Segments other than 0 have only windows.
#[derive(Debug)]
pub struct Config {
    windows: Vec<Window>,
    map: MapFn,
    legacy: bool,
    /// Buses that were reached: mapped, or known not to be mappable.
    buses: RefCell<BTreeMap<(u16, u8), Option<Registers>>>,
}

impl Config {
    /// Takes the windows of the MCFG table, which is empty where there is none.
    pub fn new(windows: impl IntoIterator<Item = Window>, map: MapFn) -> Self {
        Self::with_legacy(windows, map, ports::present())
    }

    fn with_legacy(windows: impl IntoIterator<Item = Window>, map: MapFn, legacy: bool) -> Self {
        Self {
            windows: windows.into_iter().collect(),
            map,
            legacy,
            buses: RefCell::default(),
        }
    }

    /// Visits every function of every bus of every segment, in ascending order, and returns what the walk covered.
    pub fn scan(&mut self, mut visit: impl FnMut(&mut Self, &FunctionInfo)) -> Scan {
        let mut total = Scan::default();
        for segment in self.segments() {
            for bus in 0..=255 {
                if !self.decodes(segment, bus) {
                    continue;
                }
                let one = enumerate(self, segment, bus..=bus, |cfg, info| {
                    cfg.reach(info.bdf);
                    visit(cfg, info);
                });
                total.buses += one.buses;
                total.devices += one.devices;
                total.functions += one.functions;
            }
        }
        total
    }

    /// Turns off, at every endpoint of the machine, what firmware left on, and states what it found: one fact for the
    /// walk, one for each function at which something was on or is still. Returns every function.
    pub fn quiesce_all(&mut self, state: &mut dyn FnMut(WriteFact<'_>)) -> Vec<Found> {
        let mut all = Vec::new();
        let mut reports = Vec::new();
        let scan = self.scan(|cfg, info| {
            let report = quiesce(cfg, info);
            let stuck = report.is_some_and(|report| report.is_stuck());
            all.push(Found { info: *info, stuck });
            reports.extend(report);
        });
        state(&|sink| facts::write_scan(sink, scan));
        for report in &reports {
            if report.found_anything() || report.is_stuck() || report.capabilities.is_err() {
                state(&|sink| facts::write_quiesced(sink, report));
            }
        }
        all
    }

    fn segments(&self) -> Vec<u16> {
        let mut all: Vec<u16> = self.windows.iter().map(|one| one.segment).collect();
        all.push(0);
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Whether some way leads to the bus.
    fn decodes(&self, segment: u16, bus: u8) -> bool {
        (segment == 0 && self.legacy) || self.window(segment, bus).is_some()
    }

    fn window(&self, segment: u16, bus: u8) -> Option<u64> {
        self.windows.iter().find_map(|one| one.bus(segment, bus))
    }

    /// Maps the bus, if a window has it and it was not tried before.
    fn reach(&self, bdf: Bdf) {
        let key = (bdf.segment(), bdf.bus());
        let mut buses = self.buses.borrow_mut();
        buses.entry(key).or_insert_with(|| {
            let base = (self.map)(self.window(key.0, key.1)?, BUS_BYTES)?;
            // SAFETY: `map` gave a page-aligned, uncached mapping of the whole bus, which it never takes back.
            Some(unsafe { Registers::new(base, BUS_BYTES as usize) })
        });
    }

    /// Runs `access` on the mapped bus; `None` where it goes through the ports, or nowhere.
    fn mapped<T>(
        &self,
        bdf: Bdf,
        access: impl FnOnce(&Registers, usize) -> Option<T>,
    ) -> Option<T> {
        if bdf.segment() != 0 || !self.legacy {
            self.reach(bdf);
        }
        let buses = self.buses.borrow();
        let registers = buses.get(&(bdf.segment(), bdf.bus()))?.as_ref()?;
        access(registers, (bdf.ecam_offset() % BUS_BYTES) as usize)
    }

    fn through_ports(&self, bdf: Bdf, offset: u16) -> bool {
        self.legacy && bdf.segment() == 0 && offset < LEGACY_BYTES
    }
}

impl ConfigAccess for Config {
    fn read32(&self, bdf: Bdf, offset: u16) -> u32 {
        if offset >= EXTENDED_BYTES || !offset.is_multiple_of(4) {
            return u32::MAX;
        }
        let at = usize::from(offset);
        match self.mapped(bdf, |registers, base| registers.read32(base + at).ok()) {
            Some(value) => value,
            None if self.through_ports(bdf, offset) => ports::read(bdf, offset),
            None => u32::MAX,
        }
    }

    fn write32(&mut self, bdf: Bdf, offset: u16, value: u32) {
        if offset >= EXTENDED_BYTES || !offset.is_multiple_of(4) {
            return;
        }
        let at = usize::from(offset);
        let written = self.mapped(bdf, |registers, base| {
            registers.write32(base + at, value).ok()
        });
        if written.is_none() && self.through_ports(bdf, offset) {
            ports::write(bdf, offset, value);
        }
    }

    fn space_bytes(&self, bdf: Bdf) -> u16 {
        self.mapped(bdf, |_, _| Some(EXTENDED_BYTES))
            .unwrap_or(LEGACY_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pci_format::{Command, read_command, reg, update_command};
    use std::boxed::Box;
    use std::cell::Cell;
    use std::string::String;

    std::thread_local! {
        static MAPPED: Cell<usize> = const { Cell::new(0) };
        static BUS: Cell<*mut u8> = const { Cell::new(core::ptr::null_mut()) };
    }

    /// One megabyte that reads as ones, with an endpoint at device 3 whose ROM and bus mastering are on.
    fn bus() -> *mut u8 {
        let words = Box::leak(std::vec![u64::MAX; BUS_BYTES as usize / 8].into_boxed_slice());
        let base = words.as_mut_ptr().cast::<u8>();
        // SAFETY: leaked, and used only through this value and the mapping.
        let registers = unsafe { Registers::new(base, BUS_BYTES as usize) };
        let at = 3 << 15;
        for dword in 0..1024 {
            registers.write32(at + dword * 4, 0).unwrap();
        }
        registers.write32(at, 0x0010_1b36).unwrap();
        registers.write32(at + 4, 0x0007).unwrap();
        registers.write32(at + 0x30, 0xfeb0_0001).unwrap();
        base
    }

    fn map(physical: u64, bytes: u64) -> Option<*mut u8> {
        assert_eq!(bytes, BUS_BYTES);
        MAPPED.with(|count| count.set(count.get() + 1));
        // Only the window's second bus has anything on it.
        (physical == 0xb010_0000).then(|| {
            BUS.with(|bus| {
                if bus.get().is_null() {
                    bus.set(super::tests::bus());
                }
                bus.get()
            })
        })
    }

    fn config() -> Config {
        let window = Window {
            segment: 2,
            start_bus: 4,
            end_bus: 6,
            start: 0xb000_0000,
        };
        Config::with_legacy([window], map, false)
    }

    #[test]
    fn a_scan_finds_what_answers_and_maps_each_bus_once() {
        let mut config = config();
        let mut seen = Vec::new();
        let scan = config.scan(|_, info| seen.push(info.bdf.as_u32()));
        assert_eq!(seen, [2 << 16 | 5 << 8 | 3 << 3]);
        assert_eq!((scan.buses, scan.functions), (3, 1));
        assert_eq!(MAPPED.with(Cell::get), 3);
        config.scan(|_, _| {});
        assert_eq!(MAPPED.with(Cell::get), 3);
    }

    #[test]
    fn what_firmware_left_on_is_turned_off_and_listed() {
        let mut config = config();
        let mut lines = String::new();
        let found = config.quiesce_all(&mut |write| write(&mut lines).unwrap());
        assert!(found.len() == 1 && !found[0].stuck);
        let expected = "@pci.scan buses=3 functions=1\n\
             @pci.quiesced function=\"0002:05:03.0\" bus-master=cleared intx=absent msi=absent msix=absent option-rom=cleared\n";
        assert_eq!(lines, expected);
        let bdf = Bdf::new(2, 5, 3, 0).unwrap();
        assert!(!read_command(&config, bdf).contains(Command::BUS_MASTER));
        assert_eq!(config.read32(bdf, reg::EXPANSION_ROM), 0xfeb0_0000);
    }

    #[test]
    fn reads_outside_are_ones_and_writes_there_are_dropped() {
        let mut config = config();
        let bdf = Bdf::new(2, 5, 3, 0).unwrap();
        assert_eq!(config.space_bytes(bdf), 4096);
        assert_eq!(config.read32(bdf, 4096), u32::MAX);
        assert_eq!(config.read32(bdf, 2), u32::MAX);
        let elsewhere = [
            Bdf::from_u32(0),
            Bdf::new(2, 9, 0, 0).unwrap(),
            Bdf::new(2, 6, 0, 0).unwrap(),
        ];
        for bdf in elsewhere {
            config.write32(bdf, 0, 0);
            assert_eq!(
                (config.read32(bdf, 0), config.space_bytes(bdf)),
                (u32::MAX, 256)
            );
        }
        update_command(&mut config, bdf, Command::MEMORY_SPACE, Command::empty());
        assert!(read_command(&config, bdf).contains(Command::MEMORY_SPACE));
    }
}
