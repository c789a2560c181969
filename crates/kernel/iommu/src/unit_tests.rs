//! A unit in software: it reads the tables that it was given as a unit does, remembers all that it found until it is told
//! to forget it, and can be told to misbehave. What devices reach through it is what the tests look at.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::vec::Vec;
use std::{boxed::Box, vec};

use iommu_tables::vtd::register::{self, ApicIds};
use iommu_tables::walk::{VtdUnit, Want, vtd};
use mmio::{RegisterModel, Registers};
use ring_abi::Refusal;

use crate::forgetting_tests::{Reads, Rig};
use crate::recall::{Block, Depth, Tables, Walk, block};
use crate::terms::Absent;
use crate::{Access, Destination, Domain, NotOn, Trigger, Unit};

const PAGE: u64 = 4096;
/// What `RemappingFeatures` is read from: three levels, page-selective, coherent, queue, interrupts; one fault record.
const CAPABILITY: u64 = 0x00d2_008c_2226_0206;
const EXTENDED: u64 = 0x0000_0000_00f0_0f4b;
const FAULTS: usize = 0x220;
/// Of the capability register: what was found absent may be remembered (`CM`); a write buffer has to be emptied (`RWBF`).
pub(crate) const ABSENT: u64 = 1 << 7;
const BUFFERS: u64 = 1 << 4;

/// How a unit misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Defect {
    #[default]
    None,
    /// It never says that it translates.
    NeverOn,
    /// Its root table's register reads back with a bit too many.
    OtherRoot,
    /// It does not work through its queue.
    Deaf,
    /// Its interrupt table's register reads back with a bit too many.
    OtherInterrupts,
    /// Messages in the old format pass, whatever it is told.
    Compatible,
}

#[derive(Default)]
struct State {
    status: u32,
    root: u64,
    queue: u64,
    head: u64,
    interrupts: u64,
    entries: HashMap<u16, [u64; 2]>,
    fault: [u64; 2],
    fault_status: u32,
    /// Root and context entry of a source, with the domain that the unit knows them by.
    contexts: HashMap<u16, (u16, [u64; 4])>,
    tables: Tables,
    /// What it can besides, as bits of the capability register.
    features: u64,
    /// Its write buffer was emptied since it was last told something; how often it was told with the buffer full.
    emptied: bool,
    told_too_early: u32,
    /// Types of descriptors that it takes, and does not follow.
    ignored: Vec<u64>,
    defect: Defect,
}

/// The unit; leaked, as registers are there for good.
pub(crate) struct Model(Mutex<State>);

pub(crate) fn word(physical: u64) -> Option<u64> {
    let at = frames::direct_map(physical).cast::<u64>();
    // SAFETY: the tests' memory, leaked, and written through atomics by the same thread.
    Some(unsafe { at.read_volatile() })
}

impl Model {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Where a message of a source arrives: the local APIC's identifier, and the vector.
    fn deliver(&self, source: u16, (address, data): (u64, u32)) -> Option<(u32, u8)> {
        let mut state = self.state();
        let on = state.status & register::INTERRUPTS != 0;
        if address >> 20 != 0xfee || address & 1 << 4 == 0 || data != 0 || !on {
            return None;
        }
        let index = (address >> 5 & 0x7fff | (address >> 2 & 1) << 15) as u16;
        let entries = 2 << (state.interrupts & 0xf);
        let at = (state.interrupts & !0xfff) + u64::from(index) * 16;
        let read = || [word(at).unwrap(), word(at + 8).unwrap()];
        let [low, high] = state.entries.get(&index).copied().unwrap_or_else(read);
        if low & 1 != 0 || state.features & ABSENT != 0 {
            state.entries.insert(index, [low, high]);
        }
        let verified = high >> 18 & 3 == 1 && high as u16 == source;
        let passes = u64::from(index) < entries && low & 1 != 0 && verified;
        passes.then_some(((low >> 40) as u32 & 0xff, (low >> 16) as u8))
    }

    /// What a device reaches.
    fn translate(&self, source: u16, iova: u64, want: Want) -> Option<u64> {
        let state = &mut *self.state();
        let unit = VtdUnit {
            root_table: state.root,
            physical_bits: 39,
            widest: 39,
            depths: 1 << 1,
            large: (true, true),
        };
        let walk = Walk::default();
        let read = |at| {
            walk.read(at, |before| match before.get(3) {
                Some((_, high)) => {
                    let of = (iova, (high & 7) + 2);
                    state.tables.look((high >> 8) as u16, of, before.len() - 4)
                }
                None => Some(state.contexts.get(&source)?.1[before.len()]),
            })
        };
        let reached = vtd(&unit, &read, source, iova, want);
        state.recall(source, iova, &walk.words());
        if let Err(reason) = reached {
            let kind = u64::from(want == Want::Read) << 62;
            let high = 1 << 63 | kind | u64::from(reason) << 32 | u64::from(source);
            state.fault = [iova & !(PAGE - 1), high];
            state.fault_status |= 2;
        }
        reached.ok()
    }

    fn work(state: &mut State, tail: u64) {
        let buffers = state.features & BUFFERS != 0;
        let told = state.head != tail;
        state.told_too_early += u32::from(told && buffers && !state.emptied);
        state.emptied = false;
        while state.head != tail && state.defect != Defect::Deaf {
            let at = state.queue + state.head;
            let words = [word(at).unwrap(), word(at + 8).unwrap()];
            state.follow(words);
            state.head = (state.head + 16) % PAGE;
        }
    }
}

impl State {
    /// Keeps what a walk read: context entries that are absent only by the caching mode, and then as domain 0's (VT-d 6.1).
    fn recall(&mut self, source: u16, iova: u64, words: &[(u64, u64)]) {
        let absent = self.features & ABSENT != 0;
        let at = |place: usize| words.get(place).map_or(0, |(_, word)| *word);
        let context = [at(0), at(1), at(2), at(3)];
        let present = context[0] & context[2] & 1 != 0;
        let domain = if present { (context[3] >> 8) as u16 } else { 0 };
        if present || absent {
            self.contexts.insert(source, (domain, context));
        }
        if present {
            let levels = (context[3] & 7) + 2;
            let keeps = |word| word & 3 != 0 || absent;
            self.tables.note(domain, (iova, levels), &words[4..], keeps);
        }
    }

    /// As VT-d 6.5.2 has it, and not a bit more is forgotten.
    fn follow(&mut self, [low, high]: [u64; 2]) {
        let (granularity, domain) = (low >> 4 & 3, (low >> 16) as u16);
        match low & 0xf {
            5 => {
                let answer = frames::direct_map(high).cast::<u32>();
                // SAFETY: the queue's own word.
                unsafe { answer.write_volatile((low >> 32) as u32) };
            }
            ignored if self.ignored.contains(&ignored) => {}
            1 => self.contexts.retain(|source, (of, _)| match granularity {
                1 => false,
                2 => *of != domain,
                _ => *of != domain || *source != (low >> 32) as u16,
            }),
            2 => {
                let depth = if high >> 6 & 1 == 0 {
                    Depth::Tables
                } else {
                    Depth::Pages
                };
                match granularity {
                    1 => self.tables.forget(None, Block::All, Depth::Tables),
                    2 => self.tables.forget(Some(domain), Block::All, Depth::Tables),
                    _ => {
                        let block = block(high & !(PAGE - 1), (high & 0x3f) as u32);
                        self.tables.forget(Some(domain), block, depth);
                    }
                }
            }
            4 if granularity & 1 == 0 => self.entries.clear(),
            4 => drop(self.entries.remove(&((low >> 32) as u16))),
            other => panic!("descriptor {other}"),
        }
    }
}

impl RegisterModel for Model {
    fn read(&self, offset: usize, _: usize) -> u64 {
        let state = self.state();
        match offset {
            0x08 => CAPABILITY | state.features,
            0x10 => EXTENDED,
            register::GSTS => u64::from(state.status),
            register::RTADDR if state.defect == Defect::OtherRoot => state.root ^ PAGE,
            register::RTADDR => state.root,
            register::IQA => state.queue,
            register::IRTA if state.defect == Defect::OtherInterrupts => state.interrupts ^ PAGE,
            register::IRTA => state.interrupts,
            register::IQH => state.head,
            register::FSTS => u64::from(state.fault_status),
            FAULTS => state.fault[0],
            0x228 => state.fault[1],
            _ => 0,
        }
    }

    fn write(&self, offset: usize, _: usize, value: u64) {
        let state = &mut *self.state();
        match offset {
            register::GCMD => {
                state.emptied |= value as u32 & register::WRITE_BUFFER != 0;
                let standing = register::STANDING & !register::COMPATIBILITY;
                let pointers = register::ROOT_POINTER | register::INTERRUPT_POINTER;
                let mut status = value as u32 & (standing | pointers);
                if state.defect == Defect::Compatible && status & register::INTERRUPTS != 0 {
                    status |= register::COMPATIBILITY;
                }
                if state.defect == Defect::NeverOn {
                    status &= !register::TRANSLATION;
                }
                state.status = status;
            }
            register::RTADDR => state.root = value,
            register::IQA => (state.queue, state.head) = (value, 0),
            register::IRTA => state.interrupts = value,
            register::IQT if state.status & register::QUEUE != 0 => Self::work(state, value),
            0x228 if value >> 63 != 0 => {
                state.fault = [0; 2];
                state.fault_status &= !2;
            }
            _ => {}
        }
    }
}

/// A clock that goes on whenever somebody looks.
pub(crate) fn now_ns() -> u64 {
    static NOW: AtomicU64 = AtomicU64::new(0);
    NOW.fetch_add(1_000_000, Ordering::Relaxed)
}

pub(crate) fn memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let bytes = 256 << 20;
        let words = Box::leak(vec![0u64; (bytes + PAGE as usize) / 8].into_boxed_slice());
        let base = (words.as_mut_ptr() as u64).next_multiple_of(PAGE);
        // SAFETY: leaked memory, mapped at its own address; once.
        let made = unsafe { frames::initialise(base, &[(PAGE, bytes as u64)], bytes as u64) };
        assert!(made);
    });
}

fn unit(defect: Defect) -> (&'static Model, Result<&'static Unit, NotOn>) {
    unit_of(State {
        defect,
        ..State::default()
    })
}

fn unit_of(state: State) -> (&'static Model, Result<&'static Unit, NotOn>) {
    memory();
    let model: &'static Model = Box::leak(Box::new(Model(Mutex::new(state))));
    (model, model.turn_on())
}

impl Model {
    fn turn_on(&'static self) -> Result<&'static Unit, NotOn> {
        let registers = Registers::over(self, 4096);
        let unit = Unit::vtd(0, registers, ApicIds::Bits8, now_ns);
        unit.map(|unit| &*Box::leak(Box::new(unit)))
    }
}

impl Rig for Model {
    fn new(absent: Absent) -> &'static Self {
        let features = match absent {
            Absent::Remembered => ABSENT,
            Absent::LookedUp => 0,
        };
        let state = State {
            features,
            ..State::default()
        };
        memory();
        Box::leak(Box::new(Self(Mutex::new(state))))
    }

    fn on(&'static self) -> &'static Unit {
        self.turn_on().unwrap()
    }

    fn place(&self, source: u16, iova: u64) -> Option<u64> {
        self.translate(source, iova, Want::Write)
    }

    fn recalls(&self, domain: u16) -> bool {
        self.state().tables.recalls(domain)
    }

    fn ignore(&self, types: &[u64]) {
        self.state().ignored = types.to_vec();
    }
}

impl Reads for Model {
    const FUNCTION: u64 = 1;
    const PAGES: u64 = 2;
    const INTERRUPTS: u64 = 4;
    const ALL: [u64; 3] = [1, 2, 4];

    fn raises(&self, source: u16, message: (u64, u32)) -> Option<(u32, u8)> {
        self.deliver(source, message)
    }
}

pub(crate) fn map(domain: &Domain, physical: u64, pages: u64) -> u64 {
    let at = |page| Some(physical + page * PAGE);
    domain.map(pages, Access::ReadWrite, at, || ()).unwrap()
}

#[test]
fn a_function_reaches_its_pages_and_no_others() {
    let (model, unit) = unit(Defect::None);
    let unit = unit.unwrap();
    let one = Domain::attach(unit, 0x20, 1, 64).unwrap();
    let other = Domain::attach(unit, 0x28, 1, 28).unwrap();
    let iova = map(&one, 0x40_0000, 3);
    assert_ne!(iova, 0x40_0000);
    for page in 0..3 {
        let seen = model.translate(0x20, iova + page * PAGE + 5, Want::Write);
        assert_eq!(seen, Some(0x40_0005 + page * PAGE));
    }
    for (source, address) in [
        (0x20, iova + 3 * PAGE),
        (0x20, iova - PAGE),
        (0x20, 0x40_0000),
        (0x28, iova),
        (0x30, iova),
    ] {
        assert_eq!(model.translate(source, address, Want::Read), None);
    }
    assert!(map(&other, 0x50_0000, 1) < 1 << 28);
    let mut told = Vec::new();
    unit.take_faults(8, |fault| told.push((fault.source, fault.reason)));
    assert_eq!(told, [(0x30, "context-absent")]);
    for domain in [one, other] {
        end(&domain);
    }
}

#[test]
fn a_domain_confines_while_the_unit_reads_what_was_written() {
    let (model, unit) = unit(Defect::None);
    let domain = Domain::attach(unit.unwrap(), 0x20, 1, 64).unwrap();
    let at = |_| Some(0x60_0000);
    let read = domain.map(1, Access::Read, at, || ()).unwrap();
    assert_eq!(model.translate(0x20, read, Want::Read), Some(0x60_0000));
    assert_eq!(model.translate(0x20, read, Want::Write), None);
    assert!(domain.confines());
    assert_eq!(domain.leads(read), Some(0x60_0000));
    assert_eq!(domain.leads(read + PAGE), None);
    // Off, it would let everything pass.
    let on = std::mem::take(&mut model.state().status);
    assert!(!domain.confines());
    model.state().status = on;
    // Led elsewhere, or nowhere.
    let other = Domain::attach(domain.unit(), 0x28, 1, 64).unwrap();
    assert!(other.confines());
    domain.unit().block(0x20).unwrap();
    assert!(!domain.confines() && other.confines());
    end(&domain);
    assert!(!domain.confines());
    assert_eq!(domain.leads(read), None);
    end(&other);
}

pub(crate) fn end(domain: &Arc<Domain>) {
    let mapped = domain.size().0;
    domain.end().unwrap();
    while domain.shed() {}
    assert!(domain.books().agree(mapped), "{:?}", domain.books());
}

#[test]
fn what_was_unmapped_is_reached_no_more_and_what_was_mapped_after_is() {
    let (model, unit) = unit(Defect::None);
    let domain = Domain::attach(unit.unwrap(), 0x20, 1, 64).unwrap();
    let first = map(&domain, 0x40_0000, 200);
    assert!(model.translate(0x20, first, Want::Write).is_some());
    domain.unmap(first, 200, || ()).unwrap();
    assert_eq!(model.translate(0x20, first, Want::Write), None);
    let second = map(&domain, 0x60_0000, 1);
    // The address is given out again, and leads to the new page.
    assert_eq!(second / PAGE, first / PAGE + 199);
    assert_eq!(model.translate(0x20, second, Want::Write), Some(0x60_0000));
    end(&domain);
    assert_eq!(model.translate(0x20, second, Want::Write), None);
    assert_eq!(
        domain
            .map(1, Access::ReadWrite, |_| Some(0), || ())
            .err()
            .map(|not| not.refusal),
        Some(Refusal::Revoked)
    );
    // What somebody still had of it counts as forgotten.
    assert!(domain.unmap(second, 1, || ()).is_ok());
}

#[test]
fn a_write_buffer_is_emptied_before_the_unit_is_told_and_after_what_it_is_not_told_of() {
    let (model, unit) = unit_of(State {
        features: BUFFERS,
        ..State::default()
    });
    let domain = Domain::attach(unit.unwrap(), 0x20, 1, 64).unwrap();
    for _ in 0..3 {
        let iova = map(&domain, 0x40_0000, 1);
        assert!(std::mem::take(&mut model.state().emptied));
        domain.unmap(iova, 1, || ()).unwrap();
    }
    end(&domain);
    assert_eq!(model.state().told_too_early, 0);
}

#[test]
fn a_unit_that_does_not_follow_is_not_used() {
    for (defect, expected) in [
        (Defect::NeverOn, NotOn::NoAnswer),
        (Defect::OtherRoot, NotOn::ReadsBack),
        (Defect::OtherInterrupts, NotOn::ReadsBack),
        (Defect::Compatible, NotOn::ReadsBack),
        (Defect::Deaf, NotOn::NoAnswer),
    ] {
        assert_eq!(unit(defect).1.err(), Some(expected), "{defect:?}");
    }
}

#[test]
fn one_that_stops_answering_frees_nothing_and_gets_no_more_functions() {
    let (model, unit) = unit(Defect::None);
    let unit = unit.unwrap();
    let domain = Domain::attach(unit, 0x20, 1, 64).unwrap();
    let iova = map(&domain, 0x40_0000, 1);
    let tables = domain.size().1;
    model.state().defect = Defect::Deaf;
    assert_eq!(
        domain.unmap(iova, 1, || ()).err(),
        Some(Refusal::DeviceError)
    );
    // It answers again, and is not believed.
    model.state().defect = Defect::None;
    assert_eq!(domain.end().err(), Some(Refusal::DeviceError));
    assert!(!domain.shed() && domain.size().1 == tables);
    assert!(!unit.answers());
    let next = Domain::attach(unit, 0x28, 1, 64);
    assert_eq!(next.err(), Some(Refusal::DeviceError));
}

#[test]
fn a_run_refused_half_way_is_kept_where_the_unit_does_not_forget_it() {
    let (model, unit) = unit(Defect::None);
    let domain = Domain::attach(unit.unwrap(), 0x20, 1, 64).unwrap();
    let half = |page| (page == 0).then_some(0x40_0000);
    let refused = domain.map(2, Access::ReadWrite, half, || ()).unwrap_err();
    assert_eq!((refused.refusal, refused.left), (Refusal::OutOfRange, None));
    model.state().defect = Defect::Deaf;
    let refused = domain.map(2, Access::ReadWrite, half, || ()).unwrap_err();
    assert!(refused.left.is_some());
}

const fn at(apic_id: u32, vector: u8) -> Destination {
    Destination { apic_id, vector }
}

#[test]
fn an_interrupt_passes_by_its_own_entry_and_from_its_own_source() {
    let (model, unit) = unit(Defect::None);
    let unit = unit.unwrap();
    let one = unit.take_entry(0x20, Trigger::Edge, at(1, 0x31)).unwrap();
    let two = unit.take_entry(0x28, Trigger::Edge, at(2, 0x32)).unwrap();
    assert_eq!(unit.entries(), 2);
    assert_eq!(model.deliver(0x20, unit.message(one)), Some((1, 0x31)));
    assert_eq!(model.deliver(0x28, unit.message(two)), Some((2, 0x32)));
    assert_eq!(model.deliver(0x20, unit.message(two)), None);
    // No other number, nor the old format.
    for index in (0..1024).filter(|index| ![one.index, two.index].contains(index)) {
        let absent = crate::Entry { index, ..one };
        assert_eq!(model.deliver(0x20, unit.message(absent)), None);
    }
    assert_eq!(model.deliver(0x20, (0xfee0_1000, 0x31)), None);
    // It goes elsewhere, with the same message.
    unit.move_entry(one, at(3, 0x44)).unwrap();
    assert_eq!(model.deliver(0x20, unit.message(one)), Some((3, 0x44)));
    assert!(unit.clear_entry(one).is_ok());
    assert_eq!(model.deliver(0x20, unit.message(one)), None);
    assert_eq!(unit.clear_entry(one).err(), Some(Refusal::Stale));
    assert_eq!(unit.entries(), 1);
    // Its number comes again only after all the others.
    for _ in 0..1023 {
        let other = unit.take_entry(0x30, Trigger::Edge, at(0, 0x33)).unwrap();
        assert_ne!(other.index, two.index);
    }
    let full = unit.take_entry(0x30, Trigger::Edge, at(0, 0x33));
    assert_eq!(full.err(), Some(Refusal::Exhausted));
    let beyond = unit.take_entry(0x30, Trigger::Edge, at(256, 0x33));
    assert_eq!(beyond.err(), Some(Refusal::NotSupported));
}

#[test]
fn a_unit_that_forgets_no_entry_gives_none_back() {
    let (model, unit) = unit(Defect::None);
    let unit = unit.unwrap();
    let one = unit.take_entry(0x20, Trigger::Edge, at(1, 0x31)).unwrap();
    model.state().defect = Defect::Deaf;
    assert_eq!(unit.clear_entry(one).err(), Some(Refusal::DeviceError));
    assert!(!unit.answers());
    assert_eq!(unit.entries(), 1);
    let more = unit.take_entry(0x20, Trigger::Edge, at(1, 0x32));
    assert_eq!(more.err(), Some(Refusal::DeviceError));
}
