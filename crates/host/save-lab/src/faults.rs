//! Every fault of a network and an honest server, at every request of every call: each happens once.

use anyhow::{Context, Result, ensure};
use save_core::{Expect, SaveStore};

use crate::Wound;
use crate::rig::{Case, Needs, Rig, key, ledger, same, until};

macro_rules! wounds {
    ($($name:ident: $wound:expr,)*) => {
        /// At every request, once and three times.
        pub fn all() -> Vec<Case> {
            vec![$(Case { name: stringify!($name), run: |rig| survives(rig, $wound, REQUESTS, &[1, 3]), needs: Needs::Proxy },)*]
        }

        /// At the first requests, once.
        pub fn short() -> Vec<Case> {
            vec![$(Case { name: stringify!($name), run: |rig| survives(rig, $wound, 3, &[1]), needs: Needs::Proxy },)*]
        }
    };
}

wounds! {
    a_lost_request: Wound::LoseRequest,
    a_lost_answer: Wound::LoseAnswer,
    a_cut_answer: Wound::CutAnswer,
    a_409: Wound::Status(409),
    a_412: Wound::Status(412),
    a_429: Wound::Status(429),
    a_500: Wound::Status(500),
    a_502_after_it_was_done: Wound::StatusAfter(502),
    a_503: Wound::Status(503),
    a_503_after_it_was_done: Wound::StatusAfter(503),
    a_504_after_it_was_done: Wound::StatusAfter(504),
}

/// Requests that a put of a second version makes at most, and some.
const REQUESTS: u32 = 5;

fn survives(rig: &Rig, wound: Wound, requests: u32, often: &[u32]) -> Result<()> {
    let proxy = rig.proxy.as_ref().context("no proxy")?;
    for skip in 0..requests {
        for &hits in often {
            proxy.heal();
            once(rig, wound, skip, hits)
                .with_context(|| format!("{hits} from request {skip} on"))?;
        }
    }
    Ok(())
}

fn once(rig: &Rig, wound: Wound, skip: u32, hits: u32) -> Result<()> {
    let proxy = rig.proxy.as_ref().context("no proxy")?;
    let scope = rig.scope();
    let mut one = rig.facet(scope);
    let calls = [(); 4].map(|()| rig.call());
    proxy.wound(wound, skip, hits);
    same(
        until(|| one.put(&key(), Expect::Absent, calls[0], b"a")),
        Ok(1),
    )?;
    proxy.wound(wound, skip, hits);
    same(
        until(|| one.put(&key(), Expect::Version(1), calls[1], b"b")),
        Ok(2),
    )?;
    proxy.wound(wound, skip, hits);
    same(until(|| one.append(&ledger(), 0, calls[2], b"a")), Ok(1))?;
    proxy.wound(wound, skip, hits);
    same(until(|| one.append(&ledger(), 1, calls[3], b"b")), Ok(2))?;
    proxy.wound(wound, skip, hits);
    let record = until(|| one.get(&key()))?.context("lost")?;
    same(record.payload, b"b".to_vec())?;
    proxy.wound(wound, skip, hits);
    let page = until(|| one.read_ledger(&ledger(), 0))?;
    same(page.items.len(), 2)?;
    proxy.heal();
    let mut reader = rig.facet(scope);
    same(reader.history(&key())?.len(), 2)?;
    let lines = reader.read_ledger(&ledger(), 0)?.items;
    ensure!(lines.len() == 2 && lines[1].payload == b"b", "{lines:?}");
    Ok(())
}
