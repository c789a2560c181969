//! What the smokes of accounts have in common.

use sdk::Refusal;
use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::Limits;

use crate::{Given, Kit, give};

/// What a role needs to be a [`Kit`] itself.
pub fn kit_of(kit: &Kit) -> Vec<Given<'_>> {
    Vec::from([
        give("endpointFactory", &kit.endpoints),
        give("processSpawner", &kit.spawner),
        give("systemInfo", &kit.info),
        give("timer", &kit.timer),
    ])
}

/// Memory as the allocators see it and as the accounts do: what is lost, and the difference.
///
/// # Errors
/// Whatever the kernel refuses.
pub fn measure(kit: &Kit) -> Result<(u64, i64), Refusal> {
    // Then all is quiet.
    kit.pause_ms(60)?;
    let memory = kit.info.memory()?;
    let charged = memory.total - memory.left;
    Ok((memory.lost, memory.lost as i64 - charged as i64))
}

/// By how many KiB free memory, as everybody is told, differs from what all accounts have left.
///
/// # Errors
/// Whatever the kernel refuses.
pub fn free_differs(kit: &Kit) -> Result<i64, Refusal> {
    let (left, free) = (kit.info.memory()?.left, kit.free_kib()?);
    Ok(free as i64 - (left / 1024) as i64)
}

/// What a child gets.
pub const fn child(memory_pages: u32, handles: u32) -> Limits {
    Limits {
        memory_pages,
        handles,
        threads: 6,
        endpoints: 5,
        facets: 20,
        priority: 16,
        restarts: 0,
        fpu: false,
        distrusting: false,
        stack_pages: 0,
        area_pages: 0,
        cpu_per_mille: 0,
    }
}
