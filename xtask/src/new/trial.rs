//! What `new-service` and `new-driver` make, tried out: in a copy of the tree, from the command to a smoke that passes.
//!
//! Invariant: never changes the tree itself.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::project::Project;

/// What is made in the copy: the arguments of xtask.
const MADE: [&[&str]; 3] = [
    &["new-service", "trial-service"],
    &["new-driver", "trial-card"],
    &["new-driver", "trial-port", "--virtio"],
];
/// Packages whose host tests must pass then.
const TESTED: [&str; 3] = ["trial-service", "trial-card", "trial-port"];

/// Makes one of each in a copy of the tree, tests and boots them. The build folder stays, so that a second time is shorter.
pub fn run(project: &Project) -> Result<()> {
    let place = project.target.join("new");
    let tree = place.join("tree");
    copy_tree(project, &tree)?;
    let xtask = |arguments: &[&str]| {
        let before = ["run", "--quiet", "--package", "xtask", "--"];
        cargo(&tree, &place.join("build"), &[&before, arguments].concat())
    };
    for arguments in MADE {
        xtask(arguments)?;
    }
    let tested = TESTED.iter().flat_map(|name| ["--package", *name]);
    let test: Vec<&str> = ["test", "--quiet"].into_iter().chain(tested).collect();
    cargo(&tree, &place.join("build"), &test)?;
    let names = MADE
        .iter()
        .filter_map(|arguments| arguments.get(1).copied());
    let smoke: Vec<&str> = ["--no-install", "smoke", "--accel", "tcg"]
        .into_iter()
        .chain(names)
        .collect();
    xtask(&smoke)?;
    xtask(&["tidy"])
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

fn cargo(tree: &Path, target: &Path, arguments: &[&str]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(tree)
        .args(arguments)
        .env("CARGO_TARGET_DIR", target)
        // The new packages are not in the lock file yet.
        .env_remove("CI")
        .status()
        .context("cannot start cargo")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}
