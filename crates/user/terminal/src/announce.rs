//! Telling a terminal from a script.
//!
//! Whoever connects a terminal with the serial line says so by the report of its size that terminals give (`ESC [ 8 ;
//! rows ; columns t`, ECMA-48 and XTWINOPS). A script says nothing, and is shown nothing that only a person needs.

use sdk::alloc::vec::Vec;

/// The longest report.
const MOST_BYTES: usize = 16;

/// Takes the report out of what is typed.
#[derive(Default)]
pub struct Announcement {
    held: Vec<u8>,
    seen: bool,
}

impl Announcement {
    /// Whether somebody has said that a terminal is there.
    pub const fn is_terminal(&self) -> bool {
        self.seen
    }

    /// Takes a byte and hands on what is no report.
    pub fn take(&mut self, byte: u8, mut keep: impl FnMut(u8)) {
        self.held.push(byte);
        match state(&self.held) {
            State::Begun if self.held.len() < MOST_BYTES => {}
            State::Whole => {
                self.seen = true;
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

enum State {
    Begun,
    Whole,
    Other,
}

fn state(bytes: &[u8]) -> State {
    const HEAD: &[u8] = b"\x1b[8;";
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
