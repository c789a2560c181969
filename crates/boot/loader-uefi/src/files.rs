//! Reading the boot package from the loader's own volume.

use core::fmt;
use core::slice;

use arrayvec::{ArrayString, ArrayVec};
use loader::{File, MAX_MODULES};
use uefi::boot::{self, AllocateType, MemoryType};
use uefi::proto::media::file::{Directory, File as _, FileAttribute, FileInfo, FileMode, FileType};
use uefi::{CStr16, Status, cstr16};

/// The loader's pages and the files lie below this, where the kernel's page tables map everything.
const LIMIT: u64 = 0xffff_ffff;
const PAGE_BYTES: usize = 4096;
/// Longest path of a file in the boot package.
const MAX_PATH: usize = 96;

/// A path in the boot package, without the leading slash.
pub(crate) type Path = ArrayString<MAX_PATH>;

/// Why a file could not be read.
#[derive(Debug)]
pub(crate) struct FileError {
    path: Path,
    status: Status,
}

impl FileError {
    fn new(path: &str, status: Status) -> Self {
        let mut copy = Path::new();
        // Too long a path is what may be wrong: then the error names its beginning.
        for char in path.chars() {
            if copy.try_push(char).is_err() {
                break;
            }
        }
        Self { path: copy, status }
    }

    /// Whether the file does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        self.status == Status::NOT_FOUND
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read /{}: {}", self.path, self.status)
    }
}

/// A file in pages of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    pub(crate) path: Path,
    pub(crate) bytes: &'static [u8],
}

impl Loaded {
    pub(crate) fn file(&self) -> File<'_> {
        File {
            path: &self.path,
            base: self.bytes.as_ptr().addr() as u64,
            len: self.bytes.len() as u64,
        }
    }
}

#[repr(align(8))]
struct InfoBuffer([u8; 1024]);

/// The volume the loader came from.
pub(crate) struct Volume {
    root: Directory,
}

impl Volume {
    pub(crate) fn open() -> Result<Self, FileError> {
        let error = |error: uefi::Error| FileError::new("", error.status());
        let mut system = boot::get_image_file_system(boot::image_handle()).map_err(error)?;
        Ok(Self {
            root: system.open_volume().map_err(error)?,
        })
    }

    /// Reads the file at `path` (slashes between names).
    pub(crate) fn read(&mut self, path: &str) -> Result<Loaded, FileError> {
        let mut buffer = [0; MAX_PATH + 1];
        let mut native = Path::new();
        for char in path.chars() {
            let char = if char == '/' { '\\' } else { char };
            native
                .try_push(char)
                .map_err(|_| FileError::new(path, Status::BAD_BUFFER_SIZE))?;
        }
        let name = CStr16::from_str_with_buf(&native, &mut buffer)
            .map_err(|_| FileError::new(path, Status::INVALID_PARAMETER))?;
        read_in(&mut self.root, name, path)
    }

    /// Reads every file of the folder `boot/bins`, sorted by name; none if there is no such folder.
    pub(crate) fn read_bins(
        &mut self,
        into: &mut ArrayVec<Loaded, MAX_MODULES>,
    ) -> Result<(), FileError> {
        const FOLDER: &str = "boot/bins";
        let fail = |status| FileError::new(FOLDER, status);
        let handle = match self.root.open(
            cstr16!("boot\\bins"),
            FileMode::Read,
            FileAttribute::empty(),
        ) {
            Err(error) if error.status() == Status::NOT_FOUND => return Ok(()),
            other => other.map_err(|error| fail(error.status()))?,
        };
        let Ok(FileType::Dir(mut folder)) = handle.into_type() else {
            return Err(fail(Status::UNSUPPORTED));
        };
        let first = into.len();
        let mut buffer = InfoBuffer([0; 1024]);
        while let Some(info) = folder
            .read_entry(&mut buffer.0)
            .map_err(|error| fail(error.status()))?
        {
            if info.is_directory() {
                continue;
            }
            let path = bin_path(info.file_name()).ok_or_else(|| fail(Status::BAD_BUFFER_SIZE))?;
            let loaded = read_in(&mut folder, info.file_name(), &path)?;
            let place = first + into[first..].partition_point(|other| *other.path < *path);
            into.try_insert(place, loaded)
                .map_err(|_| fail(Status::OUT_OF_RESOURCES))?;
        }
        Ok(())
    }
}

fn bin_path(name: &CStr16) -> Option<Path> {
    let mut path = Path::from("boot/bins/").ok()?;
    for char in name.iter() {
        path.try_push(char::from(*char)).ok()?;
    }
    Some(path)
}

/// Reads the file `name` of `folder` into pages below [`LIMIT`]; `path` is what it is called from then on.
fn read_in(folder: &mut Directory, name: &CStr16, path: &str) -> Result<Loaded, FileError> {
    let fail = |status| FileError::new(path, status);
    let handle = folder
        .open(name, FileMode::Read, FileAttribute::empty())
        .map_err(|error| fail(error.status()))?;
    let Ok(FileType::Regular(mut file)) = handle.into_type() else {
        return Err(fail(Status::UNSUPPORTED));
    };
    let mut buffer = InfoBuffer([0; 1024]);
    let info = file
        .get_info::<FileInfo>(&mut buffer.0)
        .map_err(|error| fail(error.status()))?;
    let len = usize::try_from(info.file_size()).map_err(|_| fail(Status::BAD_BUFFER_SIZE))?;
    let pages = len.div_ceil(PAGE_BYTES).max(1);
    let memory = boot::allocate_pages(
        AllocateType::MaxAddress(LIMIT),
        MemoryType::LOADER_DATA,
        pages,
    )
    .map_err(|error| fail(error.status()))?;
    // SAFETY: the pages are ours from now on and never given back, so the reference may live as long as the loader; they are
    // written before anything reads them, the unused end of the last one included.
    let bytes: &'static mut [u8] = unsafe {
        memory.write_bytes(0, pages * PAGE_BYTES);
        slice::from_raw_parts_mut(memory.as_ptr(), len)
    };
    let read = file.read(bytes).map_err(|error| fail(error.status()))?;
    if read != len {
        return Err(fail(Status::END_OF_FILE));
    }
    let path = Path::from(path).map_err(|_| fail(Status::BAD_BUFFER_SIZE))?;
    Ok(Loaded { path, bytes })
}
