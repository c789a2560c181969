//! Files to be made and lists to be added to, all of them or none.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::new::names::Name;
use crate::project::Project;

/// What is going to be written.
pub struct Plan<'a> {
    project: &'a Project,
    values: Vec<(&'static str, String)>,
    made: BTreeMap<String, String>,
    changed: BTreeMap<String, String>,
}

impl<'a> Plan<'a> {
    /// Nothing yet. Templates may use every form of the name.
    pub fn new(project: &'a Project, name: &Name) -> Self {
        Self {
            project,
            values: vec![
                ("@name@", name.kebab().to_owned()),
                ("@crate@", name.snake()),
                ("@module@", name.snake()),
                ("@interface@", snake_of(&name.camel())),
                ("@file@", name.snake()),
                ("@Type@", name.camel()),
                ("@grant@", lower_first(&name.camel())),
                ("@interfaceId@", name.id("interface")),
            ],
            made: BTreeMap::new(),
            changed: BTreeMap::new(),
        }
    }

    /// One more word that templates may use.
    pub fn set(&mut self, word: &'static str, value: impl Into<String>) {
        self.values.push((word, value.into()));
    }

    /// A file that is not there yet.
    pub fn make(&mut self, path: &str, template: &str) -> Result<()> {
        let path = self.fill(path);
        ensure!(
            !self.project.root.join(&path).exists(),
            "{path} is there already"
        );
        let text = self.fill(template);
        self.made.insert(path, text);
        Ok(())
    }

    /// A file whose Cap'n Proto id is made from `what` and the name.
    pub fn make_schema(&mut self, path: &str, template: &str, id: &str) -> Result<()> {
        self.make(path, &template.replace("@id@", id))
    }

    /// A package's `Cargo.toml`.
    pub fn make_package(
        &mut self,
        dir: &str,
        description: &str,
        metadata: &str,
        sections: &[(&str, &[&str])],
    ) -> Result<()> {
        let package = dir.rsplit('/').next().unwrap_or(dir);
        let mut text = format!(
            "[package]\nname = \"{package}\"\ndescription = \"{description}\"\nversion.workspace = true\n\
             edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
             publish.workspace = true\n\n[package.metadata]\n{metadata}\n\n[lints]\nworkspace = true\n"
        );
        for (section, needs) in sections {
            text += &format!("\n[{section}]\n");
            for need in *needs {
                text += &format!("{need}.workspace = true\n");
            }
        }
        self.make(&format!("{dir}/Cargo.toml"), &text)
    }

    /// A line among those that `is_item` knows, where the order of the alphabet puts it.
    pub fn insert(&mut self, path: &str, is_item: impl Fn(&str) -> bool, line: &str) -> Result<()> {
        let line = self.fill(line);
        self.change(path, |text| insert_line(text, is_item, &line))
    }

    /// Another change of a file.
    pub fn change(
        &mut self,
        path: &str,
        change: impl FnOnce(&str) -> Option<String>,
    ) -> Result<()> {
        let text = match self.changed.get(path) {
            Some(text) => text.clone(),
            None => fs::read_to_string(self.project.root.join(path))
                .with_context(|| format!("cannot read {path}"))?,
        };
        let text = change(&text).with_context(|| {
            format!("{path} is not as this expects it, so nothing was written: no place for the new line")
        })?;
        self.changed.insert(path.to_owned(), text);
        Ok(())
    }

    /// Fills in the words that a change of a file put there.
    pub fn fill_changed(&mut self, path: &str) -> Option<()> {
        let text = self.fill(self.changed.get(path)?);
        self.changed.insert(path.to_owned(), text);
        Some(())
    }

    /// Writes everything; the paths, new ones first.
    pub fn write(self) -> Result<Vec<String>> {
        let all: Vec<(String, String)> = self.made.into_iter().chain(self.changed).collect();
        for (path, text) in &all {
            if let Some(word) = unfilled(text) {
                bail!("{path} holds {word}, which nothing fills in");
            }
        }
        for (path, text) in &all {
            let place = self.project.root.join(path);
            fs::create_dir_all(place.parent().context("a file lies in a folder")?)?;
            fs::write(&place, text).with_context(|| format!("cannot write {path}"))?;
        }
        let sources = all.iter().map(|(path, _)| path);
        // A root file takes its modules along.
        let status = Command::new("rustfmt")
            .current_dir(&self.project.root)
            .args(["--edition", "2024"])
            .args(sources.filter(|path| path.ends_with(".rs")))
            .status()
            .context("cannot start rustfmt")?;
        ensure!(status.success(), "rustfmt refused what was written");
        Ok(all.into_iter().map(|(path, _)| path).collect())
    }

    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, value) in &self.values {
            text = text.replace(word, value);
        }
        text
    }
}

/// The `--package` arguments of every new package whose tests run on the host.
pub fn tests(written: &[String]) -> String {
    let packages = written.iter().filter_map(|path| {
        let dir = path.strip_suffix("/Cargo.toml")?;
        let name = dir.rsplit('/').next()?;
        (!name.ends_with("-client")).then(|| format!("--package {name}"))
    });
    packages.collect::<Vec<_>>().join(" ")
}

/// Grants and exports have letters and digits alone.
fn lower_first(camel: &str) -> String {
    let (first, rest) = camel.split_at(camel.len().min(1));
    first.to_lowercase() + rest
}

/// What the generator calls an interface's module.
fn snake_of(camel: &str) -> String {
    let mut snake = String::new();
    for char in camel.chars() {
        if char.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(char.to_lowercase());
    }
    snake
}

/// Puts `line` before the first item that comes after it in the alphabet, else behind the last one.
fn insert_line(text: &str, is_item: impl Fn(&str) -> bool, line: &str) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let items: Vec<usize> = (0..lines.len())
        .filter(|at| lines.get(*at).is_some_and(|line| is_item(line)))
        .collect();
    let last = items.last()?;
    let later = items
        .iter()
        .find(|at| lines.get(**at).is_some_and(|item| *item > line));
    lines.insert(later.copied().unwrap_or(last + 1), line);
    let mut text = lines.join("\n");
    text.push('\n');
    Some(text)
}

/// Adds a word to the list between `open` and the next `}`; rustfmt sorts it.
pub fn add_to_braces(text: &str, open: &str, word: &str) -> Option<String> {
    let start = text.find(open)? + open.len();
    let end = start + text.get(start..)?.find('}')?;
    let inside = text.get(start..end)?.trim_end().trim_end_matches(',');
    Some(format!(
        "{}{inside}, {word}{}",
        text.get(..start)?,
        text.get(end..)?
    ))
}

/// A word of a template that is still there.
fn unfilled(text: &str) -> Option<&str> {
    const WORDS: [&str; 13] = [
        "@name@",
        "@crate@",
        "@module@",
        "@interface@",
        "@file@",
        "@grant@",
        "@Type@",
        "@interfaceId@",
        "@id@",
        "@extra@",
        "@model@",
        "@matches@",
        "@proof@",
    ];
    WORDS.into_iter().find(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::{add_to_braces, insert_line, snake_of};

    #[test]
    fn lines_go_where_the_alphabet_puts_them() {
        let is_item = |line: &str| line.starts_with("mod ");
        let text = "//! x\n\nmod a;\nmod c;\n\nfn f() {}\n";
        let with = |line| insert_line(text, is_item, line).unwrap();
        assert_eq!(
            with("mod b;"),
            "//! x\n\nmod a;\nmod b;\nmod c;\n\nfn f() {}\n"
        );
        assert_eq!(
            with("mod d;"),
            "//! x\n\nmod a;\nmod c;\nmod d;\n\nfn f() {}\n"
        );
        assert_eq!(insert_line("nothing\n", is_item, "mod a;"), None);
    }

    #[test]
    fn words_join_a_list_in_braces() {
        let text = "use schema::{audit, net};\nuse x::{y};\n";
        let added = add_to_braces(text, "use schema::{", "dice").unwrap();
        assert_eq!(added, "use schema::{audit, net, dice};\nuse x::{y};\n");
        let long = add_to_braces("use schema::{\n    a,\n    b,\n};\n", "use schema::{", "c");
        assert_eq!(long.unwrap(), "use schema::{\n    a,\n    b, c};\n");
        assert_eq!(add_to_braces("nothing", "use schema::{", "c"), None);
    }

    #[test]
    fn modules_are_called_as_the_generator_calls_them() {
        assert_eq!(snake_of("MySensor2"), "my_sensor2");
    }
}
