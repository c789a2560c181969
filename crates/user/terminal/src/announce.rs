//! Telling a terminal from a script.
//!
//! Whoever connects a terminal with the serial line says so by the report of its size that terminals give (`ESC [ 8 ;
//! rows ; columns t`, ECMA-48 and XTWINOPS). A script says nothing, and is shown nothing that only a person needs.

use sdk::alloc::vec::Vec;

/// The longest report.
const MOST_BYTES: usize = 16;

/// Rows and columns of a terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self {
            rows: 24,
            columns: 80,
        }
    }
}

/// Takes the report out of what is typed.
#[derive(Default)]
pub struct Announcement {
    held: Vec<u8>,
    said: Option<Size>,
}

impl Announcement {
    /// Whether somebody has said that a terminal is there.
    pub const fn is_terminal(&self) -> bool {
        self.said.is_some()
    }

    /// How large it is, as was said last; what most are where nobody has said it.
    pub fn size(&self) -> Size {
        self.said.unwrap_or_default()
    }

    /// Takes a byte and hands on what is no report.
    pub fn take(&mut self, byte: u8, mut keep: impl FnMut(u8)) {
        self.held.push(byte);
        match state(&self.held) {
            State::Begun if self.held.len() < MOST_BYTES => {}
            State::Whole => {
                self.said = Some(size(&self.held));
                self.held.clear();
            }
            State::Begun | State::Other => {
                // The last byte may begin a report of its own.
                let last = self.held.pop().filter(|byte| *byte == ESCAPE);
                let last = last.filter(|_| !self.held.is_empty());
                let passed = core::mem::take(&mut self.held);
                passed.into_iter().for_each(&mut keep);
                match last {
                    Some(last) => self.held.push(last),
                    None => keep(byte),
                }
            }
        }
    }
}

const ESCAPE: u8 = 0x1b;
const HEAD: &[u8] = b"\x1b[8;";

/// What a whole report says; what is no size is taken for the usual one.
fn size(report: &[u8]) -> Size {
    let numbers = report.strip_prefix(HEAD).unwrap_or_default();
    let mut numbers = numbers
        .split(|byte| !byte.is_ascii_digit())
        .map(|digits| core::str::from_utf8(digits).ok()?.parse().ok());
    let usual = Size::default();
    let mut next = |usual: u16| {
        let number = numbers.next().flatten();
        number.filter(|number| *number > 0).unwrap_or(usual)
    };
    Size {
        rows: next(usual.rows),
        columns: next(usual.columns),
    }
}

enum State {
    Begun,
    Whole,
    Other,
}

fn state(bytes: &[u8]) -> State {
    let Some(rest) = bytes.strip_prefix(HEAD) else {
        return match HEAD.starts_with(bytes) {
            true => State::Begun,
            false => State::Other,
        };
    };
    let (numbers, whole) = match rest.split_last() {
        Some((b't', numbers)) => (numbers, true),
        _ => (rest, false),
    };
    let separators = numbers.iter().filter(|byte| **byte == b';').count();
    let plain = numbers
        .iter()
        .all(|byte| byte.is_ascii_digit() || *byte == b';');
    match (plain && separators <= 1, whole) {
        (true, true) => State::Whole,
        (true, false) => State::Begun,
        (false, _) => State::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Announcement, Size};
    use sdk::alloc::vec::Vec;

    fn passed(announcement: &mut Announcement, bytes: &[u8]) -> Vec<u8> {
        let mut passed = Vec::new();
        for byte in bytes {
            announcement.take(*byte, |byte| passed.push(byte));
        }
        passed
    }

    #[test]
    fn a_report_is_taken_out_and_its_size_is_kept() {
        let mut announcement = Announcement::default();
        assert_eq!(
            announcement.size(),
            Size {
                rows: 24,
                columns: 80
            }
        );
        assert_eq!(passed(&mut announcement, b"ls\x1b[8;5;20t /\r"), b"ls /\r");
        assert!(announcement.is_terminal());
        assert_eq!(
            announcement.size(),
            Size {
                rows: 5,
                columns: 20
            }
        );
        passed(&mut announcement, b"\x1b[8;50;132t");
        assert_eq!(
            announcement.size(),
            Size {
                rows: 50,
                columns: 132
            }
        );
        for odd in [&b"\x1b[8;0;0t"[..], b"\x1b[8;t", b"\x1b[8;99999;99999t"] {
            assert_eq!(passed(&mut announcement, odd), b"");
            assert_eq!(announcement.size(), Size::default());
        }
        assert_eq!(passed(&mut announcement, b"\x1b[A"), b"\x1b[A");
    }
}
