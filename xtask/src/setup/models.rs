//! QEMUs in folders of their own: newer ones than the system's, for device models and to run the smokes on what others have;
//! and the system's own version, where it cannot be installed because it does not fit what is installed.
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
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::is_root;
use crate::project::Project;
use crate::qemu;

/// A QEMU that can be had.
struct Private<'a> {
    /// What its folder is called after `qemu-`.
    name: &'a str,
    /// The major version that it must turn out to be.
    major: Option<u32>,
    /// The releases that its packages are from; the last one is where QEMU itself is taken from.
    releases: &'a [&'a str],
}

/// The newer ones; each is asked for by its name, its major version.
const NEWER: [Private<'static>; 2] = [
    Private {
        name: "10",
        major: Some(10),
        releases: &["trixie"],
    },
    Private {
        name: "11",
        major: Some(11),
        releases: &["trixie", "trixie-backports"],
    },
];

/// The folder of the one that this system would install.
const OWN: &str = "own";
/// The package that brings QEMU.
pub const PACKAGE: &str = "qemu-system-x86";
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
    for private in &NEWER {
        let program = private.ensure(project)?;
        println!("{}: {}", version(&program)?, project.show(&program));
    }
    Ok(())
}

/// Fetches the one of this major version, if it is not there, and says which it is.
///
/// # Errors
///
/// It cannot be fetched, or is none that can be.
pub fn fetch(project: &Project, major: &str) -> Result<()> {
    let private = NEWER.iter().find(|private| private.name == major);
    let private = private.with_context(|| format!("QEMU {major} cannot be fetched"))?;
    let program = private.ensure(project)?;
    eprintln!("{}: {}", version(&program)?, project.show(&program));
    Ok(())
}

/// A QEMU that takes devices of other processes: the one in use, or the newest that was fetched.
pub fn with_device_models(project: &Project) -> Option<OsString> {
    if qemu::offers_device("vfio-user-pci") {
        return Some(qemu::program().to_owned());
    }
    let newest = NEWER.last().map(|newest| program(project, newest.name));
    newest.filter(|path| path.exists()).map(OsString::from)
}

/// Whether the one of this major version was fetched.
pub fn is_here(project: &Project, major: &str) -> bool {
    program(project, major).exists()
}

/// Fetches the QEMU of this system's own release, which need not fit what is installed, and starts it from now on.
pub fn install_own(project: &Project) -> Result<()> {
    let release = codename()?;
    let own = Private {
        name: OWN,
        major: None,
        releases: &[&release],
    };
    let program = own.ensure(project)?;
    eprintln!("{}: {}", version(&program)?, project.show(&program));
    qemu::choose(program.into());
    Ok(())
}

/// Chooses the QEMU that everything starts: the one `asked` for, or else the installed one, or else one fetched by
/// [`install_own`].
///
/// # Errors
///
/// The one asked for is not there.
pub fn choose(project: &Project, asked: Option<&OsStr>) -> Result<()> {
    if let Some(asked) = asked {
        qemu::choose(resolve(project, asked)?);
    } else if !super::is_installed(PROGRAM)
        && let Some(own) = own(project)
    {
        qemu::choose(own.into());
    }
    Ok(())
}

/// The QEMU that [`install_own`] fetched.
pub fn own(project: &Project) -> Option<PathBuf> {
    let program = program(project, OWN);
    program.exists().then_some(program)
}

/// This release's name, as its packages are filed.
fn codename() -> Result<String> {
    let text =
        fs::read_to_string("/etc/os-release").context("cannot tell this system's release")?;
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("/etc/os-release names no VERSION_CODENAME")?;
    Ok(name.trim_matches('"').to_owned())
}

/// The program that `--qemu` names: a path or name as it is, a number the QEMU of that major version.
fn resolve(project: &Project, asked: &OsStr) -> Result<OsString> {
    let Some(major) = asked.to_str().and_then(|text| text.parse::<u32>().ok()) else {
        return Ok(asked.into());
    };
    if let Ok(line) = version(Path::new(PROGRAM))
        && qemu::parse_version(&line).is_some_and(|(found, _)| found == major)
    {
        return Ok(PROGRAM.into());
    }
    let program = program(project, &major.to_string());
    if program.exists() {
        return Ok(program.into());
    }
    let can = NEWER.iter().any(|private| private.major == Some(major));
    ensure!(
        can,
        "QEMU {major} is not installed, and only QEMU 10 and 11 can be fetched"
    );
    bail!("QEMU {major} is not here; fetch it: cargo xtask setup --device-models")
}

fn folder(project: &Project, name: &str) -> PathBuf {
    project.guest.join(format!("qemu-{name}"))
}

fn program(project: &Project, name: &str) -> PathBuf {
    folder(project, name).join(PROGRAM)
}

/// The version line of a program that [`with_device_models`] gave.
///
/// # Errors
///
/// It cannot be started.
pub fn version_of(program: &OsStr) -> Result<String> {
    let line = version(Path::new(program))?;
    Ok(line
        .trim_start_matches("QEMU emulator version ")
        .replace(' ', "-"))
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

impl Private<'_> {
    /// The program, fetched if it is not there.
    fn ensure(&self, project: &Project) -> Result<PathBuf> {
        let program = program(project, self.name);
        if !program.exists() {
            self.fetch(project)
                .with_context(|| format!("cannot fetch QEMU of {}", self.releases.join(" and ")))?;
        }
        Ok(program)
    }

    /// Fetches and unpacks it. The folder appears only once it is complete and has been seen to start.
    fn fetch(&self, project: &Project) -> Result<()> {
        let mirror = mirror()?;
        fs::create_dir_all(&project.guest)?;
        let work = tempfile::Builder::new()
            .prefix("qemu-fetch-")
            .tempdir_in(&project.guest)?;
        let apt = Apt::new(work.path(), &mirror, self.releases)?;
        eprintln!(
            "fetching QEMU of {} with what it needs (some 40 MB)",
            self.releases.join(" and ")
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
        fs::write(fresh.join("packages.sha256"), apt.unpack(&root)?)?;
        write_starter(&fresh)?;
        let line = version(&fresh.join(PROGRAM))?;
        let found = qemu::parse_version(&line).map(|(major, _)| major);
        ensure!(
            self.major.is_none() || found == self.major,
            "{} now holds another one: {line}",
            self.releases.join(" and ")
        );
        let place = folder(project, self.name);
        if place.exists() {
            fs::remove_dir_all(&place)?;
        }
        fs::rename(&fresh, &place).context("cannot put it in its place")
    }
}

/// The mirror that this system's own Debian packages come from.
pub fn mirror() -> Result<String> {
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

/// Releases before trixie have packages with files in `/lib`: everything is to be found in `/usr/lib`, as on an installed system.
///
/// # Errors
///
/// The folders cannot be made.
fn merge_usr(root: &Path) -> Result<()> {
    for name in ["lib", "lib64"] {
        let place = Path::new("usr").join(name);
        fs::create_dir_all(root.join(&place))?;
        std::os::unix::fs::symlink(&place, root.join(name))?;
    }
    Ok(())
}

/// Unpacks a package below `root`.
///
/// # Errors
///
/// `dpkg-deb` or `tar` is not here, or refuses it.
fn unpack(package: &Path, root: &Path) -> Result<()> {
    let mut reader = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start dpkg-deb")?;
    let files = reader.stdout.take().context("its output was asked for")?;
    let status = Command::new("tar")
        .args(["--extract", "--keep-directory-symlink", "--directory"])
        .arg(root)
        .stdin(files)
        .status()
        .context("cannot start tar")?;
    let is_whole = reader.wait()?.success() && status.success();
    ensure!(is_whole, "cannot unpack {}", package.display());
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
        exec \"$libraries/ld-linux-x86-64.so.2\" --library-path \"$libraries\" \\\n  \
        \"$root/usr/bin/qemu-system-x86_64\" -L \"$root/usr/share/qemu\" -L \"$root/usr/share/seabios\" \\\n  \
        -L \"$root/usr/lib/ipxe/qemu\" \"$@\"\n";
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// apt with state, lists and cache of its own.
pub struct Apt {
    place: PathBuf,
}

impl Apt {
    /// Makes one in an empty folder, for these releases.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub fn new(place: &Path, mirror: &str, releases: &[&str]) -> Result<Self> {
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

    /// Runs `apt-get`.
    ///
    /// # Errors
    ///
    /// It is not here, or fails.
    pub fn run(&self, arguments: &[&str]) -> Result<()> {
        self.call("apt-get", arguments).map(drop)
    }

    /// What `program` of apt's family prints. It runs where fetched packages go.
    ///
    /// # Errors
    ///
    /// It is not here, or fails.
    pub fn call(&self, program: &str, arguments: &[&str]) -> Result<String> {
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
        let mut command = Command::new(program);
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
            .current_dir(self.archives())
            .output()
            .with_context(|| format!("cannot start {program}"))?;
        if !output.status.success() {
            bail!(
                "{program} {} failed: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn archives(&self) -> PathBuf {
        self.place.join("cache/archives")
    }

    /// What was fetched, by name.
    ///
    /// # Errors
    ///
    /// Nothing was.
    fn packages(&self) -> Result<Vec<PathBuf>> {
        let mut packages: Vec<PathBuf> = fs::read_dir(self.archives())?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        packages.retain(|path| path.extension().is_some_and(|end| end == "deb"));
        packages.sort();
        ensure!(!packages.is_empty(), "apt-get fetched nothing");
        Ok(packages)
    }

    /// Unpacks what was fetched below `root`, and returns the list of its SHA-256 sums, as `sha256sum` writes it.
    ///
    /// # Errors
    ///
    /// Nothing was fetched, or a package cannot be unpacked.
    pub fn unpack(&self, root: &Path) -> Result<String> {
        merge_usr(root)?;
        let mut list = String::new();
        for package in self.packages()? {
            unpack(&package, root)?;
            let name = package.file_name().unwrap_or_default().to_string_lossy();
            let digest = Sha256::digest(fs::read(&package)?);
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(list, "{hex}  {name}")?;
        }
        Ok(list)
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
