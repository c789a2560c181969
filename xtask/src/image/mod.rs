//! `cargo xtask image`: boot media as files, for other machines and for clouds.
//!
//! Invariant: never needs rights beyond writing its output, and gives the same bytes for the same inputs.

pub mod contents;
pub mod disk;
mod fat;
pub mod grub;
pub mod iso;
pub mod limine;
mod names;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::image::contents::{Contents, Loader};
use crate::package::Guest;
use crate::project::Project;
use crate::toolchain::Toolchain;

/// What `cargo xtask image` takes.
#[derive(Args, Debug)]
pub struct ImageArgs {
    #[command(subcommand)]
    kind: ImageKind,
}

#[derive(Subcommand, Debug)]
enum ImageKind {
    /// A raw disk with a GPT, bootable by BIOS and UEFI
    Disk(MediumArgs),
    /// A hybrid ISO 9660 image: a CD and a USB stick, bootable by BIOS and UEFI
    Iso(MediumArgs),
}

/// What is on a medium, and where it is written.
#[derive(Args, Debug)]
struct MediumArgs {
    /// The file to write; without it, one in the target folder
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    #[command(flatten)]
    system: SystemArgs,
}

/// What system an image boots.
#[derive(Args, Debug)]
pub struct SystemArgs {
    /// The system to boot, a file in manifests/ without its ending
    #[arg(long, default_value = "default")]
    manifest: String,
    /// More words for the kernel's command line
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,
    /// Which loader the image carries
    #[arg(long, value_enum, default_value_t)]
    loader: Loader,
}

/// A kind of boot medium.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Shape {
    /// A raw disk.
    Disk,
    /// A hybrid ISO 9660 image.
    Iso,
}

impl Shape {
    /// Writes a medium of this shape to `path`.
    pub fn write(self, path: &std::path::Path, contents: &Contents) -> Result<()> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        match self {
            Self::Disk => disk::write(path, contents),
            Self::Iso => iso::write(path, contents),
        }
    }

    /// The file ending.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Disk => "img",
            Self::Iso => "iso",
        }
    }
}

impl SystemArgs {
    /// What the image holds. The shell is for a person at a serial line, so facts stay off it.
    fn contents(&self, guest: &Guest<'_>) -> Result<Contents> {
        let cmdline = format!("log=quiet {}", self.append);
        Contents::of(guest, &self.manifest, cmdline.trim(), self.loader)
    }
}

/// Makes what `args` name and says where it is.
pub fn run(project: &Project, toolchain: &Toolchain, args: &ImageArgs) -> Result<()> {
    let (shape, medium) = match &args.kind {
        ImageKind::Disk(medium) => (Shape::Disk, medium),
        ImageKind::Iso(medium) => (Shape::Iso, medium),
    };
    medium.system.loader.check_installed()?;
    let guest = Guest::build(project, toolchain, false, false)?;
    let contents = medium.system.contents(&guest)?;
    let path = match &medium.out {
        Some(path) => std::path::absolute(path)?,
        None => guest.output(&format!(
            "{}.{}",
            medium.system.manifest.replace('/', "-"),
            shape.ending()
        ))?,
    };
    shape.write(&path, &contents)?;
    println!("{}", project.show(&path));
    Ok(())
}
