//! Finds a compiler for the guest targets and says in one line which one was taken and why.
//!
//! Nobody else in the tree knows that there are two ways: a toolchain that has the targets prebuilt (rustup's, adding
//! them where it can), or a private sysroot made once from a compiler whose library source is at hand.
//!
//! Invariant: `RUSTC_BOOTSTRAP` is set for the library build of that sysroot and never for a crate of ours: it would let
//! nightly-only code through unseen.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::project::Project;

/// The target of kernel, services and the PVH loader.
pub const BARE: &str = "x86_64-unknown-none";
/// The target of the UEFI loader.
pub const UEFI: &str = "x86_64-unknown-uefi";
/// The target of services that may use the floating-point and vector unit: there is none without an operating system that
/// stable Rust has and whose ABI passes floating-point values in registers. A compiler for such a host has it; rustup is asked elsewhere.
pub const FPU: &str = "x86_64-unknown-linux-gnu";

const TARGETS: [&str; 2] = [BARE, UEFI];
const DISTRO_RUSTC: &str = "/usr/bin/rustc";
const DISTRO_CARGO: &str = "/usr/bin/cargo";
/// Rustup fetches a target in seconds; where it cannot, it must not hold up the build for long.
const RUSTUP_PATIENCE: Duration = Duration::from_secs(120);

/// Which way to a guest compiler a person asked for (`CAPOS_TOOLCHAIN`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Choice {
    Auto,
    Prebuilt,
    Sysroot,
}

/// A cargo with a compiler that can build for [`BARE`] and [`UEFI`].
pub struct Toolchain {
    cargo: PathBuf,
    rustc: Option<PathBuf>,
    sysroot: Option<PathBuf>,
    /// One line: what was taken and why.
    pub story: String,
}

impl Toolchain {
    /// Finds a toolchain, making the private sysroot if that is what it takes.
    pub fn find(project: &Project) -> Result<Self> {
        let choice = match std::env::var("CAPOS_TOOLCHAIN").as_deref() {
            Err(_) | Ok("" | "auto") => Choice::Auto,
            Ok("prebuilt") => Choice::Prebuilt,
            Ok("sysroot") => Choice::Sysroot,
            Ok(other) => bail!("CAPOS_TOOLCHAIN is {other:?}; it may be auto, prebuilt or sysroot"),
        };
        if choice != Choice::Sysroot {
            if let Some(found) = Self::prebuilt(project, "already installed") {
                return Ok(found);
            }
            // A sysroot that exists shows that rustup had nothing before; asking again would only cost time.
            let settled = choice == Choice::Auto
                && SysrootPlan::find(project).is_some_and(|plan| plan.is_built());
            if !settled
                && rustup_add(project, &TARGETS)
                && let Some(found) = Self::prebuilt(project, "added through rustup")
            {
                return Ok(found);
            }
            ensure!(
                choice == Choice::Auto,
                "no prebuilt {BARE} and {UEFI}, and rustup could not add them"
            );
        }
        let plan = SysrootPlan::find(project).context(
            "no way to build for the guest: rustup could not add the target, and there is no compiler with its \
             library source (on Debian/Ubuntu: rustc-web cargo-web rust-web-src lld)",
        )?;
        plan.build()?;
        Ok(Self {
            story: format!(
                "guest toolchain: {} with a private sysroot, {} ({})",
                version_line(&plan.rustc)?,
                project.show(&plan.sysroot),
                if choice == Choice::Sysroot {
                    "CAPOS_TOOLCHAIN asks for it"
                } else {
                    "rustup has no guest targets here"
                }
            ),
            cargo: plan.cargo,
            rustc: Some(plan.rustc),
            sysroot: Some(plan.sysroot),
        })
    }

    /// Whether a guest compiler is at hand or can be had without installing a package.
    pub fn is_within_reach(project: &Project) -> bool {
        Self::prebuilt(project, "").is_some()
            || SysrootPlan::find(project).is_some()
            // What rustup says is not enough: a damaged toolchain counts as up to date.
            || (rustup_add(project, &TARGETS) && Self::prebuilt(project, "").is_some())
    }

    /// Makes sure that the compiler's own `core` for another target than the guest's is there.
    pub fn require(&self, project: &Project, target: &str) -> Result<()> {
        let rustc = self.rustc.as_deref().unwrap_or(Path::new("rustc"));
        if brings(project, rustc, target) {
            return Ok(());
        }
        let added = self.rustc.is_none() && rustup_add(project, &[target]);
        ensure!(
            added && brings(project, rustc, target),
            "{} has no library for {target}, for which services with fpu are built; rustup target add {target} brings it",
            rustc.display()
        );
        Ok(())
    }

    fn prebuilt(project: &Project, why: &str) -> Option<Self> {
        let has = |target: &&str| brings(project, Path::new("rustc"), target);
        TARGETS.iter().all(has).then_some(())?;
        let version = clean(&project.root, Path::new("rustc"))
            .arg("--version")
            .output()
            .ok()?;
        let version = String::from_utf8(version.stdout).ok()?;
        Some(Self {
            cargo: "cargo".into(),
            rustc: None,
            sysroot: None,
            story: format!("guest toolchain: {} (targets {why})", version.trim()),
        })
    }

    /// Whether the toolchain at hand itself has the guest targets, so that its own tools can be used on guest crates.
    pub fn is_prebuilt(&self) -> bool {
        self.sysroot.is_none()
    }

    /// A cargo command in the workspace, cleared of what the outer cargo left in the environment.
    ///
    /// `flags` are the rustflags of the guest crates, for `target`; build scripts and proc macros do not see them.
    pub fn cargo(&self, project: &Project, target: &str, flags: &[String]) -> Command {
        let mut command = clean(&project.root, &self.cargo);
        let mut flags = flags.to_vec();
        if let Some(rustc) = &self.rustc {
            command.env("RUSTC", rustc);
        }
        if let Some(sysroot) = &self.sysroot {
            // What the compiler brings for the host itself is not in there.
            if TARGETS.contains(&target) {
                flags.push("--sysroot".into());
                flags.push(sysroot.display().to_string());
            }
            command.env("PATH", with_first_in_path(&sysroot.join("bin")));
        }
        // The encoded form survives spaces in paths and wins over every other source of flags.
        command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        command
    }
}

/// Whether a compiler has the library of a target.
fn brings(project: &Project, rustc: &Path, target: &str) -> bool {
    let output = clean(&project.root, rustc)
        .args(["--print", "target-libdir", "--target", target])
        .stderr(Stdio::null())
        .output();
    let text = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    text.is_some_and(|dir| has_core(Path::new(dir.trim())))
}

/// What a private sysroot is made from and where it goes.
struct SysrootPlan {
    rustc: PathBuf,
    cargo: PathBuf,
    sysroot: PathBuf,
}

impl SysrootPlan {
    /// The distribution's compiler, if it, its cargo, its library source and a linker are there.
    fn find(project: &Project) -> Option<Self> {
        let (rustc, cargo) = (PathBuf::from(DISTRO_RUSTC), PathBuf::from(DISTRO_CARGO));
        let complete = rustc.exists() && cargo.exists() && lld().is_some();
        if !complete || !library_source(&rustc)?.join("core/src/lib.rs").exists() {
            return None;
        }
        let version = Command::new(&rustc).arg("-vV").output().ok()?.stdout;
        let mut hasher = DefaultHasher::new();
        version.hash(&mut hasher);
        let sysroot = project
            .guest
            .join(format!("sysroot-{:016x}", hasher.finish()));
        Some(Self {
            rustc,
            cargo,
            sysroot,
        })
    }

    fn lib_dir(sysroot: &Path, target: &str) -> PathBuf {
        sysroot.join("lib/rustlib").join(target).join("lib")
    }

    fn is_built(&self) -> bool {
        TARGETS
            .iter()
            .all(|target| has_core(&Self::lib_dir(&self.sysroot, target)))
    }

    /// Builds `core`, `alloc` and `compiler_builtins` for both targets; the folder appears only once it is complete.
    fn build(&self) -> Result<()> {
        if self.is_built() {
            return Ok(());
        }
        eprintln!("building core and alloc for the guest, once (about a minute)");
        let parent = self
            .sysroot
            .parent()
            .context("a sysroot path has a parent")?;
        fs::create_dir_all(parent)?;
        let work = tempfile::Builder::new()
            .prefix("sysroot-build-")
            .tempdir_in(parent)?;
        let fresh = work.path().join("sysroot");
        fs::create_dir_all(fresh.join("bin"))?;
        // Debian's cargo has no rust-lld on its path; the flavour is an argument, so one name serves both targets.
        symlink(lld().context("lld is gone")?, fresh.join("bin/rust-lld"))?;
        let seed = work.path().join("seed");
        write_seed(&seed)?;
        for target in TARGETS {
            self.build_target(&seed, &fresh, target)?;
        }
        if self.sysroot.exists() {
            fs::remove_dir_all(&self.sysroot)?;
        }
        match fs::rename(&fresh, &self.sysroot) {
            // Somebody else finished the same thing first.
            Err(_) if self.is_built() => Ok(()),
            other => other.context("cannot put the finished sysroot in its place"),
        }
    }

    fn build_target(&self, seed: &Path, fresh: &Path, target: &str) -> Result<()> {
        let flags_name = format!(
            "CARGO_TARGET_{}_RUSTFLAGS",
            target.to_uppercase().replace('-', "_")
        );
        let output = clean(seed, &self.cargo)
            .env("RUSTC", &self.rustc)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("PATH", with_first_in_path(&fresh.join("bin")))
            // Without the bitcode `lto = true` fails later for want of `.llvmbc`.
            .env(flags_name, "-Cembed-bitcode=yes")
            .args(["build", "--release", "--quiet", "--target", target])
            .arg("-Zbuild-std=core,alloc,compiler_builtins")
            .arg("-Zbuild-std-features=compiler-builtins-mem")
            .arg("--target-dir")
            .arg(seed.join("target"))
            .output()
            .with_context(|| format!("cannot start {}", self.cargo.display()))?;
        if !output.status.success() {
            bail!(
                "the guest library for {target} did not build:\n{}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let to = Self::lib_dir(fresh, target);
        fs::create_dir_all(&to)?;
        let from = seed.join("target").join(target).join("release/deps");
        let mut copied = 0;
        for entry in fs::read_dir(&from)? {
            let path = entry?.path();
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            let wanted = ["libcore-", "liballoc-", "libcompiler_builtins-"];
            if name.ends_with(".rlib") && wanted.iter().any(|prefix| name.starts_with(prefix)) {
                fs::copy(&path, to.join(name))?;
                copied += 1;
            }
        }
        ensure!(
            copied == 3,
            "{} holds {copied} of the 3 guest libraries",
            from.display()
        );
        Ok(())
    }
}

/// An empty crate: cargo builds the standard library only as a dependency of something.
fn write_seed(seed: &Path) -> Result<()> {
    fs::create_dir_all(seed.join("src"))?;
    fs::write(
        seed.join("Cargo.toml"),
        "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [profile.release]\npanic = \"abort\"\n",
    )?;
    fs::write(seed.join("src/lib.rs"), "#![no_std]\n")?;
    Ok(())
}

/// The library source that belongs to `rustc`.
fn library_source(rustc: &Path) -> Option<PathBuf> {
    let output = Command::new(rustc)
        .args(["--print", "sysroot"])
        .output()
        .ok()?;
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    Some(sysroot.join("lib/rustlib/src/rust/library"))
}

fn lld() -> Option<PathBuf> {
    ["/usr/bin/lld", "/usr/bin/ld.lld"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
}

fn has_core(lib_dir: &Path) -> bool {
    fs::read_dir(lib_dir).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
    })
}

fn version_line(rustc: &Path) -> Result<String> {
    let output = Command::new(rustc).arg("--version").output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.split(" (").next().unwrap_or(&text).trim().to_owned())
}

/// `rustup target add` for `targets`, given up after [`RUSTUP_PATIENCE`].
fn rustup_add(project: &Project, targets: &[&str]) -> bool {
    let child = clean(&project.root, Path::new("rustup"))
        .args(["target", "add"])
        .args(targets)
        .env("RUSTUP_MAX_RETRIES", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let deadline = Instant::now() + RUSTUP_PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(100));
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// A command in `dir` without the variables by which an outer `cargo run` would steer an inner one.
fn clean(dir: &Path, program: &Path) -> Command {
    const LEAKS: [&str; 8] = [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUSTC_BOOTSTRAP",
        "CARGO_ENCODED_RUSTFLAGS",
        "LD_LIBRARY_PATH",
    ];
    const LEAK_PREFIXES: [&str; 6] = [
        "CARGO_PKG_",
        "CARGO_BIN_",
        "CARGO_MANIFEST_",
        "CARGO_TARGET_",
        "CARGO_BUILD_",
        "CARGO_PROFILE_",
    ];
    let mut command = Command::new(program);
    command.current_dir(dir);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if LEAKS.contains(&&*text) || LEAK_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

fn with_first_in_path(dir: &Path) -> OsString {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(dir.to_path_buf()).chain(std::env::split_paths(&old));
    std::env::join_paths(dirs).unwrap_or(old)
}
