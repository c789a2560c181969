//! A unit in software: it reads the tables that it was given as a unit does, remembers all that it found until it is told
//! to forget it, and can be told to misbehave. What devices reach through it is what the tests look at.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::vec::Vec;
use std::{boxed::Box, vec};

use iommu_tables::vtd::register;
use iommu_tables::walk::{VtdUnit, Want, vtd};
use mmio::{RegisterModel, Registers};
use ring_abi::Refusal;

use crate::{Domain, NotOn, Unit};

const PAGE: u64 = 4096;
/// What `RemappingFeatures` is read from: three levels, page-selective, coherent, queue, interrupts; one fault record.
const CAPABILITY: u64 = 0x00d2_008c_2226_0206;
const EXTENDED: u64 = 0x0000_0000_00f0_0f4b;
const FAULTS: usize = 0x220;

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
    /// It answers the wait, and forgets nothing.
    Forgetful,
}

#[derive(Default)]
struct State {
    status: u32,
    root: u64,
    queue: u64,
    head: u64,
    fault: [u64; 2],
    fault_status: u32,
    remembered: HashMap<(u16, u64), u64>,
    defect: Defect,
}

/// The unit; leaked, as registers are there for good.
struct Model(Mutex<State>);

pub(crate) fn word(physical: u64) -> Option<u64> {
    let at = frames::direct_map(physical).cast::<u64>();
    // SAFETY: the tests' memory, leaked, and written through atomics by the same thread.
    Some(unsafe { at.read_volatile() })
}

impl Model {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// What a device reaches.
    fn translate(&self, source: u16, iova: u64, want: Want) -> Option<u64> {
        let mut state = self.state();
        let key = (source, iova / PAGE);
        if let Some(page) = state.remembered.get(&key) {
            return Some(page + iova % PAGE);
        }
        let unit = VtdUnit {
            root_table: state.root,
            physical_bits: 39,
            widest: 39,
            depths: 1 << 1,
            large: (true, true),
        };
        match vtd(&unit, &word, source, iova, want) {
            Ok(physical) => {
                state.remembered.insert(key, physical & !(PAGE - 1));
                Some(physical)
            }
            Err(reason) => {
                let kind = u64::from(want == Want::Read) << 62;
                let high = 1 << 63 | kind | u64::from(reason) << 32 | u64::from(source);
                state.fault = [iova & !(PAGE - 1), high];
                state.fault_status |= 2;
                None
            }
        }
    }

    fn work(state: &mut State, tail: u64) {
        while state.head != tail && state.defect != Defect::Deaf {
            let at = state.queue + state.head;
            let [low, high] = [word(at).unwrap(), word(at + 8).unwrap()];
            match low & 0xf {
                1 | 2 if state.defect != Defect::Forgetful => state.remembered.clear(),
                5 => {
                    let answer = frames::direct_map(high).cast::<u32>();
                    // SAFETY: the queue's own word.
                    unsafe { answer.write_volatile((low >> 32) as u32) };
                }
                _ => {}
            }
            state.head = (state.head + 16) % PAGE;
        }
    }
}

impl RegisterModel for Model {
    fn read(&self, offset: usize, _: usize) -> u64 {
        let state = self.state();
        match offset {
            0x08 => CAPABILITY,
            0x10 => EXTENDED,
            register::GSTS => u64::from(state.status),
            register::RTADDR if state.defect == Defect::OtherRoot => state.root ^ PAGE,
            register::RTADDR => state.root,
            register::IQA => state.queue,
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
                let standing = register::STANDING & !register::COMPATIBILITY;
                let mut status = value as u32 & (standing | register::ROOT_POINTER);
                if state.defect == Defect::NeverOn {
                    status &= !register::TRANSLATION;
                }
                state.status = status;
            }
            register::RTADDR => state.root = value,
            register::IQA => state.queue = value,
            register::IQT => Self::work(state, value),
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
        let bytes = 64 << 20;
        let words = Box::leak(vec![0u64; (bytes + PAGE as usize) / 8].into_boxed_slice());
        let base = (words.as_mut_ptr() as u64).next_multiple_of(PAGE);
        // SAFETY: leaked memory, mapped at its own address; once.
        let made = unsafe { frames::initialise(base, &[(PAGE, bytes as u64)], bytes as u64) };
        assert!(made);
    });
}

fn unit(defect: Defect) -> (&'static Model, Result<&'static Unit, NotOn>) {
    memory();
    let state = State {
        defect,
        ..State::default()
    };
    let model: &'static Model = Box::leak(Box::new(Model(Mutex::new(state))));
    let unit = Unit::vtd(0, Registers::over(model, 4096), now_ns);
    let unit = unit.map(|unit| &*Box::leak(Box::new(unit)));
    (model, unit)
}

pub(crate) fn map(domain: &Domain, physical: u64, pages: u64) -> u64 {
    let at = |page| Some(physical + page * PAGE);
    domain.map(pages, at, || ()).unwrap()
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
            .map(1, |_| Some(0), || ())
            .err()
            .map(|not| not.refusal),
        Some(Refusal::Revoked)
    );
    // What somebody still had of it counts as forgotten.
    assert!(domain.unmap(second, 1, || ()).is_ok());
}

#[test]
fn a_unit_that_only_says_so_is_seen_through_by_what_it_remembers() {
    let (model, unit) = unit(Defect::Forgetful);
    let domain = Domain::attach(unit.unwrap(), 0x20, 1, 64).unwrap();
    let iova = map(&domain, 0x40_0000, 1);
    assert!(model.translate(0x20, iova, Want::Write).is_some());
    domain.unmap(iova, 1, || ()).unwrap();
    // This is what the flush is for: without it the page would still be reached.
    assert_eq!(model.translate(0x20, iova, Want::Write), Some(0x40_0000));
}

#[test]
fn a_unit_that_does_not_follow_is_not_used() {
    let outcomes =
        [Defect::NeverOn, Defect::OtherRoot, Defect::Deaf].map(|defect| unit(defect).1.err());
    let expected = [NotOn::NoAnswer, NotOn::ReadsBack, NotOn::NoAnswer];
    assert_eq!(outcomes, expected.map(Some));
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
    let refused = domain.map(2, half, || ()).unwrap_err();
    assert_eq!((refused.refusal, refused.left), (Refusal::OutOfRange, None));
    model.state().defect = Defect::Deaf;
    let refused = domain.map(2, half, || ()).unwrap_err();
    assert!(refused.left.is_some());
}
