//! What goes comes back, once and in its order, whatever fails on the way.

use std::cell::RefCell;
use std::rc::Rc;

use save_capsule::{Dice, Refused, Secret};
use save_core::{
    Anchors, Backend, Condition, Expect, Facet, Fault, Group, Hit, Key, Limits, Listed, Loaded,
    Memory, Name, Pair, Profile, Refusal, RetryKey, SaveStore, Scope, Slot, Strike, Tenant, Writer,
};
use save_vault::{NotRestored, Sealed, Vault};

const SCOPE: Scope = Scope {
    tenant: Tenant([1; 16]),
    profile: Profile([2; 16]),
};
const WRITER: Writer = Writer {
    schema: 3,
    epoch: 1,
};

#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Memory>>);

impl Backend for Shared {
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

impl Pair for Shared {
    fn store_both(
        &mut self,
        scope: &Scope,
        first: (&Slot, &[u8]),
        only: &Condition,
        second: (&Slot, &[u8]),
    ) -> Result<(), Fault> {
        self.0.borrow_mut().store_both(scope, first, only, second)
    }
}

/// One machine.
#[derive(Default)]
struct Machine {
    store: Shared,
    drawn: u8,
}

fn key() -> Key {
    Key::checkpoint(Name::new("slot-1").unwrap())
}

impl Machine {
    fn of(&self, scope: Scope, writer: Writer, content: u32, secret: u8) -> Vault<Shared> {
        let secret = Secret([secret; 32]);
        Vault::new(self.store.clone(), scope, writer, content, &secret)
    }

    fn vault(&self) -> Vault<Shared> {
        self.of(SCOPE, WRITER, 1, 9)
    }

    fn put(&self, bytes: &[u8]) {
        let (store, none) = (self.store.clone(), Anchors::default());
        let mut facet = Facet::mint(store, SCOPE, Limits::USUAL, WRITER, none);
        facet
            .put(&key(), Expect::Any, RetryKey::NONE, bytes)
            .unwrap();
    }

    fn record(&self) -> Option<Vec<u8>> {
        let (store, none) = (self.store.clone(), Anchors::default());
        let mut facet = Facet::mint(store, SCOPE, Limits::USUAL, WRITER, none);
        facet.get(&key()).unwrap().map(|record| record.payload)
    }

    fn try_seal(&mut self) -> Result<Option<Sealed>, Refusal> {
        self.drawn = self.drawn.wrapping_add(1);
        let dice = Dice {
            key: [self.drawn; 32],
            nonce: [self.drawn; 24],
            wrap_nonce: [self.drawn; 24],
        };
        self.vault().seal(&key(), dice, [self.drawn; 16])
    }

    fn seal(&mut self) -> Option<Sealed> {
        self.try_seal().unwrap()
    }

    /// Seals what was put, and says that it was sent.
    fn send(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.put(bytes);
        let sealed = self.seal().unwrap();
        assert!(self.vault().sent(&key(), &sealed.handle).unwrap());
        sealed.capsule
    }

    fn restore(&self, retry: u8, capsule: &[u8], between: &[&[u8]]) -> Result<u64, NotRestored> {
        let retry = RetryKey([retry; 16]);
        self.vault().restore(&key(), retry, capsule, between)
    }

    fn all(&self) -> Vec<(Slot, Vec<u8>)> {
        let store = self.store.0.borrow();
        let slots = store.slots();
        slots
            .map(|(_, slot, bytes)| (slot.clone(), bytes.to_vec()))
            .collect()
    }
}

fn gate(refused: Refused) -> Result<u64, NotRestored> {
    Err(NotRestored::Gate(refused))
}

#[test]
fn what_goes_comes_back_on_another_machine() {
    let (mut one, two) = (Machine::default(), Machine::default());
    let first = one.send(b"first");
    let second = one.send(b"second");
    let third = one.send(b"third");
    assert_eq!(two.restore(1, &first, &[]), Ok(1));
    assert_eq!(two.record().as_deref(), Some(&b"first"[..]));
    let (seen, found) = (1, 3);
    let gap = gate(Refused::Gap { seen, found });
    assert_eq!(two.restore(2, &third, &[]), gap);
    assert_eq!(two.vault().seen(&key()), Ok(1), "a refusal changes nothing");
    assert_eq!(two.restore(2, &third, &[&second]), Ok(2));
    assert_eq!(two.restore(2, &third, &[]), Ok(2), "the same call");
    assert_eq!(two.restore(3, &third, &[]), Ok(3), "another call");
    let (seen, found) = (3, 2);
    let stale = gate(Refused::Stale { seen, found });
    assert_eq!(two.restore(4, &second, &[]), stale);
    assert_eq!(two.record().as_deref(), Some(&b"third"[..]));
    assert_eq!(two.vault().seen(&key()), Ok(3));
    assert_eq!(
        one.restore(5, &first, &[]),
        gate(Refused::Stale { seen, found: 1 })
    );
}

#[test]
fn a_capsule_is_given_out_until_it_was_sent() {
    let mut one = Machine::default();
    assert_eq!(one.seal(), None);
    assert_eq!(one.vault().seen(&key()), Ok(0));
    one.put(b"first");
    let sealed = one.seal().unwrap();
    assert_eq!(one.seal(), Some(sealed.clone()));
    one.put(b"second");
    assert_eq!(one.seal(), Some(sealed.clone()), "it has not left yet");
    assert!(!one.vault().sent(&key(), &[0; 16]).unwrap());
    // Restoring one's own does not lose it.
    assert_eq!(one.restore(1, &sealed.capsule, &[]), Ok(3));
    assert_eq!(
        one.seal(),
        Some(Sealed {
            version: 3,
            ..sealed.clone()
        })
    );
    assert!(one.vault().sent(&key(), &sealed.handle).unwrap());
    assert!(!one.vault().sent(&key(), &sealed.handle).unwrap());
    assert_eq!(one.seal(), None, "nothing is newer");
    one.put(b"third");
    assert_eq!(one.seal().map(|sealed| sealed.version), Some(4));
}

#[test]
fn every_byte_is_covered_and_a_refusal_changes_nothing() {
    let (mut one, two) = (Machine::default(), Machine::default());
    let first = one.send(b"first");
    two.restore(1, &first, &[]).unwrap();
    let second = one.send(b"second");
    let before = two.all();
    for at in 0..second.len() {
        for bit in 0..8 {
            let mut bad = second.clone();
            bad[at] ^= 1 << bit;
            let end = two.restore(2, &bad, &[]);
            assert!(matches!(end, Err(NotRestored::Gate(_))), "{at} {end:?}");
        }
        assert!(two.restore(2, &second[..at], &[]).is_err());
        assert_eq!(two.all(), before);
    }
    assert_eq!(two.restore(2, &second, &[]), Ok(2));
}

#[test]
fn only_what_is_the_profiles_own_is_restored() {
    let (one, two) = (Machine::default(), Machine::default());
    one.put(b"first");
    let made = |scope: Scope, writer: Writer, content: u32, secret: u8| {
        let machine = Machine::default();
        let (store, none) = (machine.store.clone(), Anchors::default());
        let mut facet = Facet::mint(store, scope, Limits::USUAL, writer, none);
        let put = facet.put(&key(), Expect::Any, RetryKey::NONE, b"x");
        put.unwrap();
        let dice = Dice {
            key: [1; 32],
            nonce: [2; 24],
            wrap_nonce: [3; 24],
        };
        let mut vault = machine.of(scope, writer, content, secret);
        let sealed = vault.seal(&key(), dice, [4; 16]).unwrap().unwrap();
        two.restore(1, &sealed.capsule, &[])
    };
    let profile = Scope {
        profile: Profile([3; 16]),
        ..SCOPE
    };
    let tenant = Scope {
        tenant: Tenant([3; 16]),
        ..SCOPE
    };
    let newer = Writer {
        schema: 4,
        ..WRITER
    };
    assert_eq!(made(profile, WRITER, 1, 9), gate(Refused::WrongProfile));
    assert_eq!(made(tenant, WRITER, 1, 9), gate(Refused::Tampered));
    assert_eq!(made(SCOPE, WRITER, 1, 8), gate(Refused::Tampered));
    assert_eq!(made(SCOPE, newer, 1, 9), gate(Refused::WrongSchema(4)));
    assert!(made(SCOPE, WRITER, 2, 9).is_err());
    assert_eq!(two.all(), []);
    let older = Writer {
        schema: 2,
        ..WRITER
    };
    assert_eq!(made(SCOPE, older, 1, 9), Ok(1));
    let (store, none) = (two.store.clone(), Anchors::default());
    let mut facet = Facet::mint(store, SCOPE, Limits::USUAL, WRITER, none);
    let record = facet.get(&key()).unwrap().unwrap();
    assert_eq!(record.schema, 2, "as it was made");
}

#[test]
fn another_record_of_the_profile_is_not_taken_for_this_one() {
    let (mut one, two) = (Machine::default(), Machine::default());
    let capsule = one.send(b"first");
    let other = Key::profile(Name::new("slot-1").unwrap());
    let end = two
        .vault()
        .restore(&other, RetryKey([1; 16]), &capsule, &[]);
    assert_eq!(end, Err(NotRestored::OtherRecord));
    assert_eq!(two.all(), []);
}

/// Makes a call until it is answered.
fn until<T>(mut call: impl FnMut() -> Result<T, NotRestored>) -> T {
    for _ in 0..4 {
        match call() {
            Ok(value) => return value,
            Err(NotRestored::Store(Refusal::Unavailable { .. } | Refusal::OverQuota)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("it is never answered")
}

#[test]
fn whatever_is_lost_wherever_record_and_anchor_are_there_together() {
    for hit in [
        Hit::LoseAnswer,
        Hit::LoseRequest,
        Hit::Busy,
        Hit::Conflict,
        Hit::Full,
    ] {
        for call in 0..16 {
            let (mut one, two) = (Machine::default(), Machine::default());
            let first = one.send(b"first");
            two.restore(1, &first, &[]).unwrap();
            one.put(b"second");
            one.store.0.borrow_mut().fail(&[Strike { call, hit }]);
            let sealed = until(|| one.try_seal().map_err(NotRestored::Store)).unwrap();
            until(|| {
                let end = one.vault().sent(&key(), &sealed.handle);
                end.map_err(NotRestored::Store)
            });
            one.store.0.borrow_mut().fail(&[]);
            assert_eq!(one.seal(), None);
            two.store.0.borrow_mut().fail(&[Strike { call, hit }]);
            let end = two.restore(2, &sealed.capsule, &[]);
            two.store.0.borrow_mut().fail(&[]);
            // What follows the second is restored where the second is there, and only there.
            let third = one.send(b"third");
            let has = two.record().as_deref() == Some(b"second");
            assert!(has || end.is_err());
            let fork = Machine {
                store: Shared(Rc::new(RefCell::new(two.store.0.borrow().clone()))),
                drawn: 0,
            };
            assert_eq!(fork.restore(3, &third, &[]).is_ok(), has, "{hit:?} {call}");
            assert_eq!(until(|| two.restore(2, &sealed.capsule, &[])), 2);
            assert_eq!(two.restore(3, &third, &[]), Ok(3));
        }
    }
}

#[test]
fn what_is_kept_is_compared() {
    let mut one = Machine::default();
    one.put(b"first");
    one.seal().unwrap();
    let place = Slot::capsule(&key());
    let length = one
        .store
        .0
        .borrow_mut()
        .bytes_mut(&SCOPE, &place)
        .unwrap()
        .len();
    for at in 0..length {
        one.store.0.borrow_mut().bytes_mut(&SCOPE, &place).unwrap()[at] ^= 1;
        assert_eq!(one.try_seal(), Err(Refusal::Damaged), "{at}");
        one.store.0.borrow_mut().bytes_mut(&SCOPE, &place).unwrap()[at] ^= 1;
    }
}

#[test]
fn neither_name_nor_payload_is_to_be_seen() {
    let mut one = Machine::default();
    one.put(b"a secret payload");
    let sealed = one.seal().unwrap();
    assert!(
        !sealed
            .capsule
            .windows(6)
            .any(|part| part == b"secret" || part == b"slot-1")
    );
}
