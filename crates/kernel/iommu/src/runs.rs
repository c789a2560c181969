//! Runs of pages on their way into a domain, and what is said where they do not get there.

use iommu_tables::{Access, MapRefusal, Mapping, PAGE_BYTES};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::domain::Books;
use crate::memory::TablePages;
use crate::tables::Tables;

/// How many pages have entries, and whether that is all.
pub(crate) type Written = (u64, Result<(), Refusal>);

/// How many pages from one on, at `first`, lie one behind the other in memory; of `most` at least one.
pub(crate) fn in_one_piece(
    physical: &impl Fn(u64) -> Option<u64>,
    (from, first): (u64, u64),
    most: u64,
) -> u64 {
    let follows = |page: &u64| physical(from + page) == Some(first + page * PAGE_BYTES);
    1 + (1..most).take_while(follows).count() as u64
}

/// Writes the entries of a run that lies in one piece.
pub(crate) fn write_run(
    tables: &mut Tables,
    memory: &mut TablePages,
    (iova, physical): (u64, u64),
    pages: u64,
    access: Access,
) -> Result<(), Refusal> {
    let mapping = Mapping {
        iova,
        physical,
        pages,
        access,
    };
    tables.map(memory, mapping).map_err(of_tables)?;
    sabotage!(MAP_ONE_PAGE_MORE => {
        let beside = Mapping {
            iova: PAGE_BYTES,
            physical: physical + PAGE_BYTES,
            pages: 1,
            ..mapping
        };
        let _ = tables.map(memory, beside);
    });
    Ok(())
}

/// What a ledger of addresses refuses.
pub(crate) const fn of_ledger(refusal: domain_ledger::Refusal) -> Refusal {
    use domain_ledger::Refusal as Ledgers;
    match refusal {
        Ledgers::Range => Refusal::OutOfRange,
        Ledgers::NoAddress => Refusal::Exhausted,
        Ledgers::NoMemory => Refusal::NoMemory,
        Ledgers::Ending => Refusal::Revoked,
        Ledgers::WrongOwner | Ledgers::State | Ledgers::Receipt | Ledgers::InUse => {
            Refusal::DeviceError
        }
    }
}

/// What tables refuse.
const fn of_tables(refusal: MapRefusal) -> Refusal {
    match refusal {
        MapRefusal::Range => Refusal::OutOfRange,
        MapRefusal::Mapped => Refusal::DeviceError,
        MapRefusal::NoMemory => Refusal::NoMemory,
    }
}

/// Writes entries for a few pages, as they lie in memory.
pub(crate) fn write_few(
    (tables, memory, books): (&mut Tables, &mut TablePages, &mut Books),
    (iova, pages): (u64, u64),
    access: Access,
    physical: &impl Fn(u64) -> Option<u64>,
) -> Written {
    let mut done = 0;
    while done < pages {
        let Some(first) = physical(done) else {
            return (done, Err(Refusal::OutOfRange));
        };
        let run = in_one_piece(physical, (done, first), pages - done);
        let page = (iova + done * PAGE_BYTES, first);
        if let Err(refusal) = write_run(tables, memory, page, run, access) {
            return (done, Err(refusal));
        }
        books.written += run;
        done += run;
    }
    (done, Ok(()))
}
