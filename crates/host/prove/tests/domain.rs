//! Domains of a remapping unit, and the entries of its interrupt tables.

use prove::subjects::domain::{Lies, Often, Op, Unit};
use prove::subjects::entries::Table;
use prove::{Most, Outcome, Subject, at_random, each_was_done, explore, is_deep};

#[test]
fn of_domains_whose_addresses_run_out() {
    let mut all = Vec::new();
    let few = Often {
        maps: 2,
        flushes: 2,
        pages: 3,
        is_faulty: false,
    };
    let faulty = Often {
        flushes: 1,
        is_faulty: true,
        ..few
    };
    let depths = if is_deep() { [11, 9, 7] } else { [8, 7, 5] };
    for ((domains, often), depth) in [(1, few), (1, faulty), (2, few)].into_iter().zip(depths) {
        let found = explore(|| Unit::new(domains, often), Most { depth });
        let Often {
            maps,
            flushes,
            pages,
            ..
        } = often;
        let widths =
            format!("{domains} domains, {maps} mappings, {flushes} flushes, {pages} addresses");
        found.say("domain-ledger", &widths);
        all.push(found);
    }
    // One of two was mapped, used and unmapped.
    let unmapped = || {
        let mut unit = Unit::new(2, few);
        let ops = [
            Op::Reserve(0, 1, Lies::Elsewhere),
            Op::Confirm(0),
            Op::Touch(0),
            Op::Unmap(0),
        ];
        for op in ops {
            assert_eq!(unit.apply(op), Outcome::Done);
        }
        unit
    };
    let found = explore(unmapped, Most { depth: 4 });
    found.say(
        "domain-ledger",
        "2 domains, one of which was unmapped, 2 flushes, 3 addresses",
    );
    all.push(found);
    each_was_done("domain-ledger", &all);
}

#[test]
fn of_every_interrupt_entry_with_few_free() {
    let found = explore(|| Table::new(2, 6), Most::ALL);
    assert!(found.is_all);
    found.say("domain-ledger", "64 interrupt entries, 2 free, 6 changes");
    each_was_done("domain-ledger", &[found]);
}

#[test]
fn of_domains_at_random() {
    let much = Often {
        maps: 200,
        flushes: 100,
        pages: 20,
        is_faulty: false,
    };
    at_random("domain-ledger", "3 domains, 20 addresses", 60, 300, || {
        Unit::new(3, much)
    });
}
