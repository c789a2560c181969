//! What is written takes no memory of its own once as many blocks were held as ever are: allocations are counted.

#![allow(unsafe_code, clippy::unwrap_used, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use volume_core::Blocks;
use volume_disk::{CLEAN_BLOCKS, Device, HELD_BLOCKS, VolumeDisk};
use volume_format::BLOCK;

const BLOCKS: u64 = 4096;

thread_local! {
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    TAKEN.with(|taken| taken.set(taken.get() + 1));
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those of this function.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, bytes) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The first byte of each block, and whether the next flush fails.
struct Plain(Vec<u8>, Cell<bool>);

impl Device for Plain {
    type Error = ();

    fn blocks(&self) -> u64 {
        BLOCKS
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), ()> {
        for (at, block) in (lba as usize..).zip(buf.chunks_mut(BLOCK)) {
            block.fill(self.0[at]);
        }
        Ok(())
    }

    fn write(&mut self, lba: u64, bytes: &[u8]) -> Result<(), ()> {
        for (at, block) in (lba as usize..).zip(bytes.chunks(BLOCK)) {
            self.0[at] = block[0];
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        if self.1.take() { Err(()) } else { Ok(()) }
    }

    fn epoch(&self) -> u64 {
        0
    }
}

#[test]
fn no_block_takes_memory_once_as_many_were_held_as_ever_are() {
    let device = Plain(vec![0; BLOCKS as usize], Cell::new(false));
    let mut disk = VolumeDisk::new(device).unwrap();
    let (mut block, mut seen) = (vec![0; BLOCK], vec![0; BLOCK]);
    for lba in 0..HELD_BLOCKS as u64 {
        disk.write(lba, &block).unwrap();
    }
    disk.flush().unwrap();
    let before = TAKEN.get();
    assert!(before >= (HELD_BLOCKS + CLEAN_BLOCKS) as u64, "it counts");
    for round in 1..=40_u64 {
        // Some runs, some blocks twice, in some rounds more than are held at a time.
        for at in 0..round * 31 {
            let lba = at * (round % 7 + 1) % BLOCKS;
            block.fill(round as u8);
            disk.write(lba, &block).unwrap();
            disk.read(lba, &mut seen).unwrap();
            assert_eq!(seen, block);
            disk.read((lba + 1000) % BLOCKS, &mut seen).unwrap();
        }
        disk.device().1.set(round % 8 == 0);
        assert_eq!(disk.flush().is_err(), round % 8 == 0);
        if round % 5 == 0 {
            disk.forget();
        }
    }
    assert_eq!(TAKEN.get() - before, 0);
}
