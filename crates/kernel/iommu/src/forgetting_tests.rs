//! Each place at which a unit is told to forget, one by one: with a unit in software that remembers all it read until it is told
//! otherwise, a device reaches what it is to reach and nothing from before; and with one that does not follow that one kind of
//! command at that one place, it is seen to. So a place where the kernel says nothing is seen, too. A virtio-iommu keeps what it
//! was asked for until it is asked otherwise, so its requests are looked at in the same way.

use crate::amd_tests::Model as Amd;
use crate::terms::Absent;
use crate::unit_tests::{Model as Vtd, map};
use crate::virtio_model::{ATTACH, DETACH, MAP, Model as Requests, RESET, UNMAP};
use crate::{Access, Destination, Domain, Entry, Trigger, Unit};

const PAGE: u64 = 4096;
const CARD: u16 = 0x20;
const OTHER: u16 = 0x28;
const HERE: Destination = Destination {
    apic_id: 1,
    vector: 0x31,
};
const THERE: Destination = Destination {
    apic_id: 2,
    vector: 0x42,
};

/// A unit in software.
pub(crate) trait Rig: 'static {
    fn new(absent: Absent) -> &'static Self;
    /// The kernel takes it over, once more if need be: it then keeps what it remembers.
    fn on(&'static self) -> &'static Unit;
    /// What a function reaches by writing to a device address.
    fn place(&self, source: u16, iova: u64) -> Option<u64>;
    fn reaches(&self, source: u16, iova: u64) -> bool {
        self.place(source, iova).is_some()
    }
    /// Whether it remembers anything of what a domain maps.
    fn recalls(&self, domain: u16) -> bool;
    /// From now on it does not follow these kinds of commands.
    fn ignore(&self, kinds: &[u64]);
}

/// One that reads tables, and judges interrupts too.
pub(crate) trait Reads: Rig {
    /// The kind of command that makes it forget where a function is led; pages; interrupts.
    const FUNCTION: u64;
    /// See [`Self::FUNCTION`].
    const PAGES: u64;
    /// See [`Self::FUNCTION`].
    const INTERRUPTS: u64;
    /// Those by which it forgets all three, from before it was taken over.
    const ALL: [u64; 3];

    fn raises(&self, source: u16, message: (u64, u32)) -> Option<(u32, u8)>;
}

/// What happens at one place, where the unit ignores a kind of command; whether devices reach what they are to, and no more.
type Place = fn(&[u64]) -> bool;

fn while_ignoring<R: Rig, T>(rig: &R, kinds: &[u64], act: impl FnOnce() -> T) -> T {
    rig.ignore(kinds);
    let outcome = act();
    rig.ignore(&[]);
    outcome
}

fn attach(unit: &'static Unit, source: u16) -> std::sync::Arc<Domain> {
    Domain::attach(unit, source, 1, 64).unwrap()
}

fn entry(unit: &Unit, source: u16) -> Entry {
    unit.take_entry(source, Trigger::Edge, HERE).unwrap()
}

/// A unit that was in use before, with a page that it knows.
fn used<R: Rig>() -> (&'static R, u64) {
    let rig = R::new(Absent::LookedUp);
    let iova = map(&attach(rig.on(), CARD), 0x40_0000, 1);
    assert!(rig.reaches(CARD, iova));
    (rig, iova)
}

fn function_of_firmware<R: Rig>(ignored: &[u64]) -> bool {
    let (rig, iova) = used::<R>();
    while_ignoring(rig, ignored, || rig.on());
    !rig.reaches(CARD, iova)
}

fn pages_of_firmware<R: Rig>(ignored: &[u64]) -> bool {
    let (rig, _) = used::<R>();
    while_ignoring(rig, ignored, || rig.on());
    // The first domain gets the number that the one of before had.
    !rig.recalls(1)
}

fn interrupts_of_firmware<R: Reads>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::LookedUp);
    let unit = rig.on();
    let message = unit.message(entry(unit, CARD));
    assert!(rig.raises(CARD, message).is_some());
    while_ignoring(rig, ignored, || rig.on());
    rig.raises(CARD, message).is_none()
}

fn attaching<R: Rig>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::Remembered);
    let unit = rig.on();
    assert!(!rig.reaches(CARD, 0x40_0000));
    let domain = while_ignoring(rig, ignored, || attach(unit, CARD));
    rig.reaches(CARD, map(&domain, 0x40_0000, 1))
}

fn mapping<R: Rig>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::Remembered);
    let domain = attach(rig.on(), CARD);
    let next = map(&domain, 0x40_0000, 1) - PAGE;
    assert!(!rig.reaches(CARD, next));
    let iova = while_ignoring(rig, ignored, || map(&domain, 0x50_0000, 1));
    assert_eq!(iova, next);
    rig.reaches(CARD, iova)
}

fn unmapping<R: Rig>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::LookedUp);
    let domain = attach(rig.on(), CARD);
    let iova = map(&domain, 0x40_0000, 3);
    let reaches = || (0..3).any(|page| rig.reaches(CARD, iova + page * PAGE));
    assert!(reaches());
    while_ignoring(rig, ignored, || domain.unmap(iova, 3, || ()).unwrap());
    !reaches()
}

/// A run is refused when the device has used some of it already.
fn mapping_half<R: Rig>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::LookedUp);
    let domain = attach(rig.on(), CARD);
    let iova = map(&domain, 0x40_0000, 100);
    domain.unmap(iova, 100, || ()).unwrap();
    let half = |page| (page < 70).then_some(0x40_0000 + page * 2 * PAGE);
    let refused = while_ignoring(rig, ignored, || {
        domain.map(100, Access::ReadWrite, half, || {
            rig.reaches(CARD, iova);
        })
    });
    assert!(refused.is_err());
    !rig.reaches(CARD, iova)
}

fn ending<R: Rig>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::LookedUp);
    let domain = attach(rig.on(), CARD);
    let iova = map(&domain, 0x40_0000, 1);
    assert!(rig.reaches(CARD, iova));
    while_ignoring(rig, ignored, || domain.end().unwrap());
    !rig.reaches(CARD, iova)
}

/// The number of a domain that ended is another's next.
fn ending_for_another<R: Rig>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::LookedUp);
    let domain = attach(rig.on(), CARD);
    let iova = map(&domain, 0x40_0000, 1);
    assert!(rig.reaches(CARD, iova));
    while_ignoring(rig, ignored, || domain.end().unwrap());
    !rig.recalls(domain.number())
}

/// A function that is not led away is led to whoever gets the number of its domain next.
fn ending_as_another_begins<R: Rig>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::LookedUp);
    let unit = rig.on();
    let domain = attach(unit, CARD);
    while_ignoring(rig, ignored, || domain.end().unwrap());
    let next = attach(unit, OTHER);
    assert_eq!(next.number(), domain.number());
    let iova = map(&next, 0x50_0000, 1);
    assert!(rig.reaches(OTHER, iova));
    !rig.reaches(CARD, iova)
}

fn taking_an_entry<R: Reads>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::Remembered);
    let unit = rig.on();
    let first = entry(unit, CARD);
    let next = Entry {
        index: first.index + 1,
        ..first
    };
    assert_eq!(rig.raises(CARD, unit.message(next)), None);
    let second = while_ignoring(rig, ignored, || entry(unit, CARD));
    assert_eq!(second, next);
    rig.raises(CARD, unit.message(second)).is_some()
}

fn moving_an_entry<R: Reads>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::LookedUp);
    let unit = rig.on();
    let one = entry(unit, CARD);
    assert_eq!(rig.raises(CARD, unit.message(one)), Some((1, 0x31)));
    while_ignoring(rig, ignored, || unit.move_entry(one, THERE).unwrap());
    rig.raises(CARD, unit.message(one)) == Some((2, 0x42))
}

fn clearing_an_entry<R: Reads>(ignored: &[u64]) -> bool {
    let rig = R::new(Absent::LookedUp);
    let unit = rig.on();
    // The source keeps another: what goes with its last one is not seen here.
    let (one, _kept) = (entry(unit, CARD), entry(unit, CARD));
    assert!(rig.raises(CARD, unit.message(one)).is_some());
    while_ignoring(rig, ignored, || unit.clear_entry(one).unwrap());
    rig.raises(CARD, unit.message(one)).is_none()
}

/// A source's first entry comes with a table of its own.
fn first_entry(ignored: &[u64]) -> bool {
    let rig = Amd::new(Absent::LookedUp);
    let unit = rig.on();
    assert_eq!(rig.raises(CARD, (0xfee0_0000, 0)), None);
    let one = while_ignoring(rig, ignored, || entry(unit, CARD));
    rig.raises(CARD, unit.message(one)).is_some()
}

/// A source's last entry goes with its table, whose page is another's then.
fn last_entry(ignored: &[u64]) -> bool {
    let rig = Amd::new(Absent::LookedUp);
    let unit = rig.on();
    let one = entry(unit, CARD);
    assert!(rig.raises(CARD, unit.message(one)).is_some());
    while_ignoring(rig, ignored, || unit.clear_entry(one).unwrap());
    !rig.is_mistaken_of(CARD)
}

/// What a unit of either vendor is told at each place, and what is seen where it does not follow.
fn places<R: Reads>() -> [(&'static str, u64, Place); 12] {
    let [function, pages, interrupts] = R::ALL;
    [
        ("firmware's functions", function, function_of_firmware::<R>),
        ("firmware's pages", pages, pages_of_firmware::<R>),
        (
            "firmware's interrupts",
            interrupts,
            interrupts_of_firmware::<R>,
        ),
        ("attach", R::FUNCTION, attaching::<R>),
        ("map", R::PAGES, mapping::<R>),
        ("unmap", R::PAGES, unmapping::<R>),
        ("map half", R::PAGES, mapping_half::<R>),
        ("end", R::FUNCTION, ending::<R>),
        ("end, for another", R::PAGES, ending_for_another::<R>),
        ("take an entry", R::INTERRUPTS, taking_an_entry::<R>),
        ("move an entry", R::INTERRUPTS, moving_an_entry::<R>),
        ("clear an entry", R::INTERRUPTS, clearing_an_entry::<R>),
    ]
}

fn look_at(places: &[(&'static str, u64, Place)]) {
    for (name, kind, place) in places {
        assert!(place(&[]), "{name}: it remembers what it was to forget");
        assert!(
            !place(&[*kind]),
            "{name}: nobody sees that it does not forget"
        );
    }
}

/// What a unit without tables is asked at each place.
fn requests() -> [(&'static str, u64, Place); 9] {
    [
        (
            "firmware's functions",
            RESET,
            function_of_firmware::<Requests>,
        ),
        ("firmware's pages", RESET, pages_of_firmware::<Requests>),
        ("attach", ATTACH, attaching::<Requests>),
        ("map", MAP, mapping::<Requests>),
        ("unmap", UNMAP, unmapping::<Requests>),
        ("map half", UNMAP, mapping_half::<Requests>),
        ("end", DETACH, ending_as_another_begins::<Requests>),
        ("end, for another", UNMAP, ending_for_another::<Requests>),
        // One of the two would do for what the function reached itself.
        ("end, both", UNMAP | DETACH, ending::<Requests>),
    ]
}

#[test]
fn a_unit_without_tables_forgets_at_each_place() {
    look_at(&requests());
}

#[test]
fn a_vtd_unit_forgets_at_each_place() {
    look_at(&places::<Vtd>());
}

#[test]
fn an_amd_unit_forgets_at_each_place() {
    look_at(&places::<Amd>());
    look_at(&[
        ("first entry", Amd::FUNCTION, first_entry),
        ("last entry", Amd::FUNCTION, last_entry),
    ]);
}

/// Messages by each number that a message can have: nobody's, another's, and one that ended. Whose it is not raises nothing by it.
fn every_index<R: Reads>(indices: u16) {
    let rig = R::new(Absent::Remembered);
    let unit = rig.on();
    let (own, foreign, ended) = (entry(unit, CARD), entry(unit, OTHER), entry(unit, CARD));
    assert!(rig.raises(CARD, unit.message(ended)).is_some());
    unit.clear_entry(ended).unwrap();
    let raised = |source| {
        let raises = |index: &u16| {
            let forged = Entry {
                index: *index,
                ..own
            };
            rig.raises(source, unit.message(forged)).is_some()
        };
        (0..indices).filter(raises).collect::<std::vec::Vec<_>>()
    };
    assert_eq!(raised(CARD), [own.index]);
    assert_eq!(raised(OTHER), [foreign.index]);
    // One that has none at all.
    assert_eq!(raised(0x30), []);
}

#[test]
fn a_message_by_any_number_but_its_own_raises_nothing() {
    // One table for all sources, each entry with whose it is; a table for each source.
    every_index::<Vtd>(1 << 15);
    every_index::<Amd>(1 << 9);
}

/// Runs that large pages hold: wholly, but for their ends, not at all for want of a piece, and where a table of small ones is left.
fn long_runs<R: Rig>() {
    const LARGE: u64 = 512;
    let rig = R::new(Absent::Remembered);
    let domain = attach(rig.on(), CARD);
    let whole = |page| Some((page + 0x4_0000) * PAGE);
    let cut = |page| Some((page + 0x8_0000 + u64::from(page > 700)) * PAGE);
    let odd = |page| Some((page + 0xc_0001) * PAGE);
    let check = |pages: u64, physical: fn(u64) -> Option<u64>| {
        let iova = domain
            .map(pages, Access::ReadWrite, physical, || ())
            .unwrap();
        for page in (0..pages)
            .step_by(7)
            .chain([0, LARGE - 1, LARGE, 701, pages - 1])
        {
            let there = rig.place(CARD, iova + page * PAGE + 9);
            assert_eq!(there, physical(page).map(|at| at + 9), "{page}");
        }
        domain.unmap(iova, pages, || ()).unwrap();
        for page in 0..pages {
            assert!(!rig.reaches(CARD, iova + page * PAGE), "{page}");
        }
        domain.books().large
    };
    assert_eq!(check(2 * LARGE, whole), 2);
    // The same once more, at the same place.
    assert_eq!(check(2 * LARGE, whole), 4);
    assert_eq!(check(2 * LARGE + 76, whole), 6);
    assert_eq!(check(3 * LARGE, cut), 7);
    // Small pages leave their tables there: they are used again, and lead to nothing else.
    assert_eq!(check(3 * LARGE, odd), 7);
    let before = domain.books().large;
    assert!(check(3 * LARGE, whole) <= before + 3);
    crate::unit_tests::end(&domain);
}

#[test]
fn long_runs_take_large_pages_and_are_forgotten_whole() {
    long_runs::<Vtd>();
    long_runs::<Amd>();
}
