//! The record, as `saves` has it: what the page's questions come to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sdk::alloc::format;
use sdk::alloc::string::{String, ToString as _};
use sdk::alloc::vec::Vec;
use sdk::saving::capsules::Gate;
use sdk::saving::save_store::{End, Kind};
use sdk::{Capsules, EntropySource, Refusal, fact};
use serde::Deserialize;

use crate::offered::{Offered, handle};
use crate::restoring::{Came, Tried, newest};
use crate::{digits, random};

/// One record, and who seals and restores it.
pub struct Record {
    capsules: Capsules,
    entropy: EntropySource,
    kind: Kind,
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent<'a> {
    handle: &'a str,
}

/// The body of an answer, or what it says in place of one.
pub type Said = Result<String, Trouble>;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It is not in the form that the page sends.
    Malformed,
    /// `saves` does not do it now.
    Unavailable,
}

impl From<Refusal> for Trouble {
    fn from(_: Refusal) -> Self {
        Self::Unavailable
    }
}

impl Record {
    /// That record.
    pub fn new(capsules: Capsules, entropy: EntropySource, (kind, name): (Kind, String)) -> Self {
        Self {
            capsules,
            entropy,
            kind,
            name,
        }
    }

    /// What waits to be sent: one capsule or none, as a list in JSON.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub fn sealed(&self) -> Said {
        let (end, handle, capsule) = self.capsules.seal(self.kind, &self.name, |sealed| {
            let (handle, capsule) = (sealed.handle()?, sealed.capsule()?);
            let capsule = Some(capsule).filter(|capsule| !capsule.is_empty());
            let capsule = capsule.map(|capsule| STANDARD.encode(capsule));
            Ok::<_, Refusal>((sealed.end()?, digits(handle), capsule))
        })??;
        match (end, capsule) {
            (End::Done, Some(capsule)) => Ok(format!(
                "[{{\"handle\":\"{handle}\",\"capsule\":\"{capsule}\"}}]"
            )),
            (End::Done, None) => Ok("[]".to_string()),
            _ => Err(Trouble::Unavailable),
        }
    }

    /// A capsule is with the provider.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub fn sent(&self, body: &[u8]) -> Said {
        let sent: Sent<'_> = serde_json::from_slice(body).map_err(|_| Trouble::Malformed)?;
        let handle = handle(sent.handle).ok_or(Trouble::Malformed)?;
        let said = self.capsules.sent(self.kind, &self.name, &handle)?;
        match said.end {
            End::Done => Ok("{}".to_string()),
            _ => Err(Trouble::Unavailable),
        }
    }

    /// What is to take what the provider gave.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub fn take(&self) -> Result<(Offered, u64), Trouble> {
        let seen = self.capsules.seen(self.kind, &self.name)?;
        match seen.end {
            End::Done => Ok((Offered::new(seen.number), seen.number)),
            _ => Err(Trouble::Unavailable),
        }
    }

    /// Restores what may be restored of it, and says what came of that.
    ///
    /// # Errors
    /// See [`Trouble`].
    pub fn restore(&self, capsules: Vec<Vec<u8>>, seen: u64) -> Said {
        let came = newest(capsules, seen, |capsule| {
            let retry = random(&self.entropy)?.0;
            let retry = retry.first_chunk::<16>().unwrap_or(&[1; 16]);
            let end = self
                .capsules
                .restore(self.kind, &self.name, retry, capsule, &[])?;
            Ok::<_, Refusal>(match (end.gate, end.end) {
                (Gate::Passed, End::Done) => Tried::Passed,
                (Gate::Passed, other) => Tried::Store(other, end.detail),
                (gate, _) => Tried::Gate(gate, end.detail),
            })
        })?;
        let refused = |why: &str| {
            fact!("desk.refused", why = why);
            format!("{{\"refused\":\"{why}\"}}")
        };
        Ok(match came {
            Came::Restored(number) => {
                fact!("desk.restored", number = number);
                format!("{{\"restored\":{number}}}")
            }
            Came::Refused(gate, detail) => refused(&gate_text(gate, detail)),
            Came::Store(..) => return Err(Trouble::Unavailable),
            Came::Missing(seen) => refused(&format!("missing, {seen} was seen")),
            Came::Nothing => refused("nothing is there"),
        })
    }
}

/// In plain words, which stand in JSON as they are.
fn gate_text(gate: Gate, detail: u64) -> String {
    let plain = match gate {
        Gate::Passed => "passed",
        Gate::Oversized => "oversized",
        Gate::Malformed => "malformed",
        Gate::Unsigned => "unsigned",
        Gate::Tampered => "tampered",
        Gate::UnknownContent => return format!("unknown content {detail}"),
        Gate::WrongProfile => "another profile's",
        Gate::WrongSchema => return format!("of a newer schema, {detail}"),
        Gate::Stale => return format!("stale, {detail} was seen"),
        Gate::Forked => return format!("forked at {detail}"),
        Gate::Gap => return format!("gap, {detail} was seen"),
        Gate::KeyGone => "its key is gone",
        Gate::OtherRecord => "another record's",
    };
    plain.to_string()
}
