//! Buffers for sessions.

use sdk::{DmaBuffer, DmaPool, Refusal};

/// Allocates `bytes` bytes, in one physical run if `likes_runs` and there is one.
///
/// # Errors
/// As `DmaPool.allocate`.
pub(crate) fn allocate(pool: &DmaPool, bytes: u32, likes_runs: bool) -> Result<DmaBuffer, Refusal> {
    let results = match pool.allocate(bytes.into(), likes_runs) {
        Err(Refusal::NoMemory | Refusal::OutOfRange) if likes_runs => {
            pool.allocate(bytes.into(), false)
        }
        other => other,
    };
    Ok(results?.buffer)
}
