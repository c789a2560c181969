//! The kinds of address that a lookup asks for, and what became of each.

use core::net::IpAddr;

use arrayvec::ArrayVec;
use dns_core::{Answer, Asked, Kind, MOST_ADDRESSES, Refusal as NoAnswer};
use sdk::Refusal;
use sdk::net::dns_resolver::Families;

/// Addresses of both kinds.
pub type Addresses = ArrayVec<IpAddr, { 2 * MOST_ADDRESSES }>;

/// What is asked for, and what of it was answered.
pub struct Parts {
    parts: [Option<Part>; 2],
    /// A server said that it does not want to.
    was_refused: bool,
}

/// One kind of address.
pub struct Part {
    pub kind: Kind,
    pub asked: Option<Asked>,
    answer: Option<Answer>,
}

/// The kinds that a client asks for, IPv6 first.
pub const fn kinds(families: Families) -> [Option<Kind>; 2] {
    match families {
        Families::Any => [Some(Kind::Aaaa), Some(Kind::A)],
        Families::Ipv4 => [Some(Kind::A), None],
        Families::Ipv6 => [Some(Kind::Aaaa), None],
    }
}

impl Parts {
    /// Nothing was asked yet.
    pub fn new(families: Families) -> Self {
        let part = |kind| Part {
            kind,
            asked: None,
            answer: None,
        };
        Self {
            parts: kinds(families).map(|kind| kind.map(part)),
            was_refused: false,
        }
    }

    /// What has no answer yet.
    pub fn open(&mut self) -> impl Iterator<Item = &mut Part> {
        let parts = self.parts.iter_mut().flatten();
        parts.filter(|part| part.answer.is_none())
    }

    /// Whether everything is answered.
    pub fn is_done(&self) -> bool {
        let mut parts = self.parts.iter().flatten();
        parts.all(|part| part.answer.is_some())
    }

    /// Takes a datagram; which kind it answered.
    pub fn take(&mut self, message: &[u8]) -> Option<(Kind, Answer)> {
        let mut was_refused = false;
        let taken = self.open().find_map(|part| {
            match part.asked.as_ref()?.answer(message) {
                Ok(answer) => {
                    part.answer = Some(answer.clone());
                    return Some((part.kind, answer));
                }
                Err(NoAnswer::Server | NoAnswer::Truncated) => {
                    // This server will not answer: another one may.
                    part.asked = None;
                    was_refused = true;
                }
                Err(_) => {}
            }
            None
        });
        self.was_refused |= was_refused;
        taken
    }

    /// Whether this server may still answer something.
    pub fn hopes(&self) -> bool {
        let mut parts = self.parts.iter().flatten();
        parts.any(|part| part.answer.is_none() && part.asked.is_some())
    }

    /// What was found, and the refusal to give where that is nothing.
    pub fn found(&self, otherwise: Refusal) -> (Addresses, Refusal) {
        let answers = self.parts.iter().flatten();
        let answers = answers.filter_map(|part| part.answer.as_ref());
        let found = answers.flat_map(|answer| answer.addresses.iter().copied());
        // That there is nothing is known only once everything is answered.
        let refusal = match (self.is_done(), self.was_refused) {
            (true, _) => Refusal::NotFound,
            (false, true) => Refusal::Failed,
            (false, false) => otherwise,
        };
        (found.collect(), refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::Parts;
    use dns_core::{Kind, ask, read};
    use sdk::Refusal;
    use sdk::alloc::vec::Vec;
    use sdk::net::dns_resolver::Families;

    const REFUSED: u8 = 5;
    const NONE: &[u8] = &[];
    /// An address of the name in the question, of each kind.
    const A: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
    const AAAA: &[u8] = &[
        0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        1,
    ];

    /// Asks what is open; the questions.
    fn asked(parts: &mut Parts) -> Vec<(Kind, Vec<u8>)> {
        let name = read("a.b").unwrap();
        let mut questions = Vec::new();
        for part in parts.open() {
            let (asked, question) = ask(&name, part.kind, 7 + questions.len() as u16, 0);
            part.asked = Some(asked);
            questions.push((part.kind, question.to_vec()));
        }
        questions
    }

    fn answered((_, question): &(Kind, Vec<u8>), code: u8, record: &[u8]) -> Vec<u8> {
        let mut message = question.clone();
        message[2] = 0x81;
        message[3] = 0x80 | code;
        message[7] = u8::from(!record.is_empty());
        message.extend_from_slice(record);
        message
    }

    #[test]
    fn one_kind_that_a_server_refuses_is_asked_again_and_the_other_is_kept() {
        let mut parts = Parts::new(Families::Any);
        let questions = asked(&mut parts);
        let kinds: Vec<_> = questions.iter().map(|question| question.0).collect();
        assert_eq!(kinds, [Kind::Aaaa, Kind::A]);
        // That of IPv6 is still on its way.
        assert_eq!(parts.take(&answered(&questions[1], REFUSED, NONE)), None);
        assert!(parts.hopes() && !parts.is_done());
        let six = parts.take(&answered(&questions[0], 0, AAAA)).unwrap();
        assert_eq!((six.0, six.1.addresses.len()), (Kind::Aaaa, 1));
        assert!(!parts.hopes() && !parts.is_done());
        // What came late from the server before answers nothing.
        assert_eq!(parts.take(&answered(&questions[1], 0, A)), None);
        let again = asked(&mut parts);
        assert!(again.len() == 1 && again[0].0 == Kind::A && parts.hopes());
        parts.take(&answered(&again[0], 0, A)).unwrap();
        assert!(parts.is_done());
        assert_eq!(parts.found(Refusal::TimedOut).0.len(), 2);
    }

    #[test]
    fn that_there_is_nothing_is_said_only_when_both_kinds_are_answered() {
        for (code, refusal) in [
            (None, Refusal::TimedOut),
            (Some(REFUSED), Refusal::Failed),
            (Some(0), Refusal::NotFound),
        ] {
            let mut parts = Parts::new(Families::Any);
            let questions = asked(&mut parts);
            parts.take(&answered(&questions[0], 0, NONE)).unwrap();
            if let Some(code) = code {
                parts.take(&answered(&questions[1], code, NONE));
            }
            let (found, otherwise) = parts.found(Refusal::TimedOut);
            assert_eq!((found.len(), otherwise), (0, refusal));
        }
    }
}
