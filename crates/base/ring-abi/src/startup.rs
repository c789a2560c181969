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

/// Lays out an area, or `None` when a size is not allowed: `submissions` a power of two from 8 to 256,
/// `message_bytes` from 1 to 64 KiB (rounded up so that the area fills whole pages).
pub const fn area_layout(submissions: u32, message_bytes: u32) -> Option<AreaLayout> {
    if !submissions.is_power_of_two() || submissions < 8 || submissions > 256 {
        return None;
    }
    if message_bytes == 0 || message_bytes > 64 * 1024 {
        return None;
    }
    let submission_offset = 128;
    let completion_offset = submission_offset + submissions * 64;
    let message_offset = completion_offset + submissions * 2 * 32;
    let bytes = (message_offset + message_bytes).next_multiple_of(4096);
    Some(AreaLayout {
        submission_offset,
        completion_offset,
        message_offset,
        message_bytes: bytes - message_offset,
        bytes,
    })
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
}
