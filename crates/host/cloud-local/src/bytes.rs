//! Bodies that are kept as files.

use std::fs::{self, File};
use std::io::{Read, Write as _};
use std::path::PathBuf;

use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::params::Refusal;

/// The longest object or part.
const OBJECT_BYTES: u64 = 8 << 30;

/// A body that lies in a file.
#[derive(Debug)]
pub struct Kept {
    pub path: PathBuf,
    pub bytes: u64,
    pub sha256: [u8; 32],
    pub md5: [u8; 16],
}

/// A fault of this machine: its disk, most likely.
pub fn broken(error: impl std::fmt::Display) -> Refusal {
    Refusal {
        status: 500,
        ..Refusal::new("InternalError", error.to_string())
    }
}

/// Keeps a body in a new file. What breaks off in the middle leaves none.
pub fn keep(mut body: impl Read, path: PathBuf) -> Result<Kept, Refusal> {
    let kept = copy(&mut body, &path);
    if kept.is_err() {
        let _ = fs::remove_file(&path);
    }
    let (bytes, sha256, md5) = kept?;
    Ok(Kept {
        path,
        bytes,
        sha256,
        md5,
    })
}

fn copy(body: &mut impl Read, path: &PathBuf) -> Result<(u64, [u8; 32], [u8; 16]), Refusal> {
    let mut file = File::create_new(path).map_err(broken)?;
    let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
    let mut bytes = 0_u64;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let len = body.read(&mut buffer).map_err(broken)?;
        let piece = buffer.get(..len).unwrap_or_default();
        bytes += len as u64;
        if piece.is_empty() {
            return Ok((bytes, sha256.finalize().into(), md5.finalize().into()));
        }
        if bytes > OBJECT_BYTES {
            return Err(Refusal::new("EntityTooLarge", "The object is too long"));
        }
        sha256.update(piece);
        md5.update(piece);
        file.write_all(piece).map_err(broken)?;
    }
}
