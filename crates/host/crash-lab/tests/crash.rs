//! Every state that a power cut can leave, for bounded workloads.

use crash_lab::crash::{Limits, explore};
use crash_lab::faults;
use crash_lab::suites::{Depth, every_step, prepared, suite};
use crash_lab::work::{self, Step};

#[test]
fn no_cut_loses_anything() {
    let run = work::record(&work::empty(300), &every_step());
    let report = explore(&run, &Limits::GATE);
    println!("{report:?}");
    assert_eq!(report.bad, Vec::<String>::new());
    assert!(report.states > 1000 && report.recoveries > 2 && report.cuts > 0);
}

/// A few of what `cargo xtask crash` tries whole.
#[test]
fn short_sequences_lose_nothing() {
    let suite = suite("seq-2").unwrap();
    for number in (0..(suite.count)(Depth::Gate)).step_by(211) {
        let report = (suite.run)(number, Depth::Gate);
        assert_eq!(report.bad, Vec::<String>::new(), "{number}");
        assert!(report.states > 10, "{number}");
    }
}

#[test]
fn a_full_volume_lets_things_be_deleted() {
    let mut steps = Vec::new();
    for number in 1..60 {
        steps.extend([
            Step::Create(number),
            Step::Write(number, 0, 20000),
            Step::Sync,
        ]);
    }
    for number in 1..60 {
        steps.extend([Step::Remove(number), Step::Sync]);
    }
    steps.extend([Step::Create(1), Step::Write(1, 0, 20000), Step::Checkpoint]);
    let run = work::record(&work::empty(300), &steps);
    let last = run.states.last().unwrap();
    assert_eq!(last.len(), 1, "{:?}", last.keys().collect::<Vec<_>>());
    assert_eq!(last.values().next().unwrap().len(), 20000);
    let filled = |state: &work::Content| state.values().filter(|bytes| !bytes.is_empty()).count();
    let fullest = run.states.iter().map(filled).max().unwrap();
    assert!((8..59).contains(&fullest), "{fullest}");
}

#[test]
fn many_names_make_a_tree() {
    let mut steps: Vec<Step> = (0..200).map(Step::Create).collect();
    steps.push(Step::Checkpoint);
    steps.extend((0..200).step_by(2).map(Step::Remove));
    steps.push(Step::Checkpoint);
    steps.extend((0..200).map(Step::Remove));
    steps.push(Step::Checkpoint);
    let run = work::record(&work::empty(600), &steps);
    assert!(run.states.last().unwrap().is_empty());
    assert!(run.states.iter().any(|state| state.len() == 200));
}

#[test]
fn faults_are_noticed_or_harmless() {
    let before = prepared();
    let steps = [Step::Write(1, 0, 9000), Step::Create(2), Step::Checkpoint];
    let run = work::record(&before, &steps);
    let image = faults::end(&before, &run.events);
    let expected = run.states.last().unwrap();
    let rot = faults::rot(&image, expected).unwrap();
    let misdirected = faults::misdirected(&image, expected).unwrap();
    let lost = faults::lost(&before, &run.events, expected).unwrap();
    println!("rot {rot:?}, misdirected {misdirected:?}, lost {lost:?}");
    assert!(rot.noticed > 0 && misdirected.noticed > 0 && lost.noticed > 0);
    assert!(faults::errors(&before, &every_step()).unwrap() > 50);
}
