//! Growth of the kernel can be refused, and what cannot is counted.
//!
//! The lints in `crates/kernel/clippy.toml` find it, and the same in `drivers/clippy.toml`. Here it is checked that every exception to them says of which kind it
//! is, that their counts are those in the book, and that the lints bite.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::sources::{read, rust_files};
use crate::project::Project;

/// What an exception may be for, as the first word of its reason.
const KINDS: [&str; 4] = ["boot", "room", "stack", "lent"];
/// Where the counts stand.
const BOOK: &str = "docs/soundness.md";
/// What the lints apply to.
const FOLDERS: [&str; 2] = ["crates/kernel", "drivers"];
/// Where the lints stand in each.
const LINTS: &str = "clippy.toml";
/// Lines that they must find something in.
const FIXTURE: &str = "xtask/fixtures/growth.rs";
/// The mark of such a line.
const MARK: &str = "// refused";
/// Conversions that no lint can tell from those of numbers.
const CONVERSIONS: [&str; 6] = [
    "Vec::from(",
    "VecDeque::from(",
    "BTreeMap::from(",
    "Box::from(",
    "Arc::from(",
    ">::from(",
];

/// Every exception without a kind, and every count that the book has wrong.
pub fn check(project: &Project) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut counts = [0; KINDS.len()];
    let folders = FOLDERS.map(|folder| rust_files(&project.root.join(folder)));
    for path in folders.into_iter().collect::<Result<Vec<_>>>()?.concat() {
        let place = project.show(&path);
        if !place.contains("/src/") || place.ends_with("tests.rs") {
            continue;
        }
        let text = read(&path)?;
        // What is behind is tests.
        let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(&text);
        problems.extend(check_file(&place, code, &mut counts));
    }
    let [first, others @ ..] = FOLDERS.map(|folder| project.root.join(folder).join(LINTS));
    for other in others {
        if read(&other)? != read(&first)? {
            problems.push(format!(
                "{} must be the same as {}",
                project.show(&other),
                project.show(&first)
            ));
        }
    }
    let book = read(&project.root.join(BOOK))?;
    problems.extend(check_book(&book, &counts));
    Ok(problems)
}

fn check_file(place: &str, code: &str, counts: &mut [usize; KINDS.len()]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut boots = false;
    for (at, _) in code.match_indices("clippy::disallowed_") {
        let Some(start) = code[..at].rfind("#[").max(code[..at].rfind("#![")) else {
            continue;
        };
        // One attribute may name several lints, and counts once.
        if code[start..at].contains("clippy::disallowed_") {
            continue;
        }
        let end = code[at..].find(")]").map_or(code.len(), |end| at + end);
        let attribute = &code[start..end];
        let line = code[..start].lines().count();
        if attribute.starts_with("#![cfg_attr(") && attribute.contains("test,") {
            continue;
        }
        let reason = attribute.split("reason = \"").nth(1).unwrap_or("");
        let kind = KINDS.iter().position(|kind| {
            let rest = reason.strip_prefix(kind);
            rest.is_some_and(|rest| rest.starts_with(": "))
        });
        match kind {
            Some(kind) if attribute.contains("[expect(") => {
                counts[kind] += 1;
                boots |= kind == 0 && attribute.starts_with("#!");
            }
            _ => problems.push(format!(
                "{place}:{line}: an exception to the lints of growth is an `expect` whose reason begins with {}",
                KINDS.join(", ")
            )),
        }
    }
    let mut before = "";
    for (number, line) in (1..).zip(code.lines()) {
        let found = CONVERSIONS.iter().find(|name| {
            let grows = line.contains(**name) && !line.trim_start().starts_with("//");
            grows && (**name != ">::from(" || line.contains("Arc::<") || line.contains("Box::<"))
        });
        if let Some(name) = found
            && !boots
            && !before.trim_start().starts_with("// room: ")
        {
            problems.push(format!("{place}:{number}: {name}...) cannot be refused"));
        }
        before = line;
    }
    problems
}

fn check_book(book: &str, counts: &[usize; KINDS.len()]) -> Vec<String> {
    let mut problems = Vec::new();
    for (kind, count) in KINDS.iter().zip(counts) {
        let row = format!("| `{kind}` | {count} |");
        if !book.lines().any(|line| line.starts_with(&row)) {
            problems.push(format!("{BOOK} has no row that begins with {row}"));
        }
    }
    problems
}

/// Runs the lints over lines that all must be refused.
pub fn see_them_bite(root: &Path) -> Result<()> {
    let fixture = read(&root.join(FIXTURE))?;
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = sysroot.context("cannot start rustc")?.stdout;
    let out = tempfile::tempdir()?;
    let output = Command::new("clippy-driver")
        .current_dir(root)
        .env("CLIPPY_CONF_DIR", root.join(FOLDERS[0]))
        .args([
            "--edition",
            "2024",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .args(["--error-format", "short", "--sysroot"])
        .arg(String::from_utf8_lossy(&sysroot).trim())
        .arg("-o")
        .arg(out.path().join("growth.rmeta"))
        .arg(FIXTURE)
        .output()
        .context("cannot start clippy-driver")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let missed = missed(&fixture, &said);
    if !missed.is_empty() {
        bail!("the lints of growth let lines {missed:?} of {FIXTURE} through");
    }
    Ok(())
}

/// Numbers of the marked lines that the compiler did not speak of.
fn missed(fixture: &str, said: &str) -> Vec<usize> {
    let marked = (1..).zip(fixture.lines());
    let marked = marked.filter(|(_, line)| line.ends_with(MARK));
    let named = |number: &usize| {
        let place = format!("{FIXTURE}:{number}:");
        let mut lines = said.lines();
        lines.any(|line| line.starts_with(&place) && line.contains("use of a disallowed"))
    };
    let numbers = marked.map(|(number, _)| number);
    numbers.filter(|number| !named(number)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_say_their_kind_and_are_counted() {
        let mut counts = [0; 4];
        let good = "#![expect(\n    clippy::disallowed_methods,\n    clippy::disallowed_types,\n    reason = \"boot: once\"\n)]\n\
                    #[expect(clippy::disallowed_methods, reason = \"room: made here\")]\nfn f() {}\n";
        assert!(check_file("a", good, &mut counts).is_empty());
        assert_eq!(counts, [1, 1, 0, 0]);
        for bad in [
            "#[expect(clippy::disallowed_methods)]\n",
            "#[expect(clippy::disallowed_methods, reason = \"because\")]\n",
            "#[expect(clippy::disallowed_methods, reason = \"roomy\")]\n",
            "#[allow(clippy::disallowed_methods, reason = \"room: x\")]\n",
            "let x = Vec::from([1]);\n",
            "let x = Arc::<str>::from(text);\n",
        ] {
            assert_eq!(check_file("a", bad, &mut counts).len(), 1, "{bad}");
        }
        let said = "// room: made here\nlet x = Arc::<str>::from(text);\n";
        assert!(check_file("a", said, &mut counts).is_empty());
        assert_eq!(counts, [1, 1, 0, 0]);
    }

    #[test]
    fn the_book_has_the_counts() {
        let book =
            "| `boot` | 3 | x |\n| `room` | 2 | x |\n| `stack` | 0 | x |\n| `lent` | 1 | x |\n";
        assert!(check_book(book, &[3, 2, 0, 1]).is_empty());
        assert_eq!(check_book(book, &[3, 2, 0, 2]).len(), 1);
    }

    #[test]
    fn a_line_that_the_lints_let_through_is_missed() {
        let fixture = "x\ny // refused\nz // refused\n";
        let said = format!(
            "{FIXTURE}:2:5: warning: use of a disallowed method\n{FIXTURE}:3:1: warning: other\n"
        );
        assert_eq!(missed(fixture, &said), [3]);
    }
}
