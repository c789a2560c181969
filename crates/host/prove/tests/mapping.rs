//! Mappings.

use prove::subjects::mapping::{Maps, Things};
use prove::{Most, at_random_in, each_was_done, explore_in, is_deep};

#[test]
fn of_every_interleaving_of_a_few_changes() {
    let mut cases = vec![(1, vec![2], 3), (2, vec![2, 1], 2)];
    if is_deep() {
        cases.push((2, vec![2], 3));
    }
    let mut all = Vec::new();
    for (spaces, objects, changes) in cases {
        let found = explore_in(
            |with| {
                with(&mut Maps::<1>::new(
                    &Things::new(spaces, 9, 3, &objects),
                    changes,
                ))
            },
            Most::ALL,
        );
        let pages = objects.iter().sum::<u64>();
        let widths = format!("{spaces} spaces, {pages} pages, {changes} changes, steps of 1 page");
        found.say("mapping-ledger", &widths);
        assert!(found.is_all);
        all.push(found);
    }
    each_was_done("mapping-ledger", &all);
}

#[test]
fn of_many_changes_at_random() {
    at_random_in(
        "mapping-ledger",
        "3 spaces, 217 pages, steps of 64 pages",
        60,
        300,
        |with| {
            with(&mut Maps::<64>::new(
                &Things::new(3, 4000, 20, &[150, 64, 3]),
                60,
            ));
        },
    );
}
