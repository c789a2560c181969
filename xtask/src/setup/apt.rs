//! Installing through apt, without taking away what a person has.
//!
//! Invariant: never removes a package. apt is asked first what it would remove, and told again not to when it installs.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{is_root, is_unattended};

/// Installs `packages` from the lists as they were last brought up to date.
///
/// Where a package that is there is newer than its release's (from backports, say) and would have to go, the release is taken
/// whose versions fit it.
pub fn install(packages: &[&str]) -> Result<()> {
    let release = choose_release(packages)?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends", "--no-remove"];
    if let Some(release) = &release {
        eprintln!("taking them from {release}, whose versions fit what is installed");
        arguments.extend(["--target-release", release]);
    }
    arguments.extend(packages);
    run("apt-get", &arguments)
}

/// Whether `packages` can be installed, from one release or another, without removing anything.
pub fn fit(packages: &[&str]) -> bool {
    choose_release(packages).is_ok()
}

/// Brings the lists up to date.
pub fn update() -> Result<()> {
    run("apt-get", &["update"])
}

/// Which release to install from so that nothing goes: `None` for apt's own choice.
fn choose_release(packages: &[&str]) -> Result<Option<String>> {
    let first = would_remove(packages, None);
    if first.as_ref().is_ok_and(Vec::is_empty) {
        return Ok(None);
    }
    let policy: Vec<&str> = ["policy"]
        .into_iter()
        .chain(packages.iter().copied())
        .collect();
    for release in releases(&ask("apt-cache", &policy)?) {
        if would_remove(packages, Some(&release)).is_ok_and(|lost| lost.is_empty()) {
            return Ok(Some(release));
        }
    }
    let lost = first?;
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

/// The releases in version tables, each once: places are indented deeper than versions.
fn releases(policy: &str) -> Vec<String> {
    let mut releases: Vec<String> = Vec::new();
    for line in policy.lines().filter(|line| line.starts_with("        ")) {
        let place = line.split_whitespace().nth(2);
        let Some((release, component)) = place.and_then(|place| place.split_once('/')) else {
            continue;
        };
        if !release.is_empty()
            && !component.is_empty()
            && !releases.iter().any(|one| one == release)
        {
            releases.push(release.to_owned());
        }
    }
    releases
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
    use super::{releases, removed};

    #[test]
    fn a_simulation_names_what_would_go() {
        let said = "NOTE: This is only a simulation!\nRemv qemu-utils [1:10.0.2+ds-2+deb13u1~bpo12+1]\n\
                    Inst qemu-system-x86 (1:7.2 Debian:12 [amd64])\nConf qemu-system-x86 (1:7.2 Debian:12 [amd64])\n";
        assert_eq!(removed(said), ["qemu-utils"]);
        assert!(removed("Inst a (1)\nConf a (1)\n").is_empty());
    }

    #[test]
    fn the_releases_of_a_version_table_are_found() {
        let policy = "qemu-utils:\n  Installed: 1:10.0.2+ds-2\n  Candidate: 1:10.0.2+ds-2\n  Version table:\n \
                      *** 1:10.0.2+ds-2 100\n        100 http://mirror/debian bookworm-backports/main amd64 Packages\n        \
                      100 /var/lib/dpkg/status\n     1:7.2 500\n        500 http://mirror/debian bookworm/main amd64 Packages\n        \
                      500 http://mirror/debian bookworm/main i386 Packages\n";
        assert_eq!(releases(policy), ["bookworm-backports", "bookworm"]);
        assert!(releases("x:\n  Installed: (none)\n").is_empty());
        let local = " *** 2 100\n        100 /var/lib/dpkg/status\n";
        assert!(releases(local).is_empty(), "only dpkg knows it");
    }
}
