//! Numbers that nobody guesses.

use anyhow::Result;

/// A number that nobody guesses.
///
/// # Errors
/// Where the machine has none.
pub fn random() -> Result<u128> {
    let mut bytes = [0; 16];
    let mut source = std::fs::File::open("/dev/urandom")?;
    std::io::Read::read_exact(&mut source, &mut bytes)?;
    Ok(u128::from_le_bytes(bytes))
}
