//! Queues in shared memory.

use prove::subjects::queue::{AloneConsumer, AloneProducer, Pair};
use prove::{Most, at_random, each_was_done, explore};

#[test]
fn of_every_queue_between_honest_ends() {
    for capacity in [1, 2] {
        let found = explore(|| Pair::<3>::new(capacity), Most::ALL);
        assert!(found.is_all);
        found.say(
            "session-queue",
            &format!("counts 3 bits, {capacity} places"),
        );
        each_was_done("session-queue", &[found]);
    }
    let found = explore(|| Pair::<3>::new(4), Most { depth: 12 });
    found.say("session-queue", "counts 3 bits, 4 places");
    each_was_done("session-queue", &[found]);
    at_random("session-queue", "counts 64 bits, 8 places", 60, 400, || {
        Pair::<64>::new(8)
    });
}

#[test]
fn of_every_producer_at_a_hostile_consumer() {
    let found = explore(|| AloneProducer::<3>::new(2), Most::ALL);
    assert!(found.is_all);
    found.say("session-queue", "producer alone, counts 3 bits, 2 places");
    each_was_done("session-queue", &[found]);
    at_random(
        "session-queue",
        "producer alone, counts 64 bits",
        60,
        300,
        || AloneProducer::<64>::new(4),
    );
}

#[test]
fn of_every_consumer_at_a_hostile_producer() {
    let found = explore(|| AloneConsumer::<3>::new(2), Most::ALL);
    assert!(found.is_all);
    found.say("session-queue", "consumer alone, counts 3 bits, 2 places");
    each_was_done("session-queue", &[found]);
    at_random(
        "session-queue",
        "consumer alone, counts 64 bits",
        60,
        300,
        || AloneConsumer::<64>::new(4),
    );
}
