//! Builds guest packages: which flags, which linker script and which target folder each kind gets.
//!
//! Invariant: never builds two kinds into one folder: their flags differ, and cargo would build everything again on each
//! change. Flags of the guest stand here and nowhere else.

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::complaints::Complaints;
use crate::project::{Member, Project, is_ci};
use crate::toolchain::{BARE, FPU, Toolchain, UEFI};

/// What makes a program of the guest out of one for Linux: the linker of the guest's own target, and nothing of the host's. The
/// prebuilt `core` unwinds and names two symbols for that, which are never called.
const FPU_LINK: [&str; 6] = [
    "-Clinker=rust-lld",
    "-Clinker-flavor=ld.lld",
    "-Ctarget-feature=+crt-static",
    "-Clink-arg=-static",
    "-Clink-arg=--defsym=rust_eh_personality=0",
    "-Clink-arg=--defsym=_Unwind_Resume=0",
];

/// The SIMD back ends of these crates crash the code generator on a soft-float target; this picks their portable ones.
const CRYPTO_CFGS: [&str; 8] = [
    "poly1305_backend=\"soft\"",
    "chacha20_backend=\"soft\"",
    "curve25519_dalek_backend=\"serial\"",
    "sha2_backend=\"soft\"",
    "aes_backend=\"soft\"",
    "polyval_backend=\"soft\"",
    "chacha20_force_soft",
    // No system to ask: the crate `guest-random` is asked.
    "getrandom_backend=\"custom\"",
];

/// How a guest package is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The kernel as it ships.
    Kernel,
    /// The kernel with `--cfg sabotage`.
    SabotageKernel,
    /// A process.
    Service,
    /// A process with `--cfg sabotage`.
    SabotageService,
    /// A process that may use the floating-point and vector unit.
    FpuService,
    /// The loader QEMU starts with `-kernel`.
    LoaderPvh,
    /// The loader UEFI firmware starts.
    LoaderUefi,
}

/// How code of the guest is compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// As it ships.
    Release,
    /// With debug assertions and without optimisation, as `run --debug-guest` builds it.
    Debug,
}

/// Which kernel, and which programs under it. There is no sabotage kernel without optimisation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flavour {
    /// What ships.
    Release,
    /// The same sources, as [`Code::Debug`].
    Debug,
    /// With its sabotage points.
    Sabotage,
}

impl Flavour {
    /// How it is compiled.
    pub const fn code(self) -> Code {
        match self {
            Self::Release | Self::Sabotage => Code::Release,
            Self::Debug => Code::Debug,
        }
    }

    /// The kind of its kernel.
    pub const fn kernel(self) -> Kind {
        match self {
            Self::Release | Self::Debug => Kind::Kernel,
            Self::Sabotage => Kind::SabotageKernel,
        }
    }

    /// The kind of its programs.
    pub const fn service(self) -> Kind {
        match self {
            Self::Release | Self::Debug => Kind::Service,
            Self::Sabotage => Kind::SabotageService,
        }
    }
}

/// One built program.
#[derive(Clone, Debug)]
pub struct Program {
    /// The name of the binary target.
    pub name: String,
    /// The file the linker wrote.
    pub path: PathBuf,
}

/// Builds for the guest.
pub struct Builder<'a> {
    project: &'a Project,
    toolchain: &'a Toolchain,
    code: Code,
}

impl Kind {
    /// The kind of `member`, from its place in the tree.
    pub fn of(project: &Project, member: &Member) -> Result<Self> {
        ensure!(
            member.guest,
            "{} is not a guest package (package.metadata.guest = true)",
            member.name
        );
        match project.show(&member.dir).as_str() {
            "crates/kernel/kernel" => Ok(Self::Kernel),
            "crates/boot/loader-pvh" => Ok(Self::LoaderPvh),
            "crates/boot/loader-uefi" => Ok(Self::LoaderUefi),
            // Libraries of the kernel side and of programs are built with what links them; alone they are checked as one.
            _ => Ok(Self::Service),
        }
    }

    /// The target triple.
    pub fn target(self) -> &'static str {
        match self {
            Self::LoaderUefi => UEFI,
            Self::FpuService => FPU,
            _ => BARE,
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::SabotageKernel => "kernel-sabotage",
            Self::Service => "services",
            Self::SabotageService => "services-sabotage",
            Self::FpuService => "services-fpu",
            Self::LoaderPvh => "loader-pvh",
            Self::LoaderUefi => "loader-uefi",
        }
    }

    fn linker_script(self) -> Option<&'static str> {
        match self {
            Self::Kernel | Self::SabotageKernel => Some("crates/kernel/kernel/kernel.ld"),
            Self::Service | Self::SabotageService | Self::FpuService => {
                Some("crates/user/rt/service.ld")
            }
            Self::LoaderPvh => Some("crates/boot/loader-pvh/loader.ld"),
            Self::LoaderUefi => None,
        }
    }

    /// The rustflags of this kind.
    pub fn flags(self, project: &Project) -> Vec<String> {
        let mut flags: Vec<String> = Vec::new();
        if let Some(script) = self.linker_script() {
            flags.push("-Crelocation-model=static".into());
            flags.push(format!(
                "-Clink-arg=-T{}",
                project.root.join(script).display()
            ));
        }
        match self {
            Self::Kernel => flags.push("-Cforce-frame-pointers=yes".into()),
            Self::SabotageKernel => {
                flags.push("-Cforce-frame-pointers=yes".into());
                flags.push("--cfg=sabotage".into());
            }
            Self::SabotageService => {
                flags.push("-Cforce-frame-pointers=yes".into());
                flags.push("--cfg=sabotage".into());
            }
            // For backtraces.
            Self::Service => flags.push("-Cforce-frame-pointers=yes".into()),
            Self::FpuService => {
                flags.push("-Cforce-frame-pointers=yes".into());
                flags.push("--cfg=guest".into());
                flags.extend(FPU_LINK.map(String::from));
            }
            // All keep the target's code model, which reaches the lowest 2 GiB as well as the highest: with another one
            // the prebuilt `core` could not take part in link-time optimisation.
            Self::LoaderPvh | Self::LoaderUefi => {}
        }
        if self != Self::FpuService {
            flags.extend(CRYPTO_CFGS.iter().map(|cfg| format!("--cfg={cfg}")));
        }
        flags
    }
}

impl<'a> Builder<'a> {
    /// A builder for such code.
    pub fn new(project: &'a Project, toolchain: &'a Toolchain, code: Code) -> Self {
        Self {
            project,
            toolchain,
            code,
        }
    }

    /// Builds `packages` as `kind` and gives their programs, sorted by name.
    pub fn build(&self, kind: Kind, packages: &[&str]) -> Result<Vec<Program>> {
        self.build_some(kind, packages, &[])
    }

    /// The same, of their programs those called `bins` alone; all of them if `bins` is empty.
    ///
    /// The packages stay named, so that what they share is built with the same features whichever programs are wanted.
    fn build_some(&self, kind: Kind, packages: &[&str], bins: &[&str]) -> Result<Vec<Program>> {
        if let Some(script) = kind.linker_script() {
            let path = self.project.root.join(script);
            ensure!(path.exists(), "the linker script {script} is missing");
        }
        let flags = kind.flags(self.project);
        let mut command = self.toolchain.cargo(self.project, kind.target(), &flags);
        command.arg("build").args(["--target", kind.target()]);
        let folder = self.project.guest.join(kind.folder());
        command.arg("--target-dir").arg(&folder);
        command.args(["--message-format", "json-render-diagnostics", "--quiet"]);
        match self.code {
            Code::Release => {
                command.arg("--release");
            }
            // It is for who looks at it with a debugger.
            Code::Debug => {
                let all = ["profile.dev.debug", "profile.dev.package.\"*\".debug"];
                command.args(all.map(|which| format!("--config={which}=\"full\"")));
            }
        }
        if is_ci() {
            command.arg("--locked");
        }
        for package in packages {
            command.args(["--package", package]);
        }
        for bin in bins {
            command.args(["--bin", bin]);
        }
        say_if_building(self.project, &folder, kind.target());
        if std::io::stderr().is_terminal() {
            // What cargo says is passed on, but comes by a pipe.
            command.env("CARGO_TERM_COLOR", "always");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut cargo = command
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start cargo for the guest")?;
        let said = cargo.stderr.take().context("a pipe was asked for")?;
        let said = Complaints::watch(said, std::io::stderr());
        let output = cargo.wait_with_output()?;
        if !output.status.success() {
            let packages = packages.join(" ");
            let hint = hint(&said.finish());
            bail!("building {packages} for {} failed{hint}", kind.target());
        }
        programs(&output.stdout)
    }

    /// Builds the one program of package `name`.
    pub fn build_one(&self, kind: Kind, name: &str) -> Result<Program> {
        let mut programs = self.build(kind, &[name])?;
        programs.retain(|program| program.name == name);
        programs
            .pop()
            .with_context(|| format!("package {name} built no program {name}"))
    }

    /// Builds the package called `package`, or without a name everything that runs in the guest, with a kernel of kind
    /// `kernel`.
    pub fn build_named(&self, package: Option<&str>, kernel: Kind) -> Result<Vec<Program>> {
        if let Some(name) = package {
            return match Kind::of(self.project, self.project.member(name)?)? {
                Kind::Kernel => self.build(kernel, &[name]),
                kind => self.build(kind, &[name]),
            };
        }
        let mut programs = self.build(kernel, &["kernel"])?;
        programs.extend(self.build(Kind::LoaderPvh, &["loader-pvh"])?);
        programs.extend(self.build(Kind::LoaderUefi, &["loader-uefi"])?);
        programs.extend(self.build_services()?);
        Ok(programs)
    }

    /// Builds every package below `services/`.
    pub fn build_services(&self) -> Result<Vec<Program>> {
        self.build(Kind::Service, &self.services(|_| true))
    }

    /// Builds the services' programs called `names` as `kind`, which is [`Kind::Service`] or [`Kind::SabotageService`]; a
    /// name that no service has is left out. For the latter, programs without sabotage points of their own are the plain
    /// ones.
    pub fn build_programs(&self, kind: Kind, names: &BTreeSet<String>) -> Result<Vec<Program>> {
        let of = |wanted: fn(&Member) -> bool| -> Vec<&str> {
            let members = self.project.members.iter().filter(|member| wanted(member));
            let bins = members.flat_map(|member| &member.bins).map(String::as_str);
            bins.filter(|bin| names.contains(*bin)).collect()
        };
        let plain = of(|member| member.tier == "S" || member.tier == "U2");
        if plain.is_empty() {
            return Ok(Vec::new());
        }
        let mut programs = self.build_some(Kind::Service, &self.services(|_| true), &plain)?;
        let with_points = of(|member| member.sabotage);
        if kind != Kind::SabotageService || with_points.is_empty() {
            return Ok(programs);
        }
        let packages = self.services(|member| member.sabotage);
        let sabotaged = self.build_some(kind, &packages, &with_points)?;
        for program in &mut programs {
            let other = sabotaged.iter().find(|other| other.name == program.name);
            program
                .path
                .clone_from(&other.unwrap_or(program).path.clone());
        }
        Ok(programs)
    }

    /// Builds the services' programs called `names` for the floating-point unit; a name that no service has is left out. Those
    /// with sabotage points are built without them.
    pub fn build_fpu_programs(&self, names: &BTreeSet<String>) -> Result<Vec<Program>> {
        let has = |member: &Member| member.bins.iter().any(|bin| names.contains(bin));
        let packages = self.services(has);
        if packages.is_empty() {
            return Ok(Vec::new());
        }
        self.toolchain.require(self.project, FPU)?;
        let known = self.project.members.iter().flat_map(|member| &member.bins);
        let bins: Vec<&str> = known
            .filter(|bin| names.contains(*bin))
            .map(String::as_str)
            .collect();
        self.build_some(Kind::FpuService, &packages, &bins)
    }

    fn services(&self, wanted: impl Fn(&Member) -> bool) -> Vec<&'a str> {
        let services = self.project.root.join("services");
        let members = self.project.members.iter();
        members
            .filter(|member| member.guest && member.dir.starts_with(&services))
            .filter(|member| wanted(member))
            .map(|member| member.name.as_str())
            .collect()
    }
}

/// What to do about a cargo that said this, where the source of a package was not to be had.
pub fn hint(errors: &str) -> &'static str {
    const ABSENT: [&str; 4] = [
        "failed to download",
        "failed to get `",
        "unable to get packages from source",
        "but --offline was specified",
    ];
    if !ABSENT.iter().any(|words| errors.contains(words)) {
        return "";
    }
    ": the source of a package is not on this machine and cannot be fetched now; `cargo fetch --locked`, once where there is a \
     network, brings all of them, and no build needs it afterwards"
}

/// Says so where the cargo that is started next, quietly and for this machine itself, waits for another one.
pub fn say_if_host_builds(project: &Project) {
    say_if_building(project, &project.target, "");
}

fn say_if_building(project: &Project, folder: &Path, target: &str) {
    if is_building(folder, target) {
        eprintln!("waiting for another build in {}", project.show(folder));
    }
}

/// Whether a cargo builds in `folder` now, for which the next one waits, and without a word if it is to be quiet.
fn is_building(folder: &Path, target: &str) -> bool {
    let mut places = Vec::new();
    for below in [folder.to_path_buf(), folder.join(target)] {
        places.extend(["release", "debug"].map(|profile| below.join(profile)));
    }
    places.iter().any(|place| {
        let lock = File::open(place.join(".cargo-lock"));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    })
}

fn programs(messages: &[u8]) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for line in String::from_utf8_lossy(messages).lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else {
            continue;
        };
        let executable = message
            .get("executable")
            .and_then(serde_json::Value::as_str);
        let name = message
            .pointer("/target/name")
            .and_then(serde_json::Value::as_str);
        if let (Some(path), Some(name)) = (executable, name) {
            programs.push(Program {
                name: name.to_owned(),
                path: path.into(),
            });
        }
    }
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::{hint, is_building};
    use std::fs::{self, File};

    #[test]
    fn a_build_without_its_packages_says_how_to_get_them() {
        let by_host = "error: failed to download from `https://index.crates.io/config.json`";
        let offline = "error: failed to get `addr2line` as a dependency of package `xtask v0.1.0`";
        for errors in [by_host, offline] {
            assert!(hint(errors).contains("`cargo fetch --locked`"), "{errors}");
        }
        assert_eq!(hint("error[E0308]: mismatched types"), "");
    }

    #[test]
    fn a_build_that_another_one_waits_for_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_building(folder.path(), "x"), "nobody built there");
        for place in ["release", "x/release", "debug"] {
            let place = folder.path().join(place);
            fs::create_dir_all(&place).unwrap();
            let lock = File::create(place.join(".cargo-lock")).unwrap();
            assert!(!is_building(folder.path(), "x"));
            lock.lock().unwrap();
            assert!(is_building(folder.path(), "x"), "{}", place.display());
        }
        assert!(!is_building(folder.path(), "x"), "all have ended");
    }
}
