//! Many writers at once.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use save_core::{Expect, Refusal, SaveStore};

use crate::Wound;
use crate::rig::{Case, Needs, Rig, key, ledger, same, until};

pub fn all() -> Vec<Case> {
    let case = |name, run, needs| Case { name, run, needs };
    vec![
        case("eight_writers_count_together", counting, Needs::Store),
        case("eight_writers_share_a_ledger", lines, Needs::Store),
        case("only_one_of_eight_creates", creating, Needs::Store),
        case(
            "eight_writers_count_while_answers_are_lost",
            counting_badly,
            Needs::Proxy,
        ),
    ]
}

const WRITERS: u64 = 8;
const EACH: u64 = 3;
/// So many times somebody else may be faster.
const TURNS: usize = 400;

/// Runs the writers together and gives the first error.
fn together(work: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let work = &work;
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| scope.spawn(move || work(number)))
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().map_err(|_| anyhow!("a writer panicked"))?)
    })
}

fn counting(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    together(|_| {
        let mut one = rig.facet(scope);
        for _ in 0..EACH {
            let call = rig.call();
            let added = (0..TURNS).find_map(|_| add(&mut one, call).transpose());
            added.context("never got its turn")??;
        }
        Ok(())
    })?;
    let record = rig.facet(scope).get(&key())?.context("nothing")?;
    same(record.payload, (WRITERS * EACH).to_le_bytes().to_vec())?;
    same(record.version, WRITERS * EACH)
}

/// Adds one, or nothing where another was faster. The retry key goes with one expectation, so that a put that was done
/// and not answered is not taken for a conflict.
fn add(one: &mut impl SaveStore, call: save_core::RetryKey) -> Result<Option<()>> {
    let there = until(|| one.get(&key()))?;
    let expect = there
        .as_ref()
        .map_or(Expect::Absent, |record| Expect::Version(record.version));
    let count = match &there {
        Some(record) => u64::from_le_bytes(record.payload.as_slice().try_into()?),
        None => 0,
    };
    match until(|| one.put(&key(), expect, call, &(count + 1).to_le_bytes())) {
        Ok(_) => Ok(Some(())),
        Err(Refusal::Conflict { .. }) => Ok(None),
        Err(refusal) => Err(refusal.into()),
    }
}

fn counting_badly(rig: &Rig) -> Result<()> {
    let proxy = rig.proxy.as_ref().context("no proxy")?;
    proxy.wound(Wound::LoseAnswer, 10, 12);
    counting(rig)
}

fn lines(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    together(|number| {
        let mut one = rig.facet(scope);
        let call = rig.call();
        let mut length = 0;
        for _ in 0..TURNS {
            match until(|| one.append(&ledger(), length, call, &[number as u8])) {
                Ok(_) => return Ok(()),
                Err(Refusal::Conflict { current }) => length = current,
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(anyhow!("never got its turn"))
    })?;
    let mut found = Vec::new();
    let mut reader = rig.facet(scope);
    loop {
        let page = reader.read_ledger(&ledger(), found.len() as u64)?;
        found.extend(page.items.into_iter().map(|line| line.payload[0]));
        if !page.more {
            break;
        }
    }
    found.sort_unstable();
    same(found, (0..WRITERS as u8).collect())
}

fn creating(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let won = std::sync::atomic::AtomicU64::new(0);
    together(|number| {
        let mut one = rig.facet(scope);
        match until(|| one.put(&key(), Expect::Absent, rig.call(), &[number as u8])) {
            Ok(1) => {
                won.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(())
            }
            Err(Refusal::Conflict { .. }) => Ok(()),
            end => Err(anyhow!("{end:?}")),
        }
    })?;
    ensure!(won.into_inner() == 1, "more than one created it, or none");
    same(rig.facet(scope).history(&key())?.len(), 1)
}
