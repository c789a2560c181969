//! One name, in the forms that files, crates and interfaces want it.

use std::fs;

use anyhow::{Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::project::Project;
use crate::smoke::case;

/// The longest name: a capability's has 31 bytes, and `-provider` must fit.
const MAX_BYTES: usize = 20;
/// Crates that no other may be called.
const CRATES: [&str; 6] = ["alloc", "core", "proc-macro", "std", "test", "main"];
/// Words that no module may be called (Rust reference, "Keywords").
const KEYWORDS: [&str; 51] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// A name that nothing has yet.
#[derive(Debug)]
pub struct Name {
    kebab: String,
}

impl Name {
    /// Checks a name against everything that has one. `endings` are those that packages beside it will have.
    pub fn new(project: &Project, name: &str, endings: &[&str]) -> Result<Self> {
        check_form(name)?;
        let own = Self { kebab: name.into() };
        let packages = endings.iter().map(|ending| format!("{name}{ending}"));
        for package in packages.chain([name.to_owned()]) {
            let taken = project
                .members
                .iter()
                .any(|member| member.name == package || member.bins.contains(&package));
            ensure!(!taken, "there is a package or program {package} already");
        }
        let root = fs::read_to_string(project.root.join("Cargo.toml"))?;
        let is_dependency = |line: &str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '.', '=']))
        };
        ensure!(
            !root.lines().any(is_dependency),
            "{name} is the name of a crate that this workspace depends on"
        );
        ensure!(
            !case::all().iter().any(|smoke| smoke.name == name),
            "there is a smoke {name} already"
        );
        for entry in fs::read_dir(project.root.join("schema"))? {
            let text = fs::read_to_string(entry?.path())?;
            let heading = format!("interface {} ", own.camel());
            ensure!(
                !text.contains(&heading),
                "there is an interface {} already",
                own.camel()
            );
        }
        Ok(own)
    }

    /// `my-sensor`: packages, programs, manifests.
    pub fn kebab(&self) -> &str {
        &self.kebab
    }

    /// `my_sensor`: modules, crates, schema files.
    pub fn snake(&self) -> String {
        self.kebab.replace('-', "_")
    }

    /// `MySensor`: the interface.
    pub fn camel(&self) -> String {
        let words = self.kebab.split('-').map(|word| {
            let (first, rest) = word.split_at(word.len().min(1));
            first.to_uppercase() + rest
        });
        words.collect()
    }

    /// An id for a Cap'n Proto file or interface: 64 bits, the highest one set, always the same for one name.
    pub fn id(&self, what: &str) -> String {
        let digest = Sha256::digest(format!("capos {what} {}", self.kebab));
        let word = digest.first_chunk::<8>().copied().unwrap_or_default();
        format!("@{:#018x}", u64::from_be_bytes(word) | 1 << 63)
    }
}

fn check_form(name: &str) -> Result<()> {
    let is_word = |word: &str| {
        word.starts_with(|char: char| char.is_ascii_lowercase())
            && word
                .chars()
                .all(|char| char.is_ascii_lowercase() || char.is_ascii_digit())
    };
    if name.is_empty() || !name.split('-').all(is_word) {
        bail!(
            "{name:?} is no name for it: lower-case letters and digits, each word beginning with a letter, words \
             joined by single dashes, for example my-sensor"
        );
    }
    ensure!(
        name.len() <= MAX_BYTES,
        "{name} has {} bytes, and a name may have {MAX_BYTES}",
        name.len()
    );
    ensure!(
        !CRATES.contains(&name) && !KEYWORDS.contains(&name),
        "{name} means something to the compiler already"
    );
    let made = ["-client", "-provider"]
        .iter()
        .find(|end| name.ends_with(*end));
    if let Some(ending) = made {
        bail!("{name} ends with {ending}, which is what the package beside it is called");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Name, check_form};

    #[test]
    fn names_have_one_form() {
        for good in ["a", "my-sensor", "x2", "abcdefghijklmnopqrst"] {
            assert!(check_form(good).is_ok(), "{good}");
        }
        let bad = [
            "",
            "-a",
            "a-",
            "a--b",
            "A",
            "a_b",
            "2a",
            "a-2b",
            "ä",
            "a b",
            "a/b",
            "..",
            "match",
            "core",
            "my-client",
            "abcdefghijklmnopqrstu",
        ];
        for bad in bad {
            assert!(check_form(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_has_three_spellings_and_its_own_ids() {
        let name = Name {
            kebab: "my-sensor2".into(),
        };
        assert_eq!(
            (name.snake().as_str(), name.camel().as_str()),
            ("my_sensor2", "MySensor2")
        );
        assert_ne!(name.id("file"), name.id("interface"));
        let id = name.id("file");
        let high = id.as_bytes()[3];
        assert!(
            id.len() == 19 && matches!(high, b'8' | b'9' | b'a'..=b'f'),
            "{id}"
        );
    }
}
