//! The enumerator and the judge.

use volume_core::{Access, Durability, Error, ROOT_DIR, Volume};
use volume_format::{Kind, Layout};

use crate::disk::{Block, Event, Image, Recorder, View};
use crate::work::{self, Content, NOW, Run};

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Up to so many cached writes all subsets are built; beyond, prefixes, nearly all, nearly none and random ones.
    pub all_subsets: usize,
    /// Random subsets where there are too many.
    pub random: u64,
    /// The recovery of one in so many states is cut in turn.
    pub recovery: u64,
    /// Of the sets of sectors of a root, every one with this step; 1 is all.
    pub masks: usize,
    /// Of the states that no root was written in, one in so many is judged; 1 is all. Rule 1 of the format makes them equal
    /// to the volume as it was, which those that are judged, and all in depth, bear out.
    pub rootless: u64,
}

impl Limits {
    /// What the gate does.
    pub const GATE: Self = Self {
        all_subsets: 6,
        random: 4,
        recovery: 256,
        masks: 5,
        rootless: 16,
    };
    /// All subsets of up to 12 writes.
    pub const DEEP: Self = Self {
        all_subsets: 12,
        random: 4096,
        recovery: 16,
        masks: 1,
        rootless: 1,
    };
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// States judged.
    pub states: u64,
    /// States that were built and left out, see [`Limits::rootless`].
    pub left_out: u64,
    /// States whose recovery was cut in turn.
    pub recoveries: u64,
    /// Groups that a mount cut: a sync that a power cut tore.
    pub cuts: u64,
    /// What was wrong, at most ten.
    pub bad: Vec<String>,
}

impl Report {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.states += other.states;
        self.left_out += other.left_out;
        self.recoveries += other.recoveries;
        self.cuts += other.cuts;
        self.bad.extend(other.bad);
        self.bad.truncate(10);
    }
}

/// What a state may hold: a range of a run's states.
#[derive(Clone, Copy, Debug)]
struct Allowed<'a> {
    states: &'a [Content],
    from: usize,
    to: usize,
    /// The largest number of a binding that was told: the next mount gives larger ones only.
    told: u64,
}

/// Builds and judges every state of a run.
#[must_use]
pub fn explore(run: &Run, limits: &Limits) -> Report {
    let mut explorer = Explorer {
        layout: Layout::new(run.before.blocks),
        base: run.before.clone(),
        pending: Vec::new(),
        limits: *limits,
        random: 0x9e37_79b9_7f4a_7c15,
        report: Report::default(),
    };
    let (mut from, mut to, mut told) = (0, 0, 0);
    for event in &run.events {
        if explorer.report.bad.len() >= 10 {
            break;
        }
        let allowed = |from: usize, to: usize, told: u64| Allowed {
            states: &run.states,
            from,
            to: to.min(run.states.len() - 1).max(from),
            told,
        };
        match event {
            Event::Write(lba, block) => {
                explorer.pending.push((*lba, block.clone()));
                explorer.subsets(allowed(from, to, told), Newest::In);
                explorer.torn(allowed(from, to, told));
            }
            Event::Flush => {
                for (lba, block) in explorer.pending.drain(..) {
                    explorer.base.content.insert(lba, block);
                }
            }
            Event::Acknowledged(state) => {
                from = *state;
                to = to.max(from);
                explorer.subsets(allowed(from, to, told), Newest::Either);
            }
            Event::Submitted(state) => to = *state,
            Event::Told(number) => {
                told = told.max(*number);
                explorer.subsets(allowed(from, to, told), Newest::Either);
            }
        }
    }
    explorer.report
}

/// Whether subsets without the newest write are built: they were when it was not there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    In,
    Either,
}

struct Explorer {
    layout: Option<Layout>,
    base: Image,
    pending: Vec<(u64, Block)>,
    limits: Limits,
    random: u64,
    report: Report,
}

impl Explorer {
    fn subsets(&mut self, allowed: Allowed<'_>, newest: Newest) {
        let count = self.pending.len();
        if count == 0 {
            return self.judge(&[], allowed);
        }
        let forced = match newest {
            Newest::In => 1u128 << (count - 1),
            Newest::Either => 0,
        };
        if count <= self.limits.all_subsets {
            for set in 0..1u128 << count {
                if set & forced == forced {
                    self.judge_set(set, allowed);
                }
            }
            return;
        }
        let all = if count >= 128 {
            u128::MAX
        } else {
            (1 << count) - 1
        };
        for first in 0..count.min(128) {
            // Prefixes, all but one or two, one or two alone.
            self.judge_set((1 << first) - 1, allowed);
            self.judge_set(all & !(1 << first), allowed);
            self.judge_set(all & !(1 << first) & !(1 << (first / 2)), allowed);
            self.judge_set(1 << first, allowed);
            self.judge_set(forced | 1 << first, allowed);
        }
        self.judge_set(all, allowed);
        for _ in 0..self.limits.random {
            let set = u128::from(self.next()) | u128::from(self.next()) << 64;
            self.judge_set(all & set | forced, allowed);
        }
    }

    /// The newest write in parts, over all of the others and over none.
    fn torn(&mut self, allowed: Allowed<'_>) {
        let Some((lba, _)) = self.pending.last().cloned() else {
            return;
        };
        let is_root = self.layout.is_some_and(|layout| !layout.holds(lba));
        let masks: Vec<u8> = if is_root {
            (1..=254).step_by(self.limits.masks).collect()
        } else {
            (1..8)
                .flat_map(|cut| [(1u8 << cut) - 1, !((1u8 << cut) - 1)])
                .collect()
        };
        let last = self.pending.len() - 1;
        for mask in masks {
            let mut parts: Vec<(usize, u8)> = (0..last).map(|index| (index, 0xff)).collect();
            parts.push((last, mask));
            self.judge(&parts, allowed);
            if last > 0 {
                self.judge(&[(last, mask)], allowed);
            }
        }
    }

    fn judge_set(&mut self, set: u128, allowed: Allowed<'_>) {
        let parts: Vec<(usize, u8)> = (0..self.pending.len())
            .filter(|index| *index >= 128 || set >> index & 1 == 1)
            .map(|index| (index, 0xff))
            .collect();
        self.judge(&parts, allowed);
    }

    fn judge(&mut self, parts: &[(usize, u8)], allowed: Allowed<'_>) {
        let is_root = |lba| self.layout.is_some_and(|layout| !layout.holds(lba));
        let is_rootless = !parts
            .iter()
            .any(|(index, _)| is_root(self.pending[*index].0));
        if is_rootless && !self.next().is_multiple_of(self.limits.rootless) {
            self.report.left_out += 1;
            return;
        }
        let mut view = View::new(&self.base);
        for (index, mask) in parts {
            let (lba, block) = &self.pending[*index];
            view.tear(*lba, block, *mask);
        }
        self.report.states += 1;
        let deeper = self.report.states.is_multiple_of(self.limits.recovery);
        let outcome = if deeper {
            let mut image = self.base.clone();
            image.content.extend(view.over);
            self.report.recoveries += 1;
            judge_recovery(&image, allowed)
        } else {
            judge_state(view, allowed)
        };
        match outcome {
            Ok(cut) => self.report.cuts += cut,
            Err(complaint) if self.report.bad.len() < 10 => self.report.bad.push(format!(
                "state {}, writes {parts:?} of {}: {complaint}",
                self.report.states,
                self.pending.len()
            )),
            Err(_) => {}
        }
    }

    fn next(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// Whether a state mounts, holds what it may, and can be used. Returns how many groups the mount cut.
fn judge_state(mut view: View<'_>, allowed: Allowed<'_>) -> Result<u64, String> {
    is_clean(&mut view)?;
    let mounted =
        Volume::mount(view, Access::Write).map_err(|error| format!("mount: {error:?}"))?;
    let mut volume = mounted.volume;
    let held = held(&mut volume, allowed)?;
    use_it(&mut volume)?;
    let mut view = volume.into_disk();
    is_clean(&mut view).map_err(|error| format!("after use: {error}"))?;
    let mounted_again = Volume::mount(view, Access::Read);
    let mut again = mounted_again
        .map_err(|error| format!("second mount: {error:?}"))?
        .volume;
    let live = again.live();
    let mut now =
        work::content(&mut again, &live).map_err(|error| format!("after use: {error:?}"))?;
    now.remove("used");
    if now != *held {
        return Err("using it changed what it held".into());
    }
    Ok(mounted.cut)
}

/// Asks the checker, which shares no code with the volume.
fn is_clean(view: &mut View<'_>) -> Result<(), String> {
    let report = volume_check::check(view);
    match report.problems.first() {
        Some(problem) => Err(format!("check: block {}: {}", problem.lba, problem.text)),
        None => Ok(()),
    }
}

fn held<'a, B: volume_core::Blocks<Error: std::fmt::Debug>>(
    volume: &mut Volume<B>,
    allowed: Allowed<'a>,
) -> Result<&'a Content, String> {
    let live = volume.live();
    let found = work::content(volume, &live).map_err(|error| format!("read: {error:?}"))?;
    let mut snapshot = 0;
    while let Some(txg) = volume
        .next_snapshot(snapshot)
        .map_err(|error| format!("{error:?}"))?
    {
        let view = volume.snapshot(txg).map_err(|error| format!("{error:?}"))?;
        work::content(volume, &view).map_err(|error| format!("snapshot {txg}: {error:?}"))?;
        snapshot = txg;
    }
    let next = volume.root().map_or(0, |root| root.next_id);
    if next <= allowed.told {
        let told = allowed.told;
        return Err(format!("the number {told} of a binding is given again"));
    }
    let may = allowed.states.get(allowed.from..=allowed.to).unwrap_or(&[]);
    may.iter().find(|state| **state == found).ok_or_else(|| {
        format!(
            "it holds none of the states {} to {}: {:?}",
            allowed.from,
            allowed.to,
            found.keys().collect::<Vec<_>>()
        )
    })
}

fn use_it<B: volume_core::Blocks<Error: std::fmt::Debug>>(
    volume: &mut Volume<B>,
) -> Result<(), String> {
    let used = volume
        .create(ROOT_DIR, b"used", Kind::File, NOW)
        .and_then(|id| volume.write(id, 0, &[0x5a; 5000], NOW))
        .and_then(|()| volume.commit(Durability::Checkpoint, NOW));
    match used {
        Ok(()) | Err(Error::NoSpace) => Ok(()),
        Err(error) => Err(format!("use: {error:?}")),
    }
}

/// As [`judge_state`], and cuts the recovery and the use that follow at every write, too.
fn judge_recovery(image: &Image, allowed: Allowed<'_>) -> Result<u64, String> {
    let disk = Recorder::new(image.clone());
    let mounted =
        Volume::mount(disk, Access::Write).map_err(|error| format!("mount: {error:?}"))?;
    let cut = mounted.cut;
    let mut volume = mounted.volume;
    let held = held(&mut volume, allowed)?;
    use_it(&mut volume)?;
    let (mut base, mut pending) = (image.clone(), Vec::new());
    for event in volume.into_disk().events {
        match event {
            Event::Flush => base.content.extend(pending.drain(..)),
            Event::Write(lba, block) => {
                pending.push((lba, block));
                let count = pending.len().min(6);
                for set in 0..1usize << count {
                    let mut view = View::new(&base);
                    for (lba, block) in pending
                        .iter()
                        .rev()
                        .take(count)
                        .enumerate()
                        .filter_map(|(index, write)| (set >> index & 1 == 1).then_some(write))
                    {
                        view.tear(*lba, block, 0xff);
                    }
                    let mut again = Volume::mount(view, Access::Read)
                        .map_err(|error| format!("mount after a cut recovery: {error:?}"))?
                        .volume;
                    let live = again.live();
                    let mut found = work::content(&mut again, &live)
                        .map_err(|error| format!("after a cut recovery: {error:?}"))?;
                    found.remove("used");
                    if found != *held {
                        return Err("a cut recovery lost something".into());
                    }
                }
            }
            _ => {}
        }
    }
    Ok(cut)
}
