//! Which memory there is, by the loader's word: what is free, what will be, and what is the kernel's.

use arrayvec::ArrayVec;
use cpu::Lock;
use limine::memory_map::{Entry, EntryType};

use crate::refusal::boot_error;

/// Starts and ends.
pub type Ranges = ArrayVec<(u64, u64), 128>;

/// Memory by the loader's word.
#[derive(Default)]
pub struct Map {
    /// Free from the start.
    pub usable: Ranges,
    /// The loader's own, free once nothing of it is in use.
    pub reclaimable: Ranges,
    /// Everything the direct map covers.
    pub mapped: Ranges,
    /// The end of the last range.
    pub top: u64,
    /// Free memory below 1 MiB, 0 for none.
    pub low_page: u64,
}

static RECLAIM: Lock<Option<Ranges>> = Lock::new(None);
static IN_USE: Lock<Ranges> = Lock::new(Ranges::new_const());

/// Whether any byte of a range is memory of the kernel's, in use or to be handed out. A range that wraps is.
pub fn in_memory(start: u64, bytes: u64) -> bool {
    let Some(end) = start.checked_add(bytes) else {
        return true;
    };
    let ranges = IN_USE.lock();
    ranges.iter().any(|(from, to)| start < *to && *from < end)
}

/// Sorts the loader's memory map. `low_bytes` of the first MiB are kept for the start of other CPUs.
pub fn read(entries: &[&Entry], low_bytes: u64) -> Map {
    let mut map = Map::default();
    for entry in entries {
        let (start, end) = (entry.base, entry.base.saturating_add(entry.length));
        let list = match entry.entry_type {
            EntryType::USABLE => Some(&mut map.usable),
            EntryType::BOOTLOADER_RECLAIMABLE => Some(&mut map.reclaimable),
            EntryType::EXECUTABLE_AND_MODULES => None,
            _ => continue,
        };
        let full = map.mapped.try_push((start, end)).is_err();
        map.top = map.top.max(end);
        let Some(list) = list else { continue };
        // The first MiB is kept: other CPUs start there.
        let low = (0x8000..0xa_0000).contains(&start.max(0x8000)) && start < 0x10_0000;
        if low && map.low_page == 0 && entry.entry_type == EntryType::USABLE {
            let page = start.max(0x8000);
            if page + low_bytes <= end {
                map.low_page = page;
            }
        }
        let start = start.max(0x10_0000);
        if full || (start < end && list.try_push((start, end)).is_err()) {
            boot_error(format_args!("the memory map has more than 128 ranges"));
        }
    }
    map
}

/// Notes which memory is in use, and which will be handed out by [`reclaim`].
pub fn keep(map: Map) {
    *RECLAIM.lock() = Some(map.reclaimable);
    *IN_USE.lock() = map.mapped;
}

/// Gives the loader's memory to the allocator, and says how many bytes: every CPU runs on kernel tables and stacks now.
pub fn reclaim() -> u64 {
    let ranges = RECLAIM.lock().take().unwrap_or_default();
    let mut bytes = 0;
    for (start, end) in ranges {
        // SAFETY: everything of the loader's answers has been copied, and no CPU uses its tables or stacks.
        unsafe { frames::add(start, end) };
        bytes += end - start;
    }
    bytes
}
