//! What a machine keeps beside its saves: how far each was brought, and which capsule waits. A disk may have written it.

use save_capsule::{Dice, MAX_CAPSULE, Secret};
use save_core::wire::Call;
use save_core::{
    Anchors, Backend, Expect, Facet, Fault, Key, Limits, Memory, Name, Offline, Profile, Refusal,
    Remote, RetryKey, SaveStore, Scope, Slot, Step, Tenant, Wire, Writer, serve,
};
use save_vault::Vault;
use sha2::{Digest, Sha256};

const SCOPE: Scope = Scope {
    tenant: Tenant([1; 16]),
    profile: Profile([2; 16]),
};
const WRITER: Writer = Writer {
    schema: 1,
    epoch: 1,
};
/// Bits of the first byte: what it is, and whether its sum is made here, so that what lies behind the sum is reached.
const MARK: u8 = 1;
const SUMMED: u8 = 2;
/// Steps in which a queue of one record comes to its end.
const STEPS: usize = 64;
const SUM_BYTES: usize = 32;

fn key() -> Key {
    Key::checkpoint(Name::new("slot-1").expect("it is a name"))
}

fn facet<B: Backend>(store: B) -> Facet<B> {
    Facet::mint(store, SCOPE, Limits::USUAL, WRITER, Anchors::default())
}

fn put(facet: &mut impl SaveStore, number: u8) {
    let retry = RetryKey([number; 16]);
    let put = facet.put(&key(), Expect::Any, retry, &[number; 40]);
    put.expect("nothing fails");
}

fn vault(store: &mut Memory) -> Vault<&mut Memory> {
    Vault::new(store, SCOPE, WRITER, 1, &Secret([7; 32]))
}

const fn dice() -> Dice {
    Dice {
        key: [1; 32],
        nonce: [2; 24],
        wrap_nonce: [3; 24],
    }
}

/// A bridge without a network.
struct Direct(Facet<Memory>);

impl Wire for Direct {
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault> {
        let (call, _) = Call::decode(call).ok_or(Fault::Damaged)?;
        Ok(serve(&mut self.0, call).encode())
    }
}

/// What is kept of a record's capsules, or a mark: refused, or gone on with. The record beside it is what it was.
pub fn kept(data: &[u8]) -> bool {
    let Some((flags, bytes)) = data.split_first() else {
        return false;
    };
    let mut bytes = bytes.to_vec();
    if flags & SUMMED != 0 {
        let sum = Sha256::digest(&bytes);
        bytes.extend(sum);
    }
    match flags & MARK {
        0 => waits(&bytes),
        _ => marked(&bytes),
    }
}

fn waits(bytes: &[u8]) -> bool {
    let (mut store, slot) = (Memory::new(), Slot::capsule(&key()));
    put(&mut facet(&mut store), 1);
    store.plant(&SCOPE, &slot, bytes.to_vec());
    let mut vault = vault(&mut store);
    let seen = vault.seen(&key());
    match (&seen, vault.seal(&key(), dice(), [9; 16])) {
        (Ok(_), Ok(Some(sealed))) => {
            assert!(sealed.capsule.len() <= MAX_CAPSULE);
            let again = vault.seal(&key(), dice(), [8; 16]);
            assert_eq!(again, Ok(Some(sealed.clone())), "it waits");
            assert_eq!(vault.sent(&key(), &sealed.handle), Ok(true));
            assert_eq!(vault.sent(&key(), &sealed.handle), Ok(false));
        }
        // The last number has no successor.
        (Ok(_), Ok(None) | Err(Refusal::TooLarge { .. })) => {}
        (Err(Refusal::Damaged), Err(Refusal::Damaged)) => {
            let retry = RetryKey([4; 16]);
            assert!(vault.restore(&key(), retry, bytes, &[]).is_err());
            let kept = held(&mut store, &slot);
            assert_eq!(kept, bytes, "a refusal changes nothing");
        }
        (seen, sealed) => panic!("{seen:?}, {sealed:?}"),
    }
    let record = facet(&mut store).get(&key()).expect("nothing fails");
    assert_eq!(record.map(|record| record.payload), Some(vec![1; 40]));
    seen.is_ok()
}

fn marked(bytes: &[u8]) -> bool {
    let mut near = Memory::new();
    let slot = Slot::head(&key());
    put(&mut facet(&mut near), 1);
    put(&mut facet(&mut near), 2);
    near.plant(&SCOPE, &Slot::mark(&slot), bytes.to_vec());
    let mut far = facet(Memory::new());
    put(&mut far, 1);
    let mut saves = Offline::new(facet(near), Remote::new(Direct(far), WRITER));
    let end = (0..STEPS).find(|_| matches!(saves.step(), Step::Idle));
    assert!(end.is_some(), "the queue comes to no end");
    let brought = saves.brought(&slot);
    let record = saves.get(&key()).expect("nothing fails");
    let record = record.map(|record| (record.version, record.payload));
    assert_eq!(record, Some((2, vec![2; 40])), "what lies here stays");
    !matches!(brought, Err(Refusal::Damaged))
}

fn held(store: &mut Memory, slot: &Slot) -> Vec<u8> {
    let loaded = store.load(&SCOPE, slot).expect("nothing fails");
    loaded.map(|loaded| loaded.bytes).unwrap_or_default()
}

/// A capsule that waits, one that was sent, and a mark: what `kept` takes.
///
/// # Panics
/// Where nothing can be saved in memory.
#[must_use]
pub fn kept_seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let (mut store, slot) = (Memory::new(), Slot::capsule(&key()));
    put(&mut facet(&mut store), 1);
    let sealed = vault(&mut store).seal(&key(), dice(), [9; 16]);
    let sealed = sealed.expect("nothing fails").expect("it is newer");
    let waiting = held(&mut store, &slot);
    let sent = vault(&mut store).sent(&key(), &sealed.handle);
    sent.expect("nothing fails");
    let sent = held(&mut store, &slot);
    let mut near = Memory::new();
    put(&mut facet(&mut near), 1);
    let remote = Remote::new(Direct(facet(Memory::new())), WRITER);
    let mut saves = Offline::new(facet(&mut near), remote);
    while !matches!(saves.step(), Step::Idle) {}
    drop(saves);
    let mark = held(&mut near, &Slot::mark(&Slot::head(&key())));
    let whole = |flags: u8, bytes: &[u8]| [&[flags], bytes].concat();
    let unsummed = |flags: u8, bytes: &[u8]| {
        let body = bytes.get(..bytes.len().saturating_sub(SUM_BYTES));
        whole(flags | SUMMED, body.unwrap_or_default())
    };
    vec![
        ("kept", "whole", whole(0, &waiting)),
        ("kept", "waiting", unsummed(0, &waiting)),
        ("kept", "sent", unsummed(0, &sent)),
        ("kept", "mark-whole", whole(MARK, &mark)),
        ("kept", "mark", unsummed(MARK, &mark)),
    ]
}
