//! What each gate keeps out: with the gate taken out it is restored. One test, because the choice is the whole program's.

#![cfg(sabotage)]

mod common;

use common::{PROFILE, Rig, TENANT, dice, signature_of};
use sabotage::{Point, choose, points};
use save_capsule::{
    Content, Digest, KeyId, KeyWrap, MAX_PAYLOAD, Plain, Secret, Signer, SoftwareKeys, Wrapped,
    seal,
};

/// Refused by a rig that has seen two capsules, unless the gate is out.
fn bites(point: Point, make: impl Fn(&mut Rig) -> Vec<u8>) {
    choose(points::SKIP_SCRUB);
    let mut rig = Rig::new();
    for payload in [b"1", b"2"] {
        let capsule = rig.seal(payload);
        rig.restore(&capsule).unwrap();
    }
    choose(point);
    let bad = make(&mut rig);
    choose(points::SKIP_SCRUB);
    let before = rig.target.clone();
    assert!(rig.restore(&bad).is_err(), "{point}");
    assert_eq!(rig.target, before, "{point}");
    choose(point);
    assert_eq!(rig.restore(&bad), Ok(()), "{point}");
}

fn other(rig: &mut Rig, change: impl Fn(Plain<'_>) -> Plain<'_>) -> Vec<u8> {
    let plain = change(rig.plain(b"x"));
    seal(&plain, rig.last, &rig.signer, &mut rig.keys, dice(50))
        .unwrap()
        .0
}

#[test]
fn each_gate_keeps_something_out() {
    bites(points::CAPSULE_ANY_SIZE, |rig| {
        rig.seal(&vec![7; MAX_PAYLOAD + 1])
    });
    bites(points::CAPSULE_UNSIGNED, |rig| {
        let mut bad = rig.seal(b"x");
        let place = signature_of(&bad);
        bad[place].fill(0);
        bad
    });
    bites(points::CAPSULE_ANY_SIGNATURE, |rig| {
        rig.signer = Signer::new(&Secret([9; 32]), &TENANT);
        let bad = rig.seal(b"x");
        rig.signer = Signer::new(&Secret([1; 32]), &TENANT);
        bad
    });
    bites(points::CAPSULE_ANY_CONTENT, |rig| {
        other(rig, |plain| Plain {
            content: Content(99),
            ..plain
        })
    });
    bites(points::CAPSULE_ANY_PROFILE, |rig| {
        other(rig, |plain| Plain {
            profile: PROFILE.map(|byte| byte + 1),
            ..plain
        })
    });
    bites(points::CAPSULE_ANY_SCHEMA, |rig| {
        other(rig, |plain| Plain { schema: 9, ..plain })
    });
    bites(points::CAPSULE_STALE, |rig| {
        rig.last = None;
        rig.seal(b"old")
    });
    bites(points::CAPSULE_FORKED, |rig| {
        rig.last.as_mut().unwrap().digest[0] ^= 1;
        rig.seal(b"fork")
    });
    bites(points::CAPSULE_SKIP_TAG, |rig| {
        let plain = rig.plain(b"x");
        let mut keys = OtherKey(SoftwareKeys::new(
            &Secret([1; 32]),
            &TENANT,
            b"world-1",
            &[1],
        ));
        seal(&plain, rig.last, &rig.signer, &mut keys, dice(51))
            .unwrap()
            .0
    });
}

/// Wraps another key than the capsule was encrypted with.
struct OtherKey(SoftwareKeys);

impl KeyWrap for OtherKey {
    fn wrap(&mut self, _: &[u8; 32], nonce: [u8; 24], capsule: &Digest) -> Option<Wrapped> {
        self.0.wrap(&[0; 32], nonce, capsule)
    }

    fn holds(&self, by: KeyId) -> bool {
        self.0.holds(by)
    }

    fn unwrap(&mut self, wrapped: &Wrapped, capsule: &Digest) -> Option<[u8; 32]> {
        self.0.unwrap(wrapped, capsule)
    }
}
