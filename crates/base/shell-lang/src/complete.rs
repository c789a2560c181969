//! Completing the word before the cursor.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt::Write as _;

use crate::{text::Shown, words};

/// What the word before the cursor may become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// It is the first word: a command.
    pub is_command: bool,
    /// The part of a path up to its last '/', that included; empty without one.
    pub directory: String,
    /// What the name begins with.
    pub prefix: String,
    /// The quotation mark that is open.
    pub quote: Option<char>,
}

/// Finds the word at the end of `before`, by the rules of [`crate::words::split`].
pub fn target(before: &str) -> Target {
    let mut count = 0;
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = before.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word
                .get_or_insert_default()
                .extend(words::escaped(&mut chars)),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (_, None) if words::is_blank(c) => count += usize::from(word.take().is_some()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    let word = word.unwrap_or_default();
    let (directory, prefix) = word.split_at(word.rfind('/').map_or(0, |at| at + 1));
    Target {
        is_command: count == 0,
        directory: directory.to_string(),
        prefix: prefix.to_string(),
        quote,
    }
}

/// What to do on a Tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing fits.
    Beep,
    /// Insert this at the cursor.
    Insert(String),
    /// These fit, and they have no more in common than what is there.
    Choose(Vec<String>),
}

/// Completes `target` to those of `names` that begin with its prefix. Names of directories end in '/'.
pub fn complete(target: &Target, names: impl Iterator<Item = String>) -> Action {
    let mut fits: Vec<String> = names.filter(|n| n.starts_with(&target.prefix)).collect();
    fits.sort();
    let Some(first) = fits.first() else {
        return Action::Beep;
    };
    let common = fits.iter().fold(first.as_str(), |common, name| {
        let same = common.chars().zip(name.chars()).take_while(|(a, b)| a == b);
        let bytes: usize = same.map(|(a, _)| a.len_utf8()).sum();
        common.get(..bytes).unwrap_or_default()
    });
    let more = common.get(target.prefix.len()..).unwrap_or_default();
    let mut text = escape(more, target.quote);
    if fits.len() == 1 && !first.ends_with('/') {
        text.extend(target.quote);
        text.push(' ');
    }
    if text.is_empty() {
        Action::Choose(fits)
    } else {
        Action::Insert(text)
    }
}

/// Writes text so that it stands for itself, and so that it may be shown.
fn escape(text: &str, quote: Option<char>) -> String {
    let mut escaped = String::new();
    let mut shown = Shown::new();
    for c in text.chars() {
        let hidden = !shown.takes(c);
        match quote {
            // Nothing can be escaped between these, so they are closed for it.
            Some('\'') if hidden || c == '\'' => {
                let _ = match hidden {
                    true => write!(escaped, "'\\u{{{:x}}}'", u32::from(c)),
                    false => write!(escaped, "'\\{c}'"),
                };
                continue;
            }
            _ if hidden => {
                let _ = write!(escaped, "\\u{{{:x}}}", u32::from(c));
                continue;
            }
            Some('"') if matches!(c, '"' | '\\') => escaped.push('\\'),
            None if words::is_blank(c) || matches!(c, '"' | '\'' | '\\') => escaped.push('\\'),
            _ => {}
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tab(before: &str, names: &[&str]) -> Action {
        complete(&target(before), names.iter().map(ToString::to_string))
    }

    #[test]
    fn the_word_before_the_cursor_is_found() {
        assert!(target("").is_command && target("  ca").is_command && !target("cat ").is_command);
        let path = target("cat /disk/a\\ b/c");
        assert_eq!(
            (path.directory.as_str(), path.prefix.as_str()),
            ("/disk/a b/", "c")
        );
        let quoted = target("cat 'x y/z w");
        assert_eq!(
            (
                quoted.directory.as_str(),
                quoted.prefix.as_str(),
                quoted.quote
            ),
            ("x y/", "z w", Some('\''))
        );
    }

    #[test]
    fn one_fit_is_finished_and_several_as_far_as_they_agree() {
        assert_eq!(tab("ca", &["cat", "cd"]), Action::Insert("t ".into()));
        assert_eq!(
            tab("c", &["cat", "cd"]),
            Action::Choose(Vec::from(["cat".into(), "cd".into()]))
        );
        assert_eq!(
            tab("ls d", &["deep down/", "deep dish/"]),
            Action::Insert("eep\\ d".into())
        );
        assert_eq!(
            tab("ls \"deep do", &["deep down/"]),
            Action::Insert("wn/".into())
        );
        assert_eq!(tab("cat 'a", &["a b"]), Action::Insert(" b' ".into()));
        assert_eq!(tab("cat G", &["Größe", "Grün"]), Action::Insert("r".into()));
        assert_eq!(tab("cat x", &["a"]), Action::Beep);
    }

    #[test]
    fn what_must_not_be_shown_is_inserted_by_its_number() {
        let name = "one-\u{202e}txt\u{e0041}.exe";
        let shown = r"e-\u{202e}txt\u{e0041}.exe";
        assert_eq!(
            tab("cat on", &[name]),
            Action::Insert(alloc::format!("{shown} "))
        );
        assert_eq!(
            tab("cat \"on", &[name]),
            Action::Insert(alloc::format!("{shown}\" "))
        );
        assert_eq!(
            tab("cat 'on", &[name]),
            Action::Insert(r"e-'\u{202e}'txt'\u{e0041}'.exe' ".into())
        );
        // And the next Tab knows what was typed.
        assert_eq!(
            tab(r"cat one-\u{202e}t", &[name]),
            Action::Insert(r"xt\u{e0041}.exe ".into())
        );
    }

    #[test]
    fn a_flood_of_marks_is_escaped() {
        let name = alloc::format!("za{}", "\u{301}".repeat(6));
        let expected = alloc::format!(r"a{}\u{{301}}\u{{301}} ", "\u{301}".repeat(4));
        assert_eq!(tab("cat z", &[&name]), Action::Insert(expected));
    }

    proptest! {
        #[test]
        fn what_is_inserted_reads_back(name in "[ -~\u{ad}\u{202e}\u{1b}\u{3164}ä\u{301}]{1,12}", cut in 0usize..12) {
            prop_assume!(!name.contains('/'));
            let at = (0..=cut.min(name.len())).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
            let line = alloc::format!("cat {}", escape(&name[..at], None));
            if let Action::Insert(text) = tab(&line, &[&name]) {
                let whole = alloc::format!("{line}{text}");
                let mut shown = Shown::new();
                prop_assert!(text.chars().all(|c| shown.takes(c)));
                prop_assert_eq!(crate::words::split(&whole).unwrap(), ["cat", name.as_str()]);
            }
        }

        #[test]
        fn no_line_panics(line in any::<String>(), names in prop::collection::vec(any::<String>(), 0..4)) {
            complete(&target(&line), names.into_iter());
        }
    }
}
