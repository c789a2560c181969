//! Newer QEMUs than the system's, each in a folder of its own: for device models, and to run the smokes on what others have.
//!
//! They are Debian's packages, fetched by apt with lists of its own and unpacked, never installed: an ordinary user can do
//! it, and nothing outside the folder changes. Signatures are checked by apt, against the system's own keys.
//!
//! Invariant: never names a mirror. The one that this system itself installs from is asked.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::is_root;
use crate::project::Project;
use crate::qemu;

/// A QEMU that can be had.
struct Private {
    /// Its major version, which is how it is asked for.
    major: u32,
    /// The releases that its packages are from; the last one is where QEMU itself is taken from.
    releases: &'static [&'static str],
}

const PRIVATE: [Private; 2] = [
    Private {
        major: 10,
        releases: &["trixie"],
    },
    Private {
        major: 11,
        releases: &["trixie", "trixie-backports"],
    },
];

const PACKAGE: &str = "qemu-system-x86";
/// The program's name in each folder.
const PROGRAM: &str = "qemu-system-x86_64";

/// Fetches every private QEMU that is not there yet, and says what there is.
pub fn install(project: &Project) -> Result<()> {
    if qemu::offers_device("vfio-user-pci") {
        println!(
            "{}: offers vfio-user-pci, and is used for device models",
            qemu::version()?
        );
    }
    for private in &PRIVATE {
        let program = program(project, private.major);
        if !program.exists() {
            private
                .fetch(project)
                .with_context(|| format!("cannot fetch QEMU {}", private.major))?;
        }
        println!("{}: {}", version(&program)?, project.show(&program));
    }
    Ok(())
}

/// The program that `--qemu` names: a path or name as it is, a number the QEMU of that major version.
pub fn resolve(project: &Project, asked: &OsStr) -> Result<OsString> {
    let Some(major) = asked.to_str().and_then(|text| text.parse::<u32>().ok()) else {
        return Ok(asked.into());
    };
    if let Ok(line) = version(Path::new(PROGRAM))
        && qemu::parse_version(&line).is_some_and(|(found, _)| found == major)
    {
        return Ok(PROGRAM.into());
    }
    let program = program(project, major);
    if program.exists() {
        return Ok(program.into());
    }
    let can = PRIVATE.iter().any(|private| private.major == major);
    ensure!(
        can,
        "QEMU {major} is not installed, and only QEMU 10 and 11 can be fetched"
    );
    bail!("QEMU {major} is not here; fetch it: cargo xtask setup --device-models")
}

fn folder(project: &Project, major: u32) -> PathBuf {
    project.guest.join(format!("qemu-{major}"))
}

fn program(project: &Project, major: u32) -> PathBuf {
    folder(project, major).join(PROGRAM)
}

fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.with_context(|| format!("cannot start {}", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    ensure!(
        qemu::parse_version(line).is_some(),
        "{} --version says {line:?}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(line.to_owned())
}

impl Private {
    /// Fetches and unpacks it. The folder appears only once it is complete and has been seen to start.
    fn fetch(&self, project: &Project) -> Result<()> {
        let mirror = mirror()?;
        fs::create_dir_all(&project.guest)?;
        let work = tempfile::Builder::new()
            .prefix("qemu-fetch-")
            .tempdir_in(&project.guest)?;
        let apt = Apt::new(work.path(), &mirror, self.releases)?;
        eprintln!(
            "fetching QEMU {} with what it needs (some 40 MB)",
            self.major
        );
        apt.run(&["update"])?;
        let release = self.releases.last().context("there is a release")?;
        apt.run(&[
            "--target-release",
            release,
            "--yes",
            "--download-only",
            "install",
            PACKAGE,
        ])?;
        let fresh = work.path().join("fresh");
        let root = fresh.join("root");
        fs::create_dir_all(&root)?;
        let mut list = String::new();
        for package in apt.packages()? {
            unpack(&package, &root)?;
            let name = package.file_name().unwrap_or_default().to_string_lossy();
            let digest = Sha256::digest(fs::read(&package)?);
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(list, "{hex}  {name}")?;
        }
        fs::write(fresh.join("packages.sha256"), list)?;
        write_starter(&fresh)?;
        let line = version(&fresh.join(PROGRAM))?;
        let found = qemu::parse_version(&line).map(|(major, _)| major);
        ensure!(
            found == Some(self.major),
            "{} now holds another one: {line}",
            self.releases.join(" and ")
        );
        let place = folder(project, self.major);
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::rename(&fresh, &place).context("cannot put it in its place")
    }
}

/// The mirror that this system's own Debian packages come from.
fn mirror() -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI) $(LABEL)"])
        .arg("Created-By: Packages")
        .output()
        .context("QEMUs are fetched with Debian's apt-get, which is not here")?;
    let text = String::from_utf8_lossy(&output.stdout);
    choose_mirror(&text)
        .context("apt knows no Debian mirror (apt-get update first; only Debian's own is used)")
}

/// The first place labelled as Debian itself; its security archive and others have other labels.
fn choose_mirror(targets: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let (uri, label) = line.split_once(' ')?;
        (label == "Debian" && !uri.is_empty()).then(|| uri.to_owned())
    })
}

fn unpack(package: &Path, root: &Path) -> Result<()> {
    let status = Command::new("dpkg-deb")
        .arg("--extract")
        .args([package, root])
        .status()
        .context("cannot start dpkg-deb")?;
    ensure!(status.success(), "cannot unpack {}", package.display());
    Ok(())
}

/// A program that starts QEMU with the loader, libraries, modules and firmware of its own folder, wherever that is moved.
fn write_starter(folder: &Path) -> Result<()> {
    let path = folder.join(PROGRAM);
    let script = "#!/bin/sh\n\
        # Starts the QEMU beside it with the libraries and firmware beside it.\n\
        root=$(dirname \"$(readlink -f \"$0\")\")/root\n\
        libraries=$root/usr/lib/x86_64-linux-gnu\n\
        export QEMU_MODULE_DIR=\"$libraries/qemu\"\n\
        exec \"$root/usr/lib64/ld-linux-x86-64.so.2\" --library-path \"$libraries\" \\\n  \
        \"$root/usr/bin/qemu-system-x86_64\" -L \"$root/usr/share/qemu\" -L \"$root/usr/share/seabios\" \\\n  \
        -L \"$root/usr/lib/ipxe/qemu\" \"$@\"\n";
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// apt with state, lists and cache of its own.
struct Apt {
    place: PathBuf,
}

impl Apt {
    fn new(place: &Path, mirror: &str, releases: &[&str]) -> Result<Self> {
        fs::create_dir_all(place.join("lists/partial"))?;
        fs::create_dir_all(place.join("cache/archives/partial"))?;
        // Nothing is installed, as far as this apt knows: so it fetches everything that QEMU needs.
        fs::write(place.join("status"), "")?;
        let mut sources = String::new();
        for release in releases {
            writeln!(sources, "deb {mirror} {release} main")?;
        }
        fs::write(place.join("sources.list"), sources)?;
        Ok(Self {
            place: place.to_path_buf(),
        })
    }

    fn run(&self, arguments: &[&str]) -> Result<()> {
        let place = self.place.display();
        let options = [
            format!("Dir::Etc::sourcelist={place}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".into(),
            "Dir::Etc::preferencesparts=/dev/null".into(),
            format!("Dir::State={place}"),
            format!("Dir::State::lists={place}/lists"),
            format!("Dir::State::status={place}/status"),
            format!("Dir::Cache={place}/cache"),
            format!("Dir::Log={place}"),
            "APT::Install-Recommends=false".into(),
            "Debug::NoLocking=1".into(),
        ];
        let mut command = Command::new("apt-get");
        for option in &options {
            command.args(["-o", option]);
        }
        if is_root() {
            // The user that apt downloads as has no right to this folder.
            command.args(["-o", "APT::Sandbox::User=root"]);
        }
        let output = command
            .arg("--quiet")
            .args(arguments)
            .output()
            .context("cannot start apt-get")?;
        if !output.status.success() {
            bail!(
                "apt-get {} failed: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }

    /// What was fetched, by name.
    fn packages(&self) -> Result<Vec<PathBuf>> {
        let mut packages: Vec<PathBuf> = fs::read_dir(self.place.join("cache/archives"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        packages.retain(|path| path.extension().is_some_and(|end| end == "deb"));
        packages.sort();
        ensure!(!packages.is_empty(), "apt-get fetched nothing");
        Ok(packages)
    }
}

#[cfg(test)]
mod tests {
    use super::choose_mirror;

    #[test]
    fn the_mirror_is_debians_own() {
        let targets =
            "http://m/security Debian-Security\nhttp://m/tools Somebody\nhttp://m/debian Debian\n";
        assert_eq!(choose_mirror(targets).as_deref(), Some("http://m/debian"));
        assert_eq!(choose_mirror("http://u/ubuntu Ubuntu\n"), None);
        assert_eq!(choose_mirror(""), None);
    }
}
