//! Saving on a machine first, with a store behind its bridge: what waits comes up once, and what is taken back is noticed.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use save_core::wire::Call;
use save_core::{
    Anchors, Backend, Condition, Expect, Facet, Fault, Group, Limits, Listed, Loaded, Memory,
    Offline, Refusal, Remote, SaveStore, Scope, Slot, Step, Wire, Writer, serve,
};

use crate::Wound;
use crate::rig::{Case, Length, Needs, Rig, key, ledger, same};

/// In a short suite what is lost is lost at the first requests.
pub fn all(length: Length) -> Vec<Case> {
    let badly: fn(&Rig) -> Result<()> = match length {
        Length::Short => |rig| comes_up_badly(rig, 3),
        Length::Whole => |rig| comes_up_badly(rig, 20),
    };
    let case = |name, run, needs| Case { name, run, needs };
    vec![
        case("what_waited_comes_up_once", comes_up, Needs::Store),
        case(
            "what_waits_comes_up_once_whatever_is_lost",
            badly,
            Needs::Proxy,
        ),
        case(
            "who_brought_it_notices_that_it_is_gone",
            is_gone,
            Needs::Store,
        ),
    ]
}

const WRITER: Writer = Writer {
    schema: 1,
    epoch: 1,
};
/// So often the machine tries, each time after it was started anew.
const STARTS: u32 = 200;
const MOST_WAIT_MS: u32 = 50;

/// A bridge that has seen nothing, before the store under test.
struct Bridge<'a> {
    rig: &'a Rig,
    scope: Scope,
}

impl Wire for Bridge<'_> {
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault> {
        let (call, writer) = Call::decode(call).ok_or(Fault::Damaged)?;
        let mut facet = self.rig.facet_by(self.scope, writer);
        Ok(serve(&mut facet, call).encode())
    }
}

/// A machine's own disk.
#[derive(Clone, Default)]
struct Here(Rc<RefCell<Memory>>);

impl Backend for Here {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.0.borrow_mut().load(scope, slot)
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        self.0.borrow_mut().store(scope, slot, only, bytes)
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        self.0.borrow_mut().remove(scope, slot)
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        self.0.borrow_mut().list(scope, group, after, most)
    }
}

type Machine<'a> = Offline<Here, Bridge<'a>>;

fn start<'a>(rig: &'a Rig, scope: Scope, here: &Here) -> Machine<'a> {
    let none = Anchors::default();
    let near = Facet::mint(here.clone(), scope, Limits::USUAL, WRITER, none);
    Offline::new(near, Remote::new(Bridge { rig, scope }, WRITER))
}

/// Saves without asking the bridge.
fn save(rig: &Rig, machine: &mut Machine<'_>) -> Result<()> {
    machine.put(&key(), Expect::Absent, rig.call(), b"a")?;
    machine.put(&key(), Expect::Version(1), rig.call(), b"b")?;
    machine.append(&ledger(), 0, rig.call(), b"a")?;
    machine.append(&ledger(), 1, rig.call(), b"b")?;
    Ok(())
}

/// Starts the machine, takes one step, and so on, until nothing waits.
fn bring(rig: &Rig, scope: Scope, here: &Here) -> Result<()> {
    for _ in 0..STARTS {
        let mut machine = start(rig, scope, here);
        loop {
            match machine.step() {
                Step::Idle => return Ok(()),
                Step::Went => {}
                Step::Wait(ms) => {
                    thread::sleep(Duration::from_millis(ms.min(MOST_WAIT_MS).into()));
                    break;
                }
            }
        }
    }
    bail!("it is never brought")
}

/// By a reader that has seen nothing.
fn is_there_once(rig: &Rig, scope: Scope) -> Result<()> {
    let mut reader = rig.facet(scope);
    let versions = reader.history(&key())?;
    ensure!(
        versions.len() == 1 && versions[0].payload == b"b",
        "{versions:?}"
    );
    let lines = reader.read_ledger(&ledger(), 0)?.items;
    let payloads: Vec<&[u8]> = lines.iter().map(|line| &line.payload[..]).collect();
    same(payloads, vec![&b"a"[..], b"b"])
}

fn brought(rig: &Rig, scope: Scope, here: &Here) -> Result<u64, Refusal> {
    let mut machine = start(rig, scope, here);
    while machine.step() == Step::Went {}
    machine.brought(&Slot::head(&key())).map(|(_, far)| far)
}

fn comes_up(rig: &Rig) -> Result<()> {
    let (scope, here) = (rig.scope(), Here::default());
    save(rig, &mut start(rig, scope, &here))?;
    bring(rig, scope, &here)?;
    is_there_once(rig, scope)?;
    same(brought(rig, scope, &here), Ok(1))?;
    is_there_once(rig, scope)
}

fn comes_up_badly(rig: &Rig, requests: u32) -> Result<()> {
    let proxy = rig.proxy.as_ref().context("no proxy")?;
    for wound in [
        Wound::LoseRequest,
        Wound::LoseAnswer,
        Wound::CutAnswer,
        Wound::Status(503),
        Wound::StatusAfter(503),
    ] {
        for skip in 0..requests {
            let (scope, here) = (rig.scope(), Here::default());
            save(rig, &mut start(rig, scope, &here))?;
            proxy.wound(wound, skip, 1);
            let end = bring(rig, scope, &here);
            proxy.heal();
            end.and_then(|()| bring(rig, scope, &here))
                .and_then(|()| is_there_once(rig, scope))
                .with_context(|| format!("{wound:?} at request {skip}"))?;
        }
    }
    Ok(())
}

fn is_gone(rig: &Rig) -> Result<()> {
    let (scope, here) = (rig.scope(), Here::default());
    save(rig, &mut start(rig, scope, &here))?;
    bring(rig, scope, &here)?;
    (rig.make)()
        .remove(&scope, &Slot::head(&key()))
        .map_err(Refusal::from)?;
    let gone = Err(Refusal::Rollback { seen: 1, found: 0 });
    same(brought(rig, scope, &here), gone)?;
    // What is saved now does not hide it.
    let mut machine = start(rig, scope, &here);
    machine.put(&key(), Expect::Any, rig.call(), b"c")?;
    same(brought(rig, scope, &here), gone)
}
