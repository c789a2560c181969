//! The checksums of a boot package: one text file that lists every file with its length and CRC-32.
//!
//! A line is eight hexadecimal digits, the length in decimal, and the path without a leading slash, with one space between;
//! lines are in the order of the paths. The last line is the list's own, over everything before it.
//! It finds damage: bits that a medium or a copy got wrong. Who can write the files can write the list, so it proves nothing
//! about where they come from.
//!
//! Owns: the list's grammar ([`Sums`]), the sum ([`crc32`]), and the words for what is wrong ([`Damage`]). Invariant: never
//! panics or allocates on whatever bytes; a list whose own line does not hold lists nothing.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod crc;

use core::fmt;

pub use crc::crc32;

/// Where the list lies in a boot package, without the leading slash.
pub const PATH: &str = "boot/checksums";

/// Lines of the list between two steps of a check.
const LINES: usize = 16;

/// The list, once its own line holds.
#[derive(Clone, Copy, Debug)]
pub struct Sums<'a> {
    lines: &'a str,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The list itself is cut off or changed.
    List,
    /// The list does not name it.
    Unlisted,
    /// It has another length.
    Length {
        /// In the list, in bytes.
        listed: u64,
        /// As it is, in bytes.
        found: u64,
    },
    /// It has other bytes.
    Sum {
        /// In the list.
        listed: u32,
        /// As it is.
        found: u32,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str("is damaged: its last line does not hold"),
            Self::Unlisted => write!(f, "is not listed in /{PATH}"),
            Self::Length { listed, found } => {
                write!(f, "is damaged: {found} bytes, {listed} are listed")
            }
            Self::Sum { listed, found } => {
                write!(f, "is damaged: CRC-32 {found:08x}, {listed:08x} is listed")
            }
        }
    }
}

/// One line of the list.
struct Line<'a> {
    sum: u32,
    bytes: u64,
    path: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let sum = words.next().filter(|digits| digits.len() == 8)?;
        Some(Self {
            sum: u32::from_str_radix(sum, 16).ok()?,
            bytes: words.next()?.parse().ok()?,
            path: words.next()?,
        })
    }

    fn check(&self, bytes: &[u8], step: &mut impl FnMut()) -> Result<(), Damage> {
        let (listed, found) = (self.bytes, bytes.len() as u64);
        if listed != found {
            return Err(Damage::Length { listed, found });
        }
        let (listed, found) = (self.sum, crc::crc32_in_steps(bytes, step));
        if listed != found {
            return Err(Damage::Sum { listed, found });
        }
        Ok(())
    }
}

impl<'a> Sums<'a> {
    /// Reads the list.
    ///
    /// # Errors
    /// [`Damage::List`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Damage> {
        Self::parse_in_steps(bytes, &mut || ())
    }

    /// As [`Self::parse`]; `step` is called after every 2 KiB, for who may not be busy for long.
    ///
    /// # Errors
    /// [`Damage::List`].
    pub fn parse_in_steps(bytes: &'a [u8], step: &mut impl FnMut()) -> Result<Self, Damage> {
        let text = core::str::from_utf8(bytes).map_err(|_| Damage::List)?;
        let body = text.strip_suffix('\n').ok_or(Damage::List)?;
        let start = body.rfind('\n').map_or(0, |at| at + 1);
        let (lines, own) = body.split_at(start);
        let own = Line::parse(own)
            .filter(|own| own.path == PATH)
            .ok_or(Damage::List)?;
        own.check(lines.as_bytes(), step)
            .map_err(|_| Damage::List)?;
        Ok(Self { lines })
    }

    /// Compares a file with its line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, path: &str, bytes: &[u8]) -> Result<(), Damage> {
        self.check_in_steps(path, bytes, &mut || ())
    }

    /// As [`Self::check`]; `step` is called after every 2 KiB, and every few lines of the list, for who may not be busy for
    /// long.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_in_steps(
        &self,
        path: &str,
        bytes: &[u8],
        step: &mut impl FnMut(),
    ) -> Result<(), Damage> {
        for (number, line) in self.lines.lines().enumerate() {
            if number % LINES == LINES - 1 {
                step();
            }
            if let Some(line) = Line::parse(line).filter(|line| line.path == path) {
                return line.check(bytes, step);
            }
        }
        Err(Damage::Unlisted)
    }
}

/// Writes a list of `files`, which are paths and bytes in the order of the paths.
///
/// # Errors
/// Those of `out`.
pub fn write<'f>(
    out: &mut (impl fmt::Write + AsRef<str>),
    files: impl Iterator<Item = (&'f str, &'f [u8])>,
) -> fmt::Result {
    for (path, bytes) in files {
        writeln!(out, "{:08x} {} {path}", crc32(bytes), bytes.len())?;
    }
    let (sum, bytes) = {
        let text = out.as_ref();
        (crc32(text.as_bytes()), text.len())
    };
    writeln!(out, "{sum:08x} {bytes} {PATH}")
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::{Damage, Sums, write};

    const FILES: [(&str, &[u8]); 3] = [
        ("boot/bins/init", b"\x7fELF and more"),
        ("boot/empty", b""),
        ("boot/kernel.elf", &[0xa5; 5000]),
    ];

    fn list() -> String {
        let mut list = String::new();
        write(&mut list, FILES.into_iter()).unwrap();
        list
    }

    #[test]
    fn a_whole_package_passes() {
        let list = list();
        assert_eq!(list.lines().count(), 4);
        let sums = Sums::parse(list.as_bytes()).unwrap();
        for (path, bytes) in FILES {
            assert_eq!(sums.check(path, bytes), Ok(()));
        }
        assert_eq!(sums.check("boot/other", b""), Err(Damage::Unlisted));
        assert_eq!(sums.check("boot", b""), Err(Damage::Unlisted));
    }

    #[test]
    fn every_changed_bit_of_a_file_is_noticed() {
        let list = list();
        let sums = Sums::parse(list.as_bytes()).unwrap();
        let (path, bytes) = FILES[0];
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(sums.check(path, &bytes), Err(Damage::Sum { .. })));
        }
        let cut = sums.check(path, &bytes[1..]).unwrap_err();
        assert_eq!(cut.to_string(), "is damaged: 12 bytes, 13 are listed");
    }

    #[test]
    fn a_list_that_is_not_whole_lists_nothing() {
        let list = list();
        for len in 0..list.len() {
            assert!(Sums::parse(&list.as_bytes()[..len]).is_err(), "{len}");
        }
        for at in 0..list.len() {
            for bit in 0..8 {
                let mut bytes: Vec<u8> = list.clone().into();
                bytes[at] ^= 1 << bit;
                // A capital digit is the same number: nothing else may pass.
                let same = bytes.eq_ignore_ascii_case(list.as_bytes());
                assert!(same || Sums::parse(&bytes).is_err(), "byte {at} bit {bit}");
            }
        }
    }
}
