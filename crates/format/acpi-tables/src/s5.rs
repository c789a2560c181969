//! The sleep types of soft-off, found by scanning AML for one literal package (7.4.2, 20.2).
//!
//! This is not an interpreter: only `Name (_S5_, Package () { integers })` is understood, which is what firmware
//! writes. A `_S5_` that is a method, or holds names, is reported and not guessed at.

use crate::table::HEADER_BYTES;
use crate::{Rule, Table, TableError};
use le::checked;

const NAME: &[u8; 4] = b"_S5_";
const NAME_OP: u8 = 0x08;
const ROOT_CHAR: u8 = b'\\';
const PACKAGE_OP: u8 = 0x12;
const ZERO_OP: u8 = 0x00;
const ONE_OP: u8 = 0x01;
const BYTE_PREFIX: u8 = 0x0a;
const WORD_PREFIX: u8 = 0x0b;
const DWORD_PREFIX: u8 = 0x0c;

/// What to write to `PM1_CNT.SLP_TYP` to power off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SleepTypes {
    /// For `PM1a_CNT`, 0 to 7.
    pub pm1a: u8,
    /// For `PM1b_CNT`, 0 to 7.
    pub pm1b: u8,
}

/// Scans a checked DSDT (or SSDT) for the first definition of `_S5_`; `Ok(None)` where it defines none.
///
/// # Errors
/// Named after `table`: `Field` where the definition is no package of integers from 0 to 7, `EntryOverrun` where the
/// package reaches past the table.
pub fn find_s5(table: &Table<'_>) -> Result<Option<SleepTypes>, TableError> {
    let aml = table.bytes().get(HEADER_BYTES..).unwrap_or_default();
    for (at, window) in aml.windows(NAME.len()).enumerate() {
        if window != NAME {
            continue;
        }
        let before = aml.get(..at).unwrap_or_default();
        let named = match before {
            [.., NAME_OP] | [.., NAME_OP, ROOT_CHAR] => true,
            // A use of the name, a string, or a method.
            _ => false,
        };
        if named {
            let value = aml.get(at + NAME.len()..).unwrap_or_default();
            return package(value).map(Some).map_err(|rule| table.error(rule));
        }
    }
    Ok(None)
}

/// Decodes a package of one integer (both types in its bytes) or of two and more (the first two count).
fn package(bytes: &[u8]) -> Result<SleepTypes, Rule> {
    if checked::u8(bytes, 0) != Some(PACKAGE_OP) {
        return Err(Rule::Field);
    }
    let bytes = bytes.get(1..).ok_or(Rule::EntryOverrun)?;
    let (length, length_bytes) = package_length(bytes)?;
    // The length counts its own bytes.
    let body = bytes.get(length_bytes..length).ok_or(Rule::EntryOverrun)?;
    let (count, elements) = body.split_first().ok_or(Rule::EntryOverrun)?;
    let (first, rest) = integer(elements)?;
    let [pm1a, pm1b] = match count {
        0 => return Err(Rule::Field),
        1 => [first & 0xff, first >> 8],
        _ => [first, integer(rest)?.0],
    };
    Ok(SleepTypes {
        pm1a: sleep_type(pm1a)?,
        pm1b: sleep_type(pm1b)?,
    })
}

/// Decodes a package length (20.2.4): the value and the bytes it takes.
fn package_length(bytes: &[u8]) -> Result<(usize, usize), Rule> {
    let lead = checked::u8(bytes, 0).ok_or(Rule::EntryOverrun)?;
    let more = usize::from(lead >> 6);
    if more == 0 {
        return Ok((usize::from(lead & 0x3f), 1));
    }
    // With more bytes, the lead keeps four bits and bits 5 to 4 are reserved.
    if lead & 0x30 != 0 {
        return Err(Rule::Field);
    }
    let high = bytes.get(1..=more).ok_or(Rule::EntryOverrun)?;
    let value = high
        .iter()
        .rev()
        .fold(0usize, |value, byte| value << 8 | usize::from(*byte));
    Ok((value << 4 | usize::from(lead & 0xf), more + 1))
}

/// Decodes an integer of up to 32 bits and returns what follows it.
fn integer(bytes: &[u8]) -> Result<(u32, &[u8]), Rule> {
    let cut = Rule::EntryOverrun;
    let (value, length) = match checked::u8(bytes, 0).ok_or(cut)? {
        ZERO_OP => (0, 1),
        ONE_OP => (1, 1),
        BYTE_PREFIX => (u32::from(checked::u8(bytes, 1).ok_or(cut)?), 2),
        WORD_PREFIX => (u32::from(checked::u16(bytes, 1).ok_or(cut)?), 3),
        DWORD_PREFIX => (checked::u32(bytes, 1).ok_or(cut)?, 5),
        _ => return Err(Rule::Field),
    };
    Ok((value, bytes.get(length..).ok_or(cut)?))
}

fn sleep_type(value: u32) -> Result<u8, Rule> {
    match u8::try_from(value) {
        Ok(value) if value < 8 => Ok(value),
        _ => Err(Rule::Field),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Signature;
    use crate::testing::table;

    fn find(aml: &[u8]) -> Result<Option<(u8, u8)>, Rule> {
        let bytes = table(b"DSDT", 2, aml);
        let table = Table::parse(&bytes, Signature::DSDT).unwrap();
        find_s5(&table)
            .map(|found| found.map(|types| (types.pm1a, types.pm1b)))
            .map_err(|error| error.rule)
    }

    #[test]
    fn the_forms_that_firmware_writes_are_found() {
        assert_eq!(find(b"xx\x08_S5_\x12\x06\x04\0\0\0\0yy"), Ok(Some((0, 0))));
        assert_eq!(
            find(b"\x08_S5_\x12\x08\x04\x0a\x05\x0a\x07\0\0"),
            Ok(Some((5, 7)))
        );
        assert_eq!(find(b"\x08\\_S5_\x12\x04\x02\x01\0"), Ok(Some((1, 0))));
        assert_eq!(
            find(b"\x08_S5_\x12\x06\x01\x0b\x05\x03\0\0"),
            Ok(Some((5, 3)))
        );
        assert_eq!(
            find(b"\x08_S5_\x12\x0a\x02\x0c\x05\0\0\0\x0b\x06\0"),
            Ok(Some((5, 6)))
        );
        // A length in two bytes.
        assert_eq!(find(b"\x08_S5_\x12\x45\0\x02\x01\x01"), Ok(Some((1, 1))));
    }

    #[test]
    fn a_mere_use_of_the_name_is_passed_over() {
        assert_eq!(find(b""), Ok(None));
        assert_eq!(find(b"_S5_\x12\x04\x02\x01\0"), Ok(None));
        assert_eq!(find(b"\x14\x08_S5"), Ok(None));
        assert_eq!(
            find(b"\x5c_S5_\x08_S5_\x12\x04\x02\x02"),
            Err(Rule::EntryOverrun)
        );
        assert_eq!(
            find(b"\x14_S5_\0\x08_S5_\x12\x04\x02\x01\x01"),
            Ok(Some((1, 1)))
        );
    }

    #[test]
    fn what_is_no_literal_package_is_refused() {
        assert_eq!(find(b"\x08_S5_"), Err(Rule::Field));
        assert_eq!(find(b"\x08_S5_\x0a\x05"), Err(Rule::Field));
        assert_eq!(find(b"\x08_S5_\x12"), Err(Rule::EntryOverrun));
        assert_eq!(find(b"\x08_S5_\x12\x3f\x02\0\0"), Err(Rule::EntryOverrun));
        assert_eq!(find(b"\x08_S5_\x12\0\x02\0\0"), Err(Rule::EntryOverrun));
        assert_eq!(find(b"\x08_S5_\x12\x04\0\0\0"), Err(Rule::Field));
        assert_eq!(find(b"\x08_S5_\x12\x06\x02SLP_"), Err(Rule::Field));
        assert_eq!(
            find(b"\x08_S5_\x12\x06\x02\x0a\x08\x0a\0"),
            Err(Rule::Field)
        );
        assert_eq!(find(b"\x08_S5_\x12\x75\0\x02\x01\x01"), Err(Rule::Field));
        assert_eq!(
            find(b"\x08_S5_\x12\xcf\xff\xff\xff\x02\x01\x01"),
            Err(Rule::EntryOverrun)
        );
    }
}
