//! Writing: the same files in the same order always give the same bytes.

use crate::{HEADER_BYTES, KIND_FILE, KIND_FOLDER, MAGIC, TRAILER};

/// File data starts at a multiple of this many bytes from the start of the archive, so that a loader that finds the archive
/// page-aligned in memory can use every file where it lies.
pub const DATA_ALIGN: usize = 4096;

/// Where a [`Writer`] puts its bytes.
pub trait Sink {
    /// Why bytes could not be taken.
    type Error;

    /// Appends `bytes`.
    ///
    /// # Errors
    /// The sink cannot take them; the archive is then incomplete.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

#[cfg(any(test, feature = "alloc"))]
impl Sink for alloc::vec::Vec<u8> {
    type Error = core::convert::Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// What an entry for another system's reader is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Node {
    /// A folder (mode 0755), without data.
    Folder,
    /// A file (mode 0644).
    File,
    /// A file that can be started (mode 0755).
    Program,
}

/// Writes an archive file by file into a sink.
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    /// Bytes written so far.
    offset: usize,
    next_inode: u32,
}

impl<S: Sink> Writer<S> {
    /// Starts an archive at the sink's present end.
    pub const fn new(sink: S) -> Self {
        Self {
            sink,
            offset: 0,
            next_inode: 1,
        }
    }

    /// Adds a regular file (mode 0644). `path` has no leading slash and no zero byte; `data` is shorter than 4 GiB, the
    /// format's limit (a longer one is cut in the header and so refused by every reader).
    ///
    /// The name field is filled up with zero bytes so that the data starts at a multiple of [`DATA_ALIGN`].
    ///
    /// # Errors
    /// The sink's.
    pub fn file(&mut self, path: &str, data: &[u8]) -> Result<(), S::Error> {
        let shortest = path.len() + 1;
        let data_at = (self.offset + HEADER_BYTES + shortest).next_multiple_of(DATA_ALIGN);
        self.entry(
            path,
            data_at - self.offset - HEADER_BYTES,
            KIND_FILE | 0o644,
            data,
        )
    }

    /// Adds an entry as other systems want it: its name is as long as it is, because Linux skips entries with a name of more than a
    /// page, and its data lies where it comes to lie. For `path` and `data` holds what holds for [`Self::file`].
    ///
    /// # Errors
    /// The sink's.
    pub fn node(&mut self, path: &str, node: Node, data: &[u8]) -> Result<(), S::Error> {
        let mode = match node {
            Node::Folder => KIND_FOLDER | 0o755,
            Node::File => KIND_FILE | 0o644,
            Node::Program => KIND_FILE | 0o755,
        };
        self.entry(path, path.len() + 1, mode, data)
    }

    /// Adds the trailer and gives the sink back.
    ///
    /// # Errors
    /// The sink's.
    pub fn finish(mut self) -> Result<S, S::Error> {
        self.next_inode = 0;
        self.entry(TRAILER, TRAILER.len() + 1, 0, &[])?;
        Ok(self.sink)
    }

    fn entry(
        &mut self,
        path: &str,
        name_bytes: usize,
        mode: u32,
        data: &[u8],
    ) -> Result<(), S::Error> {
        let inode = self.next_inode;
        self.next_inode = inode.wrapping_add(1);
        self.put(MAGIC)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the format's fields are 32 bits wide, as documented"
        )]
        let fields = [
            inode,
            mode,
            0,
            0,
            1,
            0,
            data.len() as u32,
            0,
            0,
            0,
            0,
            name_bytes as u32,
            0,
        ];
        for field in fields {
            self.put(&hex(field))?;
        }
        self.put(path.as_bytes())?;
        self.zeros(name_bytes - path.len())?;
        self.zeros(self.offset.next_multiple_of(4) - self.offset)?;
        self.put(data)?;
        self.zeros(self.offset.next_multiple_of(4) - self.offset)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        self.offset += bytes.len();
        self.sink.put(bytes)
    }

    fn zeros(&mut self, mut count: usize) -> Result<(), S::Error> {
        const ZEROS: [u8; 64] = [0; 64];
        while count > 0 {
            let part = count.min(ZEROS.len());
            self.put(&ZEROS[..part])?;
            count -= part;
        }
        Ok(())
    }
}

/// Eight lower-case hexadecimal digits.
fn hex(value: u32) -> [u8; 8] {
    core::array::from_fn(|index| {
        let digit = (value >> (28 - 4 * index)) & 0xf;
        char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8)
    })
}
