//! Buffers for sessions.

use sdk::{DmaBuffer, DmaPool, Layout, Refusal};

/// Allocates `bytes` bytes, in one physical run if `layout` says so and there is one.
///
/// # Errors
/// As `DmaPool.allocate`.
pub(crate) fn allocate(pool: &DmaPool, bytes: u32, layout: Layout) -> Result<DmaBuffer, Refusal> {
    let results = match pool.allocate(bytes.into(), layout) {
        Err(Refusal::NoMemory | Refusal::OutOfRange) if layout == Layout::Contiguous => {
            pool.allocate(bytes.into(), Layout::Scattered)
        }
        other => other,
    };
    Ok(results?.buffer)
}
