//! File data, from the disk's window to a client's.

use crate::{Cache, CacheError, Disk, Fault, Mounted, Node, Volume};

/// A file that a client has open.
pub struct OpenFile {
    cursor: Cursor,
    /// Where a client that reads on would read next.
    next: u64,
    /// Its entry when it was opened.
    pub node: Node,
}

/// What was learnt about where its bytes lie. The largest is the commonest; it is moved once, when the file is opened.
#[allow(clippy::large_enum_variant)]
enum Cursor {
    Fat(fat_format::FileCursor),
    Ext(ext_format::FileCursor),
    Exfat(exfat_format::FileCursor),
}

/// Consecutive bytes of a file.
enum Run {
    /// That lie on the volume from this byte on.
    Stored(u64, u64),
    /// That are zeroes and lie nowhere.
    Zeroes(u64),
}

impl OpenFile {
    /// Opens the file of `node`.
    ///
    /// # Errors
    /// The volume's: it is a directory, or nothing that could be read.
    pub fn new<E>(node: Node) -> Result<Self, Fault<E>> {
        let cursor = match &node {
            Node::Fat(node) => fat_format::FileCursor::new(node)
                .map(Cursor::Fat)
                .map_err(Fault::Fat),
            Node::Ext(inode) => ext_format::FileCursor::new(inode)
                .map(Cursor::Ext)
                .map_err(Fault::Ext),
            Node::Exfat(node) => exfat_format::FileCursor::new(node)
                .map(Cursor::Exfat)
                .map_err(Fault::Exfat),
        }?;
        Ok(Self {
            cursor,
            next: 0,
            node,
        })
    }

    /// The bytes from `at` on, as far as they lie together; `None` at the end.
    fn run<D: Disk>(
        &mut self,
        cache: &mut Cache<D>,
        mounted: &Mounted,
        at: u64,
        most: u64,
    ) -> Result<Option<Run>, Fault<D::Error>> {
        let mut part = mounted.part(cache);
        match (&mut self.cursor, &mounted.volume) {
            (Cursor::Fat(cursor), Volume::Fat(volume)) => {
                cursor.seek(at);
                let run = cursor
                    .next_run(volume, &mut part, most)
                    .map_err(Fault::Fat)?;
                Ok(run.map(|run| Run::Stored(run.byte_offset, run.len)))
            }
            (Cursor::Ext(cursor), Volume::Ext(volume)) => {
                cursor.seek(at);
                let run = cursor
                    .next_run(volume, &mut part, most)
                    .map_err(Fault::Ext)?;
                Ok(run.map(|run| match run {
                    ext_format::Run::Stored { byte_offset, len } => Run::Stored(byte_offset, len),
                    ext_format::Run::Zeroes { len } => Run::Zeroes(len),
                }))
            }
            (Cursor::Exfat(cursor), Volume::Exfat(volume)) => {
                cursor.seek(at);
                let run = cursor
                    .next_run(volume, &mut part, most)
                    .map_err(Fault::Exfat)?;
                Ok(run.map(|run| match run {
                    exfat_format::Run::Stored { byte_offset, len } => Run::Stored(byte_offset, len),
                    exfat_format::Run::Zeroes { len } => Run::Zeroes(len),
                }))
            }
            _ => Err(Fault::Mixed),
        }
    }
}

/// Writes up to `length` bytes of a file, from `offset` on, to `target` at `target_offset`. The caller has checked that
/// they fit there. Returns how many; 0 only at the end of the file.
///
/// A client that reads on where it stopped gets the blocks behind in the same fetch, as far as the window reaches.
///
/// # Errors
/// The volume's, if there is not one good byte before it.
pub fn read_file<D: Disk>(
    cache: &mut Cache<D>,
    mounted: &Mounted,
    file: &mut OpenFile,
    offset: u64,
    length: u32,
    target: &mut D::Target,
    target_offset: usize,
) -> Result<u32, Fault<D::Error>> {
    let window_bytes = u64::from(cache.disk().window_bytes());
    let mut done = 0;
    while done < length {
        let at = offset.saturating_add(u64::from(done));
        let wanted = u64::from(length - done);
        let ahead = if at == file.next {
            wanted.max(window_bytes)
        } else {
            wanted
        };
        let to = target_offset.saturating_add(done as usize);
        let step = match file.run(cache, mounted, at, ahead.min(window_bytes)) {
            Ok(None) => break,
            Ok(Some(Run::Zeroes(len))) => {
                let count = len.min(wanted);
                cache.disk().zero_to(target, to, count as usize);
                Ok(count)
            }
            Ok(Some(Run::Stored(byte_offset, len))) => {
                copy(cache, mounted, byte_offset, len, wanted, target, to)
            }
            Err(error) => Err(error),
        };
        match step {
            // The count is at most `length`.
            Ok(count) => done = done.saturating_add(count as u32),
            // The client meets the error when it reads on.
            Err(_) if done > 0 => break,
            Err(error) => return Err(error),
        }
        file.next = offset.saturating_add(u64::from(done));
    }
    Ok(done)
}

/// Loads `len` bytes of a volume, and copies what of them is there and wanted. Returns how many.
fn copy<D: Disk>(
    cache: &mut Cache<D>,
    mounted: &Mounted,
    byte_offset: u64,
    len: u64,
    wanted: u64,
    target: &mut D::Target,
    to: usize,
) -> Result<u64, Fault<D::Error>> {
    let place = mounted.first_byte.checked_add(byte_offset);
    let place = place.ok_or(Fault::Data(CacheError::Outside))?;
    let (window_offset, held) = cache.load(place, len).map_err(Fault::Data)?;
    let count = len.min(wanted).min(held as u64);
    cache
        .disk()
        .copy_to(window_offset, target, to, count as usize);
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Image, fat_image, mounted, noise};
    use alloc::vec::Vec;

    fn open(disk: Image, name: &str) -> (Cache<Image>, Mounted, OpenFile) {
        let mut cache = Cache::new(disk);
        let mounted = mounted(&mut cache);
        let root = mounted.fat().root();
        let node = mounted
            .fat()
            .resolve(&mut mounted.part(&mut cache), &root, name)
            .unwrap();
        let file = OpenFile::new::<()>(Node::Fat(node)).unwrap();
        (cache, mounted, file)
    }

    #[test]
    fn every_request_size_gives_the_same_bytes() {
        let data = noise(300_001);
        let image = fat_image(&[("first.bin", &noise(5000)), ("data.bin", &data)]);
        for (window, request) in [
            (512, 4096),
            (128 * 1024, 131_072),
            (128 * 1024, 4096),
            (48 * 1024, 299_999),
        ] {
            let mut disk = Image::new(image.clone(), 512);
            disk.window_bytes = window;
            let (mut cache, mounted, mut file) = open(disk, "data.bin");
            let mut got = Vec::new();
            loop {
                let mut target = alloc::vec![0; request + 3];
                let count = read_file(
                    &mut cache,
                    &mounted,
                    &mut file,
                    got.len() as u64,
                    request as u32,
                    &mut target,
                    3,
                )
                .unwrap();
                if count == 0 {
                    break;
                }
                got.extend_from_slice(&target[3..3 + count as usize]);
            }
            assert!(got == data, "window {window}, request {request}");
        }
    }

    #[test]
    fn a_stream_of_small_reads_is_fetched_in_large_pieces() {
        let data = noise(256 * 1024);
        let mut disk = Image::new(fat_image(&[("data.bin", &data)]), 512);
        disk.window_bytes = 128 * 1024;
        let (mut cache, mounted, mut file) = open(disk, "data.bin");
        let before = cache.disk().fetches;
        let mut target = alloc::vec![0; 4096];
        for offset in (0..data.len() as u64).step_by(4096) {
            assert_eq!(
                read_file(
                    &mut cache,
                    &mounted,
                    &mut file,
                    offset,
                    4096,
                    &mut target,
                    0
                )
                .unwrap(),
                4096
            );
            assert!(target == data[offset as usize..][..4096]);
        }
        assert!(
            cache.disk().fetches - before <= 4,
            "{}",
            cache.disk().fetches - before
        );
    }

    #[test]
    fn an_error_comes_after_the_good_bytes() {
        let data = noise(200_000);
        let mut disk = Image::new(fat_image(&[("data.bin", &data)]), 512);
        disk.window_bytes = 16 * 1024;
        let (mut cache, mounted, mut file) = open(disk, "data.bin");
        let mut target = alloc::vec![0; 200_000];
        assert_eq!(
            read_file(&mut cache, &mounted, &mut file, 0, 10, &mut target, 0).unwrap(),
            10
        );
        let bad = cache.loaded_end();
        cache.disk_mut().fail_from = Some(bad / 512);
        let count = read_file(&mut cache, &mounted, &mut file, 0, 200_000, &mut target, 0).unwrap();
        assert!((1..200_000).contains(&count));
        assert!(target[..count as usize] == data[..count as usize]);
        assert!(
            read_file(
                &mut cache,
                &mounted,
                &mut file,
                u64::from(count),
                10,
                &mut target,
                0
            )
            .is_err()
        );
        cache.disk_mut().fail_from = None;
        assert_eq!(
            read_file(
                &mut cache,
                &mounted,
                &mut file,
                u64::from(count),
                10,
                &mut target,
                0
            )
            .unwrap(),
            10
        );
        assert_eq!(
            read_file(&mut cache, &mounted, &mut file, 200_000, 10, &mut target, 0).unwrap(),
            0
        );
        assert_eq!(
            read_file(
                &mut cache,
                &mounted,
                &mut file,
                u64::MAX,
                10,
                &mut target,
                0
            )
            .unwrap(),
            0
        );
    }
}
