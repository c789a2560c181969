//! The header that system description tables share (5.2.6).

use crate::{Rule, Signature, TableError};
use le::checked;

/// Bytes in the common header.
pub const HEADER_BYTES: usize = 36;

/// Longest table that is read, in bytes.
pub const MAX_TABLE_BYTES: usize = 1 << 20;

/// A copied table whose signature, length and checksum hold; what follows the header is still unchecked.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    signature: Signature,
    bytes: &'a [u8],
}

impl<'a> Table<'a> {
    /// Checks that `bytes` starts with a whole table signed `signature`; bytes past its length are ignored.
    ///
    /// # Errors
    /// `Truncated`, `Signature`, `TooLong`, `Checksum`.
    pub fn parse(bytes: &'a [u8], signature: Signature) -> Result<Self, TableError> {
        let error = |rule| TableError::new(signature, rule);
        let (found, length) = peek(bytes).ok_or(error(Rule::Truncated))?;
        if found != signature {
            return Err(error(Rule::Signature));
        }
        if length < HEADER_BYTES {
            return Err(error(Rule::Truncated));
        }
        if length > MAX_TABLE_BYTES {
            return Err(error(Rule::TooLong));
        }
        let bytes = bytes.get(..length).ok_or(error(Rule::Truncated))?;
        if sum(bytes) != 0 {
            return Err(error(Rule::Checksum));
        }
        Ok(Self { signature, bytes })
    }

    /// Returns the signature.
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// Returns the revision byte.
    pub fn revision(&self) -> u8 {
        checked::u8(self.bytes, 8).unwrap_or(0)
    }

    /// Returns the OEM id, six bytes that firmware fills as it likes.
    pub fn oem_id(&self) -> [u8; 6] {
        checked::array(self.bytes, 10).unwrap_or_default()
    }

    /// Returns the whole table, header included: offsets in the specification index it directly.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Names a rule that this table broke.
    pub(crate) fn error(&self, rule: Rule) -> TableError {
        TableError::new(self.signature, rule)
    }

    /// Returns the table when it has at least `fixed` bytes.
    pub(crate) fn at_least(self, fixed: usize) -> Result<Self, TableError> {
        if self.bytes.len() < fixed {
            return Err(self.error(Rule::Truncated));
        }
        Ok(self)
    }
}

/// Reads signature and length of the table that starts at `bytes`, checking nothing.
pub(crate) fn peek(bytes: &[u8]) -> Option<(Signature, usize)> {
    let length = usize::try_from(checked::u32(bytes, 4)?).ok()?;
    // A header that is cut short tells nothing, even where the first eight bytes are there.
    (bytes.len() >= HEADER_BYTES).then_some(())?;
    Some((Signature::new(checked::array(bytes, 0)?), length))
}

/// Sums the bytes modulo 256; a valid table sums to zero.
pub(crate) fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{seal, table};

    fn rule(bytes: &[u8]) -> Option<Rule> {
        Table::parse(bytes, Signature::HPET)
            .err()
            .map(|error| error.rule)
    }

    #[test]
    fn a_sealed_table_parses_and_trailing_bytes_are_ignored() {
        let mut bytes = table(b"HPET", 3, &[1, 2, 3]);
        bytes.extend_from_slice(&[0xaa; 9]);
        let parsed = Table::parse(&bytes, Signature::HPET).unwrap();
        assert_eq!((parsed.revision(), parsed.bytes().len()), (3, 39));
        assert_eq!(&parsed.oem_id(), b"CAPOS ");
    }

    #[test]
    fn each_header_rule_is_named() {
        let good = table(b"HPET", 1, &[0; 4]);
        assert_eq!(rule(&good), None);
        assert_eq!(rule(&good[..39]), Some(Rule::Truncated));
        assert_eq!(rule(&good[..35]), Some(Rule::Truncated));
        assert_eq!(rule(&[]), Some(Rule::Truncated));
        assert_eq!(rule(&table(b"APIC", 1, &[])), Some(Rule::Signature));
        let mut flipped = good.clone();
        flipped[20] ^= 1;
        assert_eq!(rule(&flipped), Some(Rule::Checksum));
        for (length, expected) in [
            (35u32, Rule::Truncated),
            (0, Rule::Truncated),
            (u32::MAX, Rule::TooLong),
        ] {
            let mut bytes = good.clone();
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            seal(&mut bytes);
            assert_eq!(rule(&bytes), Some(expected));
        }
    }

    #[test]
    fn an_error_prints_table_and_rule() {
        let error = Table::parse(&[], Signature::new(*b"A\0C\xff")).unwrap_err();
        assert_eq!(std::format!("{error}"), "A.C.: truncated");
    }
}
