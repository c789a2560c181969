//! Whether the files the loader uses itself are the ones that were packed.

use package_sums::Sums;

use crate::error::Error;
use crate::{CHECKSUMS_PATH, KERNEL_PATH, MANIFEST_PATH};

/// Compares kernel and manifest with the package's list of checksums. Programs are the kernel's to compare, before it starts
/// them.
///
/// # Errors
/// The list is missing or damaged, or one of the two is.
pub fn check_files(list: Option<&[u8]>, kernel: &[u8], manifest: &[u8]) -> Result<(), Error> {
    let list = list.ok_or(Error::MissingFile(CHECKSUMS_PATH))?;
    let sums = Sums::parse(list).map_err(|damage| Error::Damaged(CHECKSUMS_PATH, damage))?;
    for (path, bytes) in [(KERNEL_PATH, kernel), (MANIFEST_PATH, manifest)] {
        sums.check(path, bytes)
            .map_err(|damage| Error::Damaged(path, damage))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use super::check_files;

    #[test]
    fn damage_is_named_by_its_file() {
        let mut list = String::new();
        let files: [(&str, &[u8]); 2] = [
            ("boot/kernel.elf", b"kernel"),
            ("boot/manifest.bin", b"names"),
        ];
        package_sums::write(&mut list, files.into_iter()).unwrap();
        let list = list.as_bytes();
        let text = |list, kernel, manifest| {
            check_files(list, kernel, manifest).map_err(|error| error.to_string())
        };
        assert_eq!(text(Some(list), b"kernel", b"names"), Ok(()));
        let refused = |result: Result<(), String>, start: &str| {
            let why = result.unwrap_err();
            assert!(why.starts_with(start), "{why}");
        };
        refused(
            text(Some(list), b"Kernel", b"names"),
            "/boot/kernel.elf is damaged",
        );
        refused(
            text(Some(list), b"kernel", b"name"),
            "/boot/manifest.bin is damaged",
        );
        refused(
            text(Some(&list[1..]), b"kernel", b"names"),
            "/boot/checksums is damaged",
        );
        refused(
            text(None, b"kernel", b"names"),
            "the boot package has no boot/checksums",
        );
    }
}
