//! Budgets of CPU time: nobody uses more than the periods gave, and a tree of them never gives more than there is.

use account::{Account, Limits};
use proptest::prelude::*;

const PERIOD: u64 = 20_000;

fn with(cpu: u64) -> Limits {
    Limits {
        cpu,
        priority: 1,
        ..Limits::default()
    }
}

#[test]
fn a_budget_is_taken_out_of_that_above_and_comes_back_with_the_account() {
    let root = Account::root(&with(0));
    assert!(root.bucket().is_none());
    let top = root.open(&with(600)).unwrap();
    let shared = top.open(&with(0)).unwrap();
    let bucket = |account: &Account| account.bucket().unwrap().thousandths();
    assert_eq!(bucket(&shared), 600);
    let child = shared.open(&with(250)).unwrap();
    assert_eq!((bucket(&child), bucket(&top)), (250, 350));
    assert!(top.open(&with(351)).is_err());
    let grandchild = child.open(&with(250)).unwrap();
    assert_eq!(bucket(&child), 0);
    // What an account gave on comes back to whoever is above it when both have ended.
    child.end();
    assert_eq!(bucket(&top), 350);
    grandchild.end();
    assert_eq!(bucket(&top), 600);
    top.end();
    assert_eq!(bucket(&root.open(&with(1000)).unwrap()), 1000);
}

#[test]
fn a_refused_account_has_taken_no_time() {
    let root = Account::root(&with(0));
    let top = root.open(&with(500)).unwrap();
    let too_high = Limits {
        priority: 2,
        ..with(100)
    };
    let too_much = Limits {
        memory: 1,
        ..with(100)
    };
    assert!(top.open(&too_high).is_err());
    assert!(top.open(&too_much).is_err());
    assert_eq!(top.bucket().unwrap().thousandths(), 500);
}

proptest! {
    /// Whoever stops when nothing is left has used what the periods gave, give or take the last turn.
    #[test]
    fn what_is_used_is_what_the_periods_gave(
        cpu in 1u64..1500,
        turns in proptest::collection::vec((0u64..3 * PERIOD, 1u64..PERIOD / 2), 1..200),
    ) {
        let root = Account::root(&with(0));
        let account = root.open(&with(cpu)).unwrap();
        let bucket = account.bucket().unwrap();
        let each = cpu * (PERIOD / 1000);
        // A machine has been up for a while.
        let (start, mut used) = (7 * PERIOD, 0);
        let mut now = start;
        for (pause, turn) in turns {
            now += pause;
            let left = bucket.left(now, PERIOD);
            prop_assert!(left <= each);
            // It runs until its time is up, or overruns where it cannot be stopped.
            let ran = if left == 0 { 0 } else { turn };
            now += ran;
            bucket.spend(ran, now, PERIOD);
            used += ran;
            let periods = now / PERIOD - start / PERIOD + 1;
            prop_assert!(used <= periods * each + PERIOD / 2, "{used} in {periods} periods of {each}");
        }
        // Nothing stays owed for good.
        now += PERIOD * (2 + PERIOD / each);
        prop_assert_eq!(bucket.left(now, PERIOD), each);
    }
}
