//! ELF64 images checked before anything is mapped: the kernel's view of a service, and the loader's view of the kernel.
//!
//! Owns the decision whether a static x86-64 executable may be loaded at all, and hands out its segments in ascending,
//! disjoint order with one permission each (Tool Interface Standard ELF 1.2; System V ABI, AMD64 supplement 1.0).
//!
//! Invariant: an [`Image`] never has a segment that is both writable and executable, that leaves the window its caller
//! allowed, that reads outside the file, or that shares a page with a segment of other permissions. It never relocates.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt;
use core::ops::Range;

use arrayvec::ArrayVec;
use elf::ElfBytes;
use elf::abi::{EM_X86_64, ET_EXEC, PF_R, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_TLS};
use elf::endian::LittleEndian;
use elf::file::Class;

/// Bytes of a page, the grain of permissions.
pub const PAGE_BYTES: u64 = 4096;
/// Most loadable segments an image may have.
pub const MAX_SEGMENTS: usize = 16;

/// What the pages of a segment may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write, never execute.
    ReadWrite,
    /// Read and execute, never write.
    ReadExecute,
}

/// One loadable piece of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Virtual address of the first byte; any alignment.
    pub vaddr: u64,
    /// Bytes in memory, at least `filesz`; those past `filesz` are zero. Never zero.
    pub memsz: u64,
    /// Offset in the file of the first byte.
    pub offset: usize,
    /// Bytes that come from the file.
    pub filesz: usize,
    /// What its pages allow.
    pub access: Access,
}

impl Segment {
    /// The addresses of all pages this segment touches, page-aligned at both ends.
    pub const fn pages(&self) -> Range<u64> {
        // `Image::parse` has checked that neither end overflows.
        let end = (self.vaddr + self.memsz).next_multiple_of(PAGE_BYTES);
        self.vaddr - self.vaddr % PAGE_BYTES..end
    }

    const fn end(&self) -> u64 {
        self.vaddr + self.memsz
    }
}

/// Why an image was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file is shorter than its own headers or tables say, or they are malformed.
    Malformed,
    /// Not a 64-bit little-endian ELF file for x86-64.
    WrongMachine,
    /// Not a fixed-address executable (position-independent, relocatable, shared or core file).
    NotStatic,
    /// Asks for an interpreter, dynamic linking or thread-local storage, none of which is provided.
    NeedsRuntimeLinking,
    /// No loadable segment.
    Empty,
    /// More than [`MAX_SEGMENTS`] loadable segments.
    TooManySegments,
    /// The segment at this address has fewer bytes in memory than in the file.
    MemoryBelowFile(u64),
    /// The segment at this address reads outside the file.
    OutsideFile(u64),
    /// The segment at this address lies (partly) outside the window the caller allows.
    OutsideWindow(u64),
    /// The segment at this address is both writable and executable.
    WritableCode(u64),
    /// The segment at this address allows nothing.
    NoAccess(u64),
    /// The segment at this address overlaps another one.
    Overlap(u64),
    /// The segment at this address shares a page with one of other permissions.
    SharedPage(u64),
    /// The entry point is not inside an executable segment.
    Entry(u64),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Malformed => f.write_str("is truncated or has malformed headers"),
            Self::WrongMachine => f.write_str("is not a 64-bit x86-64 ELF file"),
            Self::NotStatic => f.write_str("is not a fixed-address executable"),
            Self::NeedsRuntimeLinking => {
                f.write_str("needs an interpreter, dynamic linking or thread-local storage")
            }
            Self::Empty => f.write_str("has no loadable segment"),
            Self::TooManySegments => write!(f, "has more than {MAX_SEGMENTS} loadable segments"),
            Self::MemoryBelowFile(at) => write!(
                f,
                "has a segment at {at:#x} with less memory than file bytes"
            ),
            Self::OutsideFile(at) => {
                write!(f, "has a segment at {at:#x} that lies outside the file")
            }
            Self::OutsideWindow(at) => write!(
                f,
                "has a segment at {at:#x} that lies outside the allowed addresses"
            ),
            Self::WritableCode(at) => write!(
                f,
                "has a segment at {at:#x} that is writable and executable"
            ),
            Self::NoAccess(at) => write!(f, "has a segment at {at:#x} that allows nothing"),
            Self::Overlap(at) => write!(f, "has a segment at {at:#x} that overlaps another"),
            Self::SharedPage(at) => write!(
                f,
                "has a segment at {at:#x} that shares a page with other permissions"
            ),
            Self::Entry(at) => write!(f, "has its entry point {at:#x} outside executable segments"),
        }
    }
}

/// What the headers of a checked image say.
#[derive(Clone, Debug)]
pub struct Layout {
    entry: u64,
    segments: ArrayVec<Segment, MAX_SEGMENTS>,
}

/// Bytes of a file's beginning in which its headers must lie, for [`Layout::of_head`].
pub const HEAD_BYTES: usize = 4096;

impl Layout {
    /// Checks the headers of a file of `file_bytes` bytes of which only the beginning is at hand, as [`Image::parse`] does
    /// those of a whole file. Where the section headers are is wiped out of `head`: nobody needs them, and they are
    /// elsewhere.
    ///
    /// # Errors
    /// The first rule that is broken; [`Error::Malformed`] where a header lies behind the beginning.
    pub fn of_head(head: &mut [u8], file_bytes: usize, window: Range<u64>) -> Result<Self, Error> {
        // ELF 1.2, figure 1-3 in its 64-bit form: `e_shoff`; `e_shnum` and `e_shstrndx`.
        for place in [40..48, 60..64] {
            if let Some(field) = head.get_mut(place) {
                field.fill(0);
            }
        }
        Self::parse(head, file_bytes, window)
    }

    fn parse(head: &[u8], file_bytes: usize, window: Range<u64>) -> Result<Self, Error> {
        let elf = ElfBytes::<LittleEndian>::minimal_parse(head).map_err(|error| match error {
            elf::ParseError::BadMagic(_)
            | elf::ParseError::UnsupportedElfClass(_)
            | elf::ParseError::UnsupportedElfEndianness(_) => Error::WrongMachine,
            _ => Error::Malformed,
        })?;
        if elf.ehdr.class != Class::ELF64 || elf.ehdr.e_machine != EM_X86_64 {
            return Err(Error::WrongMachine);
        }
        if elf.ehdr.e_type != ET_EXEC {
            return Err(Error::NotStatic);
        }

        let mut segments = ArrayVec::<Segment, MAX_SEGMENTS>::new();
        for header in elf.segments().ok_or(Error::Empty)? {
            match header.p_type {
                PT_LOAD if header.p_memsz == 0 && header.p_filesz == 0 => {}
                PT_LOAD => {
                    let segment = check(&header, file_bytes, &window)?;
                    let place = segments.partition_point(|other| other.vaddr < segment.vaddr);
                    segments
                        .try_insert(place, segment)
                        .map_err(|_| Error::TooManySegments)?;
                }
                PT_INTERP | PT_DYNAMIC | PT_TLS => return Err(Error::NeedsRuntimeLinking),
                _ => {}
            }
        }
        if segments.is_empty() {
            return Err(Error::Empty);
        }
        for pair in segments.windows(2) {
            if let [low, high] = pair {
                if high.vaddr < low.end() {
                    return Err(Error::Overlap(high.vaddr));
                }
                if high.pages().start < low.pages().end && high.access != low.access {
                    return Err(Error::SharedPage(high.vaddr));
                }
            }
        }
        let entry = elf.ehdr.e_entry;
        let in_code = |segment: &Segment| {
            segment.access == Access::ReadExecute && (segment.vaddr..segment.end()).contains(&entry)
        };
        if !segments.iter().any(in_code) {
            return Err(Error::Entry(entry));
        }
        Ok(Self { entry, segments })
    }

    /// Virtual address of the first instruction; inside an executable segment.
    #[must_use]
    pub const fn entry(&self) -> u64 {
        self.entry
    }

    /// The loadable segments by ascending address; they do not overlap, and at least one exists.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }
}

/// A checked image over the bytes of its file.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    file: &'a [u8],
    layout: Layout,
}

impl<'a> Image<'a> {
    /// Checks `file` as an image whose every page must lie inside `window` (virtual addresses, end excluded).
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn parse(file: &'a [u8], window: Range<u64>) -> Result<Self, Error> {
        let layout = Layout::parse(file, file.len(), window)?;
        Ok(Self { file, layout })
    }

    /// What its headers say.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Virtual address of the first instruction; inside an executable segment.
    pub const fn entry(&self) -> u64 {
        self.layout.entry
    }

    /// The loadable segments by ascending address; they do not overlap, and at least one exists.
    pub fn segments(&self) -> &[Segment] {
        &self.layout.segments
    }

    /// The file bytes of one of this image's segments.
    pub fn bytes(&self, segment: &Segment) -> &'a [u8] {
        // A segment of this image is inside the file; one of another image gives what there is of it.
        let end = segment.offset.saturating_add(segment.filesz);
        self.file.get(segment.offset..end).unwrap_or_default()
    }

    /// The page-aligned addresses from the first segment's first page to the last segment's last page.
    pub fn span(&self) -> Range<u64> {
        let start = self
            .segments()
            .first()
            .map_or(0, |segment| segment.pages().start);
        let end = self
            .segments()
            .last()
            .map_or(0, |segment| segment.pages().end);
        start..end
    }
}

/// One program header as a segment, checked by itself.
fn check(
    header: &elf::segment::ProgramHeader,
    file_len: usize,
    window: &Range<u64>,
) -> Result<Segment, Error> {
    let at = header.p_vaddr;
    if header.p_memsz < header.p_filesz {
        return Err(Error::MemoryBelowFile(at));
    }
    let end = at
        .checked_add(header.p_memsz)
        .and_then(|end| end.checked_next_multiple_of(PAGE_BYTES))
        .ok_or(Error::OutsideWindow(at))?;
    if at - at % PAGE_BYTES < window.start || end > window.end {
        return Err(Error::OutsideWindow(at));
    }
    let range = |start: u64, len: u64| {
        let start = usize::try_from(start).ok()?;
        let len = usize::try_from(len).ok()?;
        (start.checked_add(len)? <= file_len).then_some((start, len))
    };
    let (offset, filesz) = range(header.p_offset, header.p_filesz).ok_or(Error::OutsideFile(at))?;
    let access = match (header.p_flags & PF_W != 0, header.p_flags & PF_X != 0) {
        (true, true) => return Err(Error::WritableCode(at)),
        (true, false) => Access::ReadWrite,
        (false, true) => Access::ReadExecute,
        (false, false) if header.p_flags & PF_R != 0 => Access::Read,
        (false, false) => return Err(Error::NoAccess(at)),
    };
    Ok(Segment {
        vaddr: at,
        memsz: header.p_memsz,
        offset,
        filesz,
        access,
    })
}

#[cfg(test)]
mod tests;
