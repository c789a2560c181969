//! Tables against a map of pages: whatever is mapped and unmapped, a unit's own walk finds what the map holds.

use std::collections::{BTreeMap, HashMap};

use iommu_tables::{
    Access, DomainId, Format, Geometry, LargestPage, Levels, MapRefusal, Mapping, PAGE_BYTES,
    PageTables, Table, TableMemory, UnmapRefusal, amd, vtd, walk,
};
use proptest::prelude::*;

/// Memory from 1 MiB on, of which tables are taken one after the other.
#[derive(Default)]
struct Memory {
    words: HashMap<u64, u64>,
    writes: u64,
    taken: u64,
    limit: u64,
}

const BASE: u64 = 0x10_0000;

impl Memory {
    fn new(limit: u64) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    fn put(&mut self, at: u64, words: &[u64]) {
        for (index, word) in words.iter().enumerate() {
            self.words.insert(at + index as u64 * 8, *word);
        }
    }

    fn get(&self, at: u64) -> Option<u64> {
        Some(self.words.get(&at).copied().unwrap_or(0))
    }
}

impl TableMemory for Memory {
    fn take(&mut self) -> Option<Table> {
        (self.taken < self.limit).then(|| {
            self.taken += 1;
            Table::new(BASE + self.taken * PAGE_BYTES).unwrap()
        })
    }

    fn read(&self, table: Table, index: usize) -> u64 {
        assert!(index < 512);
        self.get(table.address() + index as u64 * 8).unwrap()
    }

    fn write(&mut self, table: Table, index: usize, entry: u64) {
        assert!(index < 512);
        self.writes += 1;
        self.words.insert(table.address() + index as u64 * 8, entry);
    }
}

/// One vendor's way from the register to the domain.
trait Unit: Format + Sized {
    fn enter(memory: &mut Memory, tables: &PageTables<Self>);
    fn walk(memory: &Memory, tables: &PageTables<Self>, iova: u64, want: walk::Want)
    -> Option<u64>;
}

/// Bus 1, device 4, function 1.
const SOURCE: u16 = 0x0121;
const OTHER: u16 = 0x0122;
const ROOT: u64 = 0x4000_0000;
const EMPTY: u64 = 0x5000_0000;
const DOMAIN: DomainId = DomainId::new(9).unwrap();

impl Unit for vtd::SecondStage {
    fn enter(memory: &mut Memory, tables: &PageTables<Self>) {
        let context = Table::new(ROOT + 0x1000).unwrap();
        memory.put(ROOT + 16, &vtd::RootEntry(context).words());
        let entry = vtd::ContextEntry {
            root: tables.root(),
            levels: tables.geometry().levels,
            domain: DOMAIN,
        };
        assert_eq!(vtd::ContextEntry::read(entry.words()), Some(entry));
        memory.put(context.address() + 0x21 * 16, &entry.words());
    }

    fn walk(
        memory: &Memory,
        tables: &PageTables<Self>,
        iova: u64,
        want: walk::Want,
    ) -> Option<u64> {
        let four = tables.geometry().levels == Levels::Four;
        let unit = walk::VtdUnit {
            root_table: ROOT,
            physical_bits: 46,
            widest: tables.geometry().levels.bits(),
            depths: if four { 0b110 } else { 0b010 },
            large: match tables.geometry().largest {
                LargestPage::Page => (false, false),
                LargestPage::Large => (true, false),
                LargestPage::Huge => (true, true),
            },
        };
        let read = |at| memory.get(at);
        // Its neighbour is blocked, whatever is mapped here; so is every function of another bus.
        assert_eq!(walk::vtd(&unit, &read, OTHER, iova, want), Err(2));
        assert_eq!(walk::vtd(&unit, &read, 0x0021, iova, want), Err(1));
        match walk::vtd(&unit, &read, SOURCE, iova, want) {
            Ok(physical) => Some(physical),
            Err(reason) => {
                // Refused for want of the right or of the width, never because tables are broken.
                assert!([4, 5, 6].contains(&reason), "reason {reason:#x}");
                None
            }
        }
    }
}

impl Unit for amd::HostPages {
    fn enter(memory: &mut Memory, tables: &PageTables<Self>) {
        // A root table of no entries.
        let blocked = amd::DeviceEntry::blocked(Table::new(EMPTY).unwrap()).words();
        for source in 0..0x200 {
            memory.put(ROOT + source * 32, &blocked);
        }
        let entry = amd::DeviceEntry {
            translation: amd::Translation::Domain {
                root: tables.root(),
                levels: tables.geometry().levels,
                domain: DOMAIN,
            },
            interrupts: amd::Interrupts::Refused,
        };
        memory.put(ROOT + u64::from(SOURCE) * 32, &entry.words());
    }

    fn walk(memory: &Memory, _: &PageTables<Self>, iova: u64, want: walk::Want) -> Option<u64> {
        let base = amd::register::device_table(ROOT, 4).unwrap();
        let read = |at| memory.get(at);
        let refused = Err(walk::AmdRefusal::PageFault);
        assert_eq!(walk::amd(base, &read, OTHER, iova, want), refused);
        let outside = walk::amd(base, &read, 0x8000, iova, want);
        assert_eq!(outside, Err(walk::AmdRefusal::Unreadable));
        let found = walk::amd(base, &read, SOURCE, iova, want);
        assert!(found.is_ok() || found == refused, "{found:?}");
        found.ok()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Map(Mapping),
    Unmap(u64, u64),
    UnmapPage(u64),
    Look(u64),
}

/// Addresses around the places where tables and domains end, and lengths around those of large pages.
fn address(bits: u32) -> impl Strategy<Value = u64> {
    let top = 1u64 << bits;
    let near = prop_oneof![
        Just(0u64),
        Just(0x20_0000),
        Just(0x3fff_f000),
        Just(0x4000_0000),
        Just(0x8000_0000),
        Just(top / 2),
        Just(top - 0x40_0000),
        Just(top - 0x1000),
        Just(top),
    ];
    (
        near,
        0u64..6,
        prop_oneof![Just(0u64), Just(0u64), Just(0u64), Just(8u64)],
    )
        .prop_map(|(base, pages, odd)| base + pages * PAGE_BYTES + odd)
}

fn pages(largest: LargestPage) -> BoxedStrategy<u64> {
    // A run of 1 GiB in small pages would take the test minutes, and show nothing that 2 MiB does not.
    match largest {
        LargestPage::Huge => {
            prop_oneof![0u64..5, 508u64..516, Just(262_144u64), Just(262_145u64)].boxed()
        }
        _ => prop_oneof![0u64..5, 508u64..516, Just(1024u64)].boxed(),
    }
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        Just(Access::Read),
        Just(Access::Write),
        Just(Access::ReadWrite)
    ]
}

fn step(bits: u32, largest: LargestPage) -> impl Strategy<Value = Step> {
    let physical = prop_oneof![
        Just(0x1_0000_0000u64),
        Just(0x1_0020_0000),
        Just(0x1_4000_0000),
        Just(0x1_0000_1000),
        Just(0x1_0000_0008),
        Just((1 << 52) - 0x1000),
    ];
    let map = (address(bits), physical, pages(largest), access()).prop_map(
        |(iova, physical, pages, access)| {
            let aligned = pages > 2048;
            Step::Map(Mapping {
                iova: if aligned { iova >> 30 << 30 } else { iova },
                physical: if aligned { 0x1_4000_0000 } else { physical },
                pages,
                access,
            })
        },
    );
    prop_oneof![
        3 => map,
        2 => (address(bits), pages(largest)).prop_map(|(iova, pages)| Step::Unmap(iova, pages)),
        1 => address(bits).prop_map(Step::UnmapPage),
        1 => address(bits).prop_map(Step::Look),
    ]
}

fn geometry() -> impl Strategy<Value = Geometry> {
    let levels = prop_oneof![Just(Levels::Three), Just(Levels::Four)];
    let largest = prop_oneof![
        Just(LargestPage::Page),
        Just(LargestPage::Large),
        Just(LargestPage::Huge)
    ];
    (levels, largest).prop_map(|(levels, largest)| Geometry { levels, largest })
}

/// The model: for each run that was mapped, where it lies. Runs never overlap.
#[derive(Default)]
struct Model(BTreeMap<u64, Mapping>);

impl Model {
    fn find(&self, iova: u64) -> Option<(u64, Access)> {
        let (_, run) = self.0.range(..=iova).next_back()?;
        let offset = iova - run.iova;
        (offset < run.pages * PAGE_BYTES).then(|| (run.physical + offset, run.access))
    }

    fn is_free(&self, iova: u64, pages: u64) -> bool {
        let end = iova + pages * PAGE_BYTES;
        self.0
            .values()
            .all(|run| run.iova + run.pages * PAGE_BYTES <= iova || run.iova >= end)
    }

    /// Cuts a run out.
    fn remove(&mut self, iova: u64, pages: u64) {
        let end = iova + pages * PAGE_BYTES;
        let runs: Vec<_> = self.0.values().copied().collect();
        for run in runs {
            let run_end = run.iova + run.pages * PAGE_BYTES;
            if run_end <= iova || run.iova >= end {
                continue;
            }
            self.0.remove(&run.iova);
            if run.iova < iova {
                let pages = (iova - run.iova) / PAGE_BYTES;
                self.0.insert(run.iova, Mapping { pages, ..run });
            }
            if run_end > end {
                let physical = run.physical + (end - run.iova);
                let pages = (run_end - end) / PAGE_BYTES;
                self.0.insert(
                    end,
                    Mapping {
                        iova: end,
                        physical,
                        pages,
                        ..run
                    },
                );
            }
        }
    }

    fn covers(&self, iova: u64, pages: u64) -> bool {
        let end = iova + pages * PAGE_BYTES;
        let mut at = iova;
        while at < end {
            let Some((_, run)) = self.0.range(..=at).next_back() else {
                return false;
            };
            let run_end = run.iova + run.pages * PAGE_BYTES;
            if run_end <= at {
                return false;
            }
            at = run_end;
        }
        true
    }
}

fn compare<F: Unit>(memory: &Memory, tables: &PageTables<F>, model: &Model, iova: u64) {
    let expected = model.find(iova);
    let found = tables.translate(memory, iova);
    assert_eq!(
        found.map(|it| (it.physical, it.access)),
        expected,
        "{iova:#x}"
    );
    for (want, may) in [
        (
            walk::Want::Read,
            expected.is_some_and(|(_, access)| access.reads()),
        ),
        (
            walk::Want::Write,
            expected.is_some_and(|(_, access)| access.writes()),
        ),
    ] {
        let physical = expected.filter(|_| may).map(|(physical, _)| physical);
        assert_eq!(
            F::walk(memory, tables, iova, want),
            physical,
            "{iova:#x} {want:?}"
        );
    }
}

/// Looks at both ends of every run, at its middle, and at what lies before and behind it.
fn compare_all<F: Unit>(memory: &Memory, tables: &PageTables<F>, model: &Model) {
    for run in model.0.values() {
        let end = run.iova + run.pages * PAGE_BYTES;
        let middle = run.iova + run.pages / 2 * PAGE_BYTES + 0x123;
        for iova in [run.iova, middle, end - 1, end, run.iova.wrapping_sub(1)] {
            compare(memory, tables, model, iova);
        }
    }
}

fn physical_fits(mapping: Mapping, bits: u32) -> bool {
    mapping.physical + mapping.pages * PAGE_BYTES <= 1 << bits
}

#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn run<F: Unit>(geometry: Geometry, steps: Vec<Step>, limit: u64) {
    let mut memory = Memory::new(limit);
    let mut tables = PageTables::<F>::new(&mut memory, geometry).unwrap();
    F::enter(&mut memory, &tables);
    let mut model = Model::default();
    let top = 1u64 << geometry.levels.bits();
    let good = |iova: u64, pages: u64| {
        pages > 0 && iova.is_multiple_of(PAGE_BYTES) && iova + pages * PAGE_BYTES <= top
    };
    for step in steps {
        match step {
            Step::Look(iova) => {
                compare(&memory, &tables, &model, iova);
                let room = tables.room(&memory, iova);
                let first = iova / PAGE_BYTES / room.max(1) * room.max(1) * PAGE_BYTES;
                let free = good(iova, 1) && model.is_free(first, room.max(1));
                assert_eq!(room > 0, free, "{iova:#x}");
            }
            Step::UnmapPage(iova) => {
                let there = tables.translate(&memory, iova);
                let starts = there.filter(|page| iova.is_multiple_of(page.page_bytes));
                let pages = starts.map_or(0, |page| page.page_bytes / PAGE_BYTES);
                assert_eq!(tables.unmap_page(&mut memory, iova), pages);
                if pages > 0 {
                    assert!(model.covers(iova, pages));
                    model.remove(iova, pages);
                }
            }
            Step::Map(mapping) => {
                // The walk's unit has 46 bits of physical address; what lies above is refused by it, not here.
                if mapping.physical.is_multiple_of(PAGE_BYTES) && !physical_fits(mapping, 46) {
                    continue;
                }
                let before = memory.writes;
                let result = tables.map(&mut memory, mapping);
                let expected = match good(mapping.iova, mapping.pages)
                    && mapping.physical.is_multiple_of(PAGE_BYTES)
                {
                    false => Err(MapRefusal::Range),
                    true if !model.is_free(mapping.iova, mapping.pages) => Err(MapRefusal::Mapped),
                    true => Ok(()),
                };
                if result == Err(MapRefusal::NoMemory) {
                    assert_eq!(expected, Ok(()));
                    assert_eq!(memory.taken, memory.limit);
                } else {
                    assert_eq!(result, expected, "{mapping:?}");
                }
                match result {
                    Ok(()) => drop(model.0.insert(mapping.iova, mapping)),
                    Err(MapRefusal::NoMemory) => {}
                    Err(_) => assert_eq!(memory.writes, before),
                }
            }
            Step::Unmap(iova, pages) => {
                let before = memory.writes;
                match tables.unmap(&mut memory, iova, pages) {
                    Ok(()) => {
                        assert!(model.covers(iova, pages));
                        model.remove(iova, pages);
                    }
                    Err(refusal) => {
                        assert_eq!(memory.writes, before);
                        match refusal {
                            UnmapRefusal::Range => assert!(!good(iova, pages)),
                            UnmapRefusal::NotMapped => assert!(!model.covers(iova, pages)),
                            UnmapRefusal::CutsPage => {
                                assert_ne!(geometry.largest, LargestPage::Page);
                            }
                        }
                    }
                }
            }
        }
        compare_all(&memory, &tables, &model);
    }
    let count = tables.tables();
    let mut given = std::collections::BTreeSet::new();
    tables.dismantle(&memory, |table| assert!(given.insert(table.address())));
    // Every page that was taken comes back, once.
    assert_eq!(
        (given.len() as u64, u64::from(count)),
        (memory.taken, memory.taken)
    );
}

fn scenario() -> impl Strategy<Value = (Geometry, Vec<Step>, u64)> {
    geometry().prop_flat_map(|geometry| {
        let steps = prop::collection::vec(step(geometry.levels.bits(), geometry.largest), 1..24);
        let limit = prop_oneof![3 => Just(4096u64), 1 => 1u64..12];
        (Just(geometry), steps, limit)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn second_stage_tables_hold_what_the_map_holds((geometry, steps, limit) in scenario()) {
        run::<vtd::SecondStage>(geometry, steps, limit);
    }

    #[test]
    fn host_tables_hold_what_the_map_holds((geometry, steps, limit) in scenario()) {
        run::<amd::HostPages>(geometry, steps, limit);
    }

    #[test]
    fn a_reach_holds_its_run_and_no_unit_is_asked_too_much(
        page in any::<u64>(), pages in 1u64..1 << 40, mask in prop::option::of(0u8..64),
    ) {
        let iova = (page % (1 << 40)) * PAGE_BYTES;
        match vtd::Reach::of(iova, pages, mask) {
            vtd::Reach::Domain => {}
            vtd::Reach::Block { iova: first, order } => {
                prop_assert!(order <= mask.unwrap());
                let bytes = PAGE_BYTES << order;
                prop_assert_eq!(first % bytes, 0);
                prop_assert!(first <= iova && iova + pages * PAGE_BYTES <= first + bytes);
                // No smaller block would hold it.
                let half = bytes / 2;
                prop_assert!(order == 0 || iova / half != (iova + pages * PAGE_BYTES - 1) / half);
            }
        }
    }

    #[test]
    fn records_are_read_whatever_they_hold(low in any::<u64>(), high in any::<u64>(), status in any::<u32>()) {
        if let Some(record) = vtd::FaultRecord::read([low, high]) {
            prop_assert!(!record.reason.name().is_empty());
        }
        prop_assert!(vtd::FaultStatus(status).first() < 256);
        if let Some(event) = amd::Event::read([low, high]) {
            prop_assert!(event.iova.is_multiple_of(PAGE_BYTES) && !event.kind.name().is_empty());
        }
        if let Some(entry) = vtd::ContextEntry::read([low, high]) {
            let bits = 0x00ff_ff07;
            prop_assert_eq!(entry.words()[1], high & bits);
        }
    }
}

#[test]
fn a_large_page_is_used_where_both_addresses_allow_it_and_is_not_cut() {
    let geometry = Geometry {
        levels: Levels::Four,
        largest: LargestPage::Huge,
    };
    let mut memory = Memory::new(64);
    let mut tables = PageTables::<vtd::SecondStage>::new(&mut memory, geometry).unwrap();
    let huge = Mapping {
        iova: 0x8000_0000,
        physical: 0x1_4000_0000,
        pages: 262_144 + 512 + 1,
        access: Access::ReadWrite,
    };
    tables.map(&mut memory, huge).unwrap();
    let bytes = |iova| tables.translate(&memory, iova).unwrap().page_bytes;
    assert_eq!(bytes(0x8000_0000), 1 << 30);
    assert_eq!(bytes(0xc000_0000), 1 << 21);
    assert_eq!(bytes(0xc020_0000), 1 << 12);
    // Root, one of each level below.
    assert_eq!(tables.tables(), 4);
    let cut = tables.unmap(&mut memory, 0x8000_0000, 1);
    assert_eq!(cut, Err(UnmapRefusal::CutsPage));
    let cut = tables.unmap(&mut memory, 0x8020_0000, 262_144);
    assert_eq!(cut, Err(UnmapRefusal::CutsPage));
    tables.unmap(&mut memory, 0x8000_0000, huge.pages).unwrap();
    assert_eq!(tables.translate(&memory, 0x8000_0000), None);
}
