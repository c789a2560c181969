//! Debian's cloud kernel with the module, and the tools that run beside it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::project::Project;
use crate::setup::models::{Apt, mirror};

/// The package that names the newest cloud kernel.
const NAME: &str = "linux-image-cloud-amd64";
const TOOLS: &str = "busybox-static";
const MODULE: &str = "kernel/drivers/net/ethernet/google/gve";

/// What the oracle is made of.
pub struct Oracle {
    /// Its kernel package.
    pub name: String,
    /// The kernel.
    pub kernel: PathBuf,
    /// The module, compressed with xz or not.
    pub module: PathBuf,
    /// Its tools, all in one.
    pub busybox: PathBuf,
}

/// Fetches what is not here.
///
/// # Errors
///
/// It cannot be fetched, or is not what it was.
pub fn ensure(project: &Project, release: &str) -> Result<Oracle> {
    let place = project.guest.join(format!("oracle-{release}"));
    if !place.exists() {
        fetch(project, release, &place)?;
    }
    let name = fs::read_to_string(place.join("name"))?;
    Ok(Oracle {
        name: name.trim().to_owned(),
        kernel: place.join("vmlinuz"),
        module: only(&place, "gve.ko")?,
        busybox: place.join("busybox"),
    })
}

/// The folder appears only once it is complete.
fn fetch(project: &Project, release: &str, place: &Path) -> Result<()> {
    let mirror = mirror()?;
    fs::create_dir_all(&project.guest)?;
    let work = tempfile::Builder::new()
        .prefix("oracle-fetch-")
        .tempdir_in(&project.guest)?;
    let apt = Apt::new(work.path(), &mirror, &[release])?;
    eprintln!("fetching the cloud kernel of {release} (some 30 MB)");
    apt.run(&["update"])?;
    let image = newest(&apt.call("apt-cache", &["show", NAME])?)
        .with_context(|| format!("{release} has no {NAME}"))?;
    apt.run(&["download", &image, TOOLS])?;
    let fresh = work.path().join("fresh");
    let root = work.path().join("root");
    fs::create_dir_all(&fresh)?;
    fs::create_dir_all(&root)?;
    fs::write(fresh.join("packages.sha256"), apt.unpack(&root)?)?;
    fs::write(fresh.join("name"), &image)?;
    fs::copy(only(&root.join("boot"), "vmlinuz-")?, fresh.join("vmlinuz"))?;
    let modules = only(&root.join("usr/lib/modules"), "")?.join(MODULE);
    let module = only(&modules, "gve.ko")?;
    let name = module.file_name().context("a module has a name")?;
    fs::copy(&module, fresh.join(name))?;
    fs::copy(root.join("usr/bin/busybox"), fresh.join("busybox"))
        .or_else(|_| fs::copy(root.join("bin/busybox"), fresh.join("busybox")))?;
    fs::rename(&fresh, place).context("cannot put it in its place")
}

/// The image that the first (newest) version of the package depends on.
fn newest(shown: &str) -> Option<String> {
    let depends = shown
        .lines()
        .find_map(|line| line.strip_prefix("Depends: "))?;
    let name = depends.split([' ', ',']).next()?;
    name.starts_with("linux-image-").then(|| name.to_owned())
}

/// The one file whose name begins so.
fn only(folder: &Path, start: &str) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(start) {
            found.push(path);
        }
    }
    ensure!(
        found.len() == 1,
        "{} files {start}* in {}",
        found.len(),
        folder.display()
    );
    found.pop().context("there is one")
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_image_is_what_the_newest_version_depends_on() {
        let shown = "Package: p\nDepends: linux-image-6.12.1-cloud-amd64 (= 6.12.1-1)\n\n\
            Package: p\nDepends: linux-image-6.1.0-cloud-amd64 (= 6.1)\n";
        assert_eq!(
            newest(shown).as_deref(),
            Some("linux-image-6.12.1-cloud-amd64")
        );
        assert_eq!(newest("Depends: kmod\n"), None);
        assert_eq!(newest(""), None);
    }
}
