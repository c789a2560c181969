//! The book's page about sabotage points: the table, where in the sources each one is asked for, and which smokes it
//! must break.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sabotage::POINTS;

use crate::smoke::sabotage as trials;

/// What may ask for a point.
const SOURCES: [&str; 3] = ["crates", "drivers", "services"];
/// How a point is asked for.
const CALL: &str = "sabotage!(";
/// Where the points are listed, which asks for some in its own tests.
const TABLE: &str = "crates/base/sabotage/";

/// The page.
///
/// # Errors
/// A point that nothing asks for.
pub fn page(root: &Path) -> Result<String> {
    let places = places(root)?;
    let mut out = String::from("# Sabotage points\n\n");
    out.push_str(
        "<!-- Written by `cargo xtask codegen` from crates/base/sabotage/src/table.rs: change that. -->\n\n\
         What the sabotage kernel does, or leaves undone, while a point is chosen; where the sources ask for it; and the\n\
         smokes it must break, each by exactly one fact. See [Evidence, snapshots, sabotages](../guide/evidence.md#sabotages).\n\n\
         | point | while it is chosen | in | breaks |\n|---|---|---|---|\n",
    );
    for point in POINTS {
        let ident = point.name().to_uppercase().replace('-', "_");
        let files = places.get(&ident).cloned().unwrap_or_default();
        ensure!(
            !files.is_empty(),
            "nothing asks for sabotage!({ident}): use the point or take it out of the table"
        );
        let broken: Vec<String> = trials::all()
            .iter()
            .filter(|trial| trial.point == *point)
            .map(|trial| format!("`{}`", trial.smoke))
            .collect();
        let broken = if broken.is_empty() {
            "no smoke; host tests".into()
        } else {
            broken.join(", ")
        };
        let files: Vec<String> = files.iter().map(|file| format!("`{file}`")).collect();
        let sentence = point.sentence();
        writeln!(
            out,
            "| `{point}` | {sentence} | {} | {broken} |",
            files.join(", ")
        )?;
    }
    Ok(out)
}

/// The files that ask for each point.
fn places(root: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in SOURCES {
        walk(&root.join(folder), &mut |path| {
            let place = path.strip_prefix(root)?.display().to_string();
            if place.starts_with(TABLE) {
                return Ok(());
            }
            for ident in asked(&fs::read_to_string(path)?) {
                let files = places.entry(ident).or_default();
                if files.last() != Some(&place) {
                    files.push(place.clone());
                }
            }
            Ok(())
        })?;
    }
    Ok(places)
}

/// The names asked for in a source.
fn asked(text: &str) -> Vec<String> {
    let name = |rest: &str| -> String {
        let rest = rest.trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        rest[..end.unwrap_or(rest.len())].into()
    };
    text.split(CALL).skip(1).map(name).collect()
}

/// Hands out every source file, in the order of names.
fn walk(folder: &Path, each: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    let listed = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, each)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            each(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::asked;

    #[test]
    fn both_forms_are_found_however_they_are_broken() {
        let text = "if a && !sabotage!(SKIP_SCRUB) {}\nsabotage!(\n    KEEP_X2 => return);";
        assert_eq!(asked(text), ["SKIP_SCRUB", "KEEP_X2"]);
    }
}
