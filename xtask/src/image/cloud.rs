//! Packages for clouds: the raw disk in the form each provider imports, checked by a tool that did not make it.
//!
//! Invariant: never leaves a package that its check refused, and never talks to a cloud.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};

use crate::image::contents::Contents;
use crate::image::{disk, tarball, vhd};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
/// The name Google's import demands inside the archive.
const GCP_NAME: &str = "disk.raw";

/// Whose import takes the package.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Provider {
    /// Google: `disk.raw` in a tar archive with gzip.
    Gcp,
    /// Amazon: a raw disk and a stream-optimised VMDK.
    Aws,
    /// Microsoft: a fixed VHD.
    Azure,
    /// Anybody's QEMU: qcow2.
    Generic,
}

impl Provider {
    /// Its name in paths and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gcp => "gcp",
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Generic => "generic",
        }
    }

    /// What it may leave in its folder, should it fail.
    fn file_names(self) -> &'static [&'static str] {
        match self {
            Self::Gcp => &["disk.raw", "capos-gcp.tar.gz"],
            Self::Aws => &["disk.raw", "capos-aws.raw", "capos-aws.vmdk"],
            Self::Azure => &["disk.raw", "capos-azure.vhd"],
            Self::Generic => &["disk.raw", "capos.qcow2"],
        }
    }

    /// A disk's size is a multiple of this.
    fn round_bytes(self) -> u64 {
        match self {
            Self::Gcp | Self::Aws => GIB,
            Self::Azure | Self::Generic => MIB,
        }
    }
}

/// Writes the package into the folder `dir`, checks it, and gives the files to import.
pub fn write(dir: &Path, provider: Provider, contents: &Contents) -> Result<Vec<PathBuf>> {
    let made = make(dir, provider, contents);
    if made.is_err() {
        for name in provider.file_names() {
            let _ = fs::remove_file(dir.join(name));
        }
    }
    made
}

fn make(dir: &Path, provider: Provider, contents: &Contents) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let raw = dir.join("disk.raw");
    disk::write_rounded(&raw, contents, provider.round_bytes())?;
    let bar = bar(provider);
    let files = match provider {
        Provider::Gcp => {
            let package = dir.join("capos-gcp.tar.gz");
            tarball::write(&raw, GCP_NAME, &package, &bar)?;
            check_tar(&package, &raw)?;
            fs::remove_file(&raw)?;
            vec![package]
        }
        Provider::Aws => {
            let package = dir.join("capos-aws.vmdk");
            convert(&raw, &package, "vmdk", &["-o", "subformat=streamOptimized"])?;
            check_image(&package, "vmdk", &raw)?;
            let kept = dir.join("capos-aws.raw");
            fs::rename(&raw, &kept)?;
            vec![kept, package]
        }
        Provider::Azure => {
            let package = dir.join("capos-azure.vhd");
            copy_sparse(&raw, &package)?;
            let mut file = File::options().write(true).open(&package)?;
            let bytes = file.seek(SeekFrom::End(0))?;
            let digest = contents.digest();
            let identifier = digest.first_chunk().context("a digest is longer")?;
            file.write_all(&vhd::footer(bytes, identifier))?;
            check_image(&package, "vpc", &raw)?;
            fs::remove_file(&raw)?;
            vec![package]
        }
        Provider::Generic => {
            let package = dir.join("capos.qcow2");
            convert(&raw, &package, "qcow2", &[])?;
            check_image(&package, "qcow2", &raw)?;
            fs::remove_file(&raw)?;
            vec![package]
        }
    };
    bar.finish_and_clear();
    Ok(files)
}

/// Gives the raw disk of a package back, at `to`.
pub fn unpack(package: &Path, provider: Provider, to: &Path) -> Result<()> {
    let format = match provider {
        Provider::Gcp => {
            let dir = to.parent().context("a disk has a folder")?;
            run(Command::new("tar")
                .args(["--extract", "--gzip", "--sparse", "--file"])
                .arg(package)
                .arg("--directory")
                .arg(dir)
                .arg(GCP_NAME))?;
            let unpacked = dir.join(GCP_NAME);
            if unpacked != to {
                fs::rename(unpacked, to)?;
            }
            return Ok(());
        }
        Provider::Aws => "vmdk",
        Provider::Azure => "vpc",
        Provider::Generic => "qcow2",
    };
    run(Command::new("qemu-img")
        .args(["convert", "-f", format, "-O", "raw"])
        .arg(package)
        .arg(to))
    .map(drop)
}

/// The digest of a file, as people compare it.
pub fn sha256(path: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut file = File::open(path)?;
    let mut buffer = vec![0; MIB as usize];
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => break,
            len => hash.update(buffer.get(..len).unwrap_or_default()),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

fn bar(provider: Provider) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_message(format!("package for {}", provider.name()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Lists the archive with `tar`, unpacks it again, and compares every byte.
fn check_tar(package: &Path, raw: &Path) -> Result<()> {
    let listed = run(Command::new("tar")
        .args(["--list", "--gzip", "--file"])
        .arg(package))?;
    ensure!(
        listed.trim() == GCP_NAME,
        "the archive holds {listed:?} instead of {GCP_NAME} alone"
    );
    let folder = tempfile::tempdir_in(package.parent().context("a package has a folder")?)?;
    let back = folder.path().join(GCP_NAME);
    unpack(package, Provider::Gcp, &back)?;
    // The comparison would take a shorter file that is zero where the other goes on.
    let (bytes, wanted) = (back.metadata()?.len(), raw.metadata()?.len());
    ensure!(
        bytes == wanted,
        "tar unpacks {bytes} bytes instead of {wanted}"
    );
    compare(&back, "raw", raw)
}

/// Has `qemu-img` read the package: what it is, whether it is sound, and that it is the same disk.
fn check_image(package: &Path, format: &str, raw: &Path) -> Result<()> {
    let told = run(Command::new("qemu-img")
        .args(["info", "--output=json", "-f", format])
        .arg(package))?;
    let told: serde_json::Value = serde_json::from_str(&told)?;
    let size = told.get("virtual-size").and_then(serde_json::Value::as_u64);
    let wanted = raw.metadata()?.len();
    ensure!(
        size == Some(wanted),
        "qemu-img takes {} for a disk of {size:?} bytes instead of {wanted}",
        package.display()
    );
    // Fixed VHDs have nothing that could be checked beside that.
    if format != "vpc" {
        run(Command::new("qemu-img")
            .args(["check", "-f", format])
            .arg(package))?;
    }
    compare(package, format, raw)
}

fn compare(image: &Path, format: &str, raw: &Path) -> Result<()> {
    run(Command::new("qemu-img")
        .args(["compare", "-f", format, "-F", "raw"])
        .arg(image)
        .arg(raw))
    .with_context(|| format!("{} is not the disk it was made of", image.display()))
    .map(drop)
}

fn convert(raw: &Path, to: &Path, format: &str, more: &[&str]) -> Result<()> {
    run(Command::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", format])
        .args(more)
        .arg(raw)
        .arg(to))
    .map(drop)
}

fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("--sparse=always").arg(from).arg(to)).map(drop)
}

fn run(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        bail!("{name} failed: {} {}", out.trim(), err.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
