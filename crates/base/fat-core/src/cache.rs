//! The disk behind a small cache.

use alloc::vec::Vec;

/// A disk that reads into a window of memory which somebody else can write at any time.
pub trait Disk {
    /// What a failed read reports.
    type Error: Copy;
    /// Where file data goes: a client's window.
    type Target;

    /// Bytes of a block: a power of two from 512 to 4096.
    fn block_bytes(&self) -> u32;
    /// Blocks of the disk.
    fn blocks(&self) -> u64;
    /// The most bytes one fetch can bring: at least one block.
    fn window_bytes(&self) -> u32;
    /// Reads blocks to the beginning of the window. What was there before is gone, even if this fails.
    ///
    /// # Errors
    /// The device's, and then nothing is known of the window.
    fn fetch(&mut self, block: u64, blocks: u32) -> Result<(), Self::Error>;
    /// Copies bytes out of the window.
    fn copy_out(&self, window_offset: usize, to: &mut [u8]);
    /// Copies bytes of the window to a client. Both ranges were checked by the caller of [`crate::read_file`].
    fn copy_to(
        &self,
        window_offset: usize,
        target: &mut Self::Target,
        target_offset: usize,
        bytes: usize,
    );
}

/// Bytes of a chunk of metadata.
const CHUNK_BYTES: u32 = 32 * 1024;
/// Chunks that are kept: 1 MiB.
const CHUNKS: usize = 32;

struct Chunk {
    number: u64,
    bytes: Vec<u8>,
    used: u64,
}

/// Why the cache cannot bring something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheError<E> {
    /// The device failed.
    Device(E),
    /// It lies outside the disk.
    Outside,
}

impl<E: core::fmt::Display> core::fmt::Display for CacheError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Device(error) => write!(f, "{error}"),
            Self::Outside => f.write_str("it lies outside the disk"),
        }
    }
}

/// A disk with copies of the metadata that was read last, and a note of what its window holds.
pub struct Cache<D> {
    disk: D,
    chunks: Vec<Chunk>,
    now: u64,
    /// First byte and length of what the window holds.
    loaded: Option<(u64, u64)>,
}

impl<D: Disk> Cache<D> {
    /// Puts an empty cache before `disk`.
    pub const fn new(disk: D) -> Self {
        Self {
            disk,
            chunks: Vec::new(),
            now: 0,
            loaded: None,
        }
    }

    /// The disk.
    pub const fn disk(&self) -> &D {
        &self.disk
    }

    /// Bytes of the whole disk.
    pub fn disk_bytes(&self) -> u64 {
        self.disk
            .blocks()
            .saturating_mul(u64::from(self.disk.block_bytes()))
    }

    #[cfg(test)]
    pub(crate) const fn disk_for_test(&mut self) -> &mut D {
        &mut self.disk
    }

    /// First byte behind what the window holds.
    #[cfg(test)]
    pub(crate) fn loaded_end(&self) -> u64 {
        self.loaded.map_or(0, |(begin, length)| begin + length)
    }

    /// Copies metadata into `buf`.
    ///
    /// # Errors
    /// [`CacheError`].
    pub fn read(&mut self, byte_offset: u64, buf: &mut [u8]) -> Result<(), CacheError<D::Error>> {
        let mut offset = byte_offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let within = usize::try_from(offset % u64::from(CHUNK_BYTES)).unwrap_or(0);
            let idx = self.chunk(offset / u64::from(CHUNK_BYTES))?;
            let held = self
                .chunks
                .get(idx)
                .and_then(|c| c.bytes.get(within..))
                .unwrap_or_default();
            let count = rest.len().min(held.len());
            if count == 0 {
                return Err(CacheError::Outside);
            }
            let (to, later) = rest.split_at_mut(count);
            to.copy_from_slice(held.get(..count).unwrap_or_default());
            rest = later;
            offset = offset.saturating_add(count as u64);
        }
        Ok(())
    }

    /// Finds the chunk, or reads it in place of the one that has not been used for longest.
    fn chunk(&mut self, number: u64) -> Result<usize, CacheError<D::Error>> {
        self.now += 1;
        if let Some(idx) = self.chunks.iter().position(|c| c.number == number) {
            if let Some(chunk) = self.chunks.get_mut(idx) {
                chunk.used = self.now;
            }
            return Ok(idx);
        }
        let begin = number
            .checked_mul(u64::from(CHUNK_BYTES))
            .ok_or(CacheError::Outside)?;
        let length = self
            .disk_bytes()
            .saturating_sub(begin)
            .min(u64::from(CHUNK_BYTES));
        if length == 0 {
            return Err(CacheError::Outside);
        }
        let mut bytes = alloc::vec![0; length as usize];
        let mut done = 0;
        while let Some(rest) = bytes.get_mut(done..).filter(|r| !r.is_empty()) {
            let (window_offset, held) = self.load(begin + done as u64, rest.len() as u64)?;
            let count = rest.len().min(held);
            self.disk
                .copy_out(window_offset, rest.get_mut(..count).unwrap_or_default());
            done += count;
        }
        let chunk = Chunk {
            number,
            bytes,
            used: self.now,
        };
        if self.chunks.len() < CHUNKS {
            self.chunks.push(chunk);
            return Ok(self.chunks.len() - 1);
        }
        let oldest = self
            .chunks
            .iter()
            .enumerate()
            .min_by_key(|(_, c)| c.used)
            .map_or(0, |(idx, _)| idx);
        if let Some(place) = self.chunks.get_mut(oldest) {
            *place = chunk;
        }
        Ok(oldest)
    }

    /// Sees to it that the window holds the byte at `byte_offset`, and up to `wanted` bytes in all. Returns where in the
    /// window it is, and how many bytes from there on are held: at least one.
    pub(crate) fn load(
        &mut self,
        byte_offset: u64,
        wanted: u64,
    ) -> Result<(usize, usize), CacheError<D::Error>> {
        let to_usize = |n: u64| usize::try_from(n).unwrap_or(0);
        if let Some((begin, length)) = self.loaded
            && let Some(within) = byte_offset.checked_sub(begin)
            && within < length
        {
            return Ok((to_usize(within), to_usize(length - within)));
        }
        let block_bytes = u64::from(self.disk.block_bytes());
        let block = byte_offset / block_bytes;
        let head = byte_offset % block_bytes;
        let left = self.disk.blocks().saturating_sub(block);
        let room = u64::from(self.disk.window_bytes()) / block_bytes;
        let count = wanted
            .saturating_add(head)
            .div_ceil(block_bytes)
            .max(1)
            .min(left)
            .min(room);
        if count == 0 {
            return Err(CacheError::Outside);
        }
        self.loaded = None;
        self.disk
            .fetch(block, u32::try_from(count).unwrap_or(0))
            .map_err(CacheError::Device)?;
        self.loaded = Some((block * block_bytes, count * block_bytes));
        Ok((to_usize(head), to_usize(count * block_bytes - head)))
    }
}

impl<D: Disk> partition::BlockRead for Cache<D> {
    type Error = CacheError<D::Error>;

    fn block_bytes(&self) -> u32 {
        self.disk.block_bytes()
    }

    fn blocks(&self) -> u64 {
        self.disk.blocks()
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        let offset = lba
            .checked_mul(u64::from(self.disk.block_bytes()))
            .ok_or(CacheError::Outside)?;
        Cache::read(self, offset, buf)
    }
}

/// A part of a disk, as one volume sees it.
pub struct Part<'a, D> {
    /// The disk.
    pub cache: &'a mut Cache<D>,
    /// First byte of the part.
    pub first_byte: u64,
    /// Bytes of the part.
    pub bytes: u64,
}

impl<D: Disk> fat_format::Blocks for Part<'_, D> {
    type Error = CacheError<D::Error>;

    fn read(&mut self, byte_offset: u64, buf: &mut [u8]) -> Result<(), Self::Error> {
        let end = byte_offset.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.bytes) {
            return Err(CacheError::Outside);
        }
        let offset = self
            .first_byte
            .checked_add(byte_offset)
            .ok_or(CacheError::Outside)?;
        self.cache.read(offset, buf)
    }

    fn len_bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Image;

    #[test]
    fn what_comes_back_is_what_lies_there() {
        for block_bytes in [512, 4096] {
            let mut cache = Cache::new(Image::pattern(200 * 1024, block_bytes, 48 * 1024));
            for (offset, bytes) in [(0, 1), (511, 2), (32767, 2), (65536, 70000), (204_799, 1)] {
                let mut buf = alloc::vec![0; bytes];
                cache.read(offset, &mut buf).unwrap();
                let expected = &cache.disk.bytes[offset as usize..][..bytes];
                assert!(buf == expected, "{offset} {bytes}");
            }
            assert_eq!(cache.read(204_800, &mut [0]), Err(CacheError::Outside));
            assert_eq!(cache.read(204_799, &mut [0; 2]), Err(CacheError::Outside));
            assert_eq!(cache.read(u64::MAX, &mut [0; 2]), Err(CacheError::Outside));
        }
    }

    #[test]
    fn what_was_read_is_not_fetched_again_until_it_is_oldest() {
        let mut cache = Cache::new(Image::pattern(40 * 32 * 1024, 512, 128 * 1024));
        let mut byte = [0];
        cache.read(5, &mut byte).unwrap();
        let fetches = cache.disk.fetches;
        cache.read(30000, &mut byte).unwrap();
        assert_eq!(cache.disk.fetches, fetches);
        for chunk in 1..33 {
            cache.read(chunk * 32768, &mut byte).unwrap();
        }
        let fetches = cache.disk.fetches;
        cache.read(5, &mut byte).unwrap();
        assert_eq!(cache.disk.fetches, fetches + 1);
        assert_eq!(cache.chunks.len(), CHUNKS);
    }

    #[test]
    fn an_error_leaves_nothing_behind() {
        let mut cache = Cache::new(Image::pattern(65536, 512, 65536));
        cache.disk.fail_from = Some(0);
        assert_eq!(cache.read(0, &mut [0]), Err(CacheError::Device(7)));
        assert_eq!(cache.loaded, None);
        cache.disk.fail_from = None;
        let mut byte = [0];
        cache.read(3, &mut byte).unwrap();
        assert_eq!(byte[0], cache.disk.bytes[3]);
    }
}
