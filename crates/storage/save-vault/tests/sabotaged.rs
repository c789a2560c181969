//! What each sabotage of capsules on a machine lets through. One test, because the choice is the whole program's.

#![cfg(sabotage)]

use sabotage::{choose, points};
use save_capsule::{Dice, Secret};
use save_core::{
    Anchors, Expect, Facet, Key, Limits, Memory, Name, Profile, RetryKey, SaveStore, Scope, Tenant,
    Writer,
};
use save_vault::Vault;

const SCOPE: Scope = Scope {
    tenant: Tenant([1; 16]),
    profile: Profile([2; 16]),
};
const WRITER: Writer = Writer {
    schema: 1,
    epoch: 1,
};

fn key() -> Key {
    Key::checkpoint(Name::new("slot-1").unwrap())
}

fn vault(store: &mut Memory) -> Vault<&mut Memory> {
    Vault::new(store, SCOPE, WRITER, 1, &Secret([9; 32]))
}

fn put(store: &mut Memory, bytes: &[u8]) {
    let mut facet = Facet::mint(store, SCOPE, Limits::USUAL, WRITER, Anchors::default());
    facet
        .put(&key(), Expect::Any, RetryKey::NONE, bytes)
        .unwrap();
}

fn seal(store: &mut Memory, number: u8) -> Option<Vec<u8>> {
    let dice = Dice {
        key: [number; 32],
        nonce: [number; 24],
        wrap_nonce: [number; 24],
    };
    let sealed = vault(store).seal(&key(), dice, [number; 16]).unwrap();
    sealed.map(|sealed| sealed.capsule)
}

#[test]
fn each_point_lets_something_through() {
    let mut one = Memory::new();
    put(&mut one, b"first");
    let first = seal(&mut one, 1).unwrap();
    vault(&mut one).sent(&key(), &[1; 16]).unwrap();
    put(&mut one, b"second");
    let second = seal(&mut one, 2).unwrap();

    choose(points::VAULT_FORGET_UNSENT);
    assert_eq!(seal(&mut one, 3), None, "the second is lost");

    choose(points::VAULT_WITHOUT_ANCHOR);
    let mut two = Memory::new();
    let restore = |store: &mut Memory, number: u8, capsule: &[u8]| {
        let retry = RetryKey([number; 16]);
        vault(store).restore(&key(), retry, capsule, &[])
    };
    assert_eq!(restore(&mut two, 1, &second), Ok(1));
    assert_eq!(restore(&mut two, 2, &first), Ok(2), "an older one");

    choose(points::VAULT_ANY_RECORD);
    let other = Key::checkpoint(Name::new("slot-2").unwrap());
    let mut three = Memory::new();
    let end = vault(&mut three).restore(&other, RetryKey([1; 16]), &first, &[]);
    assert_eq!(end, Ok(1));
}
