//! What `new-service` and `new-driver` make, tried out: in a copy of the tree, from the command to a smoke that passes; and the
//! programs of the book, compiled there.
//!
//! Invariant: never changes the tree itself.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::examples;
use crate::new::{DriverArgs, ServiceArgs};
use crate::project::Project;

/// The names of what is made in the copy.
const SERVICE: &str = "trial-service";
const CARD: &str = "trial-card";
const PORT: &str = "trial-port";
/// What is made beside each of these.
const MADE: [&str; 8] = [
    SERVICE,
    "trial-service-client",
    CARD,
    "trial-card-provider",
    "trial-card-client",
    PORT,
    "trial-port-provider",
    "trial-port-client",
];

/// Makes one of each in a copy of the tree, lints and tests them on the host: what stands in the templates was compiled by nobody
/// before. The build folder stays, so that a second time is shorter.
pub fn on_host(project: &Project) -> Result<()> {
    let made = Made::new(project)?;
    let examples = made.examples(project)?;
    let compiled: Vec<&str> = examples
        .iter()
        .flat_map(|name| ["--package", name.as_str()])
        .collect();
    made.cargo(&[&["check", "--quiet"], compiled.as_slice()].concat())?;
    let packages = MADE.iter().flat_map(|name| ["--package", *name]);
    let packages: Vec<&str> = packages.collect();
    let lint = ["clippy", "--quiet", "--all-targets"];
    let deny = ["--", "--deny", "warnings"];
    made.cargo(&[&lint, packages.as_slice(), &deny].concat())?;
    made.cargo(&[&["test", "--quiet"], packages.as_slice()].concat())
}

/// Makes one of each in a copy of the tree, boots them and sees that the copy keeps the rules.
pub fn in_guest(project: &Project) -> Result<()> {
    let made = Made::new(project)?;
    made.xtask(&[
        "--no-install",
        "smoke",
        "--accel",
        "tcg",
        SERVICE,
        CARD,
        PORT,
    ])?;
    made.xtask(&["tidy"])
}

/// A copy of the tree with one of each.
struct Made {
    tree: PathBuf,
    build: PathBuf,
}

impl Made {
    fn new(project: &Project) -> Result<Self> {
        let place = project.target.join("new");
        let (tree, build) = (place.join("tree"), place.join("build"));
        copy_tree(project, &tree)?;
        let root = tree.join("Cargo.toml");
        let service = ServiceArgs {
            name: SERVICE.into(),
        };
        super::service(&Project::at(&root)?, &service, || Ok(()))?;
        for (name, virtio) in [(CARD, false), (PORT, true)] {
            let name = name.into();
            let args = DriverArgs { name, virtio };
            super::driver(&Project::at(&root)?, &args, || Ok(()))?;
        }
        Ok(Self { tree, build })
    }

    /// Makes a service of each whole program in the book; gives their names.
    fn examples(&self, project: &Project) -> Result<Vec<String>> {
        let services = self.tree.join("services/system");
        let manifest = fs::read_to_string(services.join("hello/Cargo.toml"))?;
        let mut names = Vec::new();
        for (at, (place, text)) in examples::programs(project)?.into_iter().enumerate() {
            let name = format!("book-example-{at}");
            println!("{name}: {place}");
            let folder = services.join(&name);
            fs::create_dir_all(folder.join("src"))?;
            let named = manifest.replace("name = \"hello\"", &format!("name = \"{name}\""));
            fs::write(folder.join("Cargo.toml"), named)?;
            fs::write(folder.join("src/main.rs"), text)?;
            names.push(name);
        }
        Ok(names)
    }

    /// The copy's own xtask, which knows the new smokes.
    fn xtask(&self, arguments: &[&str]) -> Result<()> {
        let before = ["run", "--quiet", "--package", "xtask", "--"];
        self.cargo(&[&before, arguments].concat())
    }

    fn cargo(&self, arguments: &[&str]) -> Result<()> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .current_dir(&self.tree)
            .args(arguments)
            .env("CARGO_TARGET_DIR", &self.build)
            // The new packages are not in the lock file yet.
            .env_remove("CI")
            .status()
            .context("cannot start cargo")?;
        ensure!(status.success(), "cargo {} failed", arguments.join(" "));
        Ok(())
    }
}

/// Copies what git knows or would take, with its times, so that cargo builds only what has changed.
fn copy_tree(project: &Project, tree: &Path) -> Result<()> {
    if tree.exists() {
        fs::remove_dir_all(tree)?;
    }
    let listed = Command::new("git")
        .current_dir(&project.root)
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .output()
        .context("cannot start git")?;
    ensure!(listed.status.success(), "git does not list the tree");
    for path in listed.stdout.split(|byte| *byte == 0) {
        let path = Path::new(OsStr::from_bytes(path));
        let (from, to) = (project.root.join(path), tree.join(path));
        // One that was removed and not committed is listed too.
        if !from.is_file() {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", path.display()))?;
        let modified = fs::metadata(&from)?.modified()?;
        fs::File::options()
            .append(true)
            .open(&to)?
            .set_modified(modified)?;
    }
    Ok(())
}
