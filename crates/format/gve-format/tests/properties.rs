//! Whatever the bytes: what is read is written the same, and pieces of a page list are what was asked for.

use gve_format::{COMMAND_BYTES, Command, dqo, gqi, pages};
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_read_is_written_the_same(bytes in any::<[u8; 32]>(), tail in any::<[u8; 32]>(), opcode in 0u8..0x14) {
        let mut command = [0; COMMAND_BYTES];
        command[..32].copy_from_slice(&bytes);
        command[32..].copy_from_slice(&tail);
        command[..8].copy_from_slice(&[0, 0, 0, opcode, 0, 0, 0, 0]);
        if let Ok(read) = Command::read(&command) {
            prop_assert_eq!(Command::read(&read.bytes()), Ok(read));
        }
        let half: [u8; 16] = bytes[..16].try_into().unwrap();
        if let Ok(read) = gqi::Tx::read(&half) {
            prop_assert_eq!(gqi::Tx::read(&read.bytes()), Ok(read));
        }
        if let Ok(read) = dqo::Tx::read(&half) {
            prop_assert_eq!(dqo::Tx::read(&read.bytes()), Ok(read));
        }
        if let Ok(read) = dqo::RxCompletion::read(&bytes) {
            prop_assert_eq!(dqo::RxCompletion::read(&read.bytes()), Ok(read));
        }
        let eight: [u8; 8] = bytes[..8].try_into().unwrap();
        if let Ok(read) = dqo::TxCompletion::read(&eight) {
            prop_assert_eq!(dqo::TxCompletion::read(&read.bytes()), Ok(read));
        }
    }

    #[test]
    fn pieces_are_the_range_without_gap_or_overlap(pages in 0u32..9, offset in 0u64..40_000, bytes in 0u32..40_000) {
        let all = u64::from(pages) * 4096;
        match pages::pieces(pages, offset, bytes) {
            None => prop_assert!(bytes == 0 || offset + u64::from(bytes) > all),
            Some(pieces) => {
                let mut at = offset;
                for piece in pieces {
                    prop_assert_eq!(u64::from(piece.page) * 4096 + u64::from(piece.from), at);
                    prop_assert!(piece.bytes > 0 && piece.from + piece.bytes <= 4096);
                    at += u64::from(piece.bytes);
                }
                prop_assert_eq!(at, offset + u64::from(bytes));
            }
        }
    }
}
