//! Boot packages: the manifest, the kernel and the programs, as one archive or as a UEFI boot disk.
//!
//! Invariant: never strips a section the kernel finds its tables by; only debug information is left out of the copies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::build::{Builder, Code, Flavour, Kind, Program};
use crate::codegen;
use crate::disk::{Disk, FatImage, Namespace};
use crate::drivers;
use crate::manifests::{compile, compile_manifest};
use crate::precheck;
use crate::project::Project;
use crate::symbols::Symbols;
use crate::toolchain::Toolchain;

/// A program that a system wants.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Wanted {
    name: String,
    /// Built for the floating-point unit.
    fpu: bool,
}

impl Wanted {
    fn plain(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            fpu: false,
        }
    }

    fn of(service: &manifest::Service) -> Self {
        Self {
            name: service.binary.clone(),
            fpu: service.fpu,
        }
    }
}

/// Everything that was built for the guest.
pub struct Guest<'a> {
    project: &'a Project,
    toolchain: &'a Toolchain,
    flavour: Flavour,
    kernel: Program,
    /// The loader QEMU starts with `-kernel`.
    pub loader: PathBuf,
    /// What was built so far.
    services: Mutex<BTreeMap<Wanted, Program>>,
    /// Manifests that were compiled so far, by their names.
    manifests: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Programs without debug information, by their paths.
    slimmed: Mutex<BTreeMap<PathBuf, Vec<u8>>>,
}

/// What `make` makes of a key, once. Two that ask at the same time may both make it.
fn remembered<K: Ord, V: Clone>(
    cache: &Mutex<BTreeMap<K, V>>,
    key: K,
    make: impl FnOnce(&K) -> Result<V>,
) -> Result<V> {
    let known = || cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(value) = known().get(&key) {
        return Ok(value.clone());
    }
    let value = make(&key)?;
    known().insert(key, value.clone());
    Ok(value)
}

impl<'a> Guest<'a> {
    /// Builds kernel, loader and the programs that the systems called `manifests` name. Those of another system are
    /// built when its files are asked for.
    pub fn build(
        project: &'a Project,
        toolchain: &'a Toolchain,
        flavour: Flavour,
        manifests: &[&str],
    ) -> Result<Self> {
        codegen::ensure_fresh(&project.root)?;
        precheck::check(project, manifests)?;
        drivers::check(project, manifests)?;
        let builder = Builder::new(project, toolchain, flavour.code());
        let guest = Self {
            project,
            toolchain,
            flavour,
            kernel: builder.build_one(flavour.kernel(), "kernel")?,
            loader: builder.build_one(Kind::LoaderPvh, "loader-pvh")?.path,
            services: Mutex::default(),
            manifests: Mutex::default(),
            slimmed: Mutex::default(),
        };
        let mut names = BTreeSet::new();
        for manifest in manifests.iter().collect::<BTreeSet<_>>() {
            names.extend(guest.images(&guest.compiled(manifest)?));
        }
        guest.programs(&names)?;
        Ok(guest)
    }

    /// A manifest of the tree, compiled.
    fn compiled(&self, manifest: &str) -> Result<Vec<u8>> {
        remembered(&self.manifests, manifest.to_owned(), |name| {
            compile_manifest(self.project, name)
        })
    }

    /// The programs that a compiled manifest names, and the first process.
    ///
    /// A manifest that is refused is packaged with everything: the guest is to say why it refuses.
    fn images(&self, manifest: &[u8]) -> BTreeSet<Wanted> {
        let init = [Wanted::plain("init")].into_iter();
        match manifest::read(manifest) {
            Ok(read) => init.chain(read.services.iter().map(Wanted::of)).collect(),
            Err(_) => {
                let members = self.project.members.iter();
                let services = members.filter(|member| member.tier == "S" || member.tier == "U2");
                let programs = services.flat_map(|member| &member.bins);
                init.chain(programs.map(Wanted::plain)).collect()
            }
        }
    }

    /// The programs that are `wanted`, built where they are not yet; a name that no service has is left out.
    fn programs(&self, wanted: &BTreeSet<Wanted>) -> Result<Vec<Program>> {
        let built = self.services.lock();
        let mut built = built.unwrap_or_else(PoisonError::into_inner);
        let builder = Builder::new(self.project, self.toolchain, self.flavour.code());
        for fpu in [false, true] {
            let missing = wanted.iter().filter(|one| one.fpu == fpu);
            let missing = missing.filter(|one| !built.contains_key(*one));
            let missing: BTreeSet<String> = missing.map(|one| one.name.clone()).collect();
            let programs = match fpu {
                _ if missing.is_empty() => Vec::new(),
                false => builder.build_programs(self.flavour.service(), &missing)?,
                true => builder.build_fpu_programs(&missing)?,
            };
            for program in programs {
                let name = program.name.clone();
                built.insert(Wanted { name, fpu }, program);
            }
        }
        Ok(wanted
            .iter()
            .filter_map(|one| built.get(one))
            .cloned()
            .collect())
    }

    /// The kernel with its symbols, for a debugger and for `tidy`.
    pub fn kernel_path(&self) -> &Path {
        &self.kernel.path
    }

    /// What explains the addresses in what a system says.
    pub fn symbols(&self, manifest: &str) -> Result<Symbols> {
        let manifest = manifest::read(&self.compiled(manifest)?);
        let services = manifest.map_or_else(|_| Vec::new(), |manifest| manifest.services);
        let programs = self.programs(&services.iter().map(Wanted::of).collect())?;
        let paths = services.iter().filter_map(|service| {
            let program = programs.iter().find(|one| one.name == service.binary)?;
            Some((service.name.clone(), program.path.clone()))
        });
        Ok(Symbols::new(
            self.project.root.clone(),
            self.kernel.path.clone(),
            paths.collect(),
        ))
    }

    /// The archive that direct boot passes as `-initrd`, for the manifest called `manifest`.
    pub fn archive(&self, manifest: &str) -> Result<PathBuf> {
        self.write_archive(manifest, self.files(manifest)?)
    }

    /// The same for a manifest whose source lies elsewhere; it is called `name`.
    pub fn archive_of(&self, name: &str, source: &Path) -> Result<PathBuf> {
        self.write_archive(name, self.files_of(compile(self.project, source)?)?)
    }

    fn write_archive(&self, manifest: &str, files: BTreeMap<String, Vec<u8>>) -> Result<PathBuf> {
        let mut writer = newc::Writer::new(Vec::new());
        for (path, bytes) in files {
            let Ok(()) = writer.file(&path, &bytes);
        }
        let Ok(bytes) = writer.finish();
        let path = self.output(&format!("{}.cpio", manifest.replace('/', "-")))?;
        replace(&path, &bytes)?;
        Ok(path)
    }

    /// Builds the loader that UEFI firmware starts.
    pub fn uefi_loader(&self) -> Result<PathBuf> {
        let builder = Builder::new(self.project, self.toolchain, Code::Release);
        Ok(builder.build_one(Kind::LoaderUefi, "loader-uefi")?.path)
    }

    /// A disk that UEFI firmware boots from, in `folder`: the same files and the UEFI loader.
    pub fn uefi_disk(&self, folder: &Path, manifest: &str, cmdline: &str) -> Result<PathBuf> {
        let loader = self.uefi_loader()?;
        let files = self.files(manifest)?;
        let bytes: usize = files.values().map(Vec::len).sum();
        // FAT32 needs at least 33 MiB; the rest is room for the file system itself.
        let mib = (bytes as u64).div_ceil(1024 * 1024).max(40) + 24;
        let path = folder.join(format!("{}-uefi.img", manifest.replace('/', "-")));
        // A running guest may have the old one open.
        let draft = path.with_extension("draft");
        let image = FatImage::create(&draft, mib, 32, "CAPOSBOOT")?;
        image
            .folder("EFI")?
            .folder("EFI/BOOT")?
            .folder("boot")?
            .folder("boot/bins")?;
        image.copy("EFI/BOOT/BOOTX64.EFI", &loader)?;
        image.file("boot/cmdline.txt", cmdline.as_bytes())?;
        for (path, bytes) in &files {
            image.file(path, bytes)?;
        }
        fs::rename(&draft, &path)?;
        Ok(path)
    }

    /// The files of a boot package by path, the kernel's among them.
    pub fn files(&self, manifest: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        self.files_of(self.compiled(manifest)?)
    }

    /// The same for a manifest that is compiled already.
    fn files_of(&self, bytes: Vec<u8>) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut files = BTreeMap::new();
        let wanted = self.images(&bytes);
        files.insert("boot/manifest.bin".to_owned(), bytes);
        files.insert("boot/kernel.elf".to_owned(), self.slim(&self.kernel.path)?);
        for program in self.programs(&wanted)? {
            files.insert(
                format!("boot/bins/{}", program.name),
                self.slim(&program.path)?,
            );
        }
        add_checksums(&mut files);
        Ok(files)
    }

    /// Where a package called `name` is written.
    pub fn output(&self, name: &str) -> Result<PathBuf> {
        let folder = match self.flavour {
            Flavour::Sabotage => "packages-sabotage",
            Flavour::Release | Flavour::Debug => "packages",
        };
        let dir = self.project.guest.join(folder);
        fs::create_dir_all(&dir)?;
        Ok(dir.join(name))
    }

    /// The program without debug information; its section table stays.
    pub fn slim(&self, program: &Path) -> Result<Vec<u8>> {
        remembered(&self.slimmed, program.to_path_buf(), |path| {
            self.strip(path)
        })
    }

    fn strip(&self, program: &Path) -> Result<Vec<u8>> {
        let dir = self.project.guest.join("slim");
        fs::create_dir_all(&dir)?;
        let draft = tempfile::NamedTempFile::new_in(&dir)?;
        let output = Command::new("objcopy")
            .arg("--strip-debug")
            .arg(program)
            .arg(draft.path())
            .output()
            .context("cannot start objcopy")?;
        if !output.status.success() {
            bail!(
                "objcopy of {} failed: {}",
                self.project.show(program),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(fs::read(draft.path())?)
    }
}

/// Lists every file's checksum anew; loader and kernel compare what they use.
pub fn add_checksums(files: &mut BTreeMap<String, Vec<u8>>) {
    let mut list = String::new();
    let packed = files.iter().filter(|(path, _)| is_packed(path));
    let packed = packed.map(|(path, bytes)| (path.as_str(), bytes.as_slice()));
    // A string takes everything.
    let _ = package_sums::write(&mut list, packed);
    files.insert(package_sums::PATH.to_owned(), list.into_bytes());
}

/// Whether a file is of the boot package: loaders and their scripts are read by other programs, which know no list.
fn is_packed(path: &str) -> bool {
    matches!(path, "boot/kernel.elf" | "boot/manifest.bin") || path.starts_with("boot/bins/")
}

/// How many NVMe disks the services of a manifest may claim; `None` for a manifest that is refused.
pub fn disks_served(project: &Project, name: &str) -> Result<Option<usize>> {
    let bytes = compile_manifest(project, name)?;
    let is_disk = |grant: &&manifest::Grant| matches!(&grant.source, manifest::Source::Device { driver, .. } if driver == "nvme");
    Ok(manifest::read(&bytes).ok().map(|manifest| {
        let grants = manifest.services.iter().flat_map(|service| &service.grants);
        grants.filter(is_disk).count()
    }))
}

/// Whether a service of a manifest may claim a network interface; a manifest that is refused has none.
pub fn serves_network(project: &Project, name: &str) -> Result<bool> {
    let bytes = compile_manifest(project, name)?;
    let is_interface = |grant: &manifest::Grant| matches!(&grant.source, manifest::Source::Device { driver, .. } if driver == "virtio-net");
    Ok(manifest::read(&bytes).is_ok_and(|manifest| {
        let mut grants = manifest.services.iter().flat_map(|service| &service.grants);
        grants.any(is_interface)
    }))
}

/// Whether a system serves the page that shows it.
pub fn serves_page(project: &Project, name: &str) -> Result<bool> {
    let bytes = compile_manifest(project, name)?;
    let mut services =
        manifest::read(&bytes).map_or_else(|_| Vec::new(), |manifest| manifest.services);
    Ok(services.drain(..).any(|service| service.binary == "web-ui"))
}

/// Namespaces of a controller that providers look at.
const NAMESPACES: usize = 32;

/// Makes disks for whose controller no service of the system is there further namespaces of the last controller that has one,
/// says so, and says which disks no service will see. A wrong manifest name is reported here as well.
pub fn place_surplus(project: &Project, manifest: &str, disks: &mut [Disk]) -> Result<()> {
    // A manifest that the guest will refuse says so itself.
    let Some(served) = disks_served(project, manifest)? else {
        return Ok(());
    };
    let s = if served == 1 { "" } else { "s" };
    for (index, disk) in disks.iter_mut().enumerate().skip(served) {
        let shown = disk.path.display();
        disk.namespace = below(index, served);
        match disk.namespace {
            Some(Namespace { nsid, .. }) => eprintln!(
                "the system {manifest} serves {served} NVMe controller{s}; {shown} is namespace {nsid} of {}",
                if served == 1 { "it" } else { "the last one" }
            ),
            None => eprintln!(
                "warning: the system {manifest} serves {served} NVMe disk{s}; {shown} is attached, but only lspci shows it"
            ),
        }
    }
    Ok(())
}

/// Where the disk of this number has a place if the first `served` have controllers that are served.
fn below(index: usize, served: usize) -> Option<Namespace> {
    let controller = served.checked_sub(1)?;
    let nsid = index.checked_sub(served)? + 2;
    (nsid <= NAMESPACES).then_some(Namespace {
        controller,
        nsid: nsid as u32,
    })
}

/// Whether a system has a store for the volume of a virtio disk; not one that is refused.
pub fn serves_volume(project: &Project, name: &str) -> Result<bool> {
    let bytes = compile_manifest(project, name)?;
    let has = |manifest: manifest::Manifest| {
        let stores = manifest.services.iter().any(|one| one.binary == "store");
        let is_disk = |grant: &manifest::Grant| matches!(&grant.source, manifest::Source::Device { driver, .. } if driver == "virtio-blk");
        let mut grants = manifest.services.iter().flat_map(|one| &one.grants);
        stores && grants.any(is_disk)
    };
    Ok(manifest::read(&bytes).is_ok_and(has))
}

/// Writes a file that a running guest may have open: the old one stays what it was.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().context("a package path has a parent")?;
    let mut draft = tempfile::NamedTempFile::new_in(dir)?;
    std::io::Write::write_all(&mut draft, bytes)?;
    draft.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::below;

    #[test]
    fn disks_without_a_controller_of_their_own_are_namespaces_until_nobody_looks_at_them() {
        let at = |index, served| below(index, served).map(|at| (at.controller, at.nsid));
        assert_eq!(at(2, 2), Some((1, 2)));
        assert_eq!(at(32, 2), Some((1, 32)));
        assert_eq!(at(33, 2), None);
        assert_eq!(at(1, 1), Some((0, 2)));
        assert_eq!(at(0, 0), None, "there is no controller");
    }
}
