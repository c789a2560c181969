//! The manifests of the tree: their names, and what the compiler makes of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use manifest::KernelSource;

use crate::precheck::meant;
use crate::project::Project;

/// The fields of a manifest that a person writes.
const FIELDS: [&str; 21] = [
    "name",
    "exitWith",
    "drivers",
    "services",
    "binary",
    "arguments",
    "grants",
    "exports",
    "restart",
    "priority",
    "limits",
    "maxRestarts",
    "critical",
    "distrusting",
    "stackPages",
    "areaPages",
    "kernel",
    "export",
    "device",
    "endpoint",
    "interface",
];

/// Compiles `manifests/NAME.capnp` to the message the guest reads.
///
/// The constant is called `manifest`. `manifests/NAME.bin`, bytes that no compiler would write, is taken as it is. A manifest that breaks its schema is refused with the compiler's `file:line:col`.
pub fn compile_manifest(project: &Project, name: &str) -> Result<Vec<u8>> {
    let source = manifest_path(project, name)?;
    if source.extension().is_some_and(|end| end == "bin") {
        return fs::read(&source).with_context(|| format!("cannot read {}", project.show(&source)));
    }
    compile(project, &source)
}

/// What the compiler makes of a source.
pub fn compile(project: &Project, source: &Path) -> Result<Vec<u8>> {
    let output = Command::new("capnp")
        .current_dir(&project.root)
        .args(["eval", "--binary", "--import-path=schema"])
        .arg(format!("--import-path={}", project.root.display()))
        .arg(source)
        .arg("manifest")
        .output()
        .context("cannot start capnp")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}{}", said.trim(), advice(&said));
    }
    ensure!(
        !output.stdout.is_empty(),
        "{} compiled to nothing",
        project.show(source)
    );
    Ok(output.stdout)
}

/// What to do about what the compiler says, where it says too little.
fn advice(said: &str) -> String {
    let between = |before: &str, after: &str| {
        let rest = said.split_once(before)?.1;
        Some(rest.split_once(after).map_or(rest, |(word, _)| word).trim())
    };
    if said.contains("'manifest' is not defined") {
        return "\nA manifest is one constant: const manifest :M.Manifest = ( ... );".to_owned();
    }
    if let Some(word) = between("error: Not defined: ", "\n") {
        let restarts = ["never", "onFailure", "always"].into_iter();
        let known = KernelSource::ALL.iter().map(|source| source.name());
        return meant(word, known.chain(restarts));
    }
    if said.contains("error: Expected name.") || said.contains("error: Parse error.") {
        return "\nIs a comma missing before it?".to_owned();
    }
    if let Some(field) = between("Struct has no field named '", "'") {
        return meant(field, FIELDS.into_iter());
    }
    String::new()
}

/// The file that a manifest called `name` is written in.
pub fn manifest_path(project: &Project, name: &str) -> Result<PathBuf> {
    let dir = project.root.join("manifests");
    let endings = ["capnp", "bin"];
    let sources = endings.map(|ending| dir.join(format!("{name}.{ending}")));
    if let Some(source) = sources.into_iter().find(|source| source.is_file()) {
        return Ok(source);
    }
    bail!(
        "there is no manifest {name:?}{}",
        instead(name, &manifest_names(&dir)?)
    );
}

/// What may have been meant by a name that no manifest has; those of folders are too many to be listed.
fn instead(name: &str, names: &[String]) -> String {
    let short = name.trim_start_matches("./");
    let short = short.strip_prefix("manifests/").unwrap_or(short);
    let short = short.strip_suffix(".capnp").unwrap_or(short);
    if names.iter().any(|name| name == short) {
        return format!("; did you mean {short:?}?");
    }
    let near = meant(short, names.iter().map(String::as_str));
    if !near.is_empty() {
        return near;
    }
    let plain = names.iter().filter(|name| !name.contains('/'));
    let plain: Vec<&str> = plain.map(String::as_str).collect();
    format!(
        "; there are {}, and those in the folders of manifests/, as FOLDER/NAME",
        plain.join(", ")
    )
}

/// What `--manifest` takes, sorted: `NAME` below `manifests/`, `FOLDER/NAME` in its folders.
///
/// Left out are `bad`, which holds what must be refused, and `common`, which holds what the others import.
pub fn manifest_names(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in ["", "smoke/", "bench/"] {
        for entry in fs::read_dir(dir.join(folder))?.flatten() {
            let path = entry.path();
            let is_manifest = path.extension().is_some_and(|end| end == "capnp");
            if let Some(stem) = path.file_stem().filter(|_| is_manifest) {
                names.push(format!("{folder}{}", stem.to_string_lossy()));
            }
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{advice, instead};

    #[test]
    fn a_manifest_that_there_is_not_is_answered_with_what_was_meant() {
        let names = ["default", "network", "smoke/boot", "smoke/bell"].map(String::from);
        for path in ["manifests/default.capnp", "./default.capnp", "Default"] {
            assert_eq!(instead(path, &names), "; did you mean \"default\"?");
        }
        assert_eq!(
            instead("smoke/bot", &names),
            "; did you mean \"smoke/boot\"?"
        );
        let all = instead("something-else", &names);
        assert!(
            all.starts_with("; there are default, network, and those in"),
            "{all}"
        );
    }

    #[test]
    fn what_the_compiler_leaves_open_is_said() {
        let named = advice("m.capnp:20:19-25: error: Not defined: consle\n");
        assert_eq!(named, "; did you mean \"console\"?");
        let field = advice("m.capnp:1:2-3: error: Struct has no field named 'restarts'.\n");
        assert_eq!(field, "; did you mean \"restart\"?");
        assert!(advice("m.capnp:14:9-26: error: Expected name.").contains("comma"));
        assert!(
            advice("capnp eval: manifest: 'manifest' is not defined.").contains("const manifest")
        );
        assert_eq!(
            advice("m.capnp:1:2: error: Integer value out of range."),
            ""
        );
    }
}
