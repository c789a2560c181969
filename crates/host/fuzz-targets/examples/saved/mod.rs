//! Seeds of what a provider gives back: a capsule that the keys of `saving::capsule` made, and a record.

use save_capsule::{Content, Dice, Plain, Secret, Signer, SoftwareKeys, seal};
use save_core::wire::{Answer, Call};
use save_core::{Envelope, Expect, Key, Kind, Name, Page, RECENT, RetryKey, Scope, Tenant, Writer};

use super::Seed;

pub fn seeds() -> [Seed; 4] {
    let secret = Secret([1; 32]);
    let plain = Plain {
        profile: [4; 16],
        content: Content(1),
        schema: 1,
        payload: b"a seed",
    };
    let dice = Dice {
        key: [5; 32],
        nonce: [6; 24],
        wrap_nonce: [7; 24],
    };
    let mut keys = SoftwareKeys::new(&secret, &[3; 16], b"seed", &[1]);
    let signer = Signer::new(&secret, &[3; 16]);
    let (capsule, _) = seal(&plain, None, &signer, &mut keys, dice).expect("it is short");
    let record = Envelope {
        scope: Scope {
            tenant: Tenant([1; 16]),
            profile: save_core::Profile([2; 16]),
        },
        kind: Kind::Checkpoint,
        name: Name::new("slot-1").expect("it is a name"),
        schema: 1,
        version: 2,
        epoch: 1,
        retry: [RetryKey([9; 16]); RECENT + 1],
        previous: [8; 32],
        payload: b"a seed".to_vec(),
    };
    let record = record.encode().0;
    let key = Key::checkpoint(Name::new("slot-1").expect("it is a name"));
    let retry = RetryKey([9; 16]);
    let put = Call::Put(key.clone(), Expect::Version(1), retry, b"a seed".to_vec());
    let writer = Writer {
        schema: 1,
        epoch: 1,
    };
    let (items, more) = (vec![key], false);
    let keys = Answer::Keys(Page { items, more });
    [
        ("capsule", "first", capsule),
        ("save", "checkpoint", record),
        ("save", "call", put.encode(writer)),
        ("save", "answer", keys.encode()),
    ]
}
