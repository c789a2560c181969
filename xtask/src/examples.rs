//! The commands, manifests and programs in the book: each is run, checked or compiled by `cargo xtask test`, or says in its page why
//! it is not.
//!
//! A program of Rust is compiled with what `new-service` makes; what is only a part of one is a block of `rust,ignore`. The mark stands above the block: `<!-- not run: long: what takes the time -->`. Invariant: never leaves a command out
//! without a mark, and never takes a mark without a reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::project::Project;

/// Why a command may stay out: it needs an account somewhere, a person at a terminal, or more time than the gate has.
const REASONS: [&str; 3] = ["account", "terminal", "long"];
const MARK: &str = "<!-- not run: ";

/// Languages of blocks whose commands nobody would see.
const UNREAD: [&str; 4] = ["", "sh", "bash", "shell"];
/// What the guest's shell answers to a line that it does not take.
const UNKNOWN: [&str; 2] = ["no command is named", "; usage: "];
const PROMPT: &str = "capos> ";

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    page: String,
    /// The line of its fence, counted from 1.
    line: usize,
    language: String,
    text: String,
    mark: Option<String>,
}

/// What is wrong with the marks.
pub fn problems(project: &Project) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for block in blocks(project)? {
        let place = format!("{}:{}", block.page, block.line);
        if block.language == "rust" && !is_program(&block) {
            problems.push(format!(
                "{place}: nothing compiles a part of a program: give it whole, or call it rust,ignore"
            ));
        }
        if UNREAD.contains(&block.language.as_str()) {
            problems.push(format!(
                "{place}: nothing runs a block of {:?}: call it console, with `$ ` before each command, or text",
                block.language
            ));
        }
        let Some(mark) = &block.mark else { continue };
        let (word, reason) = mark.split_once(": ").unwrap_or((mark, ""));
        if !REASONS.contains(&word) {
            problems.push(format!(
                "{place}: {word:?} is no reason; one of {}",
                REASONS.join(", ")
            ));
        } else if reason.trim().is_empty() {
            problems.push(format!("{place}: the mark says no more than {word}"));
        } else if commands(&block.text).is_empty() && !is_manifest(&block) {
            problems.push(format!(
                "{place}: nothing in the block would be run, so it needs no mark"
            ));
        }
    }
    Ok(problems)
}

/// How many blocks are not run, by reason, for a person.
pub fn story(project: &Project) -> Result<String> {
    let (mut run, mut parts, mut left) = (0, 0, BTreeMap::new());
    for block in blocks(project)? {
        parts += u32::from(block.language == "rust,ignore");
        run += u32::from(is_program(&block));
        if commands(&block.text).is_empty() && !is_manifest(&block) {
            continue;
        }
        match block
            .mark
            .as_deref()
            .and_then(|mark| mark.split(':').next())
        {
            None => run += 1,
            Some(word) => *left.entry(word.to_owned()).or_insert(0) += 1,
        }
    }
    let left: Vec<String> = left
        .iter()
        .map(|(word, count)| format!("{count} {word}"))
        .collect();
    Ok(format!(
        "examples in the book: {run} run by `test`, {parts} parts of programs, not run: {}",
        left.join(", ")
    ))
}

/// Runs every command and checks every manifest that has no mark.
pub fn run(project: &Project) -> Result<()> {
    let mut failed = Vec::new();
    for block in blocks(project)?.iter().filter(|block| block.mark.is_none()) {
        let place = format!("{}:{}", block.page, block.line);
        let outcome = if is_manifest(block) {
            check_manifest(project, &block.text)
        } else {
            run_commands(project, &block.text)
        };
        if let Err(error) = outcome {
            eprintln!("{place}: {error:#}");
            failed.push(place);
        }
    }
    ensure!(
        failed.is_empty(),
        "examples that do not work: {}",
        failed.join(" ")
    );
    Ok(())
}

fn run_commands(project: &Project, text: &str) -> Result<()> {
    let (commands, typed) = (commands(text), typed(text));
    if commands.is_empty() {
        return Ok(());
    }
    // Below the workspace, so that cargo finds it; new for each block, as a reader's folder would be.
    let folder = project.target.join("examples");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    // What pages take from the reader's own folder.
    fs::copy(project.root.join("README.md"), folder.join("README.md"))?;
    let script = format!("set -e\n{}\n", commands.join("\n"));
    let output = Command::new("sh")
        .current_dir(&folder)
        .args(["-c", &script])
        // A volume that `run` makes is not the reader's own.
        .env("XDG_DATA_HOME", &folder)
        .stdin(script_of(&folder, &typed)?)
        .output()
        .context("cannot start sh")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<&str> = said.lines().rev().take(12).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!(
            "{} ({}):\n{}",
            commands.join("; "),
            output.status,
            tail.join("\n")
        );
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let refused = said
        .lines()
        .find(|line| UNKNOWN.iter().any(|words| line.contains(words)));
    match refused {
        Some(line) => bail!("the shell says: {line}"),
        None => Ok(()),
    }
}

/// What is typed, as the standard input of a block's commands.
fn script_of(folder: &Path, typed: &[&str]) -> Result<Stdio> {
    let path = folder.join("typed");
    fs::write(&path, typed.join("\n"))?;
    Ok(fs::File::open(path)?.into())
}

/// The whole programs in the book, with their places.
pub fn programs(project: &Project) -> Result<Vec<(String, String)>> {
    let all = blocks(project)?.into_iter().filter(is_program);
    Ok(all
        .map(|block| (format!("{}:{}", block.page, block.line), block.text))
        .collect())
}

/// Whether a block is a whole program of a guest.
fn is_program(block: &Block) -> bool {
    block.language == "rust" && block.text.contains("\nsdk::entry!(main);")
}

/// Whether a block is a whole system.
fn is_manifest(block: &Block) -> bool {
    block.language == "capnp" && block.text.contains("const manifest :")
}

/// Compiles a manifest as one of `manifests/` and reads it by the rules of a boot.
fn check_manifest(project: &Project, text: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = project.write_manifest(folder.path(), text)?;
    let output = Command::new("capnp")
        .current_dir(folder.path())
        .args(["eval", "--binary", "--import-path=schema"])
        .arg(&file)
        .arg("manifest")
        .output()
        .context("cannot start capnp")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    match manifest::read(&output.stdout) {
        Ok(manifest) => {
            ensure!(
                !manifest.drivers.is_empty(),
                "it lists no drivers, so no kernel boots it"
            );
            Ok(())
        }
        Err(error) => bail!("{error}"),
    }
}

/// What a block types at the guest's prompt.
fn typed(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix(PROMPT))
        .collect()
}

/// The commands of a block: what stands behind `$ `, with the lines that it goes on in. One that only types into a guest takes a
/// guest.
fn commands(text: &str) -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    if !text.contains("$ ") && !typed(text).is_empty() {
        commands.push("cargo xtask run".to_owned());
    }
    let mut goes_on = false;
    for line in text.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push(command.to_owned()),
            None if goes_on => {
                if let Some(last) = commands.last_mut() {
                    *last += "\n";
                    *last += line;
                }
            }
            None => continue,
        }
        goes_on = line.trim_end().ends_with('\\');
    }
    commands
}

fn blocks(project: &Project) -> Result<Vec<Block>> {
    let mut pages = vec![
        project.root.join("README.md"),
        project.root.join("CONTRIBUTING.md"),
    ];
    let mut folders = vec![project.root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path: PathBuf = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                pages.push(path);
            }
        }
    }
    pages.sort();
    let mut blocks = Vec::new();
    for page in pages {
        let text = read(&page)?;
        blocks.extend(blocks_of(&project.show(&page), &text));
    }
    Ok(blocks)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn blocks_of(page: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    let mut mark = None;
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut open, fence) {
            (None, Some(language)) => {
                open = Some(Block {
                    page: page.to_owned(),
                    line: at + 1,
                    language: language.trim().to_owned(),
                    text: String::new(),
                    mark: mark.take(),
                });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text += line.trim_start_matches("   ");
                block.text.push('\n');
            }
            (None, None) => {
                let inner = line.trim().strip_prefix(MARK);
                let inner = inner.and_then(|rest| rest.strip_suffix("-->"));
                match inner {
                    Some(inner) => mark = Some(inner.trim().to_owned()),
                    // A mark belongs to the block right below it.
                    None if line.trim().is_empty() => {}
                    None => mark = None,
                }
            }
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::{blocks_of, commands, is_program, typed};

    #[test]
    fn a_mark_belongs_to_the_block_below_it() {
        let text = "<!-- not run: long: hours -->\n```console\n$ a\n```\n\n```console\n$ b\n```\n\
                    <!-- not run: terminal: x -->\nText between.\n\n```text\nc\n```\n";
        let blocks = blocks_of("p", text);
        let marks: Vec<_> = blocks.iter().map(|block| block.mark.as_deref()).collect();
        assert_eq!(marks, [Some("long: hours"), None, None]);
        assert_eq!(blocks[1].line, 6);
    }

    #[test]
    fn a_part_of_a_program_is_none() {
        let text = "```rust\nlet a = 1;\n```\n```rust\nuse x;\nsdk::entry!(main);\n```\n";
        let programs: Vec<_> = blocks_of("p", text).iter().map(is_program).collect();
        assert_eq!(programs, [false, true]);
    }

    #[test]
    fn commands_stand_behind_a_dollar_and_go_on_behind_a_backslash() {
        let text = "$ one \\\n    more\nwhat it says\n$ two\n0\n";
        assert_eq!(commands(text), ["one \\\n    more", "two"]);
        assert!(commands("no command\n").is_empty());
    }

    #[test]
    fn what_is_typed_into_a_guest_goes_to_the_command_that_starts_it() {
        let text = "$ cargo xtask run\ncapos> ls /\n/disk\ncapos> halt\n";
        assert_eq!(commands(text), ["cargo xtask run"]);
        assert_eq!(typed(text), ["ls /", "halt"]);
        assert_eq!(commands("capos> ls /disk\n"), ["cargo xtask run"]);
    }
}
