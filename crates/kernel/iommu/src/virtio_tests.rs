//! What the kernel makes of a virtio-iommu, and of one that misbehaves.

use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use ring_abi::Refusal;

use crate::unit_tests::map;
use crate::virtio_model::{Defect, FIRST, Model};
use crate::{Access, Domain, Fault, NotOn, Unit, Wanted};

const PAGE: u64 = 4096;
const CARD: u16 = 0x20;
const OTHER: u16 = 0x28;

fn attach(unit: &'static Unit, source: u16) -> Result<std::sync::Arc<Domain>, Refusal> {
    Domain::attach(unit, source, 1, 64)
}

#[test]
fn what_is_not_mapped_is_blocked_and_what_is_mapped_is_reached() {
    let model = Model::new(Defect::None);
    assert_eq!(
        model.reach(CARD, 0x5000),
        Some(0x5000),
        "as firmware has it"
    );
    let unit = model.on().unwrap();
    assert!(!unit.judges_interrupts() && unit.levels().is_none());
    assert_eq!(model.reach(CARD, 0x5000), None);
    let (card, other) = (attach(unit, CARD).unwrap(), attach(unit, OTHER).unwrap());
    let iova = map(&card, 0x40_0000, 3);
    for page in 0..3 {
        let at = iova + page * PAGE;
        assert_eq!(model.reach(CARD, at), Some(0x40_0000 + page * PAGE));
        assert_eq!(model.reach(OTHER, at), None);
    }
    assert_eq!(model.reach(CARD, iova + 3 * PAGE), None);
    card.unmap(iova, 3, || ()).unwrap();
    assert_eq!(model.reach(CARD, iova), None);
    map(&other, 0x50_0000, 600);
    other.end().unwrap();
    assert!(!other.shed());
    // The unit has forgotten the domain, and blocks its function.
    let books = other.books();
    assert!(books.agree(600) && books.written == 600, "{books:?}");
    assert!(model.state().domains.len() == 1 && model.reach(OTHER, 0x5000).is_none());
    assert_eq!(unit.status().map(|status| status.translating), Some(true));
}

#[test]
fn a_unit_that_is_not_as_it_was_told_is_not_on() {
    let fault = |defect| Model::new(defect).on().err();
    assert_eq!(fault(Defect::Bypasses), Some(NotOn::ReadsBack));
    assert_eq!(fault(Defect::NoFeatures), Some(NotOn::ReadsBack));
    assert_eq!(fault(Defect::None), None);
}

#[test]
fn any_sequence_leaves_the_unit_with_what_the_oracle_has() {
    let model = Model::new(Defect::None);
    let unit = model.on().unwrap();
    let domains = [attach(unit, CARD).unwrap(), attach(unit, OTHER).unwrap()];
    // What each function is to reach, page by page, and where its runs are.
    let mut oracle = [BTreeMap::new(), BTreeMap::new()];
    let mut runs: [Vec<(u64, u64)>; 2] = [Vec::new(), Vec::new()];
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut draw = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for step in 0..2000u64 {
        let which = draw(2) as usize;
        if draw(5) < 3 {
            let pages = 1 + draw(9);
            // Pages that do not lie one behind the other, now and then.
            let gap = 1 + draw(2);
            let physical = |page| Some(0x100_0000 + step * 0x4_0000 + page * gap * PAGE);
            let iova = domains[which]
                .map(pages, Access::ReadWrite, physical, || ())
                .unwrap();
            for page in 0..pages {
                oracle[which].insert(iova + page * PAGE, physical(page).unwrap());
            }
            runs[which].push((iova, pages));
        } else if !runs[which].is_empty() {
            let place = draw(runs[which].len() as u64) as usize;
            let (iova, pages) = runs[which].swap_remove(place);
            domains[which].unmap(iova, pages, || ()).unwrap();
            for page in 0..pages {
                oracle[which].remove(&(iova + page * PAGE));
            }
        }
    }
    let mut state = model.state();
    for (oracle, source) in oracle.iter().zip([CARD, OTHER]) {
        let domain = state.attached[&(FIRST + u32::from(source))];
        let all = state.domains.get_mut(&domain).unwrap();
        let mut pages = BTreeMap::new();
        for (first, (last, physical)) in all.iter() {
            for at in (*first..*last).step_by(PAGE as usize) {
                assert_eq!(pages.insert(at, physical + (at - first)), None);
            }
        }
        assert_eq!(&pages, oracle);
    }
    drop(state);
    for (domain, oracle) in domains.iter().zip(&oracle) {
        domain.end().unwrap();
        assert!(domain.books().agree(oracle.len() as u64));
    }
}

#[test]
fn a_unit_that_does_not_answer_is_not_asked_again() {
    for defect in [Defect::Deaf, Defect::Silent, Defect::OtherChain] {
        let model = Model::new(Defect::None);
        let unit = model.on().unwrap();
        let card = attach(unit, CARD).unwrap();
        let iova = map(&card, 0x40_0000, 1);
        model.state().defect = defect;
        assert_eq!(card.unmap(iova, 1, || ()).err(), Some(Refusal::DeviceError));
        assert!(!unit.answers());
        model.state().defect = Defect::None;
        let asked = model.state().asked.len();
        assert_eq!(attach(unit, OTHER).err(), Some(Refusal::DeviceError));
        assert_eq!(card.end().err(), Some(Refusal::DeviceError));
        assert_eq!(model.state().asked.len(), asked, "{defect:?}");
    }
}

#[test]
fn a_unit_that_refuses_to_forget_is_lost() {
    for kind in [2, 4] {
        let model = Model::new(Defect::None);
        let unit = model.on().unwrap();
        let card = attach(unit, CARD).unwrap();
        map(&card, 0x40_0000, 1);
        model.state().defect = Defect::Refuses(kind, 5);
        assert_eq!(card.end().err(), Some(Refusal::DeviceError));
        assert!(!unit.answers(), "{kind}");
    }
}

#[test]
fn what_it_refuses_to_do_it_has_not_done() {
    let model = Model::new(Defect::Refuses(1, 3));
    let unit = model.on().unwrap();
    assert_eq!(attach(unit, CARD).err(), Some(Refusal::DeviceError));
    assert_eq!(
        attach(unit, 0x100).err(),
        Some(Refusal::NotSupported),
        "none of its"
    );
    assert!(unit.answers() && model.reach(CARD, 0x5000).is_none());
    model.state().defect = Defect::None;
    let card = attach(unit, CARD).unwrap();
    for (status, refusal) in [(8, Refusal::NoMemory), (5, Refusal::DeviceError)] {
        let before = model.state().domains.clone();
        model.state().maps = 0;
        model.state().defect = Defect::SecondMap(status);
        // Two pages that do not lie one behind the other are two requests.
        let physical = |page| Some(0x40_0000 + page * 2 * PAGE);
        let refused = card.map(2, Access::ReadWrite, physical, || ()).unwrap_err();
        assert_eq!((refused.refusal, refused.left), (refusal, None));
        assert_eq!(model.state().domains, before);
        model.state().defect = Defect::None;
    }
    assert!(unit.answers());
    map(&card, 0x40_0000, 2);
    card.end().unwrap();
    assert!(card.books().agree(2));
}

#[test]
fn what_it_refuses_devices_is_told_by_source_and_address() {
    let model = Model::new(Defect::None);
    let unit = model.on().unwrap();
    let card = attach(unit, CARD).unwrap();
    let iova = map(&card, 0x40_0000, 1);
    let take = |most| {
        let mut told: Vec<Fault> = Vec::new();
        unit.take_faults(most, |fault| told.push(fault));
        told
    };
    assert!(take(4).is_empty());
    model.reach(CARD, iova - PAGE + 0x123);
    model.reach(OTHER, 0x7000);
    let fault = |source, reason, iova| Fault {
        source,
        reason,
        wanted: Wanted::Memory {
            iova,
            request: "write",
        },
    };
    let first = fault(CARD, "not-mapped", iova - PAGE);
    assert_eq!(take(1), [first]);
    assert_eq!(take(4), [fault(OTHER, "no-domain", 0x7000)]);
    // More than there are places, twice over; what is left out is counted.
    for _ in 0..3 {
        for _ in 0..70 {
            model.reach(CARD, 0x7000);
        }
        assert_eq!(take(100).len(), 64);
    }
    use core::sync::atomic::Ordering;
    assert_eq!(unit.faults().overflows.load(Ordering::Relaxed), 3);
    assert_eq!(unit.faults().told.load(Ordering::Relaxed), 2 + 3 * 64);
}

#[test]
fn what_it_reserves_is_asked_for() {
    let model = Model::new(Defect::None);
    let unit = model.on().unwrap();
    let property = |first: u64, last: u64| {
        let mut bytes = vec![1, 0, 20, 0, 1, 0, 0, 0];
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&last.to_le_bytes());
        bytes
    };
    assert_eq!(unit.reserves(CARD), Ok(false));
    model.state().properties = property(0xfee0_0000, 0xfeef_ffff);
    assert_eq!(unit.reserves(CARD), Ok(false));
    model.state().properties = property(0x8000_0000, 0x8000_0fff);
    assert_eq!(unit.reserves(CARD), Ok(true));
    model.state().properties = vec![1, 0, 0xff, 0xff];
    assert_eq!(unit.reserves(CARD), Ok(true), "nonsense");
    model.state().defect = Defect::Refuses(5, 6);
    assert_eq!(unit.reserves(CARD), Ok(true), "no word of it");
    assert!(unit.answers());
    model.state().defect = Defect::Deaf;
    assert_eq!(unit.reserves(CARD), Err(Refusal::DeviceError));
}
