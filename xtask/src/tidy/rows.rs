//! `docs/rows.toml`: every capability row names where it is proven, or says why it is not.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::project::Project;
use crate::smoke::{case, sabotage};

/// The file as a whole.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    #[serde(default)]
    row: Vec<Row>,
}

/// One row.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    title: String,
    need: String,
    /// Names of smokes.
    #[serde(default)]
    smoke: Vec<String>,
    /// Names of packages whose host tests prove it.
    #[serde(default)]
    test: Vec<String>,
    /// Names of sabotage points.
    #[serde(default)]
    sabotage: Vec<String>,
    /// Why something of this is missing.
    reason: Option<String>,
}

/// What exists and can be referred to.
struct Known<'a> {
    smokes: Vec<&'a str>,
    packages: Vec<&'a str>,
    sabotages: Vec<&'a str>,
}

/// Checks the file, if the project has it already, against the smokes, points and packages there are.
pub fn check(project: &Project) -> Result<Vec<String>> {
    let path = project.root.join("docs/rows.toml");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path)?;
    let rows: Rows = toml::from_str(&text).context("docs/rows.toml")?;
    let smokes = case::all();
    let known = Known {
        smokes: smokes.iter().map(|smoke| smoke.name).collect(),
        packages: project
            .members
            .iter()
            .map(|member| member.name.as_str())
            .collect(),
        sabotages: sabotage::all()
            .iter()
            .map(|sabotage| sabotage.point.name())
            .collect(),
    };
    let mut problems = check_rows(&rows, &known);
    for smoke in smokes {
        for id in smoke.rows {
            let row = rows.row.iter().find(|row| row.id == *id);
            let wrong = match row {
                None => "which docs/rows.toml lacks",
                Some(row) if !row.smoke.iter().any(|name| name == smoke.name) => {
                    "whose row in docs/rows.toml does not name it"
                }
                Some(_) => continue,
            };
            problems.push(format!("smoke {} proves {id}, {wrong}", smoke.name));
        }
    }
    Ok(problems)
}

fn check_rows(rows: &Rows, known: &Known<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for row in &rows.row {
        let mut say = |text: String| problems.push(format!("docs/rows.toml, {}: {text}", row.id));
        if !seen.insert(&row.id) {
            say("stands twice".into());
        }
        if row.title.is_empty() || row.need.is_empty() {
            say("has no title or no need".into());
        }
        let excused = row
            .reason
            .as_ref()
            .is_some_and(|reason| !reason.trim().is_empty());
        if row.smoke.is_empty() && row.test.is_empty() && !excused {
            say("has neither smoke nor test nor reason".into());
        }
        // A smoke that has never failed proves nothing; a host test is broken on purpose by whoever writes it.
        if !row.smoke.is_empty() && row.sabotage.is_empty() && !excused {
            say("has a smoke, but neither sabotage nor reason".into());
        }
        for (kind, names, there) in [
            ("smoke", &row.smoke, &known.smokes),
            ("package", &row.test, &known.packages),
            ("sabotage point", &row.sabotage, &known.sabotages),
        ] {
            for name in names.iter().filter(|name| !there.contains(&name.as_str())) {
                say(format!("there is no {kind} {name}"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{Known, check_rows};

    fn problems(fields: &str) -> Vec<String> {
        let text = format!("[[row]]\nid = \"A-1\"\ntitle = \"t\"\nneed = \"must\"\n{fields}");
        let known = Known {
            smokes: vec!["boot"],
            packages: vec!["units"],
            sabotages: vec!["skip"],
        };
        check_rows(&toml::from_str(&text).unwrap(), &known)
    }

    #[test]
    fn a_row_is_proven_or_excused() {
        assert!(problems("smoke = [\"boot\"]\nsabotage = [\"skip\"]").is_empty());
        assert!(problems("test = [\"units\"]").is_empty());
        assert!(problems("reason = \"later\"").is_empty());
        assert_eq!(problems("").len(), 1);
        assert_eq!(problems("reason = \" \"").len(), 1);
        assert_eq!(problems("smoke = [\"boot\"]").len(), 1);
        assert_eq!(
            problems("smoke = [\"gone\"]\nsabotage = [\"lost\"]").len(),
            2
        );
        assert_eq!(problems("test = [\"gone\"]").len(), 1);
    }
}
