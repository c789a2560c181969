//! Providers that users bring: one model of what they keep and do wrong, with the skins of two.
//!
//! Both are fakes. Drive's is the part of v3 that `drive.appdata` reaches; Firebase's is a document for each capsule below
//! the user that its rules let through.

use std::collections::BTreeMap;

use save_capsule::{
    Anchor, Failed, Gates, KeyWrap, MAX_CAPSULE, Refused, Restored, Transaction, restore,
};

/// What a capsule is called outside: a random number, which tells nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Handle(pub [u8; 16]);

impl Handle {
    /// Takes exactly 32 small hexadecimal digits: nothing that a provider or user named.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(plain) {
            return None;
        }
        u128::from_str_radix(text, 16)
            .ok()
            .map(|number| Self(number.to_be_bytes()))
    }

    /// Its digits.
    #[must_use]
    pub fn text(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Why a provider did not do something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// There is no way to it.
    NoNetwork,
    /// It names a capsule by something that is no handle.
    NotOpaque,
    /// The user who is signed in is not whose capsules are asked for.
    OtherUser,
    /// The access that was given reaches other things than capsules.
    OtherScope,
    /// No capsule is so long.
    TooLong,
}

/// What a provider does wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misdeed {
    /// It is not reached.
    Offline,
    /// It deletes the newest.
    Delete,
    /// It keeps what is written twice.
    Duplicate,
    /// It goes on showing what was there before the last write.
    Stale,
    /// It goes back to what was there before the last write.
    RollBack,
    /// It names the newest by something of its own.
    Rename,
    /// It turns a bit of the newest over.
    Alter,
    /// It takes the newest for the only one and cuts its end off.
    Cut,
}

pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// What a provider keeps: for each place, files in the order of their writing.
#[derive(Clone, Debug, Default)]
pub struct Cloud {
    places: BTreeMap<String, Files>,
    before: Option<BTreeMap<String, Files>>,
    misdeed: Option<Misdeed>,
}

impl Cloud {
    /// Does that from now on, or nothing wrong.
    pub fn misbehave(&mut self, misdeed: Option<Misdeed>) {
        self.misdeed = misdeed;
        let newest = self
            .places
            .values_mut()
            .filter_map(|files| files.last_mut());
        match misdeed {
            Some(Misdeed::RollBack) => self.places = self.before.clone().unwrap_or_default(),
            Some(Misdeed::Delete) => self.places.values_mut().for_each(|files| drop(files.pop())),
            Some(Misdeed::Rename) => {
                newest.for_each(|(name, _)| *name = "save of ann@example.org".into())
            }
            Some(Misdeed::Alter) => newest.for_each(|(_, bytes)| bytes[60] ^= 1),
            Some(Misdeed::Cut) => newest.for_each(|(_, bytes)| bytes.truncate(bytes.len() - 1)),
            _ => {}
        }
    }

    /// Everything that it has, to be looked through.
    #[must_use]
    pub fn everything(&self) -> Vec<u8> {
        let files = self.places.iter().flat_map(|(place, files)| {
            let file = |(name, bytes): &(String, Vec<u8>)| [name.as_bytes(), bytes].concat();
            [place.as_bytes().to_vec()]
                .into_iter()
                .chain(files.iter().map(file))
        });
        files.collect::<Vec<_>>().concat()
    }

    pub(crate) fn write(&mut self, place: &str, name: String, bytes: &[u8]) -> Result<(), Trouble> {
        if self.misdeed == Some(Misdeed::Offline) {
            return Err(Trouble::NoNetwork);
        }
        self.before = Some(self.places.clone());
        let files = self.places.entry(place.to_owned()).or_default();
        if self.misdeed == Some(Misdeed::Duplicate) {
            files.push((name.clone(), bytes.to_vec()));
        }
        files.push((name, bytes.to_vec()));
        Ok(())
    }

    pub(crate) fn read(&self, place: &str) -> Result<Files, Trouble> {
        let places = match self.misdeed {
            Some(Misdeed::Offline) => return Err(Trouble::NoNetwork),
            Some(Misdeed::Stale) => self.before.as_ref(),
            _ => Some(&self.places),
        };
        Ok(places
            .and_then(|places| places.get(place))
            .cloned()
            .unwrap_or_default())
    }
}

/// What capOS asks of a companion: capsules and handles, nothing else. No token comes this way.
pub trait Companion {
    /// Keeps a capsule under a handle.
    ///
    /// # Errors
    /// See [`Trouble`].
    fn keep(&mut self, handle: Handle, capsule: &[u8]) -> Result<(), Trouble>;

    /// All capsules of the user.
    ///
    /// # Errors
    /// See [`Trouble`].
    fn fetch(&mut self) -> Result<Vec<(Handle, Vec<u8>)>, Trouble>;
}

/// Who is signed in at the companion's page.
#[derive(Clone, Debug)]
pub struct Session {
    /// The provider's name of the user.
    pub uid: String,
    /// What the user agreed to.
    pub scope: &'static str,
}

/// The only access to Drive that is asked for.
pub const DRIVE_SCOPE: &str = "https://www.googleapis.com/auth/drive.appdata";

fn opaque(files: Files) -> Result<Vec<(Handle, Vec<u8>)>, Trouble> {
    let file = |(name, bytes): (String, Vec<u8>)| Some((Handle::read(&name)?, bytes));
    files
        .into_iter()
        .map(file)
        .collect::<Option<_>>()
        .ok_or(Trouble::NotOpaque)
}

fn fits(capsule: &[u8]) -> Result<(), Trouble> {
    if capsule.len() > MAX_CAPSULE {
        Err(Trouble::TooLong)
    } else {
        Ok(())
    }
}

/// Google Drive's folder for an application's data.
pub struct Drive<'a> {
    /// What it keeps.
    pub cloud: &'a mut Cloud,
    /// Who is signed in.
    pub session: Session,
    /// Whose capsules are meant.
    pub user: String,
}

impl Drive<'_> {
    fn place(&self) -> Result<String, Trouble> {
        if self.session.scope != DRIVE_SCOPE {
            return Err(Trouble::OtherScope);
        }
        if self.session.uid != self.user {
            return Err(Trouble::OtherUser);
        }
        Ok(format!(
            "{}/appDataFolder",
            segment(&self.user).ok_or(Trouble::OtherUser)?
        ))
    }
}

impl Companion for Drive<'_> {
    fn keep(&mut self, handle: Handle, capsule: &[u8]) -> Result<(), Trouble> {
        fits(capsule)?;
        // Drive takes a second file of the same name for another file.
        let place = self.place()?;
        self.cloud.write(&place, handle.text(), capsule)
    }

    fn fetch(&mut self) -> Result<Vec<(Handle, Vec<u8>)>, Trouble> {
        let place = self.place()?;
        opaque(self.cloud.read(&place)?)
    }
}

/// A user's documents in Firestore, behind its rules.
pub struct Firebase<'a> {
    /// What it keeps.
    pub cloud: &'a mut Cloud,
    /// Who is signed in.
    pub session: Session,
    /// Whose capsules are meant.
    pub user: String,
}

/// One segment of a path, whatever the user is called; `None` for nobody. What comes out has neither slash nor dot at
/// its start, so that no name leads anywhere else.
#[must_use]
pub fn segment(uid: &str) -> Option<String> {
    let quoted = uid.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    (!uid.is_empty() && uid.len() <= 128).then(|| quoted.collect())
}

impl Firebase<'_> {
    /// The rules compare the path's user with the one who is signed in.
    fn place(&self) -> Result<String, Trouble> {
        let path = format!(
            "users/{}/saves",
            segment(&self.user).ok_or(Trouble::OtherUser)?
        );
        let allowed = segment(&self.session.uid).map(|uid| format!("users/{uid}/saves"));
        (allowed.as_ref() == Some(&path))
            .then_some(path)
            .ok_or(Trouble::OtherUser)
    }
}

impl Companion for Firebase<'_> {
    fn keep(&mut self, handle: Handle, capsule: &[u8]) -> Result<(), Trouble> {
        fits(capsule)?;
        let place = self.place()?;
        self.cloud.write(&place, handle.text(), capsule)
    }

    fn fetch(&mut self) -> Result<Vec<(Handle, Vec<u8>)>, Trouble> {
        let place = self.place()?;
        opaque(self.cloud.read(&place)?)
    }
}

/// Why nothing came back from a provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost<E> {
    /// It did not give anything.
    Trouble(Trouble),
    /// What was seen is not there any more.
    Missing(Anchor),
    /// Nothing that it gave passes; why the last did not.
    Refused(Refused),
    /// It holds nothing, and nothing was seen.
    Nothing,
    /// The transaction failed.
    Commit(E),
}

/// Judges without keeping.
#[derive(Default)]
struct Scratch(Option<Anchor>);

impl Transaction for Scratch {
    type Error = ();

    fn commit(&mut self, restored: &Restored) -> Result<(), ()> {
        self.0 = Some(restored.anchor);
        Ok(())
    }
}

/// Restores the newest capsule that passes every gate. One that is there twice is there once; one that does not pass is
/// passed over, and so is one that is more than a step ahead: asked again, it is a step nearer.
///
/// # Errors
/// See [`Lost`]; nothing has changed then.
pub fn restore_newest<T: Transaction>(
    companion: &mut dyn Companion,
    gates: &Gates<'_>,
    keys: &mut dyn KeyWrap,
    to: &mut T,
) -> Result<Anchor, Lost<T::Error>> {
    let files = companion.fetch().map_err(Lost::Trouble)?;
    let mut newest: Option<(Anchor, &[u8])> = None;
    let mut refused = None;
    for (_, capsule) in &files {
        let mut scratch = Scratch::default();
        match restore(capsule, gates, keys, &mut scratch) {
            Ok(anchor) if newest.is_none_or(|(other, _)| anchor.counter > other.counter) => {
                newest = Some((anchor, capsule));
            }
            Ok(_) | Err(Failed::Commit(())) => {}
            Err(Failed::Refused(why)) => refused = Some(why),
        }
    }
    let Some((_, capsule)) = newest else {
        let missing = gates.anchor.map_or(Lost::Nothing, Lost::Missing);
        return Err(refused.map_or(missing, Lost::Refused));
    };
    restore(capsule, gates, keys, to).map_err(|failed| match failed {
        Failed::Refused(why) => Lost::Refused(why),
        Failed::Commit(error) => Lost::Commit(error),
    })
}
