//! What each sabotage of the volume breaks. One test, because the choice is the whole program's.

#![cfg(sabotage)]

use crash_lab::crash::{Limits, explore};
use crash_lab::faults;
use crash_lab::work::{self, Step};
use sabotage::{Point, choose, points};

fn bad(point: Point, steps: &[Step]) -> bool {
    choose(point);
    let before = work::empty(300);
    let run = std::panic::catch_unwind(|| work::record(&before, steps));
    // So few states that none is left out.
    let limits = Limits {
        rootless: 1,
        ..Limits::GATE
    };
    run.map_or(true, |run| !explore(&run, &limits).bad.is_empty())
}

#[test]
fn each_point_loses_something() {
    let mut steps = vec![Step::Create(1), Step::Write(1, 0, 9000), Step::Checkpoint];
    assert!(bad(points::VOLUME_SKIP_DATA_FLUSH, &steps));
    assert!(bad(points::VOLUME_SKIP_ROOT_FLUSH, &steps));
    steps.extend([Step::Write(1, 0, 9000), Step::Checkpoint]);
    assert!(bad(points::VOLUME_REUSE_EARLY, &steps));
    steps.extend([Step::Write(1, 0, 9000), Step::Sync]);
    assert!(bad(points::VOLUME_SKIP_VERIFY, &steps));
    let bound = [
        Step::Put(0, 10),
        Step::Bind(1, 0),
        Step::Delete(0),
        Step::Checkpoint,
    ];
    assert!(bad(points::VOLUME_DELETE_BOUND, &bound));
    choose(points::VOLUME_IGNORE_SUM);
    let before = work::empty(300);
    let run = work::record(&before, &steps);
    let image = faults::end(&before, &run.events);
    assert!(faults::rot(&image, run.states.last().unwrap()).is_err());
}
