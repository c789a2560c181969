//! What a boot package holds.

use elf_image::{Access, Image};
use newc::Archive;

const WINDOW_END: u64 = 1 << 47;

/// The input is an executable.
pub fn elf(data: &[u8]) -> bool {
    let Ok(image) = Image::parse(data, 0x1000..WINDOW_END) else {
        return false;
    };
    let mut entered = false;
    let mut last_end = 0;
    for segment in image.segments() {
        let end = segment.vaddr.checked_add(segment.memsz);
        let end = end.filter(|end| *end <= WINDOW_END);
        let end = end.expect("a segment lies inside the window");
        assert!(segment.vaddr >= last_end, "segments do not overlap");
        last_end = end;
        assert!(image.bytes(segment).len() as u64 <= segment.memsz);
        if segment.access == Access::ReadExecute {
            entered |= (segment.vaddr..end).contains(&image.entry());
        }
    }
    assert!(entered, "the entry point is executable");
    assert!(image.span().end <= WINDOW_END);
    true
}

/// The input is an archive.
pub fn newc(data: &[u8]) -> bool {
    let archive = Archive::new(data);
    let inside = data.as_ptr_range();
    let mut entries = 0;
    for entry in archive.entries().flatten() {
        entries += 1;
        let range = entry.data.as_ptr_range();
        assert!(entry.data.is_empty() || inside.start <= range.start && range.end <= inside.end);
    }
    assert!(entries <= data.len(), "each entry takes bytes");
    let _ = archive.find("boot/manifest.bin");
    entries > 0
}

/// The input is a framed manifest.
pub fn manifest(data: &[u8]) -> bool {
    if let Ok(manifest) = manifest::read(data) {
        let names: Vec<&str> = manifest
            .services
            .iter()
            .map(|service| service.name.as_str())
            .collect();
        assert!(!names.is_empty() || manifest.services.is_empty());
    }
    let images: [&str; 1] = ["hello"];
    let _ = manifest::check(data, &images);
    manifest::read(data).is_ok()
}
