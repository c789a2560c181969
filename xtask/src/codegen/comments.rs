//! The comments of a schema file, by what they are about: those before a declaration, and behind it on its line.
//!
//! The compiler's request has comments too, but only those that come after a declaration, and these files are written
//! the other way round. Text is all this reads: names, types and numbers come from the compiler.

use std::collections::HashMap;

/// What is said about one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Paragraphs and lists, as Markdown.
    pub text: String,
    /// What stood behind `Refuses:`.
    pub refuses: String,
}

/// Members of a struct or enum that share a line, and what is said about them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Their names.
    pub names: Vec<String>,
    /// The text.
    pub text: String,
}

/// All comments of a file.
#[derive(Debug, Default)]
pub struct Comments {
    /// What the file says about itself.
    pub file: String,
    notes: HashMap<String, Note>,
    groups: HashMap<String, Vec<Group>>,
}

impl Comments {
    /// What is said about a declaration: `Console`, `Console.write`, `LogReader.Record`.
    pub fn note(&self, path: &str) -> Note {
        self.notes.get(path).cloned().unwrap_or_default()
    }

    /// The members of a struct or enum, line by line.
    pub fn groups(&self, path: &str) -> &[Group] {
        self.groups.get(path).map_or(&[], Vec::as_slice)
    }

    /// Reads a schema file.
    pub fn read(text: &str) -> Self {
        let mut comments = Self::default();
        let mut scope: Vec<String> = Vec::new();
        let mut pending: Vec<&str> = Vec::new();
        let mut at_head = true;
        for line in text.lines().map(str::trim) {
            if let Some(comment) = line.strip_prefix('#') {
                pending.push(comment.strip_prefix(' ').unwrap_or(comment));
                continue;
            }
            if line.is_empty() || line.starts_with("using ") {
                // What stands apart belongs to nothing; at the head, to the file.
                let apart = std::mem::take(&mut pending);
                if at_head && !apart.is_empty() {
                    comments.file = join(&apart);
                    at_head = false;
                }
                continue;
            }
            if line.starts_with("@0x") {
                continue;
            }
            at_head = false;
            let (code, behind) = line.split_once('#').unwrap_or((line, ""));
            let before = std::mem::take(&mut pending);
            comments.code(code, &before, behind.trim(), &mut scope);
        }
        comments
    }

    fn code(&mut self, code: &str, before: &[&str], behind: &str, scope: &mut Vec<String>) {
        let words = code.replace(['{', ';', '}'], " $0 ");
        let words = words.replace(" $0 ", " ");
        let mut declared: Option<String> = None;
        let mut names: Vec<String> = Vec::new();
        let mut previous = "";
        let mut opened = words.split_whitespace().peekable();
        while let Some(word) = opened.next() {
            match word {
                // A field may be called so, too.
                "interface" | "struct" | "enum"
                    if !opened.peek().is_some_and(|next| next.starts_with('@')) =>
                {
                    declared = opened.next().map(str::to_owned);
                }
                _ if word.strip_prefix('@').is_some_and(|n| {
                    n.starts_with(|c: char| c.is_ascii_digit()) && !n.starts_with("0x")
                }) =>
                {
                    names.push(previous.to_owned());
                }
                _ => {}
            }
            previous = word;
        }
        // What is opened without a name, a union, is of whatever it lies in.
        let unnamed = code
            .matches('{')
            .count()
            .saturating_sub(usize::from(declared.is_some()));
        if let Some(name) = declared {
            scope.push(name);
            self.notes.insert(path_of(scope), split(before));
        }
        scope.extend(std::iter::repeat_n(String::new(), unnamed));
        if !names.is_empty() {
            let path = path_of(scope);
            // What stands before a one-line struct is about the struct.
            let own = if code.contains('{') { &[][..] } else { before };
            let mut lines = own.to_vec();
            if !behind.is_empty() {
                lines.push(behind);
            }
            for name in &names {
                self.notes.insert(format!("{path}.{name}"), split(&lines));
            }
            let text = join(&lines);
            let group = Group { names, text };
            self.groups.entry(path).or_default().push(group);
        }
        for _ in code.matches('}') {
            scope.pop();
        }
    }
}

fn path_of(scope: &[String]) -> String {
    let named = scope.iter().filter(|name| !name.is_empty());
    named.map(String::as_str).collect::<Vec<_>>().join(".")
}

fn split(lines: &[&str]) -> Note {
    let at = lines.iter().position(|line| line.starts_with("Refuses:"));
    let (text, refuses) = lines.split_at(at.unwrap_or(lines.len()));
    let refuses = join(refuses);
    let refuses = refuses.strip_prefix("Refuses:").unwrap_or_default();
    Note {
        text: join(text),
        refuses: refuses.trim().trim_end_matches('.').to_owned(),
    }
}

/// Lines as Markdown: one paragraph until an empty line, a list's items on lines of their own.
fn join(lines: &[&str]) -> String {
    let mut out = String::new();
    for line in lines {
        let line = line.trim();
        match line {
            "" => out.push_str("\n\n"),
            _ if line.starts_with("- ") => {
                if !out.is_empty() {
                    out.push('\n');
                }
                out.push_str(line);
            }
            _ => {
                if !out.is_empty() && !out.ends_with('\n') {
                    out.push(' ');
                }
                out.push_str(line);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Comments, Group};

    const SCHEMA: &str = "@0xd1;\n# The file.\n#\n# - one\n#   more\n\nusing X = import \"x.capnp\";\n\n# Apart.\n\n\
        # The thing.\ninterface Thing @0xd2 {\n  # Does it,\n  # twice.\n  # Refuses: `busy`,\n  # `stale`.\n  \
        act @0 (a :UInt8) -> ();\n  plain @1 () -> ();\n  # A record.\n  struct Record { a @0 :UInt8; b @1 :Bool; }\n  \
        struct Long {\n    # Both.\n    c @0 :UInt8; d @1 :UInt8; # of them\n    e @2 :UInt8;\n  }\n  \
        enum Kind { one @0; }\n}\n";

    #[test]
    fn comments_go_to_what_follows_them() {
        let c = Comments::read(SCHEMA);
        assert_eq!(c.file, "The file.\n\n\n- one more");
        assert_eq!(c.note("Thing").text, "The thing.");
        let act = c.note("Thing.act");
        assert_eq!(
            (act.text.as_str(), act.refuses.as_str()),
            ("Does it, twice.", "`busy`, `stale`")
        );
        assert_eq!(c.note("Thing.plain").text, "");
        assert_eq!(c.note("Thing.Record").text, "A record.");
        let group = |names: &[&str], text: &str| Group {
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            text: text.to_owned(),
        };
        assert_eq!(c.groups("Thing.Record"), [group(&["a", "b"], "")]);
        assert_eq!(
            c.groups("Thing.Long"),
            [group(&["c", "d"], "Both. of them"), group(&["e"], "")]
        );
        assert_eq!(c.groups("Thing.Kind"), [group(&["one"], "")]);
    }
}
