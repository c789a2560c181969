//! Where things lie: the workspace root, the folders for what is built, and the members with their metadata.
//!
//! Invariant: never guesses a path; every one comes from `cargo metadata`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The workspace as `cargo metadata` describes it.
pub struct Project {
    /// The folder of the root `Cargo.toml`.
    pub root: PathBuf,
    /// Where host builds go, and everything a run leaves behind.
    pub target: PathBuf,
    /// Where guest builds and the private sysroot go.
    pub guest: PathBuf,
    /// All members, by name.
    pub members: Vec<Member>,
}

/// One workspace member.
pub struct Member {
    /// The package name.
    pub name: String,
    /// The folder of its `Cargo.toml`.
    pub dir: PathBuf,
    /// Names of its binaries.
    pub bins: Vec<String>,
    /// Whether it is built for the guest (`package.metadata.guest = true`).
    pub guest: bool,
    /// Whether it has sabotage points of its own (`package.metadata.sabotage = true`).
    pub sabotage: bool,
    /// Its tier (`package.metadata.tier`), empty if it names none.
    pub tier: String,
    /// Names of the workspace members it depends on; what only tests or build scripts need is not among them.
    pub needs: Vec<String>,
}

#[derive(Deserialize)]
struct RawMetadata {
    packages: Vec<RawPackage>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct RawPackage {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<RawTarget>,
    dependencies: Vec<RawDependency>,
    metadata: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawTarget {
    name: String,
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct RawDependency {
    name: String,
    kind: Option<String>,
    path: Option<PathBuf>,
}

impl Project {
    /// Asks cargo about the workspace that xtask itself belongs to.
    pub fn load() -> Result<Self> {
        let manifest = home().join("../Cargo.toml");
        let manifest = manifest.canonicalize().with_context(|| {
            format!(
                "the workspace that xtask was built in is gone: {}",
                manifest.display()
            )
        })?;
        Self::at(&manifest)
    }

    /// Asks cargo about the workspace whose root has this `Cargo.toml`.
    pub fn at(manifest: &Path) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args([
                "metadata",
                "--no-deps",
                "--format-version",
                "1",
                "--manifest-path",
            ])
            .arg(manifest)
            .output()
            .context("cannot start cargo")?;
        if !output.status.success() {
            bail!(
                "cargo metadata failed:\n{}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let raw =
            serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
        Ok(Self::from_raw(raw))
    }

    fn from_raw(raw: RawMetadata) -> Self {
        // A person who chose a target folder (CARGO_TARGET_DIR) gets everything below it.
        let guest = if raw.target_directory == raw.workspace_root.join("target") {
            raw.workspace_root.join("target-guest")
        } else {
            raw.target_directory.join("guest")
        };
        let mut members: Vec<Member> = raw.packages.into_iter().map(Member::from_raw).collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            root: raw.workspace_root,
            target: raw.target_directory,
            guest,
            members,
        }
    }

    /// Makes sure that what a build and a run leave behind has a place, before anything is begun.
    pub fn check_writable(&self) -> Result<()> {
        for folder in [&self.target, &self.guest] {
            let tried = fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
            if let Err(why) = tried {
                bail!(
                    "nothing can be written below {} ({why}); what is built can go elsewhere: \
                     CARGO_TARGET_DIR=FOLDER cargo xtask ...",
                    folder.display()
                );
            }
        }
        check_temporary(&std::env::temp_dir())
    }

    /// The member called `name`.
    pub fn member(&self, name: &str) -> Result<&Member> {
        self.members
            .iter()
            .find(|member| member.name == name)
            .with_context(|| format!("the workspace has no package {name:?}"))
    }

    /// Writes a manifest that is not one of the tree's below `folder`, beside what those of `manifests/` import.
    pub fn write_manifest(&self, folder: &Path, text: &str) -> Result<PathBuf> {
        let manifests = folder.join("manifests");
        fs::create_dir_all(&manifests)?;
        for (name, place) in [("schema", folder), ("manifests/common", &*manifests)] {
            let from = self.root.join(name);
            let link = place.join(from.file_name().unwrap_or_default());
            if !link.exists() {
                symlink(&from, &link)
                    .with_context(|| format!("cannot link to {}", from.display()))?;
            }
        }
        let file = manifests.join("written.capnp");
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }

    /// `path` relative to the root where it lies below it, for messages.
    pub fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }
}

/// Makes sure that the tools that are started find room for what they keep for a moment.
fn check_temporary(folder: &Path) -> Result<()> {
    let Err(why) = tempfile::tempfile_in(folder) else {
        return Ok(());
    };
    bail!(
        "no temporary file can be made in {} ({why}); TMPDIR=FOLDER in the environment names another place",
        folder.display()
    )
}

impl Member {
    fn from_raw(raw: RawPackage) -> Self {
        let field = |key: &str| raw.metadata.as_ref().and_then(|metadata| metadata.get(key));
        let is_set = |key: &str| field(key).and_then(serde_json::Value::as_bool) == Some(true);
        let tier = field("tier")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("")
            .to_owned();
        let is_bin = |target: &&RawTarget| target.kind.iter().any(|kind| kind == "bin");
        let bins = raw
            .targets
            .iter()
            .filter(is_bin)
            .map(|target| target.name.clone())
            .collect();
        let is_member = |dep: &&RawDependency| dep.path.is_some() && dep.kind.is_none();
        let needs = raw
            .dependencies
            .iter()
            .filter(is_member)
            .map(|dep| dep.name.clone())
            .collect();
        let dir = raw
            .manifest_path
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        Self {
            name: raw.name,
            dir,
            bins,
            guest: is_set("guest"),
            sabotage: is_set("sabotage"),
            tier,
            needs,
        }
    }
}

/// The folder of xtask's own package: as cargo says where it starts this program, since a checkout that was copied or moved with
/// its target folder brings a program that was built elsewhere, which cargo does not build again.
fn home() -> PathBuf {
    let is_own = std::env::var_os("CARGO_PKG_NAME").is_some_and(|name| name == "xtask");
    std::env::var_os("CARGO_MANIFEST_DIR")
        .filter(|_| is_own)
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
}

/// Whether this runs unattended (`CI=1` or `CI=true`).
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::{Project, check_temporary};

    #[test]
    fn a_folder_that_cannot_be_written_is_named_with_the_way_around() {
        let folder = tempfile::tempdir().unwrap();
        let mut project = Project::load().unwrap();
        project.target = folder.path().join("target");
        project.guest = folder.path().join("guest");
        project.check_writable().unwrap();
        let absent = folder.path().join("absent");
        let why = check_temporary(&absent).unwrap_err().to_string();
        assert!(why.contains("absent (No such file"), "{why}");
        // Where a file is there is no folder to be, for root neither.
        std::fs::write(folder.path().join("file"), "").unwrap();
        project.guest = folder.path().join("file/guest");
        let why = format!("{:#}", project.check_writable().unwrap_err());
        assert!(
            why.contains("file/guest (") && why.contains("elsewhere: CARGO_TARGET_DIR=FOLDER"),
            "{why}"
        );
    }
}
