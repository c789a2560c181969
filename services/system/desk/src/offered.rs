//! What the page brings: a line of JSON for each capsule that the provider gave, read as it comes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use save_capsule::MAX_CAPSULE;
use sdk::alloc::vec::Vec;
use serde::Deserialize;

use crate::restoring::number;

/// More than this are not of capOS; the page says so before.
pub const MOST: usize = 1000;
/// The longest line: a capsule in base 64, its handle, and what JSON needs.
const LINE: usize = MAX_CAPSULE.div_ceil(3) * 4 + 128;
/// The longest body.
pub const BODY: u64 = (MOST * LINE) as u64;
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    handle: &'a str,
    capsule: &'a str,
}

/// A handle, which is exactly 32 small hexadecimal digits.
pub fn handle(text: &str) -> Option<[u8; 16]> {
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 32 || !text.bytes().all(plain) {
        return None;
    }
    let number = u128::from_str_radix(text, 16).ok()?;
    Some(number.to_be_bytes())
}

/// Capsules, as far as they came.
pub struct Offered {
    /// The number of the newest that was seen here.
    seen: u64,
    line: Vec<u8>,
    lines: usize,
    /// Those that may be restored, and of those that are older one.
    pub capsules: Vec<Vec<u8>>,
    older: u64,
}

/// It is not in the form that the page sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Offered {
    /// Nothing yet. What is older than number `seen` is not kept, but one, so that it can be said why it is not restored.
    pub const fn new(seen: u64) -> Self {
        Self {
            seen,
            line: Vec::new(),
            lines: 0,
            capsules: Vec::new(),
            older: 0,
        }
    }

    /// Takes what came next.
    ///
    /// # Errors
    /// A line is no capsule, or too long; or there are too many.
    pub fn take(&mut self, mut piece: &[u8]) -> Result<(), Malformed> {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = piece.split_at_checked(end).ok_or(Malformed)?;
            self.add(line)?;
            self.whole()?;
            piece = rest.get(1..).unwrap_or_default();
        }
        self.add(piece)
    }

    /// The end of the body: what stands behind the last line's end is a line, too.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn end(mut self) -> Result<Vec<Vec<u8>>, Malformed> {
        self.whole()?;
        Ok(self.capsules)
    }

    fn add(&mut self, part: &[u8]) -> Result<(), Malformed> {
        if self.line.len() + part.len() > LINE {
            return Err(Malformed);
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn whole(&mut self) -> Result<(), Malformed> {
        let line = core::mem::take(&mut self.line);
        if line.is_empty() {
            return Ok(());
        }
        self.lines += 1;
        let read: Line<'_> = serde_json::from_slice(&line).map_err(|_| Malformed)?;
        if handle(read.handle).is_none() || self.lines > MOST {
            return Err(Malformed);
        }
        let capsule = STANDARD.decode(read.capsule).map_err(|_| Malformed)?;
        let found = number(&capsule);
        if found >= self.seen {
            self.capsules.push(capsule);
        } else if found >= self.older {
            self.older = found;
            self.capsules.retain(|one| number(one) >= self.seen);
            self.capsules.push(capsule);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Malformed, Offered};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use sdk::alloc::format;
    use sdk::alloc::string::String;
    use sdk::alloc::vec::Vec;

    fn capsule(number: u64) -> Vec<u8> {
        let mut bytes = [0; 200];
        bytes[16..24].copy_from_slice(&number.to_le_bytes());
        bytes.to_vec()
    }

    fn line(number: u64) -> String {
        let text = STANDARD.encode(capsule(number));
        format!("{{\"handle\":\"{number:032x}\",\"capsule\":\"{text}\"}}")
    }

    fn read(text: &str, seen: u64, piece: usize) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut offered = Offered::new(seen);
        for piece in text.as_bytes().chunks(piece) {
            offered.take(piece)?;
        }
        offered.end()
    }

    #[test]
    fn in_whatever_pieces_they_come_they_are_the_same() {
        let text = [line(1), line(3), line(2), line(4)].join("\n");
        for piece in [1, 7, 4096] {
            assert_eq!(read(&text, 0, piece).unwrap().len(), 4);
            // Of what is older one is kept, the newest of them.
            let kept = read(&text, 4, piece).unwrap();
            assert_eq!(kept, [capsule(3), capsule(4)]);
            assert_eq!(read("", 4, piece), Ok(Vec::new()));
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let good = line(1);
        for bad in [
            "{}".into(),
            "[]".into(),
            good.replace("capsule", "token"),
            good.replace('}', ",\"token\":\"x\"}"),
            good.replace("0001\"", "000/\""),
            good.replace("0001\"", "00001\""),
            good.replace("\"}", "!\"}"),
            "x".repeat(20_000),
        ] {
            assert_eq!(read(&bad, 0, 512), Err(Malformed), "{bad:.60}");
        }
        let many = [good.as_str()].repeat(super::MOST + 1).join("\n");
        assert_eq!(read(&many, 0, 4096), Err(Malformed));
    }
}
