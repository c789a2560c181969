//! The filters that `gcloud` makes of its `--filter`.

use serde_json::Value;

use crate::params::Refusal;

/// What a field must be.
#[derive(Debug, PartialEq, Eq)]
enum Test {
    Starts(String),
    Contains(String),
    /// As a word of its own: no letter, digit or `_` beside it.
    Word(String),
}

/// A filter of one field, or none.
#[derive(Debug, PartialEq, Eq)]
pub struct Filter(Option<(String, Test)>);

impl Filter {
    /// Reads `FIELD eq "EXPRESSION"`, with the expressions that stand for `FIELD~^PREFIX`, `FIELD~TEXT` and `FIELD=WORD`.
    pub fn read(text: Option<&str>) -> Result<Self, Refusal> {
        let Some(text) = text else {
            return Ok(Self(None));
        };
        let refused = || {
            Refusal::new(
                "invalid",
                format!(
                    "Invalid value for field 'filter': '{text}'. Invalid list filter expression."
                ),
            )
        };
        let (field, expression) = text.split_once(" eq ").ok_or_else(refused)?;
        let inside = expression
            .strip_prefix("\".*")
            .and_then(|rest| rest.strip_suffix(".*\""))
            .ok_or_else(refused)?;
        let group = inside.strip_prefix('(').and_then(|it| it.strip_suffix(')'));
        let word = inside
            .strip_prefix("\\b")
            .and_then(|it| it.strip_suffix("\\b"));
        let test = match (group, word) {
            (Some(group), _) => match group.strip_prefix('^') {
                Some(start) => Test::Starts(plain(start).ok_or_else(refused)?),
                None => Test::Contains(plain(group).ok_or_else(refused)?),
            },
            (None, Some(word)) => Test::Word(plain(word).ok_or_else(refused)?),
            (None, None) => return Err(refused()),
        };
        Ok(Self(Some((field.to_owned(), test))))
    }

    /// Whether a resource passes.
    pub fn passes(&self, resource: &Value) -> bool {
        let Some((field, test)) = &self.0 else {
            return true;
        };
        let found = resource[field.as_str()].as_str().unwrap_or_default();
        match test {
            Test::Starts(start) => found.starts_with(start.as_str()),
            Test::Contains(text) => found.contains(text.as_str()),
            Test::Word(word) => found.match_indices(word.as_str()).any(|(at, _)| {
                let of_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
                let bytes = found.as_bytes();
                let before = at.checked_sub(1).and_then(|at| bytes.get(at));
                let after = bytes.get(at + word.len());
                !before.is_some_and(of_word) && !after.is_some_and(of_word)
            }),
        }
    }
}

/// The text that an expression stands for, where it is no more than a text.
fn plain(expression: &str) -> Option<String> {
    let mut text = String::new();
    let mut letters = expression.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => text.push(letters.next().filter(|next| !next.is_alphanumeric())?),
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => {
                return None;
            }
            plain => text.push(plain),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use serde_json::json;

    fn passes(filter: &str, name: &str) -> Option<bool> {
        let filter = Filter::read(Some(filter)).ok()?;
        Some(filter.passes(&json!({ "name": name })))
    }

    #[test]
    fn what_the_tool_makes_of_its_filters_is_understood_and_nothing_else() {
        let prefix = r#"name eq ".*(^capos-).*""#;
        assert_eq!(passes(prefix, "capos-1"), Some(true));
        assert_eq!(passes(prefix, "a-capos-1"), Some(false));
        let word = r#"name eq ".*\bcapos\-1\b.*""#;
        assert_eq!(passes(word, "capos-1"), Some(true));
        // The tool's `=` finds words: who asks for one name has to look again.
        assert_eq!(passes(word, "capos-1-2"), Some(true));
        assert_eq!(passes(word, "capos-12"), Some(false));
        assert_eq!(passes(r#"name eq ".*(os-).*""#, "capos-1"), Some(true));
        for other in [
            "name=x",
            r#"name eq "x""#,
            r#"name eq ".*(a|b).*""#,
            r#"name eq ".*(\d).*""#,
        ] {
            assert_eq!(passes(other, "x"), None, "{other}");
        }
        assert!(Filter::read(None).is_ok_and(|all| all.passes(&json!({}))));
    }
}
