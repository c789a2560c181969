//! Several guests that save at one bridge at once.

use std::collections::BTreeMap;

use ::sabotage::points;
use anyhow::{Context, Result, ensure};
use save_core::{Key, LedgerName, Name, SaveStore};
use save_lab::mortal::ADMITTED;

use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::save_bridge::facet;
use crate::smoke::namespace::Namespace;
use crate::smoke::sabotage::{Break, Sabotage};

/// The bridge that dies in the middle, and the smoke's guest twice more beside itself.
const SCRIPT: &str = r#"
ip link set lo up
bridge() {
  ulimit -c 0
  while true; do
    "$xtask" mortal-bridge "$work/saves" 127.0.0.1:8787
    sleep 0.2
  done
}
bridge </dev/null >"$work/bridge" 2>&1 &
for guest in second third; do
  "$@" </dev/null >"$work/$guest" 2>&1 &
done
"#;

const GUESTS: usize = 3;
const ROUNDS: usize = 12;

fn check(peer: &mut Peer<'_>) -> Result<()> {
    let name = |text| Name::new(text).map_err(anyhow::Error::msg);
    let mut far = facet(peer.work, ADMITTED[0].1)?;
    let key = Key::profile(name("count")?);
    let counts = far.history(&key).map_err(anyhow::Error::msg)?;
    for record in &counts {
        let count = u64::from_le_bytes(record.payload[..].try_into().context("no count")?);
        ensure!(
            count == record.version,
            "version {} says {count}",
            record.version
        );
    }
    let (mut lines, mut of) = (0, BTreeMap::<String, usize>::new());
    loop {
        let page = far.read_ledger(&LedgerName(name("lines")?), lines);
        let page = page.map_err(anyhow::Error::msg)?;
        for line in &page.items {
            let text = String::from_utf8_lossy(&line.payload).into_owned();
            let (who, round) = text.split_once(' ').context("no line")?;
            let next = of.entry(who.to_owned()).or_default();
            ensure!(
                round.parse() == Ok(*next),
                "{who} wrote {round}, not {next}"
            );
            *next += 1;
            lines += 1;
        }
        if !page.more {
            break;
        }
    }
    let all = of.values().all(|rounds| *rounds == ROUNDS);
    ensure!(of.len() == GUESTS && all, "lines of each guest: {of:?}");
    Ok(())
}

const OVER: &str = "@race.over version=36 count=36 lines=36";

inventory::submit! {
    Smoke {
        name: "save-race",
        question: "Do three guests that count and write at one bridge at once lose nothing of one another's?",
        rows: &["CS-01", "CS-02"],
        namespace: Some(Namespace {
            script: SCRIPT,
            needs: &[],
        }),
        manifest: "smoke/save-race",
        memory_mib: 256,
        extra: &[
            "-netdev", "user,id=n0",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
        ],
        steps: &[Step::Wait("@race.over"), Step::Peer(check)],
        required: &[OVER],
        forbidden: &["@kernel.panic", "@race.refused"],
        cmdline: "log=quiet",
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::SAVES_ANY_EXPECT,
        smoke: "save-race",
        breaks: Break::Missing(OVER),
    }
}
