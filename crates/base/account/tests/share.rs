//! Shares of what is lent.

use std::sync::Arc;

use account::Share;
use ring_abi::Refusal;

#[test]
fn no_more_of_a_share_is_in_use_than_there_is() {
    let share = Arc::new(Share::new(3));
    let parts: Vec<_> = (0..3).map(|_| share.take(1).unwrap()).collect();
    assert_eq!(share.take(1).unwrap_err(), Refusal::OverShare);
    drop(parts);
    assert_eq!(share.used(), 0);
    assert_eq!(share.take(4).unwrap_err(), Refusal::OverShare);
    assert_eq!(share.take(u64::MAX).unwrap_err(), Refusal::OverShare);
    assert!(share.take(3).is_ok());
}

#[test]
fn what_is_lent_on_comes_out_of_the_share_until_all_of_it_is_gone() {
    let first = Arc::new(Share::new(10));
    let second = Arc::new(first.lend(6).unwrap());
    assert!(second.is_lent_on() && !first.is_lent_on());
    assert_eq!(first.lend(5).unwrap_err(), Refusal::OverShare);
    let third = Arc::new(second.lend(4).unwrap());
    let part = third.take(2).unwrap();
    assert_eq!((first.used(), second.used(), third.used()), (6, 4, 2));
    // Whoever lent it on, or was lent it, is gone; something of it is still in use.
    drop((second, third));
    assert_eq!(first.used(), 6);
    drop(part);
    assert_eq!(first.used(), 0);
}

#[test]
fn threads_that_take_at_once_get_no_more_than_there_is() {
    let share = Arc::new(Share::new(100));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let share = share.clone();
            std::thread::spawn(move || {
                std::iter::from_fn(|| share.take(1).ok()).collect::<Vec<_>>()
            })
        })
        .collect();
    let parts: Vec<_> = threads
        .into_iter()
        .flat_map(|t| t.join().unwrap())
        .collect();
    assert_eq!((parts.len(), share.used()), (100, 100));
    drop(parts);
    assert_eq!(share.used(), 0);
}

#[test]
fn what_is_lent_on_is_lent_on_so_many_times() {
    let mut share = Arc::new(Share::new(0));
    for _ in 0..account::MAX_DEPTH {
        share = Arc::new(share.lend(0).unwrap());
    }
    assert_eq!(share.lend(0).unwrap_err(), Refusal::OverShare);
}
