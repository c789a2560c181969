//! Reading: headers are text and untrusted, every length is checked against what is left of the archive.

use core::fmt;

use crate::{HEADER_BYTES, KIND_FILE, KIND_MASK, MAGIC, TRAILER};

/// Why an archive was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Byte offset in the archive of the entry that is at fault.
    pub at: usize,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The archive ends inside a header, a name or a file, or without the trailer entry.
    Truncated,
    /// The entry does not start with the magic `070701`.
    Magic,
    /// A header field holds something that is not a hexadecimal digit.
    Number,
    /// The name is empty, unterminated, not UTF-8, or has a zero byte inside.
    Name,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.reason {
            Reason::Truncated => "ends too early",
            Reason::Magic => "has no entry magic",
            Reason::Number => "has a header field that is not hexadecimal",
            Reason::Name => "has a malformed entry name",
        };
        write!(f, "archive {what} at byte {}", self.at)
    }
}

/// One entry of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The path as stored, without a leading `./` or `/`.
    pub path: &'a str,
    /// Unix mode: permission and kind bits.
    pub mode: u32,
    /// Byte offset of `data` in the archive.
    pub offset: usize,
    /// The file's bytes (empty for a directory).
    pub data: &'a [u8],
}

impl Entry<'_> {
    /// Whether the entry is a regular file.
    pub fn is_file(&self) -> bool {
        self.mode & KIND_MASK == KIND_FILE
    }
}

/// An archive in memory. Bytes after the trailer are ignored, as padding.
#[derive(Clone, Copy, Debug)]
pub struct Archive<'a> {
    bytes: &'a [u8],
}

impl<'a> Archive<'a> {
    /// Looks at `bytes` as an archive; nothing is read yet.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The entries in their order, without the trailer. The iterator ends after the first error.
    pub const fn entries(&self) -> Entries<'a> {
        Entries {
            bytes: self.bytes,
            at: Some(0),
        }
    }

    /// The bytes of the regular file with this path, if there is one.
    ///
    /// # Errors
    /// The archive is malformed before the file was found.
    pub fn find(&self, path: &str) -> Result<Option<Entry<'a>>, Error> {
        for entry in self.entries() {
            let entry = entry?;
            if entry.is_file() && entry.path == path {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// Iterator over the entries of an [`Archive`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    bytes: &'a [u8],
    /// Where the next header starts; nothing after the trailer or an error.
    at: Option<usize>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at.take()?;
        match read_entry(self.bytes, at) {
            Ok((entry, _)) if entry.path == TRAILER => None,
            Ok((entry, next)) => {
                self.at = Some(next);
                Some(Ok(entry))
            }
            Err(reason) => Some(Err(Error { at, reason })),
        }
    }
}

/// The entry whose header starts at `at`, and where the next one starts.
fn read_entry(bytes: &[u8], at: usize) -> Result<(Entry<'_>, usize), Reason> {
    let header = take(bytes, at, HEADER_BYTES)?;
    let (magic, fields) = header
        .split_at_checked(MAGIC.len())
        .ok_or(Reason::Truncated)?;
    if magic != MAGIC {
        return Err(Reason::Magic);
    }
    // Field order: ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check.
    let field = |index: usize| {
        fields
            .get(index * 8..index * 8 + 8)
            .ok_or(Reason::Truncated)
            .and_then(hex)
    };
    let mode = field(1)?;
    let data_bytes = usize::try_from(field(6)?).map_err(|_| Reason::Truncated)?;
    let name_bytes = usize::try_from(field(11)?).map_err(|_| Reason::Truncated)?;

    let name_at = at.checked_add(HEADER_BYTES).ok_or(Reason::Truncated)?;
    let path = name(take(bytes, name_at, name_bytes)?)?;
    let offset = padded(name_at, name_bytes).ok_or(Reason::Truncated)?;
    let data = take(bytes, offset, data_bytes)?;
    let next = padded(offset, data_bytes).ok_or(Reason::Truncated)?;
    Ok((
        Entry {
            path,
            mode,
            offset,
            data,
        },
        next,
    ))
}

fn take(bytes: &[u8], at: usize, len: usize) -> Result<&[u8], Reason> {
    at.checked_add(len)
        .and_then(|end| bytes.get(at..end))
        .ok_or(Reason::Truncated)
}

/// `at + len` rounded up to the format's four bytes.
fn padded(at: usize, len: usize) -> Option<usize> {
    at.checked_add(len)?.checked_next_multiple_of(4)
}

fn hex(digits: &[u8]) -> Result<u32, Reason> {
    digits.iter().try_fold(0u32, |value, &digit| {
        let digit = char::from(digit).to_digit(16).ok_or(Reason::Number)?;
        Ok(value << 4 | digit)
    })
}

/// The path in a name field: one or more zero bytes at its end (the writer pads with them), none inside.
fn name(field: &[u8]) -> Result<&str, Reason> {
    let end = field
        .iter()
        .position(|&byte| byte == 0)
        .ok_or(Reason::Name)?;
    let (path, zeros) = field.split_at_checked(end).ok_or(Reason::Name)?;
    if zeros.iter().any(|&byte| byte != 0) {
        return Err(Reason::Name);
    }
    let path = core::str::from_utf8(path).map_err(|_| Reason::Name)?;
    let path = path.strip_prefix("./").unwrap_or(path);
    let path = path.strip_prefix('/').unwrap_or(path);
    if path.is_empty() {
        Err(Reason::Name)
    } else {
        Ok(path)
    }
}
