//! The kernel's own image, by what its parts allow.

use paging::{Access, KernelSection};

use crate::handover::Placed;

unsafe extern "C" {
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __data_end: u8;
}

/// The image by what it allows.
pub fn sections() -> [KernelSection; 3] {
    [
        section(
            &raw const __text_start,
            &raw const __text_end,
            Access::ReadExecute,
        ),
        section(
            &raw const __rodata_start,
            &raw const __rodata_end,
            Access::Read,
        ),
        section(
            &raw const __data_start,
            &raw const __data_end,
            Access::ReadWrite,
        ),
    ]
}

/// Pages of text and read-only data that can be written through some mapping.
pub fn writable_text(placed: Placed) -> u64 {
    paging::writable_aliases(&sections(), placed.delta())
}

/// Makes a page of text writable, if that was chosen.
#[cfg(sabotage)]
pub fn open_text(placed: Placed) {
    use sabotage::sabotage;
    let delta = placed.delta();
    let text = &sections()[0];
    sabotage!(TEXT_WRITABLE_DIRECTLY => paging::open_directly(text, delta));
    sabotage!(TEXT_WRITABLE_ELSEWHERE => {
        let _ = paging::map_device(text.start.wrapping_add(delta), 4096);
    });
}

fn section(start: *const u8, end: *const u8, access: Access) -> KernelSection {
    KernelSection {
        start: start as u64,
        end: end as u64,
        access,
    }
}
