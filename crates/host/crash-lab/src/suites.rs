//! What is tried: named suites of workloads, each a number away.
//!
//! Bounded workloads as those of ACE (Mohan et al., "Finding Crash-Consistency Bugs with Bounded Black-Box Crash
//! Testing", OSDI 2018): every short sequence of operations, each followed by no, one or two flushes. Here every state
//! between is judged, not only those where something was said to be durable.

use crate::crash::{Limits, Report, explore};
use crate::disk::Image;
use crate::faults::{self, Tally};
use crate::work::{self, Content, Run, Step};

/// Blocks of the volumes.
const BLOCKS: u64 = 300;

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What the gate has time for.
    Gate,
    /// Every workload, every subset of up to 12 writes, every torn root.
    Deep,
}

impl Depth {
    fn limits(self) -> Limits {
        match self {
            Self::Gate => Limits::GATE,
            Self::Deep => Limits::DEEP,
        }
    }

    /// For workloads of which there are many.
    fn short_limits(self) -> Limits {
        match self {
            Self::Gate => Limits {
                all_subsets: 4,
                random: 2,
                recovery: 1000,
                masks: 31,
                rootless: 16,
            },
            Self::Deep => Limits {
                all_subsets: 12,
                random: 64,
                recovery: 64,
                masks: 1,
                rootless: 1,
            },
        }
    }
}

/// A named set of workloads.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// What it tries.
    pub what: &'static str,
    /// How many workloads there are at a depth.
    pub count: fn(Depth) -> usize,
    /// Tries one.
    pub run: fn(usize, Depth) -> Report,
}

/// All of them.
pub const SUITES: &[Suite] = &[
    Suite {
        name: "directed",
        what: "every kind of step, snapshots, a rolled-back group, a volume that fills up, many names",
        count: |_| DIRECTED.len(),
        run: |index, depth| judge(&work::empty(BLOCKS), &(DIRECTED[index])(), &depth.limits()),
    },
    Suite {
        name: "seq-1",
        what: "each operation, followed by no, one or two flushes",
        count: |_| PAIRS,
        run: |index, depth| sequence::<1>(index, &depth.limits()),
    },
    Suite {
        name: "seq-2",
        what: "each sequence of two",
        count: |_| PAIRS.pow(2),
        run: |index, depth| sequence::<2>(index, &depth.short_limits()),
    },
    Suite {
        name: "seq-3",
        what: "sequences of three: each in depth, one of many in the gate",
        count: |depth| PAIRS.pow(3) / stride(depth),
        run: |index, depth| sequence::<3>(index * stride(depth), &depth.short_limits()),
    },
    Suite {
        name: "faults",
        what: "rot, lost and misdirected writes, a failure of each command",
        count: |_| FAULTS.len(),
        run: |index, _| damaged(FAULTS[index]),
    },
];

/// The suite of that name.
#[must_use]
pub fn suite(name: &str) -> Option<Suite> {
    SUITES.iter().copied().find(|suite| suite.name == name)
}

/// A prime, so that every operation and every way to become durable comes up.
fn stride(depth: Depth) -> usize {
    match depth {
        Depth::Gate => 307,
        Depth::Deep => 1,
    }
}

/// The operations that sequences are made of, on a volume that holds file 1 and object 0.
const OPERATIONS: [Step; 17] = [
    Step::Create(9),
    Step::MakeDir(8),
    Step::Write(1, 0, 10),
    Step::Write(1, 0, 4096),
    Step::Write(1, 4000, 9000),
    Step::Write(1, 40_000, 300),
    Step::Truncate(1, 10),
    Step::Truncate(1, 20_000),
    Step::Rename(1, 9),
    Step::Remove(1),
    Step::Put(1, 10),
    Step::Put(2, 9000),
    Step::Delete(0),
    Step::Bind(1, 0),
    Step::Unbind(1),
    Step::Snapshot,
    Step::DropSnapshot,
];
/// Ways to become durable.
const DURABLE: [Option<Step>; 3] = [None, Some(Step::Sync), Some(Step::Checkpoint)];
const PAIRS: usize = OPERATIONS.len() * DURABLE.len();

/// The steps of the sequence of `N` operations with this number.
#[must_use]
pub fn steps_of<const N: usize>(mut index: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for _ in 0..N {
        let (operation, durable) = (index % OPERATIONS.len(), index / OPERATIONS.len());
        steps.push(OPERATIONS[operation]);
        steps.extend(DURABLE[durable % DURABLE.len()]);
        index /= PAIRS;
    }
    // What is open at the end would not be seen.
    steps.push(Step::Checkpoint);
    steps
}

fn sequence<const N: usize>(index: usize, limits: &Limits) -> Report {
    judge(&prepared(), &steps_of::<N>(index), limits)
}

fn judge(before: &Image, steps: &[Step], limits: &Limits) -> Report {
    let mut report = explore(&work::record(before, steps), limits);
    for bad in &mut report.bad {
        *bad = format!("{steps:?}: {bad}");
    }
    report
}

/// A volume with a file and an object.
///
/// # Panics
/// Where the volume and its model differ.
#[must_use]
pub fn prepared() -> Image {
    let steps = [
        Step::Create(1),
        Step::Write(1, 0, 5000),
        Step::Put(0, 100),
        Step::Checkpoint,
    ];
    after(&work::empty(BLOCKS), &steps).0
}

fn after(before: &Image, steps: &[Step]) -> (Image, Run) {
    let run = work::record(before, steps);
    (faults::end(before, &run.events), run)
}

const DIRECTED: [fn() -> Vec<Step>; 5] = [every_step, snapshots, filled, names, bindings];

/// Every kind of step once.
#[must_use]
pub fn every_step() -> Vec<Step> {
    vec![
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
    ]
}

/// Snapshots that come and go over a file that changes.
fn snapshots() -> Vec<Step> {
    let mut steps = vec![Step::Create(1)];
    for round in 0..4 {
        steps.extend([
            Step::Write(1, round * 3000, 5000),
            Step::Snapshot,
            Step::Sync,
        ]);
    }
    steps.extend([
        Step::DropSnapshot,
        Step::Sync,
        Step::Remove(1),
        Step::Checkpoint,
    ]);
    steps.extend([Step::DropSnapshot; 3]);
    steps.push(Step::Checkpoint);
    steps
}

/// Names that come, go and change what they lead to, and objects that are deleted under them and behind them.
fn bindings() -> Vec<Step> {
    let mut steps = vec![Step::Put(0, 5000), Step::Put(1, 10), Step::Bind(1, 0)];
    steps.extend([Step::Sync, Step::Bind(1, 1), Step::Delete(1), Step::Sync]);
    steps.extend([Step::Delete(0), Step::Bind(2, 1), Step::Checkpoint]);
    steps.extend([Step::Put(2, 300), Step::Bind(3, 2), Step::RollBack]);
    steps.extend([
        Step::Unbind(1),
        Step::Sync,
        Step::Bind(2, 3),
        Step::Delete(1),
    ]);
    steps.extend([
        Step::Snapshot,
        Step::Unbind(2),
        Step::Delete(1),
        Step::Checkpoint,
    ]);
    // Enough for a tree of several levels.
    steps.push(Step::Put(3, 10));
    steps.extend((100..150).map(|number| Step::Bind(number, 3)));
    steps.push(Step::Checkpoint);
    steps.extend((100..150).map(Step::Unbind));
    steps.extend([
        Step::Sync,
        Step::Delete(3),
        Step::DropSnapshot,
        Step::Checkpoint,
    ]);
    steps
}

/// More than fits, and then all of it deleted.
fn filled() -> Vec<Step> {
    let mut steps = Vec::new();
    for number in 1..14 {
        steps.extend([
            Step::Create(number),
            Step::Write(number, 0, 60_000),
            Step::Sync,
        ]);
    }
    for number in 1..14 {
        steps.extend([Step::Remove(number), Step::Sync]);
    }
    steps.push(Step::Checkpoint);
    steps
}

/// Names enough for a tree of several levels, and fewer again.
fn names() -> Vec<Step> {
    let mut steps: Vec<Step> = (0..60).map(Step::Create).collect();
    steps.push(Step::Checkpoint);
    steps.extend((0..60).step_by(2).map(Step::Remove));
    steps.push(Step::Sync);
    steps.extend((0..60).map(Step::Remove));
    steps.push(Step::Checkpoint);
    steps
}

/// What goes wrong with a disk.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Rot,
    Misdirected,
    Lost,
    Errors,
}

const FAULTS: [Damage; 4] = [
    Damage::Rot,
    Damage::Misdirected,
    Damage::Lost,
    Damage::Errors,
];

fn damaged(damage: Damage) -> Report {
    let before = prepared();
    let steps = [
        Step::Write(1, 0, 9000),
        Step::Create(2),
        Step::Snapshot,
        Step::Put(1, 6000),
        Step::Checkpoint,
    ];
    let (image, run) = after(&before, &steps);
    let nothing = Content::new();
    let expected = run.states.last().unwrap_or(&nothing);
    let tally = match damage {
        Damage::Rot => faults::rot(&image, expected),
        Damage::Misdirected => faults::misdirected(&image, expected),
        Damage::Lost => faults::lost(&before, &run.events, expected),
        Damage::Errors => faults::errors(&before, &every_step()).map(|noticed| Tally {
            noticed,
            harmless: 0,
        }),
    };
    let mut report = Report::default();
    match tally {
        // A fault that is never noticed was never there.
        Ok(tally) if tally.noticed == 0 => report.bad.push(format!("{damage:?}: none was noticed")),
        Ok(tally) => report.states = tally.noticed + tally.harmless,
        Err(bad) => report.bad.push(format!("{damage:?}: {bad}")),
    }
    report
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{PAIRS, Step, steps_of};

    #[test]
    fn numbers_name_every_sequence_once() {
        let all: HashSet<String> = (0..PAIRS * PAIRS)
            .map(|index| format!("{:?}", steps_of::<2>(index)))
            .collect();
        assert_eq!(all.len(), PAIRS * PAIRS);
        assert!((0..PAIRS).all(|index| steps_of::<1>(index).last() == Some(&Step::Checkpoint)));
    }
}
