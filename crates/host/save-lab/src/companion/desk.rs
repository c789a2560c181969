//! What stands in for capOS: it seals, and restores behind every gate. It is never told who is signed in, or with what.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use save_bridge::http::Request;
use save_capsule::{
    Anchor, Content, Dice, Gates, Plain, Restored, Secret, Signer, SoftwareKeys, Transaction, seal,
};
use serde_json::{Value, json};

use super::ends::Said;
use super::{World, open};
use crate::fakes::{Companion, Handle, Trouble, restore_newest};

/// What no browser and no provider may see.
pub(crate) const SECRET: [u8; 32] = *b"the desk's secret, 32 bytes long";
/// What lets the page in.
pub(crate) const KEY: &str = "key-of-the-desk";
const TENANT: [u8; 16] = [1; 16];
pub(crate) const PROFILE: [u8; 16] = [2; 16];

/// What is saved on this side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saves {
    pub payload: Option<Vec<u8>>,
    pub anchor: Option<Anchor>,
}

impl Transaction for Saves {
    type Error = ();

    fn commit(&mut self, restored: &Restored) -> Result<(), ()> {
        self.payload = Some(restored.payload.clone());
        self.anchor = Some(restored.anchor);
        Ok(())
    }
}

/// The desk.
pub(crate) struct Desk {
    signer: Signer,
    keys: SoftwareKeys,
    made: Option<Anchor>,
    drawn: u8,
    pub waiting: Vec<(Handle, Vec<u8>)>,
    pub saves: Saves,
}

/// What is sealed, where it is not what the desk would seal.
#[derive(Clone, Copy)]
pub(crate) struct Sealed {
    pub profile: [u8; 16],
    pub content: u32,
}

impl Sealed {
    pub const OURS: Self = Self {
        profile: PROFILE,
        content: 1,
    };
}

impl Desk {
    pub fn new() -> Self {
        let secret = Secret(SECRET);
        Self {
            signer: Signer::new(&secret, &TENANT),
            keys: SoftwareKeys::new(&secret, &TENANT, b"world", &[1]),
            made: None,
            drawn: 0,
            waiting: Vec::new(),
            saves: Saves::default(),
        }
    }

    /// A capsule, and a handle that nobody guesses.
    pub fn seal(&mut self, payload: &[u8], how: Sealed) -> Option<(Handle, Vec<u8>)> {
        self.drawn += 1;
        let plain = Plain {
            profile: how.profile,
            content: Content(how.content),
            schema: 1,
            payload,
        };
        let dice = Dice {
            key: [self.drawn; 32],
            nonce: [self.drawn; 24],
            wrap_nonce: [self.drawn; 24],
        };
        let (capsule, anchor) = seal(&plain, self.made, &self.signer, &mut self.keys, dice).ok()?;
        self.made = Some(anchor);
        let handle = save_bridge::random::random().ok()?.to_be_bytes();
        Some((Handle(handle), capsule))
    }

    fn restore(&mut self, files: Vec<(Handle, Vec<u8>)>) -> Value {
        let gates = Gates {
            verifier: self.signer.verifier(),
            profile: PROFILE,
            known: &[Content(1)],
            schema: 1,
            anchor: self.saves.anchor,
            between: &[],
        };
        let mut offered = Offered(files);
        match restore_newest(&mut offered, &gates, &mut self.keys, &mut self.saves) {
            Ok(anchor) => json!({ "restored": anchor.counter }),
            Err(lost) => json!({ "refused": format!("{lost:?}") }),
        }
    }
}

/// What the page brought.
struct Offered(Vec<(Handle, Vec<u8>)>);

impl Companion for Offered {
    fn keep(&mut self, _: Handle, _: &[u8]) -> Result<(), Trouble> {
        Err(Trouble::NoNetwork)
    }

    fn fetch(&mut self) -> Result<Vec<(Handle, Vec<u8>)>, Trouble> {
        Ok(self.0.clone())
    }
}

fn file(one: &Value) -> Option<(Handle, Vec<u8>)> {
    let handle = Handle::read(one["handle"].as_str()?)?;
    Some((handle, STANDARD.decode(one["capsule"].as_str()?).ok()?))
}

/// Answers the page.
pub(crate) fn answer(world: &World, request: &Request) -> Said {
    if request.header("x-csrf-token") != Some(KEY) {
        return Said::status(403);
    }
    let mut desk = open(&world.desk);
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/v1/sealed") => {
            let one = |(handle, capsule): &(Handle, Vec<u8>)| json!({ "handle": handle.text(), "capsule": STANDARD.encode(capsule) });
            Said::json(&desk.waiting.iter().map(one).collect())
        }
        ("POST", "/v1/sent") => {
            let sent = body["handle"].as_str().and_then(Handle::read);
            desk.waiting.retain(|(handle, _)| Some(*handle) != sent);
            Said::json(&json!({}))
        }
        ("POST", "/v1/offered") => {
            let lines = request.body.split(|byte| *byte == b'\n');
            let lines = lines.filter(|line| !line.is_empty());
            let files = lines.map(|line| file(&serde_json::from_slice(line).ok()?));
            match files.collect::<Option<Vec<_>>>() {
                Some(files) => Said::json(&desk.restore(files)),
                None => Said::status(400),
            }
        }
        _ => Said::status(404),
    }
}
