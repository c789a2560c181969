//! What each sabotage breaks, and only that. One test, because the choice is the whole program's.
#![cfg(sabotage)]

mod memory;

use memory::Shared;
use sabotage::{choose, points};
use session_queue::{Consumer, Kick, Layout, Look, Producer};

#[test]
fn each_point_breaks_what_it_says() {
    queue_skip_second_look_sleeps_beside_what_came();
    queue_believe_counts_takes_what_nobody_made();
}

fn queue_skip_second_look_sleeps_beside_what_came() {
    choose(points::QUEUE_SKIP_SECOND_LOOK);
    let layout = Layout::<1>::new(4).unwrap();
    let memory = Shared::new(layout.words());
    let mut producer = Producer::new(memory.clone(), layout).unwrap();
    let mut consumer = Consumer::new(memory.clone(), layout).unwrap();
    memory.before_store(1, move || {
        producer.push([7]).unwrap();
        // The question was not asked yet, so nobody is kicked.
        assert_eq!(producer.state(), Kick::Spared);
    });
    assert_eq!(consumer.wait_for_entries(1), Ok(Look::Sleep));
}

fn queue_believe_counts_takes_what_nobody_made() {
    choose(points::QUEUE_BELIEVE_COUNTS);
    let layout = Layout::<1>::new(4).unwrap();
    let memory = Shared::new(layout.words());
    let mut consumer = Consumer::new(memory.clone(), layout).unwrap();
    memory.set(8, 100);
    let mut taken = 0;
    while taken < 100 && matches!(consumer.pop(), Ok(Some(_))) {
        taken += 1;
    }
    assert!(taken > 4, "only {taken} were taken");
}
