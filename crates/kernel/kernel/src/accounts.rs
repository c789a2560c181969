//! The root of all accounts: the machine.

use alloc::sync::Arc;

use account::{Account, Kind, Limits};
use cpu::Lock;
use frames::{FRAME_BYTES, KERNEL_RESERVE};

static ROOT: Lock<Option<Arc<Account>>> = Lock::new(None);

/// How many of what is not memory the machine has: as many as its own tables can hold.
const HANDLES: u64 = 1 << 22;
const THREADS: u64 = 1 << 14;
const ENDPOINTS: u64 = 1 << 16;
const FACETS: u64 = 1 << 22;

/// Bytes of memory that the machine has lost: what the allocators gave out and have not got back. What the heap and the
/// list of spare stacks keep for later is not lost.
pub fn lost() -> u64 {
    let frames = frames::stats();
    let heap = crate::heap::stats();
    let out = (frames.total - frames.free) * FRAME_BYTES;
    out - (heap.taken - heap.used) - paging::spare_stack_bytes()
}

/// Opens the root, which pays for everything that is in use by now.
pub fn start() {
    let root = Account::root(&Limits {
        memory: frames::stats().total * FRAME_BYTES,
        handles: HANDLES,
        threads: THREADS,
        endpoints: ENDPOINTS,
        facets: FACETS,
        cpu: 0,
        priority: sched::PRIORITIES as u8 - 1,
    });
    if root.take(Kind::Memory, lost()).is_err() {
        unreachable!("more memory is in use than there is");
    }
    frames::set_root(&root);
    crate::heap::start_keeping();
    *ROOT.lock() = Some(root);
}

/// The root, once [`start`] ran.
pub fn root() -> Arc<Account> {
    match &*ROOT.lock() {
        Some(root) => root.clone(),
        None => unreachable!("the root is opened before the first process"),
    }
}

/// What the first process gets: all but what the kernel keeps for itself.
pub fn for_first_process() -> Limits {
    let root = root();
    let left = |kind| root.usage(kind).left();
    Limits {
        memory: left(Kind::Memory).saturating_sub(KERNEL_RESERVE * FRAME_BYTES),
        handles: left(Kind::Handles),
        threads: left(Kind::Threads),
        endpoints: left(Kind::Endpoints),
        facets: left(Kind::Facets),
        cpu: 0,
        priority: root.priority(),
    }
}
