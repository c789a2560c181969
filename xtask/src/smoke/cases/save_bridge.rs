//! Saving from inside the guest at a bridge on the host, which dies in the middle, again and again.

use std::path::Path;

use ::sabotage::points;
use anyhow::{Context, Result, ensure};
use save_bridge::provider::folder::Folder;
use save_core::{Anchors, Facet, Key, LedgerName, Limits, Name, SaveStore, Scope, Writer};
use save_lab::mortal::{ADMITTED, LIVES};

use crate::session::Waited;
use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::namespace::Namespace;
use crate::smoke::pattern::shows;
use crate::smoke::sabotage::{Break, Sabotage};

/// The bridge at the port that the guest reaches as 10.0.2.2:8787, begun again whenever it has died.
const SCRIPT: &str = r#"
ip link set lo up
bridge() {
  ulimit -c 0
  while true; do
    "$xtask" mortal-bridge "$work/saves" 127.0.0.1:8787
    sleep 0.5
  done
}
bridge </dev/null >"$work/bridge" 2>&1 &
"#;

const ROUNDS: u64 = 12;

/// What lies there, by a reader that has seen nothing of the guest's.
pub(super) fn facet(work: &Path, scope: Scope) -> Result<Facet<Folder>> {
    let store = Folder::new(&work.join("saves/store"))?;
    let writer = Writer {
        schema: 1,
        epoch: 1,
    };
    Ok(Facet::mint(
        store,
        scope,
        Limits::USUAL,
        writer,
        Anchors::default(),
    ))
}

/// Whether the guest has said that.
pub(super) fn has_said(peer: &mut Peer<'_>, fact: &str) -> bool {
    let mut has = false;
    let _: Waited = peer.session.wait(peer.deadline, |serial| {
        has = serial.lines().iter().any(|line| shows(line, fact));
        true
    });
    has
}

/// Everything that the guest was told is saved is there, once, and the bridge died as often as it should. What a guest says that
/// was told otherwise is judged as it is.
fn check(peer: &mut Peer<'_>) -> Result<()> {
    if !has_said(peer, ACKNOWLEDGED) || !has_said(peer, APART) {
        return Ok(());
    }
    let [(_, first), (_, second)] = ADMITTED;
    let lives = std::fs::read(peer.work.join("saves/lives")).context("the bridge never lived")?;
    ensure!(
        lives.len() as u64 == LIVES + 1,
        "the bridge lived {} times",
        lives.len()
    );
    let name = |text| Name::new(text).map_err(anyhow::Error::msg);
    let key = Key::checkpoint(name("slot-1")?);
    let mut one = facet(peer.work, first)?;
    let versions = one.history(&key).map_err(anyhow::Error::msg)?;
    let lines = one.read_ledger(&LedgerName(name("trades")?), 0);
    let lines = lines.map_err(anyhow::Error::msg)?;
    let wanted: Vec<Vec<u8>> = (1..=ROUNDS)
        .map(|number| format!("save {number}").into_bytes())
        .collect();
    let of = |records: Vec<save_core::Record>| -> Vec<Vec<u8>> {
        records.into_iter().map(|record| record.payload).collect()
    };
    ensure!(of(versions) == wanted, "other versions lie there");
    ensure!(
        of(lines.items) == wanted && !lines.more,
        "other lines lie there"
    );
    let other = facet(peer.work, second)?.history(&key);
    let other = of(other.map_err(anyhow::Error::msg)?);
    ensure!(
        other == [b"another's".to_vec()],
        "the other profile has {other:?}"
    );
    Ok(())
}

const ACKNOWLEDGED: &str = "@probe.acknowledged versions=12 lines=12 asked_again=true";
const APART: &str = "@probe.apart there=0 put=done version=1 first=12";
const NO_CALL: &str = "@probe.no_call name=badArgument no_key=badArgument short_key=badArgument";

inventory::submit! {
    Smoke {
        name: "save-bridge",
        question: "Is nothing that was said to be saved lost, and nothing there twice, when the bridge dies in the middle?",
        rows: &["CS-01", "CS-02", "CS-05"],
        namespace: Some(Namespace {
            script: SCRIPT,
            needs: &[],
        }),
        manifest: "smoke/save-bridge",
        extra: &[
            "-netdev", "user,id=n0",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
        ],
        steps: &[
            Step::Wait("@probe.done"),
            Step::Peer(check),
        ],
        required: &[
            "@probe.bounds profile=4096 checkpoint=8192 line=2048 kept=16 schema=1",
            ACKNOWLEDGED,
            "@probe.read versions=12 lines=12",
            APART,
            "@probe.refused stale=conflict current=12 long=tooLarge limit=8192 rewrite=conflict length=12",
            NO_CALL,
        ],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
        ],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::SAVES_ACKNOWLEDGE_LOST,
        smoke: "save-bridge",
        breaks: Break::Missing(ACKNOWLEDGED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SAVES_ANY_FACET,
        smoke: "save-bridge",
        breaks: Break::Missing(APART),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SAVES_ANY_RETRY,
        smoke: "save-bridge",
        breaks: Break::Missing(NO_CALL),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SAVES_FORGET_KEY,
        smoke: "save-bridge",
        breaks: Break::Missing(ACKNOWLEDGED),
    }
}
