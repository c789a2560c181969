//! Accounts.

use prove::subjects::account::Tree;
use prove::{Most, at_random, each_was_done, explore};

#[test]
fn of_every_tree_of_three_accounts() {
    let found = explore(|| Tree::new([3, 2], 3, 1), Most::ALL);
    assert!(found.is_all);
    found.say("account", "3 accounts, 3 and 2 units");
    each_was_done("account", &[found]);
}

#[test]
fn of_trees_at_random() {
    at_random("account", "12 accounts, few units", 60, 200, || {
        Tree::new([12, 9], 12, 1)
    });
    // Sums near the largest that there are.
    at_random("account", "6 accounts, units of 2^60", 60, 200, || {
        Tree::new([7, 7], 6, 1 << 60)
    });
}
