//! `cargo xtask image`: boot media as files, for other machines and for clouds.
//!
//! Invariant: never needs rights beyond writing its output, and gives the same bytes for the same inputs.

mod cd_probe;
pub mod cloud;
pub mod cloudboot;
pub mod contents;
pub mod disk;
mod fat;
pub mod files;
pub mod grub;
pub mod iso;
pub mod limine;
mod names;
pub mod probe;
mod tarball;
mod vhd;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::build::Flavour;
use crate::image::cloud::Provider;
use crate::image::contents::{Contents, Loader};
use crate::package::Guest;
use crate::project::Project;
use crate::setup::Needs;
use crate::toolchain::Toolchain;

/// What every cloud image tells the kernel: facts go to the serial console, which is all that a cloud shows, each marked as
/// evidence.
pub const CLOUD_WORDS: &str = "log=cloudboot";

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
    /// A disk packaged for a cloud's import, and checked
    Cloud(CloudArgs),
}

/// What a cloud package is made of.
#[derive(Args, Debug)]
struct CloudArgs {
    /// Whose import takes it
    #[arg(long, value_enum)]
    provider: Provider,
    /// The folder to write it to; without it, one in the target folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    system: SystemArgs,
}

impl ImageArgs {
    /// What the machine needs for this.
    pub fn needs(&self) -> Needs {
        match self.kind {
            ImageKind::Disk(_) | ImageKind::Iso(_) => Needs::Images,
            ImageKind::Cloud(_) => Needs::Cloud,
        }
    }
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
    pub manifest: String,
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
    /// What the image holds, with `words` for the kernel before those that were asked for.
    pub fn contents(&self, guest: &Guest<'_>, words: &str) -> Result<Contents> {
        let cmdline = format!("{words} {}", self.append);
        Contents::of(guest, &self.manifest, cmdline.trim(), self.loader)
    }
}

/// Makes what `args` name and says where it is.
pub fn run(project: &Project, toolchain: &Toolchain, args: &ImageArgs) -> Result<()> {
    match &args.kind {
        ImageKind::Disk(medium) => medium.run(project, toolchain, Shape::Disk),
        ImageKind::Iso(medium) => medium.run(project, toolchain, Shape::Iso),
        ImageKind::Cloud(cloud) => cloud.run(project, toolchain),
    }
}

impl MediumArgs {
    fn run(&self, project: &Project, toolchain: &Toolchain, shape: Shape) -> Result<()> {
        self.system.loader.check_installed()?;
        let guest = Guest::build(
            project,
            toolchain,
            Flavour::Release,
            &[&self.system.manifest],
        )?;
        // The shell is for a person at a serial line, so facts stay off it.
        let contents = self.system.contents(&guest, "log=quiet")?;
        let name = self.system.manifest.replace('/', "-");
        let path = match &self.out {
            Some(path) => std::path::absolute(path)?,
            None => guest.output(&format!("{name}.{}", shape.ending()))?,
        };
        shape.write(&path, &contents)?;
        println!("{}", project.show(&path));
        Ok(())
    }
}

impl CloudArgs {
    fn run(&self, project: &Project, toolchain: &Toolchain) -> Result<()> {
        self.system.loader.check_installed()?;
        let guest = Guest::build(
            project,
            toolchain,
            Flavour::Release,
            &[&self.system.manifest],
        )?;
        let contents = self.system.contents(&guest, CLOUD_WORDS)?;
        let dir = match &self.out {
            Some(dir) => std::path::absolute(dir)?,
            None => guest.output(&format!("cloud-{}", self.provider.name()))?,
        };
        for file in cloud::write(&dir, self.provider, &contents)? {
            println!("{}", project.show(&file));
        }
        Ok(())
    }
}
