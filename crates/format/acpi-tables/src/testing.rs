//! Builders of tables, and a flat physical memory, for the tests of this crate.

use crate::{PhysReader, ReadError};
use std::vec::Vec;

/// Makes the bytes sum to zero through the checksum field at offset 9.
pub(crate) fn seal(bytes: &mut [u8]) {
    bytes[9] = 0;
    bytes[9] = crate::table::sum(bytes).wrapping_neg();
}

/// Builds a sealed table from what follows its header.
pub(crate) fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(signature);
    bytes.extend_from_slice(&u32::try_from(36 + body.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&[revision, 0]);
    bytes.extend_from_slice(b"CAPOS TESTTABL");
    bytes.extend_from_slice(&[1, 0, 0, 0]);
    bytes.extend_from_slice(b"TEST");
    bytes.extend_from_slice(&[1, 0, 0, 0]);
    bytes.extend_from_slice(body);
    seal(&mut bytes);
    bytes
}

/// Pieces of physical memory; what lies between them cannot be read.
#[derive(Default)]
pub(crate) struct FakeMemory(pub(crate) Vec<(u64, Vec<u8>)>);

impl PhysReader for FakeMemory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        for (start, bytes) in &self.0 {
            let Some(offset) = address.checked_sub(*start) else {
                continue;
            };
            let offset = usize::try_from(offset).map_err(|_| ReadError)?;
            if let Some(piece) = bytes
                .get(offset..)
                .and_then(|rest| rest.get(..buffer.len()))
            {
                buffer.copy_from_slice(piece);
                return Ok(());
            }
        }
        Err(ReadError)
    }
}
