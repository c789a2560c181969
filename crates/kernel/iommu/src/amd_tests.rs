//! An AMD-Vi unit in software, which reads the tables that it was given, remembers what it found, and can misbehave.

use std::boxed::Box;
use std::collections::HashMap;
use std::sync::Mutex;
use std::vec::Vec;

use iommu_tables::amd::register;
use iommu_tables::walk::{Want, amd};
use mmio::{RegisterModel, Registers};
use ring_abi::Refusal;

use crate::forgetting_tests::{Reads, Rig};
use crate::recall::{Block, Depth, Tables, Walk, block};
use crate::terms::Absent;
use crate::unit_tests::{end, map, memory, now_ns, word};
use crate::{Destination, Domain, NotOn, Trigger, Unit};

const PAGE: u64 = 4096;

/// How a unit misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Defect {
    #[default]
    None,
    /// It knows no command for everything.
    NoneForAll,
    /// It never says that it goes through its commands.
    NeverRuns,
    /// Firmware's exclusion range stays.
    Excludes,
    /// It does not work through its commands.
    Deaf,
}

#[derive(Default)]
struct State {
    registers: HashMap<usize, u64>,
    /// Device table entries, as far as they are read.
    devices: HashMap<u16, [u64; 3]>,
    tables: Tables,
    entries: HashMap<(u16, u16), u32>,
    /// It remembers that nothing was there (`NpCache`).
    absent: bool,
    /// Codes of commands that it takes, and does not follow.
    ignored: Vec<u64>,
    commands: u64,
    defect: Defect,
}

pub(crate) struct Model(Mutex<State>);

impl State {
    fn at(&self, register: usize) -> u64 {
        self.registers.get(&register).copied().unwrap_or(0)
    }

    fn work(&mut self) {
        let tail = self.at(register::COMMAND_TAIL);
        let base = self.at(register::COMMAND_BASE) & 0x000f_ffff_ffff_f000;
        while self.at(register::COMMAND_HEAD) % PAGE != tail && self.defect != Defect::Deaf {
            let head = self.at(register::COMMAND_HEAD) % PAGE;
            let [low, high] = [word(base + head).unwrap(), word(base + head + 8).unwrap()];
            self.follow(low, high);
            self.commands += 1;
            // As emulated units do: the end of the ring is shown before its beginning.
            self.registers.insert(register::COMMAND_HEAD, head + 16);
        }
    }

    /// As AMD 3.08, 2.4 has it, and not a bit more is forgotten.
    fn follow(&mut self, low: u64, high: u64) {
        let source = low as u16;
        match low >> 60 {
            1 => {
                let answer = frames::direct_map(low & 0x000f_ffff_ffff_fff8).cast::<u64>();
                // SAFETY: the queue's own word.
                unsafe { answer.write_volatile(high) };
            }
            ignored if self.ignored.contains(&ignored) => {}
            2 => drop(self.devices.remove(&source)),
            3 => {
                let depth = if high & 2 != 0 {
                    Depth::Tables
                } else {
                    Depth::Pages
                };
                // The lowest clear bit from bit 12 on is half of the length.
                let order = match high & 1 {
                    0 => 0,
                    _ => (high >> 12).trailing_ones() + 1,
                };
                let block = match order {
                    51.. => Block::All,
                    order => block(high & !(PAGE - 1), order),
                };
                let domain = (low >> 32) as u16;
                self.tables.forget(Some(domain), block, depth);
            }
            5 => self.entries.retain(|(of, _), _| *of != source),
            8 => {
                self.devices.clear();
                self.tables.forget(None, Block::All, Depth::Tables);
                self.entries.clear();
            }
            other => panic!("command {other}"),
        }
    }

    /// The entry of a source: what was read of it once.
    fn device(&mut self, source: u16) -> [u64; 3] {
        let at = (self.at(register::DEVICE_TABLE) & !0xfff) + u64::from(source) * 32;
        let read = || [0, 8, 16].map(|offset| word(at + offset).unwrap());
        *self.devices.entry(source).or_insert_with(read)
    }

    fn refuse(&mut self, source: u16, iova: u64) {
        let tail = self.at(register::EVENT_TAIL);
        let base = self.at(register::EVENT_BASE) & 0x000f_ffff_ffff_f000;
        let place = frames::direct_map(base + tail).cast::<u64>();
        // SAFETY: the log's own page.
        unsafe {
            place.write_volatile(2 << 60 | u64::from(source));
            place.add(1).write_volatile(iova);
        }
        self.registers
            .insert(register::EVENT_TAIL, (tail + 16) % PAGE);
    }
}

impl Model {
    fn translate(&self, source: u16, iova: u64, want: Want) -> Option<u64> {
        let state = &mut *self.0.lock().unwrap();
        let table = state.at(register::DEVICE_TABLE);
        let device = state.device(source);
        let domain = device[1] as u16;
        let of = (iova, device[0] >> 9 & 7);
        let walk = Walk::default();
        let read = |at| {
            walk.read(at, |before| match device.get(before.len()) {
                Some(word) => Some(*word),
                None => state.tables.look(domain, of, before.len() - 3),
            })
        };
        let reached = amd(table, &read, source, iova, want).ok();
        let words = walk.words();
        let keeps = |word| word & 1 != 0 || state.absent;
        let of_tables = words.get(3..).unwrap_or_default();
        state.tables.note(domain, of, of_tables, keeps);
        if reached.is_none() {
            state.refuse(source, iova);
        }
        reached
    }

    /// Where a message of a source arrives: the local APIC's identifier, and the vector.
    fn deliver(&self, source: u16, (address, data): (u64, u32)) -> Option<(u32, u8)> {
        let mut state = self.0.lock().unwrap();
        let [.., own] = state.device(source);
        // Not fixed nor arbitrated, or none of the kinds is remapped for it.
        if address >> 20 != 0xfee || data >> 9 != 0 || own & 1 == 0 || own >> 60 != 2 {
            return None;
        }
        let entries = 1u64 << (own >> 1 & 0xf);
        let at = (own & 0x000f_ffff_ffff_ff80) + u64::from(data) * 4;
        let read = || (word(at & !7).unwrap() >> (at % 8 * 8)) as u32;
        let key = (source, data as u16);
        let entry = *state.entries.entry(key).or_insert_with(read);
        let passes = u64::from(data) < entries && entry & 1 != 0;
        passes.then_some((entry >> 8 & 0xff, (entry >> 16) as u8))
    }

    fn set(&self, defect: Defect) {
        self.0.lock().unwrap().defect = defect;
    }
}

impl RegisterModel for Model {
    fn read(&self, offset: usize, _: usize) -> u64 {
        let state = self.0.lock().unwrap();
        let on = state.at(register::CONTROL);
        match offset {
            register::FEATURES if state.defect == Defect::NoneForAll => 0x2993,
            register::FEATURES => 0x29d3,
            register::STATUS if state.defect == Defect::NeverRuns => 0,
            register::STATUS => (on >> 2 & 1) << 3 | (on >> 12 & 1) << 4,
            register::EXCLUSION if state.defect == Defect::Excludes => 0x10_0001,
            _ => state.at(offset),
        }
    }

    fn write(&self, offset: usize, _: usize, value: u64) {
        let mut state = self.0.lock().unwrap();
        state.registers.insert(offset, value);
        if offset == register::COMMAND_TAIL && state.at(register::CONTROL) & 1 != 0 {
            state.work();
        }
    }
}

fn unit(defect: Defect) -> (&'static Model, Result<&'static Unit, NotOn>) {
    memory();
    let state = State {
        defect,
        ..State::default()
    };
    let model: &'static Model = Box::leak(Box::new(Model(Mutex::new(state))));
    (model, model.turn_on())
}

impl Model {
    fn turn_on(&'static self) -> Result<&'static Unit, NotOn> {
        let absent = match self.0.lock().unwrap().absent {
            true => Absent::Remembered,
            false => Absent::LookedUp,
        };
        let unit = Unit::amd(0, Registers::over(self, 0x4000), absent, now_ns);
        unit.map(|unit| &*Box::leak(Box::new(unit)))
    }

    /// Whether the unit remembers of a source what is not there any more.
    pub(crate) fn is_mistaken_of(&self, source: u16) -> bool {
        let state = &mut *self.0.lock().unwrap();
        let known = state.device(source);
        state.devices.remove(&source);
        known != state.device(source)
    }
}

impl Rig for Model {
    fn new(absent: Absent) -> &'static Self {
        memory();
        let state = State {
            absent: absent == Absent::Remembered,
            ..State::default()
        };
        Box::leak(Box::new(Self(Mutex::new(state))))
    }

    fn on(&'static self) -> &'static Unit {
        self.turn_on().unwrap()
    }

    fn place(&self, source: u16, iova: u64) -> Option<u64> {
        self.translate(source, iova, Want::Write)
    }

    fn recalls(&self, domain: u16) -> bool {
        self.0.lock().unwrap().tables.recalls(domain)
    }

    /// A code for each four bits.
    fn ignore(&self, codes: &[u64]) {
        let codes = codes.iter().flat_map(|codes| [codes & 15, codes >> 4]);
        self.0.lock().unwrap().ignored = codes.collect();
    }
}

impl Reads for Model {
    const FUNCTION: u64 = 2;
    const PAGES: u64 = 3;
    const INTERRUPTS: u64 = 5;
    /// Functions are forgotten by a command for each besides, and where their interrupts are is in the same entry.
    const ALL: [u64; 3] = [0x28, 8, 0x28];

    fn raises(&self, source: u16, message: (u64, u32)) -> Option<(u32, u8)> {
        self.deliver(source, message)
    }
}

#[test]
fn a_function_reaches_its_pages_and_no_others_and_the_log_says_so() {
    let (model, unit) = unit(Defect::None);
    let unit = unit.unwrap();
    // Nobody has a domain: all are blocked, the first and the last.
    for source in [0, 0x20, u16::MAX] {
        assert_eq!(model.translate(source, 0x40_0000, Want::Read), None);
    }
    let one = Domain::attach(unit, 0x20, 1, 64).unwrap();
    let iova = map(&one, 0x40_0000, 3);
    let seen = model.translate(0x20, iova + 5, Want::Write);
    assert_eq!(seen, Some(0x40_0005));
    for (source, address) in [
        (0x20, iova + 3 * PAGE),
        (0x20, 0x40_0000),
        (0x28, iova),
        (u16::MAX, iova),
    ] {
        assert_eq!(model.translate(source, address, Want::Read), None);
    }
    let mut told = Vec::new();
    unit.take_faults(5, |fault| told.push(fault.source));
    unit.take_faults(5, |fault| told.push(fault.source));
    assert_eq!(told, [0, 0x20, u16::MAX, 0x20, 0x20, 0x28, u16::MAX]);
    end(&one);
    assert_eq!(model.translate(0x20, iova, Want::Write), None);
}

#[test]
fn what_was_unmapped_is_forgotten_however_often_the_ring_goes_round() {
    let (model, unit) = unit(Defect::None);
    let domain = Domain::attach(unit.unwrap(), 0x20, 1, 64).unwrap();
    let before = model.0.lock().unwrap().commands;
    for _ in 0..300 {
        let iova = map(&domain, 0x40_0000, 2);
        assert!(model.translate(0x20, iova, Want::Write).is_some());
        domain.unmap(iova, 2, || ()).unwrap();
        assert_eq!(model.translate(0x20, iova, Want::Write), None);
    }
    assert!(model.0.lock().unwrap().commands > before + 512);
    end(&domain);
}

#[test]
fn a_unit_that_does_not_follow_is_not_used() {
    let outcome = |defect| unit(defect).1.err();
    assert_eq!(outcome(Defect::NoneForAll), Some(NotOn::RemembersFirmware));
    assert_eq!(outcome(Defect::NeverRuns), Some(NotOn::NoAnswer));
    assert_eq!(outcome(Defect::Excludes), Some(NotOn::ReadsBack));
    assert_eq!(outcome(Defect::Deaf), Some(NotOn::NoAnswer));
    let (model, unit) = unit(Defect::None);
    let domain = Domain::attach(unit.unwrap(), 0x20, 1, 64).unwrap();
    let iova = map(&domain, 0x40_0000, 1);
    model.set(Defect::Deaf);
    assert_eq!(
        domain.unmap(iova, 1, || ()).err(),
        Some(Refusal::DeviceError)
    );
    model.set(Defect::None);
    assert_eq!(domain.end().err(), Some(Refusal::DeviceError));
}

#[test]
fn an_interrupt_passes_by_an_entry_of_its_own_sources_table() {
    let (model, unit) = unit(Defect::None);
    let unit = unit.unwrap();
    let at = |apic_id, vector| Destination { apic_id, vector };
    // Nobody has an entry, and nothing passes as it is.
    for source in [0, 0x20, 0xa0, u16::MAX] {
        assert_eq!(model.deliver(source, (0xfee0_0000, 0x55)), None);
    }
    let one = unit.take_entry(0x20, Trigger::Edge, at(1, 0x31)).unwrap();
    let two = unit.take_entry(0x28, Trigger::Edge, at(2, 0x32)).unwrap();
    assert_eq!(model.deliver(0x20, unit.message(one)), Some((1, 0x31)));
    assert_eq!(model.deliver(0x28, unit.message(two)), Some((2, 0x32)));
    assert_eq!(model.deliver(0x20, unit.message(two)), None);
    assert_eq!(model.deliver(0xa0, unit.message(one)), None);
    // A domain changes nothing of that, nor its end.
    let domain = Domain::attach(unit, 0x20, 1, 64).unwrap();
    assert_eq!(model.deliver(0x20, unit.message(one)), Some((1, 0x31)));
    end(&domain);
    unit.move_entry(one, at(3, 0x44)).unwrap();
    assert_eq!(model.deliver(0x20, unit.message(one)), Some((3, 0x44)));
    assert!(unit.clear_entry(one).is_ok());
    assert_eq!(model.deliver(0x20, unit.message(one)), None);
    assert_eq!(unit.clear_entry(one).err(), Some(Refusal::Stale));
    let again = unit.take_entry(0x20, Trigger::Edge, at(1, 0x31)).unwrap();
    assert_eq!(model.deliver(0x20, unit.message(again)), Some((1, 0x31)));
    assert_eq!(unit.entries(), 2);
}
