//! Every gate, every byte, and the transaction behind.

mod common;

use common::{Rig, TENANT, Target, dice};
use save_capsule::{
    Content, Failed, KeyWrap, MAX_CAPSULE, MAX_PAYLOAD, OVERHEAD, Plain, Refused, Secret, Signer,
    SoftwareKeys, TooLarge, rewrap, seal,
};

#[test]
fn a_capsule_comes_back_as_it_went_and_may_come_again() {
    let mut rig = Rig::new();
    let one = rig.seal(b"first");
    let two = rig.seal(b"second");
    assert_eq!(rig.restore(&two), Ok(()));
    assert_eq!(rig.target.payload.as_deref(), Some(&b"second"[..]));
    assert_eq!(rig.restore(&two), Ok(()));
    assert_eq!(rig.refused(&one), Refused::Stale { seen: 2, found: 1 });
    assert!(!two.windows(6).any(|part| part == b"second"));
}

#[test]
fn every_byte_is_covered_and_a_refusal_changes_nothing() {
    let mut rig = Rig::new();
    let first = rig.seal(b"first");
    rig.restore(&first).unwrap();
    let before = rig.target.clone();
    let good = rig.seal(b"second");
    for at in 0..good.len() {
        for bit in [0, 7] {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            rig.refused(&bad);
            assert_eq!(rig.target, before, "byte {at}");
        }
        rig.refused(&good[..at]);
    }
    let mut long = good.clone();
    long.push(0);
    assert_eq!(rig.refused(&long), Refused::Malformed);
    assert_eq!(rig.target, before);
    assert_eq!(rig.restore(&good), Ok(()));
}

#[test]
fn the_size_is_looked_at_first() {
    let mut rig = Rig::new();
    assert_eq!(rig.refused(&vec![0; MAX_CAPSULE + 1]), Refused::Oversized);
    assert_eq!(rig.refused(&vec![0; MAX_CAPSULE]), Refused::Malformed);
    let full = rig.seal(&vec![7; MAX_PAYLOAD]);
    assert_eq!(full.len(), MAX_CAPSULE);
    assert!(MAX_CAPSULE <= 16 << 10 && full.len() == MAX_PAYLOAD + OVERHEAD);
    assert_eq!(rig.restore(&full), Ok(()));
    assert_eq!(rig.try_seal(&vec![7; MAX_PAYLOAD + 1]), Err(TooLarge));
}

#[test]
fn a_capsule_without_a_signature_or_with_anothers_is_refused() {
    let mut rig = Rig::new();
    let good = rig.seal(b"mine");
    let signature = common::signature_of(&good);
    let mut bad = good.clone();
    bad[signature.clone()].fill(0);
    assert_eq!(rig.refused(&bad), Refused::Unsigned);
    // The keys that wrap alone do not make a capsule.
    let other = Signer::new(&Secret([9; 32]), &TENANT);
    let plain = rig.plain(b"forged");
    let (forged, _) = seal(&plain, None, &other, &mut rig.keys, dice(40)).unwrap();
    assert_eq!(rig.refused(&forged), Refused::Tampered);
}

#[test]
fn unknown_content_another_profile_and_a_newer_schema_are_refused() {
    let mut rig = Rig::new();
    let plain = rig.plain(b"x");
    let mut made = |plain: &Plain<'_>| {
        seal(plain, None, &rig.signer, &mut rig.keys, dice(41))
            .unwrap()
            .0
    };
    let content = made(&Plain {
        content: Content(99),
        ..plain
    });
    let profile = made(&Plain {
        profile: [8; 16],
        ..plain
    });
    let schema = made(&Plain { schema: 4, ..plain });
    assert_eq!(rig.refused(&content), Refused::UnknownContent(Content(99)));
    assert_eq!(rig.refused(&profile), Refused::WrongProfile);
    assert_eq!(rig.refused(&schema), Refused::WrongSchema(4));
    assert_eq!(rig.target, Target::default());
}

#[test]
fn two_that_went_on_from_one_state_and_gaps_are_noticed() {
    let mut rig = Rig::new();
    let start = rig.seal(b"start");
    rig.restore(&start).unwrap();
    let from = rig.last;
    let mine = rig.seal(b"mine");
    rig.last = from;
    let theirs = rig.seal(b"theirs");
    let after = rig.seal(b"after theirs");
    assert_eq!(rig.refused(&after), Refused::Gap { seen: 1, found: 3 });
    assert_eq!(
        rig.restore_with(&after, &[&mine]),
        Err(Failed::Refused(Refused::Forked(3)))
    );
    assert_eq!(rig.restore_with(&after, &[&start, &theirs]), Ok(()));
    assert_eq!(rig.refused(&mine), Refused::Stale { seen: 3, found: 2 });
    let mut rig = Rig {
        target: Target::default(),
        ..rig
    };
    rig.restore(&mine).unwrap();
    assert_eq!(rig.refused(&theirs), Refused::Forked(2));
}

#[test]
fn a_transaction_that_fails_changes_nothing() {
    let mut rig = Rig::new();
    let good = rig.seal(b"x");
    rig.target.fails = true;
    assert_eq!(rig.restore(&good), Err(Failed::Commit("full")));
    assert_eq!((&rig.target.payload, rig.target.anchor), (&None, None));
    rig.target.fails = false;
    assert_eq!(rig.restore(&good), Ok(()));
}

#[test]
fn keys_are_rotated_without_a_new_capsule_and_a_destroyed_one_ends_it() {
    let mut rig = Rig::new();
    let good = rig.seal(b"world");
    let mut next = SoftwareKeys::new(&Secret([1; 32]), &TENANT, b"world-1", &[1, 2]);
    let turned = rewrap(&good, &mut rig.keys, &mut next, [77; 24]).unwrap();
    assert_ne!(turned, good);
    assert_eq!(rig.refused(&turned), Refused::KeyGone);
    let old = rig.keys.current().unwrap();
    rig.keys = next;
    rig.keys.destroy(old);
    assert_eq!(rig.refused(&good), Refused::KeyGone);
    assert_eq!(rig.restore(&turned), Ok(()));
    rig.keys.destroy(rig.keys.current().unwrap());
    assert_eq!(rig.refused(&turned), Refused::KeyGone);
    assert!(
        rewrap(
            &turned,
            &mut SoftwareKeys::new(&Secret([1; 32]), &TENANT, b"", &[]),
            &mut rig.keys,
            [0; 24]
        )
        .is_err()
    );
    assert!(!rig.keys.holds(old));
}
