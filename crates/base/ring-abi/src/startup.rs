//! What a program finds when it starts: its startup page and the area of its thread.

/// First word of a startup page: "capOSst1".
pub const STARTUP_MAGIC: u64 = u64::from_le_bytes(*b"capOSst1");
/// First word after the self pointer of a thread area: "capOSar1".
pub const AREA_MAGIC: u64 = u64::from_le_bytes(*b"capOSar1");

/// Head of the read-only startup pages. The entries follow directly, then the argument strings.
/// The first thread starts with its address in `rdi`; every thread finds its area through the FS base.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct StartupHeader {
    /// [`STARTUP_MAGIC`].
    pub magic: u64,
    /// Process number, for messages to people.
    pub process: u64,
    /// Bytes of all startup pages that are in use.
    pub bytes: u32,
    /// Count of [`StartupEntry`]s behind the header.
    pub entries: u32,
    /// Offset of the arguments: each a u32 length and its UTF-8 bytes, unaligned, one after the other.
    pub arguments: u32,
    /// Count of arguments.
    pub argument_count: u32,
}

/// One capability given at the start.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct StartupEntry {
    /// The handle.
    pub handle: u64,
    /// The interface it serves.
    pub interface_id: u64,
    /// Zero-padded UTF-8 name.
    pub name: [u8; 32],
}

/// Head of a thread area: one page-aligned region shared by the kernel and one thread. `fs:0` reads `address`.
///
/// Indices run freely and wrap at 2^32; slot = index modulo the entry count. The kernel keeps its own copies:
/// `submission_tail` and `completion_head` are the program's to write, and are checked hints to the kernel.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct AreaHeader {
    /// Address of this header in the owning process.
    pub address: u64,
    /// [`AREA_MAGIC`].
    pub magic: u64,
    /// Written by the kernel: submissions taken so far.
    pub submission_head: u32,
    /// Written by the program: submissions made so far.
    pub submission_tail: u32,
    /// Written by the program: completions consumed so far.
    pub completion_head: u32,
    /// Written by the kernel: completions posted so far.
    pub completion_tail: u32,
    /// Count of submission slots; twice as many completion slots.
    pub submissions: u32,
    /// Offset of the submission slots from the header.
    pub submission_offset: u32,
    /// Offset of the completion slots.
    pub completion_offset: u32,
    /// Offset of the message area; message offsets count from here.
    pub message_offset: u32,
    /// Bytes of the message area.
    pub message_bytes: u32,
    /// Zero; the program may use it for a thread-local pointer.
    pub user: [u32; 3],
}

/// Where the parts of a thread area lie, in bytes from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AreaLayout {
    /// Submission slots.
    pub submission_offset: u32,
    /// Completion slots.
    pub completion_offset: u32,
    /// Message area.
    pub message_offset: u32,
    /// Message area length.
    pub message_bytes: u32,
    /// Everything, in whole pages.
    pub bytes: u32,
}

/// What the header takes in an area, in bytes.
const HEADER_BYTES: u32 = 128;
/// A submission slot, in bytes.
const SUBMISSION: u32 = crate::SUBMISSION_BYTES as u32;
/// The two completion slots that a submission slot comes with, in bytes.
const COMPLETIONS: u32 = 2 * crate::COMPLETION_BYTES as u32;

/// Lays out an area, or `None` when a size is not allowed: `submissions` a power of two from 8 to 256,
/// `message_bytes` from 1 to 64 KiB (rounded up so that the area fills whole pages).
pub const fn area_layout(submissions: u32, message_bytes: u32) -> Option<AreaLayout> {
    if !submissions.is_power_of_two() || submissions < 8 || submissions > 256 {
        return None;
    }
    if message_bytes == 0 || message_bytes > 64 * 1024 {
        return None;
    }
    let submission_offset = HEADER_BYTES;
    let completion_offset = submission_offset + submissions * SUBMISSION;
    let message_offset = completion_offset + submissions * COMPLETIONS;
    let bytes = (message_offset + message_bytes).next_multiple_of(4096);
    Some(AreaLayout {
        submission_offset,
        completion_offset,
        message_offset,
        message_bytes: bytes - message_offset,
        bytes,
    })
}

/// How many pages something may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRange {
    /// The fewest.
    pub least: u16,
    /// The most.
    pub most: u16,
    /// What 0 stands for.
    pub default: u16,
}

impl PageRange {
    /// The pages that `asked` stands for, or `None` where it is not allowed.
    pub const fn of(self, asked: u16) -> Option<u16> {
        if asked == 0 {
            return Some(self.default);
        }
        if asked < self.least || asked > self.most {
            return None;
        }
        Some(asked)
    }
}

/// The stack of a process's first thread. A program of `rt` that panics needs the least of them, to say where.
pub const FIRST_STACK: PageRange = PageRange {
    least: 4,
    most: 4096,
    default: 32,
};

/// The area of a process's first thread. It lies in one run of memory, so a count that is no power of two takes as much as
/// the next one.
pub const FIRST_AREA: PageRange = PageRange {
    least: 1,
    most: 16,
    default: 16,
};

/// Submissions and message bytes that fill the area of a process's first thread exactly, or `None` where that many pages
/// are not allowed. A ring with its completions takes at most about half of a small area.
pub const fn first_area(pages: u16) -> Option<(u16, u32)> {
    let Some(pages) = FIRST_AREA.of(pages) else {
        return None;
    };
    let submissions = match pages {
        1 => 16,
        2 | 3 => 32,
        _ => 64,
    };
    let ring = HEADER_BYTES + submissions as u32 * (SUBMISSION + COMPLETIONS);
    Some((submissions, pages as u32 * 4096 - ring))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        assert!(core::mem::size_of::<AreaHeader>() <= 128);
        assert_eq!(core::mem::size_of::<StartupEntry>(), 48);
        assert_eq!(core::mem::size_of::<StartupHeader>(), 32);
        assert_eq!(core::mem::offset_of!(AreaHeader, submission_head), 16);
        assert_eq!(area_layout(7, 1), None);
        assert_eq!(area_layout(8, 0), None);
        let l = area_layout(32, 8192).unwrap();
        assert_eq!(l.message_offset % 8, 0);
        assert_eq!(l.bytes % 4096, 0);
        assert!(l.message_bytes >= 8192);
    }

    #[test]
    fn the_first_area_fills_its_pages() {
        for pages in FIRST_AREA.least..=FIRST_AREA.most {
            let (submissions, messages) = first_area(pages).unwrap();
            let layout = area_layout(submissions.into(), messages).unwrap();
            assert_eq!(layout.bytes, u32::from(pages) * 4096);
            assert_eq!(layout.message_bytes, messages);
            assert!(messages as usize >= crate::MAX_EXIT_TEXT + 1024);
        }
        assert_eq!(first_area(0), first_area(FIRST_AREA.default));
        assert_eq!(first_area(FIRST_AREA.most + 1), None);
    }

    #[test]
    fn pages_outside_the_range_are_not_allowed() {
        for range in [FIRST_STACK, FIRST_AREA] {
            assert_eq!(range.of(0), Some(range.default));
            for pages in [range.least, range.default, range.most] {
                assert_eq!(range.of(pages), Some(pages));
            }
            let below = range.least.checked_sub(1).filter(|pages| *pages > 0);
            for pages in below.into_iter().chain([range.most + 1, u16::MAX]) {
                assert_eq!(range.of(pages), None);
            }
        }
    }
}
