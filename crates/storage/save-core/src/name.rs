//! Who saves, what it is called, and where in a store it lies.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use crate::Refusal;

/// Whoever is separated from everybody else: a random number, never a provider's identifier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tenant(pub [u8; 16]);

/// One of a tenant's sets of records: a random number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Profile(pub [u8; 16]);

/// A tenant's profile: what a facet is minted for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Scope {
    /// Whose.
    pub tenant: Tenant,
    /// Which of them.
    pub profile: Profile,
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Display for Scope {
    /// `TENANT/PROFILE`, in hexadecimal digits: a path of two segments.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Hex(&self.tenant.0), Hex(&self.profile.0))
    }
}

/// The longest name.
const NAME_BYTES: usize = 64;

/// What an application calls a record or a ledger: 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`, the first a letter or
/// digit. No name needs quoting, and none leads out of its folder, whatever provider it goes to.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Name(String);

impl Name {
    /// Takes a name.
    ///
    /// # Errors
    /// [`Refusal::BadName`].
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let first = text.bytes().next().is_some_and(plain);
        let rest = text
            .bytes()
            .all(|byte| plain(byte) || b"-_.".contains(&byte));
        let good = first && rest && text.len() <= NAME_BYTES;
        good.then(|| Self(text.to_string())).ok_or(Refusal::BadName)
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// What kind of record an envelope holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// Small and mutable: settings, inventory.
    Profile,
    /// Larger and mutable: a state to go on from.
    Checkpoint,
    /// One line of a ledger; never changes.
    Entry,
    /// How long a ledger is.
    Length,
}

impl Kind {
    /// Its number in an envelope.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Profile => 1,
            Self::Checkpoint => 2,
            Self::Entry => 3,
            Self::Length => 4,
        }
    }

    /// The kind of a number.
    #[must_use]
    pub const fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Profile,
            2 => Self::Checkpoint,
            3 => Self::Entry,
            4 => Self::Length,
            _ => return None,
        })
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Checkpoint => "checkpoint",
            Self::Entry => "entry",
            Self::Length => "length",
        }
    }
}

/// The name of a mutable record. Only [`Key::profile`] and [`Key::checkpoint`] make one, so it never names a ledger.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Key {
    kind: Kind,
    name: Name,
}

impl Key {
    /// A profile record.
    #[must_use]
    pub const fn profile(name: Name) -> Self {
        let kind = Kind::Profile;
        Self { kind, name }
    }

    /// A checkpoint.
    #[must_use]
    pub const fn checkpoint(name: Name) -> Self {
        let kind = Kind::Checkpoint;
        Self { kind, name }
    }

    /// Which of the two it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }
}

/// The name of a ledger: a list that only grows.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LedgerName(pub Name);

/// A folder of slots that can be listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// The newest version of every record.
    Heads,
    /// The lengths of all ledgers.
    Ledgers,
    /// Everything of the scope.
    All,
}

impl Group {
    /// What every slot of the group begins with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Heads => "head/",
            Self::Ledgers => "ledger/",
            Self::All => "",
        }
    }
}

/// A place in a store: a path of plain segments below its scope.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(String);

impl Slot {
    /// The newest version of a record.
    #[must_use]
    pub fn head(key: &Key) -> Self {
        Self(format!("head/{}/{}", key.kind.word(), key.name.0))
    }

    /// A version that was the newest once.
    #[must_use]
    pub fn past(key: &Key, version: u64) -> Self {
        let word = key.kind.word();
        Self(format!("past/{word}/{}/{version:020}", key.name.0))
    }

    /// How long a ledger is.
    #[must_use]
    pub fn length(ledger: &LedgerName) -> Self {
        Self(format!("ledger/{}", ledger.0.0))
    }

    /// One line of a ledger.
    #[must_use]
    pub fn entry(ledger: &LedgerName, index: u64) -> Self {
        Self(format!("entry/{}/{index:020}", ledger.0.0))
    }

    /// How far what lies in another slot was brought to a store far away, and what was seen there.
    #[must_use]
    pub fn mark(of: &Self) -> Self {
        Self(format!("mark/{}", of.0))
    }

    /// What became of a record's capsules.
    #[must_use]
    pub fn capsule(key: &Key) -> Self {
        Self(format!("capsule/{}/{}", key.kind.word(), key.name.0))
    }

    /// What a tenant has used of its allowance; lies in a scope of its own.
    #[must_use]
    pub fn allowance() -> Self {
        Self("allowance".to_string())
    }

    /// What a store is tried with before anything is trusted to it.
    #[must_use]
    pub fn canary(number: u128) -> Self {
        Self(format!("canary/{number:032x}"))
    }

    /// The slot that a store lists by that text; `None` where no slot is called so.
    #[must_use]
    pub fn listed(text: &str) -> Option<Self> {
        let plain = |part: &str| Name::new(part).is_ok();
        (!text.is_empty() && text.split('/').all(plain)).then(|| Self(text.to_string()))
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The record whose newest version lies here.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        let (word, name) = self.0.strip_prefix("head/")?.split_once('/')?;
        let name = Name::new(name).ok()?;
        match word {
            "profile" => Some(Key::profile(name)),
            "checkpoint" => Some(Key::checkpoint(name)),
            _ => None,
        }
    }

    /// The ledger whose length lies here.
    #[must_use]
    pub fn ledger(&self) -> Option<LedgerName> {
        let name = self.0.strip_prefix("ledger/")?;
        Name::new(name).ok().map(LedgerName)
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Name, Slot};

    #[test]
    fn no_name_leads_out_of_its_folder() {
        for good in ["a", "0", "slot-1", "a.b_c", &"x".repeat(64)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "-a",
            "A",
            "a/b",
            "a\\b",
            "a b",
            "é",
            "a\0",
            "%2f",
            &"x".repeat(65),
        ] {
            assert!(Name::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_head_leads_back_to_its_key() {
        let key = Key::checkpoint(Name::new("slot-1").unwrap());
        assert_eq!(Slot::head(&key).key(), Some(key.clone()));
        assert_eq!(Slot::past(&key, 1).key(), None);
        assert!(Slot::listed(Slot::past(&key, 1).text()).is_some());
        assert!(Slot::listed("head/../x").is_none() && Slot::listed("").is_none());
    }
}
