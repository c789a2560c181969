//! Sessions: opaque identifiers that end, each with a token that other sites cannot know.

use arrayvec::ArrayVec;
use sabotage::sabotage;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use units::Nanoseconds;

use crate::{Head, Refusal};

/// The name of the cookie. With this prefix a browser keeps it for this host alone, and sends it over TLS alone.
pub const COOKIE: &str = "__Host-session";
/// Octets of an identifier and of a token; as text, twice as many digits.
pub const ID_BYTES: usize = 32;
/// A session ends when it was not used for so long, and after so long at the latest.
const IDLE: Nanoseconds = Nanoseconds::from_secs(30 * 60);
const LONGEST: Nanoseconds = Nanoseconds::from_secs(12 * 60 * 60);

/// A random number that only its owner knows; comes from the system's entropy.
#[derive(Clone, Copy)]
pub struct Secret(pub [u8; ID_BYTES]);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// As text: lower-case hexadecimal digits.
    #[must_use]
    pub fn text(&self) -> [u8; ID_BYTES * 2] {
        let mut text = [0; ID_BYTES * 2];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            let digit = |value: u8| b"0123456789abcdef"[usize::from(value & 15)];
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte)]);
        }
        text
    }

    fn read(text: &str) -> Option<Self> {
        let mut bytes = [0; ID_BYTES];
        if text.len() != ID_BYTES * 2 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            for digit in pair {
                let value = match digit {
                    b'0'..=b'9' => digit - b'0',
                    b'a'..=b'f' => digit - b'a' + 10,
                    _ => return None,
                };
                *byte = *byte << 4 | value;
            }
        }
        Some(Self(bytes))
    }

    fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

#[derive(Clone, Copy)]
struct Session<T> {
    id: Secret,
    token: Secret,
    began: Nanoseconds,
    used: Nanoseconds,
    holder: T,
}

impl<T> Session<T> {
    fn is_over(&self, now: Nanoseconds) -> bool {
        now.since(self.used) >= IDLE || now.since(self.began) >= LONGEST
    }
}

/// What a session is opened as.
#[derive(Clone, Copy, Debug)]
pub struct Opened<'a, T> {
    /// Whose it is, or what it may.
    pub holder: &'a T,
    /// What its pages put into the requests that change something.
    pub token: Secret,
}

/// At most `N` sessions.
pub struct Sessions<T, const N: usize> {
    list: ArrayVec<Session<T>, N>,
}

impl<T, const N: usize> Default for Sessions<T, N> {
    fn default() -> Self {
        Self {
            list: ArrayVec::new(),
        }
    }
}

impl<T, const N: usize> Sessions<T, N> {
    /// A session for somebody who has just shown who he is; where there are `N`, the one that was used least recently ends.
    /// `id` and `token` are random, and new.
    pub fn begin(&mut self, id: Secret, token: Secret, holder: T, now: Nanoseconds) {
        self.list.retain(|session| !session.is_over(now));
        if self.list.is_full() {
            let oldest = self
                .list
                .iter()
                .enumerate()
                .min_by_key(|(_, session)| session.used);
            if let Some((at, _)) = oldest {
                self.list.remove(at);
            }
        }
        let session = Session {
            id,
            token,
            began: now,
            used: now,
            holder,
        };
        let _ = self.list.try_push(session);
    }

    /// The session of a request, which is used by that.
    ///
    /// # Errors
    /// There is none, or it is over.
    pub fn open(&mut self, head: &Head<'_>, now: Nanoseconds) -> Result<Opened<'_, T>, Refusal> {
        let at = self.find(head, now)?;
        let session = self.list.get_mut(at).ok_or(Refusal::Session)?;
        session.used = now;
        Ok(Opened {
            holder: &session.holder,
            token: session.token,
        })
    }

    /// The same for a request that changes something: it also has the token.
    ///
    /// # Errors
    /// There is none, it is over, or the token is another's.
    pub fn open_to_change(
        &mut self,
        head: &Head<'_>,
        now: Nanoseconds,
    ) -> Result<Opened<'_, T>, Refusal> {
        let opened = self.open(head, now)?;
        let token = head.token.and_then(Secret::read);
        let is_right = token.is_some_and(|token| token.is(&opened.token).into());
        if !is_right && !sabotage!(HTTP_ANY_TOKEN) {
            return Err(Refusal::Token);
        }
        Ok(opened)
    }

    /// Gives a session another identifier and another token, as whenever it may more than before. The old ones open nothing.
    ///
    /// # Errors
    /// There is none, or it is over.
    pub fn renew(
        &mut self,
        head: &Head<'_>,
        id: Secret,
        token: Secret,
        now: Nanoseconds,
    ) -> Result<(), Refusal> {
        let at = self.find(head, now)?;
        let session = self.list.get_mut(at).ok_or(Refusal::Session)?;
        (session.id, session.token, session.used) = (id, token, now);
        Ok(())
    }

    /// Ends a session; what its cookie opened is opened no more.
    ///
    /// # Errors
    /// There is none, or it is over.
    pub fn end(&mut self, head: &Head<'_>, now: Nanoseconds) -> Result<(), Refusal> {
        let at = self.find(head, now)?;
        if !sabotage!(HTTP_KEEP_ENDED) {
            self.list.remove(at);
        }
        Ok(())
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self, now: Nanoseconds) -> usize {
        self.list
            .iter()
            .filter(|session| !session.is_over(now))
            .count()
    }

    /// Compares with all of them, to the last octet of each: how long it takes says nothing.
    fn find(&mut self, head: &Head<'_>, now: Nanoseconds) -> Result<usize, Refusal> {
        let id = cookie(head.cookie)?.ok_or(Refusal::Session)?;
        self.list.retain(|session| !session.is_over(now));
        let mut found = Choice::from(0);
        let mut place = 0u32;
        for (at, session) in self.list.iter().enumerate() {
            let is_it = session.id.is(&id);
            place.conditional_assign(&(at as u32), is_it);
            found |= is_it;
        }
        if bool::from(found) {
            Ok(place as usize)
        } else {
            Err(Refusal::Session)
        }
    }
}

/// RFC 6265 section 4.2.1. Two of our name are none: whoever can set a cookie for a name above ours would choose.
fn cookie(header: Option<&str>) -> Result<Option<Secret>, Refusal> {
    let mut found = None;
    for pair in header.unwrap_or_default().split(';') {
        let Some((name, value)) = pair.trim().split_once('=') else {
            continue;
        };
        if name == COOKIE {
            let secret = Secret::read(value).ok_or(Refusal::Cookie)?;
            if found.replace(secret).is_some() {
                return Err(Refusal::Cookie);
            }
        }
    }
    Ok(found)
}
