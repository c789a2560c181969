//! Seals and restores save capsules between machines of one user, with every capsule that must not be restored between, and goes on
//! after the machine went down in the middle.
//!
//! Invariant: it never states what it did not see.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec;
use sdk::alloc::vec::Vec;
use sdk::saving::capsules::{Between, Gate};
use sdk::saving::save_store::{End, Expect, Kind};
use sdk::{Capsules, Env, Error, Refusal, SaveStore, fact};
use smoke_save::{name, retry_key};

sdk::entry!(main);

const SLOT: &str = "slot-1";
const OTHER_SLOT: &str = "slot-2";
/// What is refused before anybody looks which record is in it.
const STRANGE_SLOT: &str = "slot-9";
/// Where the capsules lie that were sent: what a provider would have.
const PROVIDER: &str = "provider";
/// Where what a capsule says of itself lies (`docs/save-format.md`).
const NUMBER_AT: usize = 16;
const SIGNATURE_FROM_END: usize = 152;
const SIGNATURE_BYTES: usize = 64;
/// Nearly the longest checkpoint.
const LARGE: usize = 8000;
/// One more than the longest capsule.
const TOO_LONG: usize = 12_545;

/// A machine, or what stands for one.
struct Machine {
    saves: SaveStore,
    capsules: Capsules,
}

struct Sealed {
    version: u64,
    handle: Vec<u8>,
    capsule: Vec<u8>,
}

struct Probe {
    home: Machine,
    calls: core::cell::Cell<u64>,
}

fn main(env: &Env) -> Result<(), Error> {
    let home = Machine::of(env, "homeSaves", "homeCapsules")?;
    let probe = Probe {
        home,
        calls: core::cell::Cell::new(0),
    };
    let sent = probe.held()?;
    let drawn = Machine::of(env, "drawnSaves", "drawnCapsules")?;
    let [first, second, of_drawn] = &sent[..] else {
        probe.leave(&drawn)?;
        // Somebody takes the power away.
        loop {
            probe.held()?;
        }
    };
    let again = probe.restore(&drawn, SLOT, of_drawn, &[])?;
    fact!("capsule.drawn", gate = gate(again.gate));
    probe.waits(second)?;
    probe.stale(first)?;
    let another = Machine::of(env, "anotherSaves", "anotherCapsules")?;
    let third = probe.chain(&another, second)?;
    probe.altered(&third)?;
    probe.strangers(env)?;
    probe.records(&another)?;
    probe.forks(env, &another, second, &third)?;
    probe.bytes(&another)?;
    probe.allowance(&drawn)?;
    fact!("capsule.done");
    Ok(())
}

impl Machine {
    fn of(env: &Env, saves: &'static str, capsules: &'static str) -> Result<Self, Error> {
        Ok(Self {
            saves: env.get(saves)?,
            capsules: env.get(capsules)?,
        })
    }

    fn seal(&self, slot: &str) -> Result<Sealed, Refusal> {
        self.capsules.seal(Kind::Checkpoint, slot, |sealed| {
            if sealed.end()? != End::Done {
                fact!("capsule.not_sealed", end = name(sealed.end()?));
            }
            Ok(Sealed {
                version: sealed.version(),
                handle: sealed.handle()?.to_vec(),
                capsule: sealed.capsule()?.to_vec(),
            })
        })?
    }

    fn sent(&self, slot: &str, handle: &[u8]) -> Result<(), Refusal> {
        self.capsules.sent(Kind::Checkpoint, slot, handle)?;
        Ok(())
    }

    fn reads(&self, slot: &str) -> Result<Vec<u8>, Refusal> {
        self.saves.get(Kind::Checkpoint, slot, |got| {
            let records = got.records()?;
            let payload = records.iter().last().map(|record| record.payload());
            Ok(payload.transpose()?.unwrap_or_default().to_vec())
        })?
    }
}

/// What came of restoring.
#[derive(Clone, Copy, PartialEq)]
struct Restored {
    gate: Gate,
    end: End,
    detail: u64,
    version: u64,
}

impl Probe {
    /// A key for a call that is no other's.
    fn retry(&self, of: u8) -> [u8; 16] {
        let number = self.calls.get() + 1;
        self.calls.set(number);
        retry_key(of, number)
    }

    fn put(&self, machine: &Machine, slot: &str, bytes: &[u8]) -> Result<u64, Refusal> {
        let retry = self.retry(3);
        let put = machine
            .saves
            .put(Kind::Checkpoint, slot, Expect::Any, 0, &retry, bytes)?;
        Ok(put.version)
    }

    fn restore(
        &self,
        machine: &Machine,
        slot: &str,
        capsule: &[u8],
        between: &[&[u8]],
    ) -> Result<Restored, Refusal> {
        let retry = self.retry(4);
        let between: Vec<Between<'_>> = between.iter().map(|capsule| Between { capsule }).collect();
        let restore =
            machine
                .capsules
                .restore(Kind::Checkpoint, slot, &retry, capsule, &between)?;
        Ok(Restored {
            gate: restore.gate,
            end: restore.end,
            detail: restore.detail,
            version: restore.version,
        })
    }

    /// Puts, seals and sends.
    fn send(&self, machine: &Machine, slot: &str, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.put(machine, slot, bytes)?;
        let sealed = machine.seal(slot)?;
        machine.sent(slot, &sealed.handle)?;
        Ok(sealed.capsule)
    }

    /// The capsules that the provider has.
    fn held(&self) -> Result<Vec<Vec<u8>>, Refusal> {
        self.home.saves.read_ledger(PROVIDER, 0, |page| {
            let mut held = Vec::new();
            for line in page.records()?.iter() {
                held.push(line.payload()?.to_vec());
            }
            Ok(held)
        })?
    }

    fn hand_over(&self, capsule: &[u8], length: u64) -> Result<(), Refusal> {
        let retry = retry_key(5, length);
        let line = self.home.saves.append(PROVIDER, length, &retry, capsule)?;
        if line.end != End::Done {
            fact!("capsule.not_held", end = name(line.end));
        }
        Ok(())
    }

    /// The first start: one capsule is sent, and one has not left yet when the machine goes down.
    fn leave(&self, drawn: &Machine) -> Result<(), Refusal> {
        let first = self.send(&self.home, SLOT, b"one secret")?;
        self.hand_over(&first, 0)?;
        self.put(&self.home, SLOT, b"two secret")?;
        let second = self.home.seal(SLOT)?;
        self.hand_over(&second.capsule, 1)?;
        self.hand_over(&self.send(drawn, SLOT, b"drawn secret")?, 2)?;
        let shows = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        let seen = [&b"secret"[..], SLOT.as_bytes()];
        let seen = seen.iter().any(|text| shows(&first, text));
        fact!(
            "capsule.left",
            version = second.version,
            number = number(&second.capsule),
            shows = seen,
            handle = second.handle.len()
        );
        Ok(())
    }

    /// What had not left is given out again until it was sent.
    fn waits(&self, second: &[u8]) -> Result<(), Refusal> {
        let again = self.home.seal(SLOT)?;
        fact!(
            "capsule.waits",
            same = again.capsule == second,
            version = again.version
        );
        self.home.sent(SLOT, &[0; 16])?;
        let still = self.home.seal(SLOT)?;
        self.home.sent(SLOT, &again.handle)?;
        let after = self.home.seal(SLOT)?;
        fact!(
            "capsule.sent",
            wrong_handle_kept = still.capsule == second,
            then = after.capsule.len()
        );
        Ok(())
    }

    fn stale(&self, first: &[u8]) -> Result<(), Refusal> {
        let stale = self.restore(&self.home, SLOT, first, &[])?;
        fact!(
            "capsule.stale",
            gate = gate(stale.gate),
            seen = stale.detail
        );
        Ok(())
    }

    /// Another machine restores the second, and makes the third.
    fn chain(&self, another: &Machine, second: &[u8]) -> Result<Vec<u8>, Refusal> {
        let restored = self.restore(another, SLOT, second, &[])?;
        let reads = another.reads(SLOT)? == b"two secret";
        let third = self.send(another, SLOT, b"three secret")?;
        fact!(
            "capsule.chain",
            gate = gate(restored.gate),
            end = name(restored.end),
            version = restored.version,
            reads = reads,
            next = number(&third)
        );
        Ok(third)
    }

    /// Forms that no capsule has, and one whose key was exchanged.
    fn altered(&self, good: &[u8]) -> Result<(), Refusal> {
        let long = self.restore(&self.home, SLOT, &vec![0; TOO_LONG], &[])?;
        fact!("capsule.long", gate = gate(long.gate));
        let mut unsigned = good.to_vec();
        let at = unsigned.len().saturating_sub(SIGNATURE_FROM_END);
        for byte in unsigned.iter_mut().skip(at).take(SIGNATURE_BYTES) {
            *byte = 0;
        }
        let unsigned = self.restore(&self.home, SLOT, &unsigned, &[])?;
        fact!("capsule.unsigned", gate = gate(unsigned.gate));
        let mut other_key = good.to_vec();
        if let Some(byte) = other_key.last_mut() {
            *byte ^= 1;
        }
        let other_key = self.restore(&self.home, SLOT, &other_key, &[])?;
        fact!("capsule.key", gate = gate(other_key.gate));
        Ok(())
    }

    /// Good ones of others.
    fn strangers(&self, env: &Env) -> Result<(), Error> {
        for (topic, saves, capsules) in [
            ("secret", "strangerSaves", "strangerCapsules"),
            ("profile", "profileSaves", "profileCapsules"),
            ("content", "forkSaves", "contentCapsules"),
            ("schema", "schemaSaves", "schemaCapsules"),
        ] {
            let other = Machine::of(env, saves, capsules)?;
            let capsule = self.send(&other, STRANGE_SLOT, b"theirs")?;
            let end = self.restore(&self.home, SLOT, &capsule, &[])?;
            fact!("capsule.stranger", of = topic, gate = gate(end.gate));
        }
        let reads = self.home.reads(SLOT)? == b"two secret";
        fact!("capsule.unchanged", reads = reads);
        Ok(())
    }

    fn records(&self, another: &Machine) -> Result<(), Refusal> {
        let other = self.send(another, OTHER_SLOT, b"other")?;
        let end = self.restore(&self.home, "slot-3", &other, &[])?;
        let reads = self.home.reads("slot-3")?.len();
        fact!("capsule.record", gate = gate(end.gate), there = reads);
        Ok(())
    }

    /// Two that went on from one state, and one whose predecessor is missing.
    fn forks(
        &self,
        env: &Env,
        another: &Machine,
        second: &[u8],
        third: &[u8],
    ) -> Result<(), Error> {
        let fork = Machine::of(env, "forkSaves", "forkCapsules")?;
        self.restore(&fork, SLOT, second, &[])?;
        let forked = self.send(&fork, SLOT, b"three otherwise")?;
        let good = self.restore(&self.home, SLOT, third, &[])?;
        let reads = self.home.reads(SLOT)? == b"three secret";
        fact!(
            "capsule.restored",
            gate = gate(good.gate),
            end = name(good.end),
            version = good.version,
            reads = reads
        );
        let end = self.restore(&self.home, SLOT, &forked, &[])?;
        fact!("capsule.fork", gate = gate(end.gate));
        let fourth = self.send(another, SLOT, b"four secret")?;
        let fifth = self.send(another, SLOT, b"five secret")?;
        let gap = self.restore(&self.home, SLOT, &fifth, &[])?;
        let whole = self.restore(&self.home, SLOT, &fifth, &[&fourth])?;
        let reads = self.home.reads(SLOT)? == b"five secret";
        fact!(
            "capsule.gap",
            gate = gate(gap.gate),
            seen = gap.detail,
            with = gate(whole.gate),
            reads = reads
        );
        Ok(())
    }

    /// A profile that may have 40000 bytes and 12 slots gets no more, and others go on.
    fn allowance(&self, bounded: &Machine) -> Result<(), Refusal> {
        let put = |machine: &Machine, slot: &str, bytes: &[u8]| {
            let retry = self.retry(6);
            machine
                .saves
                .put(Kind::Checkpoint, slot, Expect::Any, 0, &retry, bytes)
                .map(|put| put.end)
        };
        let large = vec![7; LARGE];
        let mut ends = Vec::new();
        for slot in ["a", "b", "c", "d", "e"] {
            ends.push(put(bounded, slot, &large)?);
        }
        let done = ends.iter().take_while(|end| **end == End::Done).count();
        let last = ends.last().map_or("none", |end| name(*end));
        let there = bounded.reads("e")?.len();
        let other = put(&self.home, "e", &large)?;
        fact!(
            "capsule.allowance",
            done = done,
            last = last,
            there = there,
            other = name(other)
        );
        Ok(())
    }

    /// One bit of each byte of a capsule that would be restored.
    fn bytes(&self, another: &Machine) -> Result<(), Refusal> {
        let good = self.send(another, SLOT, b"six secret")?;
        let mut refused = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            if let Some(byte) = bad.get_mut(at) {
                *byte ^= 1 << (at % 8);
            }
            let end = self.restore(&self.home, SLOT, &bad, &[])?;
            refused += usize::from(end.gate != Gate::Passed && end.end == End::Damaged);
        }
        let same = self.home.reads(SLOT)? == b"five secret";
        let end = self.restore(&self.home, SLOT, &good, &[])?;
        fact!(
            "capsule.bytes",
            all_refused = refused == good.len(),
            unchanged = same,
            then = gate(end.gate)
        );
        Ok(())
    }
}

/// The number that a capsule says it has.
fn number(capsule: &[u8]) -> u64 {
    let bytes = capsule.get(NUMBER_AT..NUMBER_AT + 8);
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

const fn gate(gate: Gate) -> &'static str {
    match gate {
        Gate::Passed => "passed",
        Gate::Oversized => "oversized",
        Gate::Malformed => "malformed",
        Gate::Unsigned => "unsigned",
        Gate::Tampered => "tampered",
        Gate::UnknownContent => "unknownContent",
        Gate::WrongProfile => "wrongProfile",
        Gate::WrongSchema => "wrongSchema",
        Gate::Stale => "stale",
        Gate::Forked => "forked",
        Gate::Gap => "gap",
        Gate::KeyGone => "keyGone",
        Gate::OtherRecord => "otherRecord",
    }
}
