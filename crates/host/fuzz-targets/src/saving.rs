//! What a provider gives back: records and save capsules.

use save_capsule::{
    Anchor, Content, Gates, Restored, Secret, Signer, SoftwareKeys, Transaction, restore,
};
use save_core::Envelope;
use save_core::wire::{Answer, Call};

/// The tenant and profile of all seeds.
const TENANT: [u8; 16] = [3; 16];
const PROFILE: [u8; 16] = [4; 16];

#[derive(Default)]
struct Target(Option<Anchor>);

impl Transaction for Target {
    type Error = ();

    fn commit(&mut self, restored: &Restored) -> Result<(), ()> {
        assert!(restored.payload.len() <= save_capsule::MAX_PAYLOAD);
        self.0 = Some(restored.anchor);
        Ok(())
    }
}

/// A capsule: restored as a whole or not at all, and again to the same end.
pub fn capsule(data: &[u8]) -> bool {
    let secret = Secret([1; 32]);
    let mut keys = SoftwareKeys::new(&secret, &TENANT, b"seed", &[1]);
    let gates = Gates {
        verifier: Signer::new(&secret, &TENANT).verifier(),
        profile: PROFILE,
        known: &[Content(1)],
        schema: 1,
        anchor: None,
        between: &[],
    };
    let mut target = Target::default();
    let end = restore(data, &gates, &mut keys, &mut target).ok();
    assert_eq!(end, target.0);
    if let Some(anchor) = end {
        let anchor = Some(anchor);
        let seen = Gates { anchor, ..gates };
        assert_eq!(restore(data, &seen, &mut keys, &mut target).ok(), anchor);
    }
    end.is_some()
}

/// A record, and a call and an answer of a bridge: what is read is written as it was.
pub fn save(data: &[u8]) -> bool {
    if let Some((call, writer)) = Call::decode(data) {
        assert_eq!(call.encode(writer), data);
        return true;
    }
    if let Some(answer) = Answer::decode(data) {
        assert_eq!(answer.encode(), data);
        return true;
    }
    match Envelope::decode(data) {
        Ok((envelope, digest)) => {
            assert_eq!(envelope.encode(), (data.to_vec(), digest));
            true
        }
        Err(_) => false,
    }
}
