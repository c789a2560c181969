//! What a smoke asks of a fact.

use crate::is_topic;
use crate::parse::{Fact, ParseError, Value, split_pair};

/// A topic and the pairs a fact must have; pairs beyond them do not matter.
///
/// Written like a fact without its `@`: `cpu.online count=4 apic=any`. The word `any` asks only that the key is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern<'a> {
    topic: &'a str,
    pairs: &'a str,
}

impl<'a> Pattern<'a> {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It breaks the grammar of a fact.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        let (topic, pairs) = text.split_once(' ').unwrap_or((text, ""));
        if !is_topic(topic) {
            return Err(ParseError::Topic);
        }
        let mut rest = pairs;
        while !rest.is_empty() {
            rest = split_pair(rest)?.1;
        }
        Ok(Self { topic, pairs })
    }

    /// Whether `fact` has the topic and every pair of this pattern.
    pub fn matches(&self, fact: &Fact<'_>) -> bool {
        if fact.topic() != self.topic {
            return false;
        }
        let mut rest = self.pairs;
        while let Ok((wanted, tail)) = split_pair(rest) {
            let Some(found) = fact.get(wanted.key) else {
                return false;
            };
            if wanted.value != Value::Word("any") && wanted.value != found.value {
                return false;
            }
            rest = tail;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;
    use crate::{Fact, ParseError};

    fn matches(pattern: &str, line: &str) -> bool {
        Pattern::parse(pattern)
            .unwrap()
            .matches(&Fact::parse(line).unwrap().unwrap())
    }

    #[test]
    fn a_pattern_asks_for_some_pairs_and_ignores_the_rest() {
        let line = "@cpu.online count=4 apic~0 name=\"a b\"";
        assert!(matches("cpu.online", line));
        assert!(matches("cpu.online count=4", line));
        assert!(matches("cpu.online name=\"a b\" apic=any", line));
        assert!(!matches("cpu.online count=3", line));
        assert!(!matches("cpu.online absent=any", line));
        assert!(!matches("cpu", line));
    }

    #[test]
    fn a_broken_pattern_is_refused() {
        assert_eq!(Pattern::parse("Cpu"), Err(ParseError::Topic));
        assert_eq!(Pattern::parse("cpu count"), Err(ParseError::Mark));
    }
}
