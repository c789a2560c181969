//! What the FAT service would say of disk images, without a guest: `cargo run -p fat-core --example survey -- IMAGE...`
//!
//! `--blocks BYTES` before an image says how large the disk's blocks are. Invariant: never writes to an image.

use std::fs::File;
use std::os::unix::fs::FileExt;

use fat_core::{Cache, Disk, Place, survey};

struct Image {
    file: File,
    block_bytes: u32,
    blocks: u64,
    window: Vec<u8>,
}

impl Disk for Image {
    type Error = &'static str;
    type Target = ();

    fn block_bytes(&self) -> u32 {
        self.block_bytes
    }

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn window_bytes(&self) -> u32 {
        64 * 1024
    }

    fn is_local(_: &&'static str) -> bool {
        true
    }

    fn fetch(&mut self, block: u64, blocks: u32) -> Result<(), &'static str> {
        let bytes = blocks as usize * self.block_bytes as usize;
        self.window.resize(bytes, 0);
        self.file
            .read_exact_at(&mut self.window, block * u64::from(self.block_bytes))
            .map_err(|_| "the image cannot be read there")
    }

    fn copy_out(&self, window_offset: usize, to: &mut [u8]) {
        to.copy_from_slice(&self.window[window_offset..][..to.len()]);
    }

    fn copy_to(&self, _: usize, _: &mut (), _: usize, _: usize) {}

    fn zero_to(&self, (): &mut (), _: usize, _: usize) {}
}

fn main() -> std::io::Result<()> {
    let mut block_bytes = 512;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--blocks" {
            let bytes = arguments.next().and_then(|word| word.parse().ok());
            block_bytes = bytes.unwrap_or(block_bytes);
            continue;
        }
        println!("{argument}:");
        let file = File::open(&argument)?;
        let blocks = file.metadata()?.len() / u64::from(block_bytes);
        look(Image {
            file,
            block_bytes,
            blocks,
            window: Vec::new(),
        });
    }
    Ok(())
}

fn look(image: Image) {
    let mut cache = Cache::new(image);
    let found = match survey(&mut cache) {
        Ok(found) => found,
        Err(error) => return println!("  no volume: {error}"),
    };
    for (index, place) in found.places.iter().enumerate() {
        let main = if found.main == Some(index) {
            " (main)"
        } else {
            ""
        };
        print!("  {}{main}: {} bytes", place.number, place.bytes);
        if place.missing > 0 {
            print!(", {} missing", place.missing);
        }
        println!(", {:?}, {:?}", place.kind, place.label);
        tell(place);
    }
    for refused in &found.refused {
        println!("  {} refused: {}", refused.number, refused.fault);
    }
    if found.main.is_none() {
        println!("  no volume: {}", found.problem());
    }
    let notes = (found.omitted, found.gpt_fault, found.besides);
    println!("  {notes:?} {:?}", found.table_block_bytes);
}

fn tell(place: &Place<&'static str>) {
    match &place.content {
        Err(error) => println!("    {error}"),
        Ok(mounted) => println!(
            "    {} {:?}",
            mounted.volume.format(),
            mounted.volume.label()
        ),
    }
}
