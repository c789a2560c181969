//! What every store must do while nothing fails, and what must be noticed of one that lies.

use anyhow::{Context, Result, ensure};
use save_core::{
    Allowance, Backend, Condition, Envelope, Expect, Facet, Fault, Governor, Group, Key, Kind,
    Refusal, SaveStore, Scope, Slot, Untrusted, Writer, canary,
};

use crate::Wound;
use crate::rig::{Case, Conditions, LIMITS, Needs, Rig, key, ledger, name, same};

macro_rules! cases {
    ($($needs:ident $name:ident,)*) => {
        pub fn all() -> Vec<Case> {
            vec![$(Case { name: stringify!($name), run: $name, needs: Needs::$needs },)*]
        }
    };
}

cases! {
    Store the_canary_finds_nothing,
    Proxy the_canary_notices_ignored_conditions,
    Store a_record_is_absent_at_first,
    Store a_put_is_read_again,
    Store absent_means_absent,
    Store compare_and_set,
    Store a_stale_write_is_refused,
    Store a_version_of_nothing_is_refused,
    Store any_version_will_do,
    Store an_empty_payload,
    Store every_value_of_a_byte,
    Store the_longest_payloads,
    Store longer_ones_are_refused,
    Store kinds_have_names_of_their_own,
    Store profiles_are_apart,
    Store history_comes_in_order,
    Store only_so_many_versions_are_kept,
    Store listings_come_in_pages,
    Store a_ledger_grows,
    Store a_ledger_is_not_written_over,
    Store a_put_asked_for_again,
    Store a_put_asked_for_again_much_later,
    Store a_line_asked_for_again,
    Store a_newer_schema_is_left_alone,
    Store who_was_taken_over_from_is_fenced,
    Store a_record_of_another_profile,
    Store a_record_of_another_name,
    Store a_damaged_record,
    Store a_cut_record,
    Store a_deleted_record,
    Store a_record_rolled_back,
    Store a_changed_line,
    Store a_deleted_line,
    Store a_deleted_version,
    Store a_day_of_writes,
    Store no_more_bytes_than_allowed,
    Store no_more_slots_than_allowed,
    Store a_store_of_conditions_alone,
}

fn the_canary_finds_nothing(rig: &Rig) -> Result<()> {
    same(
        canary(&mut *(rig.make)(), u128::from_le_bytes(rig.call().0)),
        Ok(()),
    )
}

fn the_canary_notices_ignored_conditions(rig: &Rig) -> Result<()> {
    let proxy = rig.proxy.as_ref().context("no proxy")?;
    proxy.wound(Wound::DropCondition, 0, 1000);
    let end = canary(&mut *(rig.make)(), u128::from_le_bytes(rig.call().0));
    match rig.conditions {
        Conditions::InHead => same(end, Err(Untrusted::IgnoresAbsent)),
        Conditions::Signed => same(end.is_err(), true),
        // The proxy does not take these off.
        Conditions::InBody => same(end, Ok(())),
    }
}

fn a_record_is_absent_at_first(rig: &Rig) -> Result<()> {
    let mut one = rig.facet(rig.scope());
    same(one.get(&key()), Ok(None))?;
    same(one.history(&key()), Ok(Vec::new()))?;
    ensure!(one.read_ledger(&ledger(), 0)?.items.is_empty());
    ensure!(one.list(None)?.items.is_empty());
    Ok(())
}

fn a_put_is_read_again(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    same(
        rig.facet(scope)
            .put(&key(), Expect::Absent, rig.call(), b"a"),
        Ok(1),
    )?;
    let record = rig.facet(scope).get(&key())?.context("nothing")?;
    same((record.version, record.payload), (1, b"a".to_vec()))
}

fn absent_means_absent(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    rig.facet(scope)
        .put(&key(), Expect::Absent, rig.call(), b"a")?;
    let again = rig
        .facet(scope)
        .put(&key(), Expect::Absent, rig.call(), b"b");
    same(again, Err(Refusal::Conflict { current: 1 }))
}

fn compare_and_set(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let mut one = rig.facet(scope);
    one.put(&key(), Expect::Absent, rig.call(), b"a")?;
    same(one.put(&key(), Expect::Version(1), rig.call(), b"b"), Ok(2))?;
    same(
        rig.facet(scope)
            .put(&key(), Expect::Version(2), rig.call(), b"c"),
        Ok(3),
    )
}

fn a_stale_write_is_refused(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let (mut one, mut two) = (rig.facet(scope), rig.facet(scope));
    one.put(&key(), Expect::Absent, rig.call(), b"a")?;
    two.put(&key(), Expect::Version(1), rig.call(), b"b")?;
    let stale = one.put(&key(), Expect::Version(1), rig.call(), b"c");
    same(stale, Err(Refusal::Conflict { current: 2 }))?;
    same(one.get(&key())?.context("nothing")?.payload, b"b".to_vec())
}

fn a_version_of_nothing_is_refused(rig: &Rig) -> Result<()> {
    let end = rig
        .facet(rig.scope())
        .put(&key(), Expect::Version(1), rig.call(), b"a");
    same(end, Err(Refusal::Conflict { current: 0 }))
}

fn any_version_will_do(rig: &Rig) -> Result<()> {
    let mut one = rig.facet(rig.scope());
    for version in 1..4 {
        same(one.put(&key(), Expect::Any, rig.call(), b"a"), Ok(version))?;
    }
    Ok(())
}

fn comes_back(rig: &Rig, key: &Key, payload: &[u8]) -> Result<()> {
    let scope = rig.scope();
    rig.facet(scope)
        .put(key, Expect::Absent, rig.call(), payload)?;
    let found = rig.facet(scope).get(key)?.context("nothing")?;
    ensure!(found.payload == payload, "another payload came back");
    Ok(())
}

fn an_empty_payload(rig: &Rig) -> Result<()> {
    comes_back(rig, &key(), b"")
}

fn every_value_of_a_byte(rig: &Rig) -> Result<()> {
    let bytes: Vec<u8> = (0..=255).chain(*b"\r\n--capos-save-0--\r\n").collect();
    comes_back(rig, &key(), &bytes)
}

fn the_longest_payloads(rig: &Rig) -> Result<()> {
    comes_back(rig, &key(), &vec![0xa5; LIMITS.checkpoint_bytes as usize])?;
    comes_back(
        rig,
        &Key::profile(name("p")),
        &vec![0; LIMITS.profile_bytes as usize],
    )?;
    let line = vec![7; LIMITS.entry_bytes as usize];
    same(
        rig.facet(rig.scope())
            .append(&ledger(), 0, rig.call(), &line),
        Ok(1),
    )
}

fn longer_ones_are_refused(rig: &Rig) -> Result<()> {
    let mut one = rig.facet(rig.scope());
    for (key, kind) in [
        (key(), Kind::Checkpoint),
        (Key::profile(name("p")), Kind::Profile),
    ] {
        let limit = LIMITS.of(kind);
        let long = vec![0; limit as usize + 1];
        let end = one.put(&key, Expect::Any, rig.call(), &long);
        same(end, Err(Refusal::TooLarge { limit }))?;
    }
    let limit = LIMITS.entry_bytes;
    let end = one.append(&ledger(), 0, rig.call(), &vec![0; limit as usize + 1]);
    same(end, Err(Refusal::TooLarge { limit }))?;
    ensure!(one.list(None)?.items.is_empty());
    Ok(())
}

fn kinds_have_names_of_their_own(rig: &Rig) -> Result<()> {
    let mut one = rig.facet(rig.scope());
    one.put(&Key::profile(name("x")), Expect::Absent, rig.call(), b"p")?;
    one.put(
        &Key::checkpoint(name("x")),
        Expect::Absent,
        rig.call(),
        b"c",
    )?;
    one.append(&save_core::LedgerName(name("x")), 0, rig.call(), b"l")?;
    let profile = one.get(&Key::profile(name("x")))?.context("nothing")?;
    same(profile.payload, b"p".to_vec())?;
    same(one.list(None)?.items.len(), 2)
}

fn profiles_are_apart(rig: &Rig) -> Result<()> {
    let mine = rig.scope();
    let other = Scope {
        profile: save_core::Profile([8; 16]),
        ..mine
    };
    rig.facet(mine)
        .put(&key(), Expect::Absent, rig.call(), b"mine")?;
    same(rig.facet(other).get(&key()), Ok(None))?;
    ensure!(rig.facet(other).list(None)?.items.is_empty());
    same(rig.facet(rig.scope()).get(&key()), Ok(None))
}

fn history_comes_in_order(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    for number in 0..3u8 {
        rig.facet(scope)
            .put(&key(), Expect::Any, rig.call(), &[number])?;
    }
    let found = rig.facet(scope).history(&key())?;
    let payloads: Vec<_> = found.into_iter().map(|record| record.payload).collect();
    same(payloads, vec![vec![0], vec![1], vec![2]])
}

fn only_so_many_versions_are_kept(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let mut one = rig.facet(scope);
    for number in 0..6u8 {
        one.put(&key(), Expect::Any, rig.call(), &[number])?;
    }
    let versions: Vec<u64> = one
        .history(&key())?
        .iter()
        .map(|record| record.version)
        .collect();
    same(versions, vec![3, 4, 5, 6])?;
    let there = (rig.make)().list(&scope, Group::All, None, 100);
    same(there.map(|lines| lines.len()), Ok(4))
}

fn listings_come_in_pages(rig: &Rig) -> Result<()> {
    let mut one = rig.facet(rig.scope());
    let keys: Vec<Key> = ["a", "a-b", "a.b", "a0", "b", "b1", "z"]
        .map(|text| Key::profile(name(text)))
        .into();
    for key in &keys {
        one.put(key, Expect::Absent, rig.call(), b"")?;
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = one.list(after.as_ref())?;
        ensure!(
            page.items.len() <= 3 && found.len() <= 7,
            "pages without an end"
        );
        found.extend(page.items);
        after = found.last().cloned();
        if !page.more {
            break;
        }
    }
    found.sort();
    same(found, keys)
}

fn a_ledger_grows(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    for line in 0..5u64 {
        same(
            rig.facet(scope)
                .append(&ledger(), line, rig.call(), &[line as u8]),
            Ok(line + 1),
        )?;
    }
    let mut reader = rig.facet(scope);
    let first = reader.read_ledger(&ledger(), 0)?;
    same((first.items.len(), first.more), (3, true))?;
    let rest = reader.read_ledger(&ledger(), 3)?;
    same(
        (rest.items.len(), rest.more, rest.items[1].payload.clone()),
        (2, false, vec![4]),
    )
}

fn a_ledger_is_not_written_over(rig: &Rig) -> Result<()> {
    let mut one = rig.facet(rig.scope());
    one.append(&ledger(), 0, rig.call(), b"a")?;
    let again = one.append(&ledger(), 0, rig.call(), b"b");
    same(again, Err(Refusal::Conflict { current: 1 }))?;
    let ahead = one.append(&ledger(), 2, rig.call(), b"b");
    same(ahead, Err(Refusal::Conflict { current: 1 }))
}

fn a_put_asked_for_again(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let call = rig.call();
    for _ in 0..3 {
        same(
            rig.facet(scope).put(&key(), Expect::Absent, call, b"a"),
            Ok(1),
        )?;
    }
    same(rig.facet(scope).history(&key())?.len(), 1)
}

fn a_put_asked_for_again_much_later(rig: &Rig) -> Result<()> {
    let mut one = rig.facet(rig.scope());
    let call = rig.call();
    one.put(&key(), Expect::Absent, call, b"a")?;
    one.put(&key(), Expect::Any, rig.call(), b"b")?;
    one.put(&key(), Expect::Any, rig.call(), b"c")?;
    same(one.put(&key(), Expect::Absent, call, b"a"), Ok(1))?;
    same(one.get(&key())?.context("nothing")?.version, 3)
}

fn a_line_asked_for_again(rig: &Rig) -> Result<()> {
    let mut one = rig.facet(rig.scope());
    let call = rig.call();
    one.append(&ledger(), 0, call, b"a")?;
    one.append(&ledger(), 1, rig.call(), b"b")?;
    same(one.append(&ledger(), 0, call, b"a"), Ok(1))?;
    same(one.read_ledger(&ledger(), 0)?.items.len(), 2)
}

fn a_newer_schema_is_left_alone(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let mut new = rig.facet_by(
        scope,
        Writer {
            schema: 2,
            epoch: 1,
        },
    );
    new.put(&key(), Expect::Absent, rig.call(), b"new")?;
    let refused = Refusal::WrongSchema { found: 2 };
    same(rig.facet(scope).get(&key()), Err(refused))?;
    same(
        rig.facet(scope)
            .put(&key(), Expect::Any, rig.call(), b"old"),
        Err(refused),
    )
}

fn who_was_taken_over_from_is_fenced(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let mut after = rig.facet_by(
        scope,
        Writer {
            schema: 1,
            epoch: 2,
        },
    );
    after.put(&key(), Expect::Absent, rig.call(), b"a")?;
    let end = rig.facet(scope).put(&key(), Expect::Any, rig.call(), b"b");
    same(end, Err(Refusal::Fenced { epoch: 2 }))
}

/// Writes behind everybody's back, as only a provider or a thief of its credential can.
fn plant(rig: &Rig, scope: &Scope, slot: &Slot, bytes: &[u8]) -> Result<()> {
    let mut store = (rig.make)();
    let there = store.load(scope, slot).map_err(Refusal::from)?;
    let only = there.map_or(Condition::Absent, |there| Condition::Is(there.token));
    Ok(store
        .store(scope, slot, &only, bytes)
        .map_err(Refusal::from)?)
}

fn bytes(rig: &Rig, scope: &Scope, slot: &Slot) -> Result<Vec<u8>> {
    let there = (rig.make)().load(scope, slot).map_err(Refusal::from)?;
    Ok(there.context("nothing there")?.bytes)
}

fn two_versions(rig: &Rig) -> Result<(Scope, Facet<save_bridge::serve::Store>)> {
    let scope = rig.scope();
    let mut one = rig.facet(scope);
    for number in 0..2u8 {
        one.put(&key(), Expect::Any, rig.call(), &[number])?;
        one.append(&ledger(), number.into(), rig.call(), &[number])?;
    }
    Ok((scope, one))
}

fn a_record_of_another_profile(rig: &Rig) -> Result<()> {
    let (scope, _) = two_versions(rig)?;
    let other = rig.scope();
    let stolen = bytes(rig, &scope, &Slot::head(&key()))?;
    plant(rig, &other, &Slot::head(&key()), &stolen)?;
    same(rig.facet(other).get(&key()), Err(Refusal::WrongProfile))
}

fn a_record_of_another_name(rig: &Rig) -> Result<()> {
    let (scope, mut one) = two_versions(rig)?;
    let other = Key::checkpoint(name("slot-2"));
    let copied = bytes(rig, &scope, &Slot::head(&key()))?;
    plant(rig, &scope, &Slot::head(&other), &copied)?;
    same(one.get(&other), Err(Refusal::WrongProfile))
}

fn a_damaged_record(rig: &Rig) -> Result<()> {
    let (scope, mut one) = two_versions(rig)?;
    let mut spoilt = bytes(rig, &scope, &Slot::head(&key()))?;
    spoilt[100] ^= 4;
    plant(rig, &scope, &Slot::head(&key()), &spoilt)?;
    same(one.get(&key()), Err(Refusal::Damaged))
}

fn a_cut_record(rig: &Rig) -> Result<()> {
    let (scope, mut one) = two_versions(rig)?;
    let spoilt = bytes(rig, &scope, &Slot::head(&key()))?;
    plant(
        rig,
        &scope,
        &Slot::head(&key()),
        &spoilt[..spoilt.len() - 1],
    )?;
    same(one.get(&key()), Err(Refusal::Damaged))
}

fn a_deleted_record(rig: &Rig) -> Result<()> {
    let (scope, mut one) = two_versions(rig)?;
    (rig.make)()
        .remove(&scope, &Slot::head(&key()))
        .map_err(Refusal::from)?;
    same(
        one.get(&key()),
        Err(Refusal::Rollback { seen: 2, found: 0 }),
    )
}

fn a_record_rolled_back(rig: &Rig) -> Result<()> {
    let (scope, mut one) = two_versions(rig)?;
    let old = bytes(rig, &scope, &Slot::past(&key(), 1))?;
    plant(rig, &scope, &Slot::head(&key()), &old)?;
    same(
        one.get(&key()),
        Err(Refusal::Rollback { seen: 2, found: 1 }),
    )
}

fn a_changed_line(rig: &Rig) -> Result<()> {
    let (scope, _) = two_versions(rig)?;
    let slot = Slot::entry(&ledger(), 0);
    let (mut line, _) = Envelope::decode(&bytes(rig, &scope, &slot)?)?;
    line.payload = b"forged".to_vec();
    plant(rig, &scope, &slot, &line.encode().0)?;
    let end = rig.facet(scope).read_ledger(&ledger(), 0);
    same(end, Err(Refusal::LedgerRewrite { index: 0 }))
}

fn a_deleted_line(rig: &Rig) -> Result<()> {
    let (scope, _) = two_versions(rig)?;
    (rig.make)()
        .remove(&scope, &Slot::entry(&ledger(), 1))
        .map_err(Refusal::from)?;
    let end = rig.facet(scope).read_ledger(&ledger(), 0);
    same(end, Err(Refusal::LedgerRewrite { index: 1 }))
}

fn a_deleted_version(rig: &Rig) -> Result<()> {
    let (scope, _) = two_versions(rig)?;
    (rig.make)()
        .remove(&scope, &Slot::past(&key(), 1))
        .map_err(Refusal::from)?;
    let end = rig.facet(scope).history(&key());
    same(end, Err(Refusal::Rollback { seen: 1, found: 0 }))
}

const FREE: Allowance = Allowance {
    bytes: 1 << 30,
    slots: 1 << 30,
    writes_per_day: 1 << 30,
    reads_per_day: 1 << 30,
};

fn a_day_of_writes(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let allowance = Allowance {
        writes_per_day: 40,
        ..FREE
    };
    let slot = |number: u128| Slot::canary(number);
    let (mut day, mut done) = (1, 0);
    // A bridge that starts anew goes on with the same day.
    for number in 0..100 {
        let mut store = Governor::new((rig.make)(), || day, allowance);
        match store.store(&scope, &slot(number), &Condition::Absent, b"x") {
            Ok(()) => done += 1,
            Err(Fault::OverQuota) => break,
            end => ensure!(end.is_ok(), "{end:?}"),
        }
    }
    // Each start takes a lease of up to 32 and leaves it behind.
    same(done, 2)?;
    day = 2;
    let mut store = Governor::new((rig.make)(), || day, allowance);
    let ends: Vec<_> = (100..150)
        .map(|number| store.store(&scope, &slot(number), &Condition::Absent, b"x"))
        .collect();
    same(ends.iter().filter(|end| end.is_ok()).count(), 40)?;
    same(ends[49], Err(Fault::OverQuota))
}

fn no_more_bytes_than_allowed(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let allowance = Allowance { bytes: 100, ..FREE };
    (rig.make)()
        .store(&scope, &Slot::canary(0), &Condition::Absent, &[0; 60])
        .map_err(Refusal::from)?;
    let mut store = Governor::new((rig.make)(), || 1, allowance);
    let mut put = |number, bytes: usize| {
        store.store(
            &scope,
            &Slot::canary(number),
            &Condition::Absent,
            &vec![0; bytes],
        )
    };
    same(put(1, 41), Err(Fault::OverQuota))?;
    same(put(1, 40), Ok(()))?;
    same(put(2, 1), Err(Fault::OverQuota))?;
    same(store.remove(&scope, &Slot::canary(0)), Ok(()))?;
    same(
        store.store(&scope, &Slot::canary(2), &Condition::Absent, &[0; 60]),
        Ok(()),
    )
}

fn no_more_slots_than_allowed(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let mut store = Governor::new((rig.make)(), || 1, Allowance { slots: 2, ..FREE });
    let mut put = |number| store.store(&scope, &Slot::canary(number), &Condition::Absent, b"x");
    same(
        (put(0), put(1), put(2)),
        (Ok(()), Ok(()), Err(Fault::OverQuota)),
    )
}

fn a_store_of_conditions_alone(rig: &Rig) -> Result<()> {
    let scope = rig.scope();
    let (mut store, slot) = ((rig.make)(), Slot::canary(9));
    let load = || (rig.make)().load(&scope, &slot).map_err(Refusal::from);
    same(load()?.map(|loaded| loaded.bytes), None)?;
    same(store.store(&scope, &slot, &Condition::Absent, b"a"), Ok(()))?;
    let first = Condition::Is(load()?.context("nothing")?.token);
    same(store.store(&scope, &slot, &first, b"b"), Ok(()))?;
    same(
        store.store(&scope, &slot, &first, b"c"),
        Err(Fault::Precondition),
    )?;
    same(
        store.store(&scope, &slot, &Condition::Absent, b"c"),
        Err(Fault::Precondition),
    )?;
    same(store.remove(&scope, &slot), Ok(()))?;
    same(
        store.store(&scope, &slot, &first, b"c"),
        Err(Fault::Precondition),
    )?;
    same(load()?.map(|loaded| loaded.bytes), None)
}
