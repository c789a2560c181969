//! Configuration space of all segments, each bus through the best way there is.
#![expect(clippy::disallowed_methods, reason = "boot: functions are found once")]

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use mmio::Registers;
use pci_format::{
    BridgeFault, BusNumbers, ConfigAccess, FunctionInfo, Scan, ambiguous, enumerate, quiesce, reg,
};
use sabotage::sabotage;
use units::Bdf;

use crate::{facts, ports};

/// Configuration space of one bus: 32 devices of 8 functions of 4 KiB.
const BUS_BYTES: u64 = 1 << 20;
const LEGACY_BYTES: u16 = 256;
const EXTENDED_BYTES: u16 = 4096;
const DEVICES: u8 = 32;
/// Most buses that are reached through windows alone: what lies on them can be learnt only by mapping them.
const MAX_WINDOW_BUSES: usize = 4096;

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
    /// This bridge leaves open which function the address means: nobody may use it.
    pub ambiguous: Option<Bdf>,
}

/// One bridge that the boot scan found with bus numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BridgeSeen {
    /// Its numbers.
    pub numbers: BusNumbers,
    /// What is wrong with them.
    pub fault: Option<BridgeFault>,
}

/// How configuration space is reached, and what hangs together. Filled by [`Config::quiesce_all`].
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// Bridges with bus numbers, in ascending order.
    pub bridges: Vec<BridgeSeen>,
    /// Buses (segment and number) with something on them that are reached through a window.
    pub through_windows: Vec<(u16, u8)>,
    /// Buses with something on them that are reached through the ports.
    pub through_ports: Vec<(u16, u8)>,
    /// Buses of which the window said something else than the ports; the ports are used.
    pub disagreeing: Vec<(u16, u8)>,
    /// Buses that were not looked at, because windows list more than the kernel is willing to map.
    pub skipped: usize,
}

impl Topology {
    /// The bridges' numbers alone.
    pub fn numbers(&self) -> Vec<BusNumbers> {
        self.bridges.iter().map(|bridge| bridge.numbers).collect()
    }
}

/// What the boot scan learnt.
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    /// Every function that answered, in ascending order.
    pub functions: Vec<Found>,
    /// How they hang together.
    pub topology: Topology,
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
/// window has it, and used if it shows the same devices as the ports. So a scan over 256 empty buses maps nothing.
/// Segments other than 0 have only windows.
#[derive(Debug)]
pub struct Config {
    windows: Vec<Window>,
    map: MapFn,
    legacy: bool,
    /// Buses that were reached: mapped, or known not to be mappable.
    buses: RefCell<BTreeMap<(u16, u8), Option<Registers>>>,
    /// Buses whose window was mapped and not believed.
    disagreeing: RefCell<Vec<(u16, u8)>>,
    /// Buses that the last scan left out.
    skipped: usize,
}

impl Config {
    /// Takes the windows of the MCFG table, which is empty where there is none.
    pub fn new(windows: impl IntoIterator<Item = Window>, map: MapFn) -> Self {
        Self {
            legacy: ports::present(),
            ..Self::without_ports(windows, map)
        }
    }

    fn without_ports(windows: impl IntoIterator<Item = Window>, map: MapFn) -> Self {
        Self {
            windows: windows.into_iter().collect(),
            map,
            legacy: false,
            buses: RefCell::default(),
            disagreeing: RefCell::default(),
            skipped: 0,
        }
    }

    /// Visits every function of every bus of every segment, in ascending order, and returns what the walk covered.
    pub fn scan(&mut self, mut visit: impl FnMut(&mut Self, &FunctionInfo)) -> Scan {
        let mut total = Scan::default();
        let mut mapped = 0;
        self.skipped = 0;
        for segment in self.segments() {
            for bus in 0..=255 {
                if !self.decodes(segment, bus) {
                    continue;
                }
                if bus != 0 && sabotage!(ROOT_BUS_ONLY) {
                    continue;
                }
                if segment != 0 || !self.legacy {
                    mapped += 1;
                    if mapped > MAX_WINDOW_BUSES {
                        self.skipped += 1;
                        continue;
                    }
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

    /// Turns off, at every endpoint of the machine, what firmware left on, and states what it found: facts for the walk,
    /// one for each function at which something was on or is still, one for each bus and bridge that is not believed.
    pub fn quiesce_all(&mut self, state: &mut dyn FnMut(WriteFact<'_>)) -> Scanned {
        let mut functions = Vec::new();
        let mut reports = Vec::new();
        let mut numbers = Vec::new();
        let scan = self.scan(|cfg, info| {
            let report = if sabotage!(TRUST_FIRMWARE) {
                quiesce(&mut Deaf(cfg), info)
            } else {
                quiesce(cfg, info)
            };
            let stuck = report.is_some_and(|report| report.is_stuck());
            functions.push(Found {
                info: *info,
                stuck,
                ambiguous: None,
            });
            reports.extend(report);
            numbers.extend(BusNumbers::read(cfg, info));
        });
        for found in &mut functions {
            found.ambiguous = ambiguous(found.info.bdf, &numbers);
        }
        let bridges = numbers.iter().map(|bridge| BridgeSeen {
            numbers: *bridge,
            fault: bridge.fault(&numbers),
        });
        let topology = self.topology(bridges.collect(), &functions);
        state(&|sink| facts::write_scan(sink, scan));
        state(&|sink| facts::write_access(sink, &topology));
        for report in &reports {
            if report.found_anything() || report.is_stuck() || report.capabilities.is_err() {
                state(&|sink| facts::write_quiesced(sink, report));
            }
        }
        for bridge in &topology.bridges {
            if let Some(fault) = bridge.fault {
                state(&|sink| facts::write_bridge_refused(sink, &bridge.numbers, fault));
            }
        }
        for found in &functions {
            if let Some(bridge) = found.ambiguous {
                state(&|sink| facts::write_ambiguous(sink, found.info.bdf, bridge));
            }
        }
        Scanned {
            functions,
            topology,
        }
    }

    fn topology(&self, bridges: Vec<BridgeSeen>, functions: &[Found]) -> Topology {
        let mut topology = Topology {
            bridges,
            disagreeing: self.disagreeing.borrow().clone(),
            skipped: self.skipped,
            ..Topology::default()
        };
        for found in functions {
            let key = (found.info.bdf.segment(), found.info.bdf.bus());
            let mapped = matches!(self.buses.borrow().get(&key), Some(Some(_)));
            let list = if mapped {
                &mut topology.through_windows
            } else {
                &mut topology.through_ports
            };
            if list.last() != Some(&key) {
                list.push(key);
            }
        }
        topology
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
            let registers = unsafe { Registers::new(base, BUS_BYTES as usize) };
            if key.0 == 0
                && self.legacy
                && !believed(&registers, |bdf| ports::read(bdf, reg::ID), key.1)
            {
                self.disagreeing.borrow_mut().push(key);
                return None;
            }
            Some(registers)
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

/// Whether a bus of segment 0 shows the same devices through its window as through the ports. A window that does not is
/// somebody else's memory, and a write there would do who knows what.
fn believed(window: &Registers, through_ports: impl Fn(Bdf) -> u32, bus: u8) -> bool {
    if sabotage!(TRUST_ECAM) {
        return true;
    }
    (0..DEVICES).all(|device| {
        let bdf = Bdf::from_u32(u32::from(bus) << 8 | u32::from(device) << 3);
        let at = (bdf.ecam_offset() % BUS_BYTES) as usize;
        window.read32(at).ok() == Some(through_ports(bdf))
    })
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

/// A sabotage: configuration space in which nothing is ever turned off.
struct Deaf<'c, C: ?Sized>(&'c mut C);

impl<C: ConfigAccess + ?Sized> ConfigAccess for Deaf<'_, C> {
    fn read32(&self, bdf: Bdf, offset: u16) -> u32 {
        self.0.read32(bdf, offset)
    }

    fn write32(&mut self, _: Bdf, _: u16, _: u32) {}

    fn space_bytes(&self, bdf: Bdf) -> u16 {
        self.0.space_bytes(bdf)
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
        Config::without_ports([window], map)
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
        let scanned = config.quiesce_all(&mut |write| write(&mut lines).unwrap());
        let found = &scanned.functions;
        assert!(found.len() == 1 && !found[0].stuck && found[0].ambiguous.is_none());
        assert_eq!(scanned.topology.through_windows, [(2, 5)]);
        assert!(scanned.topology.through_ports.is_empty());
        let expected = "@pci.scan buses=3 functions=1\n\
             @pci.access windows=1 ports=0 disagreeing=0 skipped=0\n\
             @pci.quiesced function=\"0002:05:03.0\" bus-master=cleared intx=absent msi=absent msix=absent option-rom=cleared\n";
        assert_eq!(lines, expected);
        let bdf = Bdf::new(2, 5, 3, 0).unwrap();
        assert!(!read_command(&config, bdf).contains(Command::BUS_MASTER));
        assert_eq!(config.read32(bdf, reg::EXPANSION_ROM), 0xfeb0_0000);
    }

    #[test]
    fn a_scan_maps_so_many_buses_and_counts_the_rest() {
        let windows = (1..=17).map(|segment| Window {
            segment,
            start_bus: 0,
            end_bus: 255,
            start: u64::from(segment) << 28,
        });
        let mut config = Config::without_ports(windows, |_, _| None);
        let scan = config.scan(|_, _| {});
        assert_eq!((scan.buses, config.skipped), (4096, 256));
    }

    #[test]
    fn a_window_is_believed_only_if_it_shows_what_the_ports_show() {
        // SAFETY: `bus` leaks its memory, and nobody writes it any more.
        let window = unsafe { Registers::new(bus(), BUS_BYTES as usize) };
        let same = |bdf: Bdf| match bdf.device() {
            3 => 0x0010_1b36,
            _ => u32::MAX,
        };
        assert!(believed(&window, same, 0));
        assert!(!believed(&window, |_| u32::MAX, 0));
        let more = |bdf: Bdf| if bdf.device() == 31 { 1 } else { same(bdf) };
        assert!(!believed(&window, more, 0));
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
