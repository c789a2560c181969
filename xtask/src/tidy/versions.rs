//! Dependency versions stand in the root `Cargo.toml` alone.

use std::fs;

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::project::Project;

const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Names every dependency of a member that carries a version of its own.
pub fn check(project: &Project) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for member in &project.members {
        let path = member.dir.join("Cargo.toml");
        let text = fs::read_to_string(&path)?;
        let manifest: Table = text
            .parse()
            .with_context(|| format!("cannot read {}", path.display()))?;
        problems.extend(check_manifest(&project.show(&path), &manifest));
    }
    Ok(problems)
}

fn check_manifest(place: &str, manifest: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    let lints = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    if lints.and_then(Value::as_bool) != Some(true) {
        problems.push(format!("{place}: [lints] workspace = true is missing"));
    }
    let targets = manifest.get("target").and_then(Value::as_table);
    let per_target = targets
        .into_iter()
        .flat_map(Table::values)
        .filter_map(Value::as_table);
    for table in per_target.chain([manifest]) {
        for dependencies in TABLES
            .iter()
            .filter_map(|name| table.get(*name)?.as_table())
        {
            for (name, dependency) in dependencies {
                let has = |key: &str| dependency.get(key).is_some();
                if dependency.is_str() || has("version") || !(has("workspace") || has("path")) {
                    problems.push(format!(
                        "{place}: the version of {name} belongs in the root"
                    ));
                }
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::check_manifest;

    fn problems(dependencies: &str) -> usize {
        let text = format!("[lints]\nworkspace = true\n{dependencies}");
        check_manifest("x", &text.parse().unwrap()).len()
    }

    #[test]
    fn only_the_root_has_versions() {
        assert_eq!(
            problems("[dependencies]\na.workspace = true\nb = { path = \"../b\" }"),
            0
        );
        assert_eq!(problems("[dependencies]\na = \"1\""), 1);
        assert_eq!(problems("[dev-dependencies]\na = { version = \"1\" }"), 1);
        assert_eq!(
            problems("[target.'cfg(loom)'.dependencies]\na = { git = \"x\" }"),
            1
        );
        assert_eq!(check_manifest("x", &"".parse().unwrap()).len(), 1);
    }
}
