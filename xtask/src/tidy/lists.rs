//! Lists that must name each thing of the tree, and ids that no two things may have.
//!
//! Invariant: never takes a word in running text for an entry of a list.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::project::Project;

/// The page that says of each package what it owns.
const PACKAGES: &str = "docs/ARCHITECTURE.md";
/// Where Cap'n Proto files lie.
const CAPNP: [&str; 5] = [
    "schema",
    "manifests",
    "manifests/common",
    "manifests/smoke",
    "manifests/bench",
];

/// Packages without a row, and Cap'n Proto files with the id of another one.
pub fn check(project: &Project) -> Result<Vec<String>> {
    let text = fs::read_to_string(project.root.join(PACKAGES))
        .with_context(|| format!("cannot read {PACKAGES}"))?;
    let members = project
        .members
        .iter()
        .map(|member| (member.name.as_str(), project.show(&member.dir)));
    let mut problems = without_row(&text, members);
    let mut files = Vec::new();
    for folder in CAPNP {
        for entry in fs::read_dir(project.root.join(folder))?.flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|end| end == "capnp") {
                files.push((project.show(&path), read(&path)?));
            }
        }
    }
    files.sort();
    problems.extend(same_ids(&files));
    Ok(problems)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Members that no table names, by name or by place; `*` in a table stands for anything but a slash.
fn without_row<'m>(text: &str, members: impl Iterator<Item = (&'m str, String)>) -> Vec<String> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let named: Vec<&str> = cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let missing = members.filter(|(name, place)| {
        !named
            .iter()
            .any(|row| is_like(name, row) || is_like(place, row))
    });
    missing
        .map(|(name, place)| format!("{place}: {PACKAGES} has no row that says what {name} owns"))
        .collect()
}

fn is_like(word: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => word == pattern,
        Some((before, after)) => word
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|between| !between.contains('/')),
    }
}

/// Files whose id, in their first line that has one, an earlier file has.
fn same_ids(files: &[(String, String)]) -> Vec<String> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for (place, text) in files {
        let id = text.lines().find_map(|line| line.strip_prefix("@0x"));
        let Some(id) = id.and_then(|rest| rest.split(';').next()) else {
            continue;
        };
        match seen.get(id) {
            Some(first) => problems.push(format!(
                "{place}: @0x{id} is the id of {first}; `capnp id` makes one of its own"
            )),
            None => drop(seen.insert(id, place)),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{same_ids, without_row};

    #[test]
    fn a_package_without_a_row_is_found_and_a_pattern_counts() {
        let text = "| crate | owns |\n|---|---|\n| `nvme`, `edu` | x |\n| `services/*-provider` | y |\nText names `lost`.\n";
        let members = [
            ("nvme", "drivers/nvme"),
            ("a-provider", "services/a-provider"),
            ("b-provider", "services/deep/b-provider"),
            ("lost", "crates/lost"),
        ];
        let members = members.map(|(name, place)| (name, place.to_owned()));
        let problems = without_row(text, members.into_iter());
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("services/deep/b-provider: "));
        assert!(problems[1].starts_with("crates/lost: "));
    }

    #[test]
    fn two_files_of_one_id_are_found() {
        let file = |place: &str, text: &str| (place.to_owned(), text.to_owned());
        let files = [
            file("a.capnp", "@0xab;\n"),
            file("b.capnp", "# x\n@0xcd;\n"),
            file("c.capnp", "@0xab; # again\n"),
        ];
        let problems = same_ids(&files);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("c.capnp: @0xab is the id of a.capnp"));
    }
}
