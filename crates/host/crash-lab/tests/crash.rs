//! Every state that a power cut can leave, for bounded workloads.

use crash_lab::crash::{Limits, Report, explore};
use crash_lab::work::{self, Step};
use crash_lab::{Image, faults};

const DIRECTED: &[Step] = &[
    Step::Create(1),
    Step::Write(1, 0, 9000),
    Step::Sync,
    Step::MakeDir(2),
    Step::Put(0, 5000),
    Step::Checkpoint,
    Step::Write(1, 4000, 300),
    Step::Sync,
    Step::Snapshot,
    Step::Sync,
    Step::Truncate(1, 100),
    Step::Rename(1, 3),
    Step::Checkpoint,
    Step::Remove(2),
    Step::Delete(0),
    Step::Sync,
    Step::DropSnapshot,
    Step::Sync,
    Step::Create(4),
    Step::RollBack,
    Step::Remove(3),
    Step::Checkpoint,
];

#[test]
fn no_cut_loses_anything() {
    let run = work::record(&work::empty(300), DIRECTED);
    let report = explore(&run, &Limits::GATE);
    println!("{report:?}");
    assert_eq!(report.bad, Vec::<String>::new());
    assert!(report.states > 1000 && report.recoveries > 2 && report.cuts > 0);
}

/// As ACE does: every short sequence of steps, each with its way to become durable.
#[test]
fn no_short_sequence_loses_anything() {
    let before = prepared();
    let steps = [
        Step::Create(9),
        Step::Write(1, 0, 4096),
        Step::Write(1, 100, 10),
        Step::Truncate(1, 10),
        Step::Rename(1, 9),
        Step::Remove(1),
        Step::Put(1, 10),
        Step::Snapshot,
    ];
    let mut report = Report::default();
    for (index, first) in steps.into_iter().enumerate() {
        // The gate takes every fourth pair.
        for second in steps.into_iter().skip(index % 4).step_by(4) {
            let steps = [first, Step::Sync, second, Step::Checkpoint];
            let limits = Limits {
                all_subsets: 3,
                random: 2,
                recovery: 1000,
                masks: 31,
            };
            report.add(explore(&work::record(&before, &steps), &limits));
        }
    }
    println!("{report:?}");
    assert_eq!(report.bad, Vec::<String>::new());
}

/// A volume with a file and an object.
fn prepared() -> Image {
    let before = work::empty(300);
    let steps = [
        Step::Create(1),
        Step::Write(1, 0, 5000),
        Step::Put(0, 100),
        Step::Checkpoint,
    ];
    let run = work::record(&before, &steps);
    faults::end(&before, &run.events)
}

/// All of it, which takes minutes: `cargo test --release -p crash-lab -- --ignored`.
#[test]
#[ignore = "minutes"]
fn no_cut_loses_anything_in_depth() {
    let report = explore(&work::record(&work::empty(300), DIRECTED), &Limits::DEEP);
    println!("{report:?}");
    assert_eq!(report.bad, Vec::<String>::new());
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
    assert!(faults::errors(&before, DIRECTED).unwrap() > 50);
}
