//! Installing through apt, without taking away what a person has.
//!
//! Invariant: never removes a package. apt is asked first what it would remove, and told again not to when it installs.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{is_root, is_unattended};

/// Installs `packages` from the lists as they are on the servers now.
///
/// Where a package that is there is newer than its release's (from backports, say), the others that must fit it are taken
/// from where it came from.
pub fn install(packages: &[&str]) -> Result<()> {
    run("apt-get", &["update"])?;
    let release = choose_release(packages)?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends", "--no-remove"];
    if let Some((release, because)) = &release {
        eprintln!("taking them from {release}, where the installed {because} is from");
        arguments.extend(["--target-release", release]);
    }
    arguments.extend(packages);
    run("apt-get", &arguments)
}

/// Which release to install from so that nothing goes: `None` for apt's own choice.
fn choose_release(packages: &[&str]) -> Result<Option<(String, String)>> {
    let lost = would_remove(packages, None)?;
    if lost.is_empty() {
        return Ok(None);
    }
    for name in &lost {
        if let Some(release) = origin(name)?
            && would_remove(packages, Some(&release))?.is_empty()
        {
            return Ok(Some((release, name.clone())));
        }
    }
    let sudo = if is_root() { "" } else { "sudo " };
    bail!(
        "installing {} would remove {}: their versions do not fit together. Nothing was installed. \
         Install versions that fit yours, or let apt replace them: {sudo}apt-get install {}",
        packages.join(" "),
        lost.join(" "),
        packages.join(" ")
    )
}

/// The packages that apt would remove.
fn would_remove(packages: &[&str], release: Option<&str>) -> Result<Vec<String>> {
    let mut arguments = vec!["--simulate", "install", "--no-install-recommends"];
    if let Some(release) = release {
        arguments.extend(["--target-release", release]);
    }
    arguments.extend(packages);
    let said = ask("apt-get", &arguments)?;
    Ok(removed(&said))
}

/// The names in the `Remv` lines of a simulation.
fn removed(simulation: &str) -> Vec<String> {
    let lines = simulation.lines();
    let names = lines.filter_map(|line| line.strip_prefix("Remv ")?.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// The release that the installed version of `package` is from, if the lists still have it.
fn origin(package: &str) -> Result<Option<String>> {
    Ok(installed_from(&ask("apt-cache", &["policy", package])?))
}

/// The first place below the installed version in a version table, that is a release and not dpkg's own record.
fn installed_from(policy: &str) -> Option<String> {
    let mut lines = policy
        .lines()
        .skip_while(|line| !line.starts_with(" *** "))
        .skip(1)
        // Places are indented deeper than versions.
        .take_while(|line| line.starts_with("        "));
    lines.find_map(|line| {
        let (release, component) = line.split_whitespace().nth(2)?.split_once('/')?;
        (!release.is_empty() && !component.is_empty()).then(|| release.to_owned())
    })
}

fn ask(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stderr(Stdio::piped())
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

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = if is_root() {
        Command::new(program)
    } else {
        let mut sudo = Command::new("sudo");
        if is_unattended() {
            sudo.arg("--non-interactive");
        }
        // sudo clears the environment; this must arrive.
        sudo.args(["DEBIAN_FRONTEND=noninteractive", program]);
        sudo
    };
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Standard output belongs to the guest.
        .stdout(std::io::stderr());
    let status = command
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    if !status.success() {
        bail!("{program} {} failed", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{installed_from, removed};

    #[test]
    fn a_simulation_names_what_would_go() {
        let said = "NOTE: This is only a simulation!\nRemv qemu-utils [1:10.0.2+ds-2+deb13u1~bpo12+1]\n\
                    Inst qemu-system-x86 (1:7.2 Debian:12 [amd64])\nConf qemu-system-x86 (1:7.2 Debian:12 [amd64])\n";
        assert_eq!(removed(said), ["qemu-utils"]);
        assert!(removed("Inst a (1)\nConf a (1)\n").is_empty());
    }

    #[test]
    fn the_release_of_the_installed_version_is_found() {
        let policy = "qemu-utils:\n  Installed: 1:10.0.2+ds-2\n  Candidate: 1:10.0.2+ds-2\n  Version table:\n \
                      *** 1:10.0.2+ds-2 100\n        100 http://mirror/debian bookworm-backports/main amd64 Packages\n        \
                      100 /var/lib/dpkg/status\n     1:7.2 500\n        500 http://mirror/debian bookworm/main amd64 Packages\n";
        assert_eq!(
            installed_from(policy).as_deref(),
            Some("bookworm-backports")
        );
        let local = "x:\n  Version table:\n *** 2 100\n        100 /var/lib/dpkg/status\n     1 500\n        500 http://m b/main amd64 Packages\n";
        assert_eq!(installed_from(local), None, "only dpkg knows it");
        assert_eq!(installed_from("x:\n  Installed: (none)\n"), None);
    }
}
