//! Images: the uploaded object becomes a disk.
//!
//! Source: "Manually import boot disks" in Compute Engine's documentation: a gzipped tar archive in the old GNU format, with one
//! file `disk.raw`, whose size is a whole number of GiB.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use serde_json::json;

use super::things::Thing;
use super::{Made, missing};
use crate::bytes::broken;
use crate::fault::Fault;
use crate::params::{Params, Refusal};
use crate::state::Cloud;

const GIB: u64 = 1 << 30;
const NAME: &str = "disk.raw";
/// What the provider says of an archive that is none of its kind.
const INVALID: &str = "The tar archive is not a valid image.";
/// The features that this server knows of.
const FEATURES: [&str; 3] = ["UEFI_COMPATIBLE", "GVNIC", "VIRTIO_SCSI_MULTIQUEUE"];

/// A new one, out of an object.
pub fn insert(params: &Params, cloud: &mut Cloud) -> Result<Made, Refusal> {
    params.only("architecture", "X86_64")?;
    params.only("sourceType", "RAW")?;
    for feature in params.entries("guestOsFeatures") {
        let feature = params.need(&format!("{feature}type"))?;
        if !FEATURES.contains(&feature) {
            return Err(Refusal::new(
                "invalid",
                format!("Invalid value for field 'resource.guestOsFeatures': '{feature}'"),
            ));
        }
    }
    params.under("labels.");
    let source = params.need("rawDisk.source")?.to_owned();
    params.finish()?;
    let object = super::storage::find(cloud, &source).ok_or_else(|| missing(&source))?;
    let (from, bytes) = (object.path.clone(), object.bytes);
    match cloud.fault {
        Some(Fault::FailedImport) => return Ok(Made::Failed("INVALID_IMAGE", INVALID.to_owned())),
        Some(Fault::Slow) => {
            let told = json!({"status": "PENDING", "diskSizeGb": "0"});
            return Ok(Made::Begun(Thing { told, file: None }));
        }
        _ => {}
    }
    let id = cloud.identifier("image");
    let folder = cloud.dir.join(id);
    fs::create_dir_all(&folder).map_err(broken)?;
    match unpack(&from, &folder) {
        Ok((file, gib)) => {
            let told = json!({
                "status": "READY",
                "diskSizeGb": gib.to_string(),
                "archiveSizeBytes": bytes.to_string(),
            });
            let file = Some(file);
            Ok(Made::Done(Thing { told, file }))
        }
        Err(why) => {
            let _ = fs::remove_dir_all(&folder);
            Ok(Made::Failed("INVALID_IMAGE", format!("{INVALID} ({why})")))
        }
    }
}

/// Unpacks an archive; a sentence where it is not as it must be.
fn unpack(archive: &Path, folder: &Path) -> Result<(PathBuf, u64), String> {
    let said = |error: std::io::Error| error.to_string();
    let mut header = [0; 512];
    GzDecoder::new(File::open(archive).map_err(said)?)
        .read_exact(&mut header)
        .map_err(said)?;
    check_header(&header)?;
    let output = Command::new("tar")
        .args(["--extract", "--gzip", "--sparse", "--file"])
        .arg(archive)
        .arg("--directory")
        .args([folder, Path::new(NAME)])
        .output()
        .map_err(said)?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let file = folder.join(NAME);
    let bytes = file.metadata().map_err(said)?.len();
    match bytes.is_multiple_of(GIB) && bytes > 0 {
        true => Ok((file, bytes / GIB)),
        false => Err(format!("{bytes} bytes are no whole GiB")),
    }
}

/// The first header of the archive: the name of the file, its kind and the format ("Basic Tar Format" in GNU tar's manual).
fn check_header(header: &[u8; 512]) -> Result<(), String> {
    let name: Vec<u8> = header
        .iter()
        .copied()
        .take(100)
        .take_while(|byte| *byte != 0)
        .collect();
    if name != NAME.as_bytes() {
        return Err(format!(
            "the first file is {}",
            String::from_utf8_lossy(&name)
        ));
    }
    if !matches!(header[156], b'0' | 0 | b'S') {
        return Err(format!("{NAME} is no file"));
    }
    match header[257..].starts_with(b"ustar  \0") {
        true => Ok(()),
        false => Err("the format is not the old GNU one".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::check_header;

    #[test]
    fn the_archive_has_one_name_and_one_format() {
        let mut good = [0; 512];
        good[..8].copy_from_slice(b"disk.raw");
        good[156] = b'S';
        good[257..265].copy_from_slice(b"ustar  \0");
        assert_eq!(check_header(&good), Ok(()));
        for at in [0, 7, 156, 257, 262, 263] {
            let mut bad = good;
            bad[at] = b'5';
            assert!(check_header(&bad).is_err(), "{at}");
        }
        let mut longer = good;
        longer[8] = b'2';
        assert!(check_header(&longer).is_err());
    }
}
