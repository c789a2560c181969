//! Questions to name servers and their answers, and what of them is kept.
//!
//! Owns: the message that asks ([`ask`]), whether one that comes answers it ([`Asked::answer`]), what an answer says, and a table of
//! answers with an end to each ([`Cache`]). Messages and names are read by `domain`.
//!
//! Invariant: this crate never panics on what arrives, never allocates, never reads a clock, and never believes an answer whose
//! number, question or spelling is another than was asked: who cannot see the question has to guess all of them.
#![no_std]
#![forbid(unsafe_code)]

mod cache;

use core::net::IpAddr;
use core::str::FromStr;

use arrayvec::ArrayVec;
use domain::base::iana::{Class, Rcode, Rtype};
use domain::base::{Message, Name, ParsedName, ToName};
use domain::dep::octseq::Array;
use domain::rdata::{A, Aaaa, Cname};

pub use cache::Cache;

/// Addresses of one answer that are kept.
pub const MOST_ADDRESSES: usize = 8;
/// Bytes of the longest question: a header, the longest name, type and class.
pub const MOST_ASKED: usize = 12 + 255 + 4;
/// An answer is asked for again after so many seconds at the latest, and not before so many.
const MOST_SECS: u32 = 3600;
const LEAST_SECS: u32 = 5;
/// RFC 2308 section 5: that there is nothing is not believed for longer.
const NOTHING_SECS: u32 = 60;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Addresses of IPv4.
    A,
    /// Addresses of IPv6.
    Aaaa,
}

/// Why a name cannot be asked for, or an answer is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It is no name: an empty or too long label, or a character that names have not.
    Name,
    /// The message is cut off or contradicts itself.
    Message,
    /// It answers another question, or none.
    NotAsked,
    /// The server does not want to, or cannot.
    Server,
    /// The answer does not fit into a datagram.
    Truncated,
}

/// A name as it goes into a message.
pub type Spelling = ArrayVec<u8, 255>;

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// The addresses; none where there are none.
    pub addresses: ArrayVec<IpAddr, MOST_ADDRESSES>,
    /// Whether the name exists.
    pub exists: bool,
    /// For how many seconds it is good.
    pub seconds: u32,
}

/// A question that was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    number: u16,
    spelling: Spelling,
    kind: Kind,
}

/// Reads a name, in lower case.
///
/// # Errors
/// [`Refusal::Name`].
pub fn read(name: &str) -> Result<Spelling, Refusal> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(Refusal::Name);
    }
    let name = Name::<Array<255>>::from_str(name).map_err(|_| Refusal::Name)?;
    let mut spelling = Spelling::new();
    let bytes = name.as_slice().iter().map(u8::to_ascii_lowercase);
    for byte in bytes {
        spelling.try_push(byte).map_err(|_| Refusal::Name)?;
    }
    // The root has no addresses.
    if spelling.len() < 2 {
        return Err(Refusal::Name);
    }
    Ok(spelling)
}

/// Makes a question. `number` and `cases` are drawn so that nobody can guess them: the letters' cases are those of the bits.
#[must_use]
pub fn ask(
    name: &Spelling,
    kind: Kind,
    number: u16,
    cases: u64,
) -> (Asked, ArrayVec<u8, MOST_ASKED>) {
    let mut spelling = name.clone();
    let letters = spelling.iter_mut().filter(|byte| byte.is_ascii_lowercase());
    // Lengths of labels are below 64, and so no letters.
    for (at, letter) in letters.enumerate() {
        if cases >> (at % 64) & 1 == 1 {
            *letter = letter.to_ascii_uppercase();
        }
    }
    let mut message = ArrayVec::new();
    let [high, low] = number.to_be_bytes();
    // RFC 1035 section 4.1.1: a question that wants recursion, and one of it.
    let header = [high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    let [type_high, type_low] = rtype(kind).to_int().to_be_bytes();
    let behind = [type_high, type_low, 0, 1];
    // It has room for all of it.
    let all = header.iter().chain(&spelling).chain(&behind);
    message.extend(all.copied().take(MOST_ASKED));
    let asked = Asked {
        number,
        spelling,
        kind,
    };
    (asked, message)
}

const fn rtype(kind: Kind) -> Rtype {
    match kind {
        Kind::A => Rtype::A,
        Kind::Aaaa => Rtype::AAAA,
    }
}

impl Asked {
    /// What was asked for.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Reads a message that may answer the question.
    ///
    /// # Errors
    /// See [`Refusal`]; with [`Refusal::NotAsked`] and [`Refusal::Message`] another message may still be the answer.
    pub fn answer(&self, message: &[u8]) -> Result<Answer, Refusal> {
        let message = Message::from_octets(message).map_err(|_| Refusal::Message)?;
        let header = message.header();
        if header.id() != self.number || !header.qr() {
            return Err(Refusal::NotAsked);
        }
        let question = message.sole_question().map_err(|_| Refusal::NotAsked)?;
        let is_it = question.qtype() == rtype(self.kind)
            && question.qclass() == Class::IN
            && is_spelt(question.qname(), &self.spelling);
        if !is_it {
            return Err(Refusal::NotAsked);
        }
        if header.tc() {
            return Err(Refusal::Truncated);
        }
        match header.rcode() {
            Rcode::NOERROR => self.addresses(&message),
            Rcode::NXDOMAIN => Ok(Answer {
                addresses: ArrayVec::new(),
                exists: false,
                seconds: NOTHING_SECS,
            }),
            _ => Err(Refusal::Server),
        }
    }

    fn addresses(&self, message: &Message<&[u8]>) -> Result<Answer, Refusal> {
        // The end of a chain of other names, which `domain` follows no further than there are records.
        let owner = message.canonical_name().ok_or(Refusal::Message)?;
        let mut addresses = ArrayVec::new();
        let mut seconds = MOST_SECS;
        let section = message.answer().map_err(|_| Refusal::Message)?;
        // RFC 1034 section 3.6.2: a name that stands for another does so only for its time. Whose it is does not matter: a
        // stranger's only makes that shorter.
        for record in section.limit_to_in::<Cname<ParsedName<&[u8]>>>() {
            seconds = seconds.min(record.map_err(|_| Refusal::Message)?.ttl().as_secs());
        }
        let mut add = |address: IpAddr, ttl: u32| {
            seconds = seconds.min(ttl);
            // What there is no room for is left out.
            let _ = addresses.try_push(address);
        };
        match self.kind {
            Kind::A => {
                for record in section.limit_to_in::<A>() {
                    let record = record.map_err(|_| Refusal::Message)?;
                    if record.owner().name_eq(&owner) {
                        add(record.data().addr().into(), record.ttl().as_secs());
                    }
                }
            }
            Kind::Aaaa => {
                for record in section.limit_to_in::<Aaaa>() {
                    let record = record.map_err(|_| Refusal::Message)?;
                    if record.owner().name_eq(&owner) {
                        add(record.data().addr().into(), record.ttl().as_secs());
                    }
                }
            }
        }
        if addresses.is_empty() {
            seconds = seconds.min(NOTHING_SECS);
        }
        let seconds = seconds.max(LEAST_SECS);
        Ok(Answer {
            addresses,
            exists: true,
            seconds,
        })
    }
}

/// Whether a name is spelt so, letter by letter, in cases, too.
fn is_spelt(name: &ParsedName<&[u8]>, spelling: &Spelling) -> bool {
    let mut rest = spelling.as_slice();
    for label in name.iter() {
        let Some((length, behind)) = rest.split_first() else {
            return false;
        };
        let Some((expected, behind)) = behind.split_at_checked(usize::from(*length)) else {
            return false;
        };
        if label.as_slice() != expected {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::{Answer, Asked, Kind, Refusal, ask, read};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn asked() -> (Asked, Vec<u8>) {
        let name = read("www.Example.org").unwrap();
        let (asked, message) = ask(&name, Kind::A, 0x1234, 0b101);
        (asked, message.to_vec())
    }

    /// Turns a question into an answer with these records.
    fn answered(question: &[u8], code: u8, records: &[&[u8]]) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2] = 0x81;
        message[3] = 0x80 | code;
        message[7] = records.len() as u8;
        for record in records {
            message.extend_from_slice(record);
        }
        message
    }

    /// An address of the name in the question.
    const ADDRESS: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];

    fn addresses(answer: &Answer) -> Vec<std::string::String> {
        use std::string::ToString;
        answer.addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_are_read_or_refused() {
        assert_eq!(read("a.b").unwrap().as_slice(), b"\x01a\x01b\x00");
        assert_eq!(read("A.B.").unwrap().as_slice(), b"\x01a\x01b\x00");
        let long = "a".repeat(64);
        for wrong in [
            "",
            ".",
            "a..b",
            "a b",
            "\u{e4}",
            "a\\046b",
            &long,
            &"abc.".repeat(64),
        ] {
            assert_eq!(read(wrong), Err(Refusal::Name), "{wrong}");
        }
    }

    #[test]
    fn an_answer_to_the_question_is_taken() {
        let (asked, question) = asked();
        assert!(question.windows(4).any(|bytes| bytes == b"\x03WwW"));
        let answer = asked.answer(&answered(&question, 0, &[ADDRESS])).unwrap();
        assert_eq!(
            (addresses(&answer), answer.seconds),
            (std::vec!["192.0.2.1".into()], 60)
        );
        let nothing = asked.answer(&answered(&question, 0, &[])).unwrap();
        assert!(nothing.exists && nothing.addresses.is_empty());
        assert!(!asked.answer(&answered(&question, 3, &[])).unwrap().exists);
        assert_eq!(
            asked.answer(&answered(&question, 2, &[])),
            Err(Refusal::Server)
        );
    }

    #[test]
    fn other_names_are_followed_and_strangers_records_left_out() {
        let (asked, question) = asked();
        // The question's name is another name of `x`, which has the address; `y` has one, too.
        let other = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 3, 1, b'x', 0];
        let target = [&[1, b'x', 0][..], &ADDRESS[2..]].concat();
        let stranger = [&[1, b'y', 0][..], &ADDRESS[2..15], &[9]].concat();
        let answer = asked
            .answer(&answered(&question, 0, &[&other, &target, &stranger]))
            .unwrap();
        assert_eq!(addresses(&answer), ["192.0.2.1"]);
        // The other name is good for less than its address.
        assert_eq!(answer.seconds, 9);
        // A circle ends.
        let circle = [0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12];
        let circle = asked.answer(&answered(&question, 0, &[&circle]));
        assert!(circle.is_err() || circle.unwrap().addresses.is_empty());
    }

    #[test]
    fn what_was_not_asked_is_no_answer() {
        let (asked, question) = asked();
        let good = answered(&question, 0, &[ADDRESS]);
        let changed = |at: usize, bits: u8| {
            let mut message = good.clone();
            message[at] ^= bits;
            asked.answer(&message)
        };
        // The number, the direction, a letter's case, the type, the class.
        for (at, bits) in [(0, 1), (1, 1), (2, 0x80), (13, 0x20), (30, 1), (32, 2)] {
            assert_eq!(changed(at, bits), Err(Refusal::NotAsked), "{at}");
        }
        assert_eq!(changed(2, 2), Err(Refusal::Truncated));
        assert_eq!(asked.answer(&good[..11]), Err(Refusal::Message));
    }

    proptest! {
        #[test]
        fn nothing_that_arrives_panics(message in prop::collection::vec(any::<u8>(), 0..200), from in 0usize..60) {
            let (asked, question) = asked();
            let _ = asked.answer(&message);
            let mut near = answered(&question, 0, &[ADDRESS]);
            for (place, byte) in near.iter_mut().skip(from).zip(&message) {
                *place = *byte;
            }
            let _ = asked.answer(&near);
        }
    }
}
