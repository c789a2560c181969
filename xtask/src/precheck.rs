//! What can be said about a manifest before anything is built for it: that it breaks a rule, names a program that nobody has, or
//! gives a service another interface than its source asks for.
//!
//! The guest says all of it too, minutes later. Invariant: refuses only what a boot would refuse, and what a service would end by
//! in its first lines; what else is read out of a source is a warning, because only the program itself knows which lines it
//! comes by.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use manifest::{Error, Manifest, NameFault, Service, Source};
use schema::manifest_capnp;

use crate::manifests::{compile_manifest, manifest_path};
use crate::project::{Member, Project};

/// Checks `manifests`, except those that are there to be refused by the guest.
pub fn check(project: &Project, manifests: &[&str]) -> Result<()> {
    for name in manifests.iter().filter(|name| !name.starts_with("bad/")) {
        let bytes = compile_manifest(project, name)?;
        let source = manifest_path(project, name)?;
        if source.extension().is_some_and(|end| end == "capnp") {
            let text = fs::read_to_string(&source)?;
            if let Some(line) = without_source(&text) {
                bail!(
                    "{}:{line}: the grant names no source, which would mean the console: write kernel = ..., export = ..., \
                     device = ... or endpoint = void",
                    project.show(&source)
                );
            }
        }
        let manifest = read(project, &bytes).map_err(|why| anyhow!("manifest {name}: {why}"))?;
        refuse_certain(name, &asked_otherwise(project, &manifest))?;
    }
    Ok(())
}

/// Warns of what a service is given otherwise than it asks, and refuses where it would end at once by that.
fn refuse_certain(name: &str, lines: &[Otherwise]) -> Result<()> {
    for one in lines.iter().filter(|one| !one.ends) {
        eprintln!("warning: manifest {name}: {}", one.line);
    }
    let certain = lines.iter().filter(|one| one.ends);
    let certain: Vec<&str> = certain.map(|one| one.line.as_str()).collect();
    if certain.is_empty() {
        return Ok(());
    }
    bail!(
        "manifest {name}: {}, and would end at once",
        certain.join(";\n")
    )
}

/// A grant that a service asks for as something else than it is given.
#[derive(Debug, PartialEq, Eq)]
struct Otherwise {
    /// What a person is told.
    line: String,
    /// Whether the service ends by it whatever else happens.
    ends: bool,
}

/// The line of the first grant that names no source.
///
/// Compiled it is the same as `(kernel = console)`, whose numbers are all 0, so only the text tells.
fn without_source(text: &str) -> Option<usize> {
    const SOURCES: [&str; 4] = ["kernel", "export", "device", "endpoint"];
    let plain: Vec<&str> = text.lines().map(without_comment).collect();
    let plain = plain.join("\n");
    for (at, _) in plain.match_indices("grants") {
        let Some(list) = plain.get(at + "grants".len()..) else {
            continue;
        };
        let Some(list) = list.trim_start().strip_prefix('=').map(str::trim_start) else {
            continue;
        };
        let Some(list) = list.strip_prefix('[') else {
            continue;
        };
        let start = plain.len() - list.len();
        let (mut depth, mut opened) = (0_u32, 0);
        for (offset, byte) in list.bytes().enumerate() {
            match byte {
                b'(' => {
                    depth += 1;
                    if depth == 1 {
                        opened = offset;
                    }
                }
                b')' if depth == 1 => {
                    depth = 0;
                    let fields = list.get(opened + 1..offset).unwrap_or_default();
                    let names = |source: &str| {
                        fields.match_indices(source).any(|(at, _)| {
                            let rest = fields.get(at + source.len()..).unwrap_or_default();
                            rest.trim_start().starts_with('=')
                        })
                    };
                    if !SOURCES.into_iter().any(names) {
                        let before = plain.get(..start + opened).unwrap_or_default();
                        return Some(before.matches('\n').count() + 1);
                    }
                }
                b')' => depth = depth.saturating_sub(1),
                b']' if depth == 0 => break,
                _ => {}
            }
        }
    }
    None
}

/// A line up to its comment; a `#` within a text is none.
fn without_comment(line: &str) -> &str {
    let mut in_text = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'"' => in_text = !in_text,
            b'#' if !in_text => return line.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    line
}

/// The manifest, or why it is refused and what may have been meant.
fn read(project: &Project, bytes: &[u8]) -> Result<Manifest, String> {
    let programs: Vec<&str> = programs(project).map(|(_, program)| program).collect();
    manifest::check(bytes, &programs).map_err(|error| {
        if let Error::MissingBinary { service, binary } = &error {
            let near = meant(binary, programs.iter().copied());
            return format!(
                "service {service:?}: no package has a program called {binary:?}{near}"
            );
        }
        let written = Written::read(bytes).unwrap_or_default();
        format!("{error}{}", hint(&error, &written))
    })
}

/// What to do about it, where the sentence leaves that open.
fn hint(error: &Error, written: &Written) -> String {
    match error {
        Error::UnknownInterface { interface, .. } => {
            meant(interface, schema::INTERFACES.iter().map(|(_, name)| *name))
        }
        Error::UnknownService { named, .. } | Error::UnknownExit { named } => {
            meant(named, written.services.keys().map(String::as_str))
        }
        Error::UnknownExport { provider, .. } => match written.services.get(provider) {
            Some(exports) if !exports.is_empty() => format!("; it exports {}", exports.join(", ")),
            _ => "; it exports nothing".to_owned(),
        },
        Error::UnlistedDriver { driver, .. } => {
            let near = meant(driver, written.drivers.iter().map(String::as_str));
            if written.drivers.is_empty() {
                "; drivers = import \"../common/drivers.capnp\".linked lists all of them".to_owned()
            } else if near.is_empty() {
                format!("; they are {}", written.drivers.join(", "))
            } else {
                near
            }
        }
        Error::BadName {
            field,
            fault: NameFault::IllFormed,
            ..
        } => match *field {
            "grant" | "export" => "; it takes letters and digits, a lower-case letter first",
            _ => "; it takes lower-case letters, digits and inner hyphens, a letter first",
        }
        .to_owned(),
        Error::Endpoint { .. } => {
            "; a service with exports has the grant (endpoint = void) once, another has none"
                .to_owned()
        }
        Error::UnknownData => " Or has a grant two sources? Each has one.".to_owned(),
        Error::Restart { .. } => "; restart may be never, onFailure or always".to_owned(),
        Error::UpwardCall {
            service,
            priority,
            provider,
            provider_priority,
            ..
        } => format!(
            "; give {provider:?} at least {priority}, or {service:?} at most {provider_priority}"
        ),
        _ => String::new(),
    }
}

/// The names in a manifest that breaks a rule.
#[derive(Default)]
struct Written {
    /// Services with their exports.
    services: BTreeMap<String, Vec<String>>,
    drivers: Vec<String>,
}

impl Written {
    fn read(bytes: &[u8]) -> capnp::Result<Self> {
        let message = capnp::serialize::read_message(bytes, capnp::message::ReaderOptions::new())?;
        let root = message.get_root::<manifest_capnp::manifest::Reader<'_>>()?;
        let mut services = BTreeMap::new();
        for service in root.get_services()? {
            let mut exports = Vec::new();
            for export in service.get_exports()? {
                exports.push(export.get_name()?.to_string()?);
            }
            services.insert(service.get_name()?.to_string()?, exports);
        }
        let mut drivers = Vec::new();
        for driver in root.get_drivers()? {
            drivers.push(driver?.to_string()?);
        }
        Ok(Self { services, drivers })
    }
}

/// The programs of the guest, with their packages.
fn programs(project: &Project) -> impl Iterator<Item = (&Member, &str)> {
    let members = project.members.iter().filter(|member| member.guest);
    members.flat_map(|member| member.bins.iter().map(move |name| (member, name.as_str())))
}

/// `; did you mean "x"?`, where one of `known` is near.
pub fn meant<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known
        .map(|name| (edits(word, name), name))
        .min()
        .filter(|(edits, name)| *edits <= name.len().max(word.len()) / 3);
    nearest.map_or_else(String::new, |(_, name)| format!("; did you mean {name:?}?"))
}

/// How many letters must be put in, taken out or changed to make one word of the other; a change of case alone is none.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// Each grant that a service's source asks for as something else than the manifest gives.
fn asked_otherwise(project: &Project, manifest: &Manifest) -> Vec<Otherwise> {
    let mut lines = Vec::new();
    for service in &manifest.services {
        for path in sources(project, service) {
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            for asked in asked(&text) {
                let grant = service
                    .grants
                    .iter()
                    .find(|given| given.name == asked.grant);
                let given = grant.and_then(|given| interface(manifest, &given.source));
                let instead = match given {
                    Some(given) if given != asked.interface => given,
                    None if grant.is_none()
                        && asked.ends_without
                        && !OWN.contains(&asked.grant) =>
                    {
                        "nothing of that name"
                    }
                    _ => continue,
                };
                let line = format!(
                    "service {:?} asks for its grant {:?} as {} ({}:{}), but is given {instead}",
                    service.name,
                    asked.grant,
                    asked.interface,
                    project.show(&path),
                    asked.line
                );
                let ends = asked.ends_without;
                lines.push(Otherwise { line, ends });
            }
        }
    }
    lines
}

/// The name of the interface that a grant gives.
fn interface<'m>(manifest: &'m Manifest, source: &Source) -> Option<&'m str> {
    match source {
        Source::Kernel(source) => Some(source.interface()),
        Source::Export(reference) => manifest.export(*reference).map(|export| export.interface),
        Source::Device { .. } => Some("Device"),
        Source::Endpoint => Some("Endpoint"),
    }
}

/// The files that only this service's program is made of: of a package with several programs, the program's own.
fn sources(project: &Project, service: &Service) -> Vec<PathBuf> {
    let mut found = programs(project).filter(|(_, program)| *program == service.binary);
    let Some((member, program)) = found.next() else {
        return Vec::new();
    };
    let source = member.dir.join("src");
    if let [_] = member.bins.as_slice() {
        return rust_files(&source);
    }
    let single = source.join("bin").join(format!("{program}.rs"));
    if single.is_file() {
        return vec![single];
    }
    rust_files(&source.join("bin").join(program))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "bin" {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What every process has, granted or not.
const OWN: [&str; 2] = ["vm", "threads"];

/// One place where a source asks for a grant.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'t> {
    line: usize,
    grant: &'t str,
    interface: &'static str,
    /// Without it `main` returns at once: `?` stands right behind, and no condition before it.
    ends_without: bool,
}

/// Each `let x: Interface = env.get("grant")` and `env.get::<Interface>("grant")`.
fn asked(text: &str) -> Vec<Asked<'_>> {
    let mut all = Vec::new();
    for (at, _) in text.match_indices("env.get") {
        let (before, after) = (&text[..at], &text[at + "env.get".len()..]);
        let (of, after) = match after.strip_prefix("::<") {
            Some(rest) => match rest.split_once(">(\"") {
                Some((of, rest)) => (Some(of), rest),
                None => continue,
            },
            None => match after.strip_prefix("(\"") {
                Some(rest) => (declared(before), rest),
                None => continue,
            },
        };
        let name = of.and_then(|of| of.rsplit("::").next()).map(str::trim);
        let known = schema::INTERFACES
            .iter()
            .find(|(_, known)| Some(*known) == name);
        if let (Some((_, known)), Some((grant, rest))) = (known, after.split_once('"')) {
            all.push(Asked {
                line: before.lines().count().max(1),
                grant,
                interface: known,
                ends_without: rest.starts_with(")?") && is_in_main(before),
            });
        }
    }
    all
}

/// Whether what `before` is followed by always runs: in `main`, before anything that it may return by or branch at.
fn is_in_main(before: &str) -> bool {
    let Some((_, body)) = before.rsplit_once("\nfn main(") else {
        return false;
    };
    let body = body.split_once('{').map_or("", |(_, body)| body);
    !["{", "}", "return"].iter().any(|word| body.contains(word))
}

/// The type in `let x: TYPE = `, which ends `before`.
fn declared(before: &str) -> Option<&str> {
    let head = before.trim_end().strip_suffix('=')?;
    let statement = head.rsplit([';', '{', '}']).next()?;
    statement.split_once(':').map(|(_, of)| of.trim())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{
        Asked, Otherwise, asked, asked_otherwise, edits, meant, read, refuse_certain,
        without_source,
    };
    use crate::manifests::{compile_manifest, manifest_names, manifest_path};
    use crate::project::Project;

    #[test]
    fn what_a_source_asks_for_is_read_out_of_it() {
        let text = "fn other(env: &Env) {\n    let timer: sdk::Timer = env.get(\"clock\")?;\n\
                    let a = env.get::<EntropySource>(\"dice\")?; let b: Vec<u8> = env.get(\"x\");\n\
                    Self { c: env.get(\"y\")? }; let d = env.get(name)?;\n";
        let of = |line, grant, interface, ends_without| Asked {
            line,
            grant,
            interface,
            ends_without,
        };
        let expected = [
            of(2, "clock", "Timer", false),
            of(3, "dice", "EntropySource", false),
        ];
        assert_eq!(asked(text), expected);
        let text = "\nfn main(env: &Env) {\n    let a: Timer = env.get(\"a\")?;\n    if x {\n        \
                    let b: Timer = env.get(\"b\")?;\n    }\n}\n";
        let expected = [of(3, "a", "Timer", true), of(5, "b", "Timer", false)];
        assert_eq!(asked(text), expected);
    }

    #[test]
    fn a_grant_without_a_source_is_found_with_its_line() {
        let all = "grants = [\n  (kernel = console),\n  (name = \"a\", device=(driver = \"x\")),\n  (endpoint = void),\n]";
        assert_eq!(without_source(all), None);
        assert_eq!(
            without_source("x\ngrants = [\n # ()\n (kernel = timer), ()]"),
            Some(4)
        );
        let named = "a = (grants = [(name = \"kernel\")], exports = [(name = \"e\")])";
        assert_eq!(without_source(named), Some(1));
        assert_eq!(without_source("exports = [()], grants = []"), None);
    }

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        assert_eq!(edits("EntropySourse", "EntropySource"), 1);
        assert_eq!(edits("entropysource", "EntropySource"), 0);
        assert_eq!(edits("", "abc"), 3);
        let known = ["Timer", "Console"].into_iter();
        assert_eq!(meant("Tiner", known.clone()), "; did you mean \"Timer\"?");
        assert_eq!(meant("Volume", known), "");
    }

    #[test]
    fn every_manifest_of_the_tree_passes() {
        let project = Project::load().unwrap();
        for name in manifest_names(&project.root.join("manifests")).unwrap() {
            let bytes = compile_manifest(&project, &name).unwrap();
            let text = fs::read_to_string(manifest_path(&project, &name).unwrap()).unwrap();
            assert_eq!(without_source(&text), None, "{name}");
            let manifest = read(&project, &bytes).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(asked_otherwise(&project, &manifest), [], "{name}");
        }
    }

    #[test]
    fn a_service_that_would_end_at_once_is_refused_before_the_build() {
        let project = Project::load().unwrap();
        let bytes = compile_manifest(&project, "smoke/irq-affinity").unwrap();
        let mut manifest = read(&project, &bytes).unwrap();
        let grants = &mut manifest.services[0].grants;
        let timer = grants.iter().position(|grant| grant.name == "timer");
        grants.remove(timer.unwrap());
        let lines = asked_otherwise(&project, &manifest);
        let why = refuse_certain("x", &lines).unwrap_err().to_string();
        assert!(
            why.starts_with("manifest x: service \"smoke\" asks for its grant \"timer\" as Timer")
                && why.ends_with("but is given nothing of that name, and would end at once"),
            "{why}"
        );
        let line = "a warning".to_owned();
        refuse_certain("x", &[Otherwise { line, ends: false }]).unwrap();
    }

    #[test]
    fn a_missing_program_and_a_wrong_interface_are_named_with_what_was_meant() {
        let project = Project::load().unwrap();
        let why = |name| {
            let bytes = compile_manifest(&project, name).unwrap();
            read(&project, &bytes).map(|_| ()).unwrap_err()
        };
        let interface = why("bad/unknown-interface");
        assert!(
            interface.ends_with("; did you mean \"BlockDevice\"?"),
            "{interface}"
        );
        let ends = |name, end: &str| {
            let why = why(name);
            assert!(why.ends_with(end), "{why}");
        };
        ends("bad/unknown-export", "\"blocks\"; it exports block");
        ends("bad/ill-formed-name", "hyphens, a letter first");
        ends("bad/ill-formed-grant", "digits, a lower-case letter first");
        ends(
            "bad/no-endpoint",
            "(endpoint = void) once, another has none",
        );
        ends("bad/unlisted-driver", ".linked lists all of them");
        let program = why("bad/missing-binary");
        assert!(
            program.contains("no package has a program called"),
            "{program}"
        );
    }
}
