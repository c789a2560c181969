//! What the tests of this crate share.
#![allow(dead_code, reason = "each test program uses a part")]

use std::ops::Range;

use save_capsule::{
    Anchor, Content, Dice, Failed, Gates, Plain, Profile, Refused, Restored, Secret, Signer,
    SoftwareKeys, TooLarge, Transaction, restore, seal,
};

pub const TENANT: [u8; 16] = [3; 16];
pub const PROFILE: Profile = [4; 16];
pub const KNOWN: [Content; 2] = [Content(1), Content(2)];

/// Numbers that a machine would draw.
pub fn dice(number: u8) -> Dice {
    Dice {
        key: [number; 32],
        nonce: [number; 24],
        wrap_nonce: [number; 24],
    }
}

/// Where the signature of a capsule lies.
pub fn signature_of(capsule: &[u8]) -> Range<usize> {
    capsule.len() - 152..capsule.len() - 88
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub payload: Option<Vec<u8>>,
    pub anchor: Option<Anchor>,
    pub fails: bool,
}

impl Transaction for Target {
    type Error = &'static str;

    fn commit(&mut self, restored: &Restored) -> Result<(), Self::Error> {
        if self.fails {
            return Err("full");
        }
        self.payload = Some(restored.payload.clone());
        self.anchor = Some(restored.anchor);
        Ok(())
    }
}

/// A machine that seals and restores.
pub struct Rig {
    pub signer: Signer,
    pub keys: SoftwareKeys,
    pub last: Option<Anchor>,
    pub target: Target,
    pub drawn: u8,
}

impl Rig {
    pub fn new() -> Self {
        let secret = Secret([1; 32]);
        Self {
            signer: Signer::new(&secret, &TENANT),
            keys: SoftwareKeys::new(&secret, &TENANT, b"world-1", &[1]),
            last: None,
            target: Target::default(),
            drawn: 0,
        }
    }

    pub fn plain<'a>(&self, payload: &'a [u8]) -> Plain<'a> {
        Plain {
            profile: PROFILE,
            content: KNOWN[0],
            schema: 3,
            payload,
        }
    }

    pub fn try_seal(&mut self, payload: &[u8]) -> Result<Vec<u8>, TooLarge> {
        self.drawn += 1;
        let plain = self.plain(payload);
        let (capsule, anchor) = seal(
            &plain,
            self.last,
            &self.signer,
            &mut self.keys,
            dice(self.drawn),
        )?;
        self.last = Some(anchor);
        Ok(capsule)
    }

    pub fn seal(&mut self, payload: &[u8]) -> Vec<u8> {
        self.try_seal(payload).unwrap()
    }

    pub fn restore_with(
        &mut self,
        capsule: &[u8],
        between: &[&[u8]],
    ) -> Result<(), Failed<&'static str>> {
        let gates = Gates {
            verifier: self.signer.verifier(),
            profile: PROFILE,
            known: &KNOWN,
            schema: 3,
            anchor: self.target.anchor,
            between,
        };
        restore(capsule, &gates, &mut self.keys, &mut self.target).map(|_| ())
    }

    pub fn restore(&mut self, capsule: &[u8]) -> Result<(), Failed<&'static str>> {
        self.restore_with(capsule, &[])
    }

    pub fn refused(&mut self, capsule: &[u8]) -> Refused {
        match self.restore(capsule) {
            Err(Failed::Refused(refused)) => refused,
            end => panic!("{end:?}"),
        }
    }
}
