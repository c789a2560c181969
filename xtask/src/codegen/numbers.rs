//! The list of every number on the wire, `schema/numbers.txt`: methods, fields, enum values.
//!
//! Programs and kernels of different versions meet by these numbers alone, so one that changes is never an accident that
//! passes: `codegen` adds what is new, and refuses what is gone or different until a person has changed the line. In the same
//! commit CHANGELOG.md says so.
//!
//! Invariant: never takes a line out or changes one by itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::codegen::Mode;
use crate::codegen::model::{Kind, Model, Struct};

/// Where the list lies.
pub const LIST: &str = "schema/numbers.txt";
const HEAD: &str = "# Every number on the wire. `cargo xtask codegen` adds what is new; a line changes only by hand, together with\n\
                    # CHANGELOG.md, because programs that were built before go on using it.\n";
const CHANGES: &str = "CHANGELOG.md";

type Numbers = BTreeMap<String, String>;

/// Brings the list up to date; with [`Mode::Check`] it must be so already.
pub fn update(root: &Path, model: &Model, mode: Mode) -> Result<()> {
    let now = of(model);
    let path = root.join(LIST);
    let old = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && mode == Mode::Write => {
            String::new()
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {LIST}")),
    };
    let listed = parse(&old)?;
    let broken = differences(&listed, &now);
    ensure!(
        broken.is_empty(),
        "numbers on the wire never change by accident:\n  {}\nIf this is meant, change these lines of {LIST} by hand, and say \
         so in {CHANGES} in the same commit",
        broken.join("\n  ")
    );
    check_history(root)?;
    let fresh = print(&now);
    if fresh == old {
        return Ok(());
    }
    ensure!(
        mode == Mode::Write,
        "{LIST} lacks numbers; run `cargo xtask codegen` and commit the result"
    );
    fs::write(&path, fresh)?;
    println!("{LIST}");
    Ok(())
}

/// What was promised and is not so.
fn differences(listed: &Numbers, now: &Numbers) -> Vec<String> {
    let differs = listed
        .iter()
        .filter(|(name, number)| now.get(*name) != Some(number));
    differs
        .map(|(name, number)| match now.get(name) {
            Some(other) => format!("{name} was {number} and is {other}"),
            None => format!("{name} was {number} and is gone"),
        })
        .collect()
}

/// A line that a commit changed stands in that commit's CHANGELOG too: this one's, and the last one's.
fn check_history(root: &Path) -> Result<()> {
    let show = |revision: &str, path: &str| -> Option<String> {
        let output = Command::new("git")
            .current_dir(root)
            .args(["show", &format!("{revision}:{path}")])
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let steps = [
        (
            show("HEAD", LIST),
            read(LIST),
            show("HEAD", CHANGES),
            read(CHANGES),
        ),
        (
            show("HEAD~1", LIST),
            show("HEAD", LIST),
            show("HEAD~1", CHANGES),
            show("HEAD", CHANGES),
        ),
    ];
    for (before, after, log_before, log_after) in steps {
        // Without a history, or with a list that was not there yet, nothing was promised.
        let (Some(before), Some(after)) = (before, after) else {
            continue;
        };
        let broken = differences(&parse(&before)?, &parse(&after)?);
        ensure!(
            broken.is_empty() || log_before != log_after,
            "{LIST} was changed by hand, and {CHANGES} does not say so:\n  {}",
            broken.join("\n  ")
        );
    }
    Ok(())
}

fn parse(text: &str) -> Result<Numbers> {
    let mut numbers = Numbers::new();
    for (at, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, number) = line
            .split_once(" = ")
            .with_context(|| format!("{LIST}, line {}: {line:?} is no `name = number`", at + 1))?;
        if numbers.insert(name.into(), number.into()).is_some() {
            bail!("{LIST}, line {}: {name} stands twice", at + 1);
        }
    }
    Ok(numbers)
}

fn print(numbers: &Numbers) -> String {
    let lines = numbers
        .iter()
        .map(|(name, number)| format!("{name} = {number}\n"));
    HEAD.to_owned() + &lines.collect::<String>()
}

/// Every number of the schema.
fn of(model: &Model) -> Numbers {
    let mut numbers = Numbers::new();
    for interface in model.files.iter().flat_map(|file| &file.interfaces) {
        let name = &interface.name;
        numbers.insert(name.clone(), format!("{:#018x}", interface.id));
        for method in &interface.methods {
            let method_name = format!("{name}.{}", method.schema_name);
            fields(&mut numbers, &format!("{method_name}()"), &method.params);
            fields(
                &mut numbers,
                &format!("{method_name}() ->"),
                &method.results,
            );
            numbers.insert(method_name, format!("@{}", method.ordinal));
        }
        for nested in interface
            .structs
            .iter()
            .filter_map(|id| model.structs.get(id))
        {
            fields(&mut numbers, &format!("{name}.{}", nested.name), nested);
        }
        for one in &interface.enums {
            for (number, variant) in one.schema_variants.iter().enumerate() {
                numbers.insert(
                    format!("{name}.{}.{variant}", one.name),
                    format!("@{number}"),
                );
            }
        }
    }
    numbers
}

fn fields(numbers: &mut Numbers, owner: &str, of: &Struct) {
    for field in &of.fields {
        let list;
        let kind = match &field.kind {
            Kind::Bool => "bit",
            Kind::Int(kind) => kind,
            Kind::Enum(_) => "enum",
            // Only its Rust type is another.
            Kind::Refusal => "u8",
            Kind::Text => "text",
            Kind::Data => "data",
            Kind::TextList => "texts",
            Kind::Numbers(of) => {
                list = format!("list of {of}");
                &list
            }
            Kind::Struct(_) => "struct",
            Kind::StructList(_) => "structs",
            Kind::Cap(_) => "capability",
        };
        numbers.insert(
            format!("{owner} {}", field.schema_name),
            format!("{kind} {}", field.offset),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{differences, parse};

    #[test]
    fn what_was_promised_stays() {
        let listed = parse("# x\nA.b = @0\nA.c = @1\n").unwrap();
        let more = parse("A.b = @0\nA.c = @1\nA.d = @2\n").unwrap();
        assert!(differences(&listed, &more).is_empty(), "new ones may come");
        let swapped = parse("A.b = @1\nA.c = @0\n").unwrap();
        assert_eq!(
            differences(&listed, &swapped),
            ["A.b was @0 and is @1", "A.c was @1 and is @0"]
        );
        let gone = parse("A.b = @0\n").unwrap();
        assert_eq!(differences(&listed, &gone), ["A.c was @1 and is gone"]);
        assert!(parse("A.b @0\n").is_err());
        assert!(parse("A.b = @0\nA.b = @0\n").is_err());
    }
}
