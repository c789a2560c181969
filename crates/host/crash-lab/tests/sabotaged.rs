//! What each sabotage of the volume breaks. One test, because the choice is the whole program's.

#![cfg(sabotage)]

use crash_lab::Recorder;
use crash_lab::crash::{Limits, explore};
use crash_lab::faults;
use crash_lab::work::{self, NOW, Step};
use sabotage::{Point, choose, points};
use volume_core::{Access, Error, ROOT_DIR, Volume};
use volume_format::Kind;

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

/// Fills a volume until nothing can be made, and says whether something can still be removed.
fn full_and_removable() -> bool {
    let disk = Recorder::new(work::empty(300));
    let mut volume = Volume::mount(disk, Access::Write).unwrap().volume;
    for number in 0.. {
        let name = format!("{number:0200}");
        let mut made = volume.create(ROOT_DIR, name.as_bytes(), Kind::File, NOW);
        if matches!(made, Err(Error::NoSpace)) && volume.can_reclaim() {
            volume.reclaim(NOW).unwrap();
            made = volume.create(ROOT_DIR, name.as_bytes(), Kind::File, NOW);
        }
        if matches!(made, Err(Error::NoSpace)) {
            break;
        }
        made.unwrap();
    }
    let name = format!("{:0200}", 0);
    volume.remove(ROOT_DIR, name.as_bytes(), NOW).is_ok()
}

#[test]
fn each_point_loses_something() {
    assert!(full_and_removable());
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
    let told = [Step::Put(0, 10), Step::Bind(1, 0)];
    assert!(bad(points::VOLUME_KEEP_NO_NUMBERS, &told));
    choose(points::VOLUME_KEEP_NOTHING);
    let removable = std::panic::catch_unwind(full_and_removable);
    assert!(!removable.unwrap_or(false));
    choose(points::VOLUME_IGNORE_SUM);
    let before = work::empty(300);
    let run = work::record(&before, &steps);
    let image = faults::end(&before, &run.events);
    assert!(faults::rot(&image, run.states.last().unwrap()).is_err());
}
