//! The disk behind a small cache.

use alloc::vec::Vec;

use foreign_bytes::Blocks;

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
    /// Whether an error may concern some of the blocks only, so that others beside them are worth a try.
    fn is_local(error: &Self::Error) -> bool;
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
    /// Writes zeroes to a client, of a range that was checked as well.
    fn zero_to(&self, target: &mut Self::Target, target_offset: usize, bytes: usize);
}

/// Bytes of a chunk of metadata.
const CHUNK_BYTES: u32 = 32 * 1024;
/// Chunks that are kept: 1 MiB.
const CHUNKS: usize = 32;

/// Bytes that one bit of [`Chunk::bad`] stands for: the smallest block.
const PIECE_BYTES: usize = CHUNK_BYTES as usize / u64::BITS as usize;

struct Chunk<E> {
    number: u64,
    bytes: Vec<u8>,
    used: u64,
    /// Pieces that the device could not read.
    bad: u64,
    /// The last error about one of them.
    fault: Option<E>,
}

impl<E: Copy> Chunk<E> {
    /// The error about `count` bytes at `within`, if one of their pieces could not be read.
    fn fault_in(&self, within: usize, count: usize) -> Option<E> {
        let pieces = within / PIECE_BYTES..(within + count).div_ceil(PIECE_BYTES);
        let mask = pieces.fold(0, |mask, piece| mask | 1u64.unbounded_shl(piece as u32));
        self.fault.filter(|_| self.bad & mask != 0)
    }
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
pub struct Cache<D: Disk> {
    disk: D,
    chunks: Vec<Chunk<D::Error>>,
    now: u64,
    /// First byte and length of what the window holds.
    loaded: Option<(u64, u64)>,
    /// The most blocks of the next fetch: halved by each that fails, doubled by each that does not.
    most: u64,
}

impl<D: Disk> Cache<D> {
    /// Puts an empty cache before `disk`.
    pub const fn new(disk: D) -> Self {
        Self {
            disk,
            chunks: Vec::new(),
            now: 0,
            loaded: None,
            most: u64::MAX,
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

    /// Reads of metadata so far.
    #[cfg(test)]
    pub(crate) const fn reads_for_test(&self) -> u64 {
        self.now
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
            let fault = self.chunks.get(idx).and_then(|c| c.fault_in(within, count));
            if let Some(fault) = fault {
                // The next one who needs it makes the device try again.
                self.chunks.swap_remove(idx);
                return Err(CacheError::Device(fault));
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
        let chunk = self.read_chunk(number, begin, length)?;
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

    /// Reads a chunk. Blocks that the device cannot read are noted in it and keep nobody from the others.
    fn read_chunk(
        &mut self,
        number: u64,
        begin: u64,
        length: u64,
    ) -> Result<Chunk<D::Error>, CacheError<D::Error>> {
        let mut chunk = Chunk {
            number,
            bytes: alloc::vec![0; length as usize],
            used: self.now,
            bad: 0,
            fault: None,
        };
        let block_bytes = self.disk.block_bytes() as usize;
        let mut done = 0;
        while let Some(rest) = chunk.bytes.get_mut(done..).filter(|r| !r.is_empty()) {
            match self.load(begin + done as u64, rest.len() as u64) {
                Ok((window_offset, held)) => {
                    let count = rest.len().min(held);
                    self.disk
                        .copy_out(window_offset, rest.get_mut(..count).unwrap_or_default());
                    done += count;
                }
                Err(CacheError::Device(error)) if D::is_local(&error) => {
                    for piece in done / PIECE_BYTES..(done + block_bytes) / PIECE_BYTES {
                        chunk.bad |= 1u64.unbounded_shl(piece as u32);
                    }
                    chunk.fault = Some(error);
                    done += block_bytes;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(chunk)
    }

    /// Sees to it that the window holds the byte at `byte_offset`, and up to `wanted` bytes in all. Returns where in the
    /// window it is, and how many bytes from there on are held: at least one. Where the device cannot read so much, it is
    /// asked for less, down to the one block that the byte lies in.
    ///
    /// # Errors
    /// [`CacheError`]; a local one of the device's is about that block.
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
        let wanted = wanted.saturating_add(head).div_ceil(block_bytes).max(1);
        let wanted = wanted.min(left).min(room);
        if wanted == 0 {
            return Err(CacheError::Outside);
        }
        self.loaded = None;
        loop {
            let count = wanted.min(self.most);
            match self.disk.fetch(block, u32::try_from(count).unwrap_or(0)) {
                Ok(()) => {
                    self.most = self.most.saturating_mul(2);
                    self.loaded = Some((block * block_bytes, count * block_bytes));
                    return Ok((to_usize(head), to_usize(count * block_bytes - head)));
                }
                Err(error) if count > 1 && D::is_local(&error) => self.most = count / 2,
                Err(error) => return Err(CacheError::Device(error)),
            }
        }
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
pub struct Part<'a, D: Disk> {
    /// The disk.
    pub cache: &'a mut Cache<D>,
    /// First byte of the part.
    pub first_byte: u64,
    /// Bytes of the part.
    pub bytes: u64,
}

impl<D: Disk> Blocks for Part<'_, D> {
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
    fn an_unreadable_block_takes_no_other_with_it() {
        for block_bytes in [512, 4096] {
            let mut disk = Image::pattern(256 * 1024, block_bytes, 128 * 1024);
            let block = u64::from(block_bytes);
            disk.bad = alloc::vec![1, 9, 11, 12];
            let mut cache = Cache::new(disk);
            for number in 0..(65536 / block) {
                let bad = [1, 9, 11, 12].contains(&number);
                for at in [number * block, (number + 1) * block - 1] {
                    let mut byte = [0];
                    let got = cache.read(at, &mut byte).map(|()| byte[0]);
                    let good = Ok(cache.disk.bytes[at as usize]);
                    let expected = if bad {
                        Err(CacheError::Device(7))
                    } else {
                        good
                    };
                    assert_eq!(got, expected, "byte {at} of blocks of {block}");
                }
            }
            let over = [0, 8, 10]
                .map(|from| cache.read(from * block + 1, &mut alloc::vec![0; block as usize]));
            assert_eq!(over, [Err(CacheError::Device(7)); 3]);
            // What was bad is tried again, and good once it is.
            cache.disk.bad.clear();
            assert_eq!(cache.read(block, &mut [0]), Ok(()));
        }
    }

    #[test]
    fn a_dead_disk_is_not_asked_for_ever() {
        let mut disk = Image::pattern(1 << 20, 512, 128 * 1024);
        disk.fail_from = Some(0);
        let mut cache = Cache::new(disk);
        assert!(cache.read(40_000, &mut [0; 512]).is_err());
        assert!(cache.disk.fetches <= 64 + 7, "{}", cache.disk.fetches);
    }

    #[test]
    fn large_fetches_come_back_after_an_unreadable_block() {
        let mut disk = Image::pattern(4 << 20, 512, 128 * 1024);
        disk.bad = alloc::vec![100];
        let mut cache = Cache::new(disk);
        for chunk in 0..10 {
            cache.read(chunk * 32768, &mut [0]).unwrap();
        }
        let fetches = cache.disk.fetches;
        for chunk in 20..30 {
            cache.read(chunk * 32768, &mut [0]).unwrap();
        }
        assert_eq!(cache.disk.fetches - fetches, 10);
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
