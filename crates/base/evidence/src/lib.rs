//! The grammar of evidence: how kernel and services state a fact on the serial line, and how xtask reads it back.
//!
//! One fact is one line, `@topic key=value key~value`. The topic is dotted lower case. `=` marks a value that is the same in
//! every run, `~` one that is not (times, addresses, counts); a snapshot keeps the first kind and drops the second by its
//! mark, so no regular expression ever guesses. Values are typed: integer, `0x` hexadecimal, bare word, quoted string.
//! Every line that does not begin with `@` and a lower-case letter is ordinary text.
//!
//! Invariant: this crate never allocates, never prints, and never panics on a line, whatever stands in it: the guest that
//! wrote it may be hostile.
#![no_std]
#![forbid(unsafe_code)]

mod parse;
mod pattern;
mod write;

pub use parse::{Fact, Pair, Pairs, ParseError, Value};
pub use pattern::Pattern;
pub use write::{FactWriter, Hex, WriteValue, write_fact};

/// Writes one fact, with its line end, to a [`core::fmt::Write`]; gives that write's `fmt::Result`.
///
/// `fact!(sink, "cpu.online", count = 4, tsc_hz ~ hz, base ~ Hex(base))`. A key may be an identifier or a string literal.
#[macro_export]
macro_rules! fact {
    ($sink:expr, $topic:expr $(, $($rest:tt)*)?) => {
        $crate::fact!(@pair $crate::write_fact($sink, $topic), $($($rest)*)?)
    };
    (@pair $writer:expr, $key:ident = $value:expr $(, $($rest:tt)*)?) => {
        $crate::fact!(@pair $writer.stable(stringify!($key), $value), $($($rest)*)?)
    };
    (@pair $writer:expr, $key:ident ~ $value:expr $(, $($rest:tt)*)?) => {
        $crate::fact!(@pair $writer.volatile(stringify!($key), $value), $($($rest)*)?)
    };
    (@pair $writer:expr, $key:literal = $value:expr $(, $($rest:tt)*)?) => {
        $crate::fact!(@pair $writer.stable($key, $value), $($($rest)*)?)
    };
    (@pair $writer:expr, $key:literal ~ $value:expr $(, $($rest:tt)*)?) => {
        $crate::fact!(@pair $writer.volatile($key, $value), $($($rest)*)?)
    };
    (@pair $writer:expr, ) => { $writer.end() };
}

fn is_topic(text: &str) -> bool {
    !text.is_empty() && text.split('.').all(is_name)
}

/// One part of a topic, or a key.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        })
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/' | b'+' | b',' | b'%')
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Fact, Hex, Value};
    use proptest::prelude::*;
    use std::string::String;

    #[test]
    fn what_the_macro_writes_is_what_the_parser_reads() {
        let mut line = String::new();
        fact!(&mut line, "cpu.online", count = 4_u32, base ~ Hex(0xfee0_0000), name = "q35 tcg", "at-bsp" = true)
            .unwrap();
        assert_eq!(
            line,
            "@cpu.online count=4 base~0xfee00000 name=\"q35 tcg\" at-bsp=true\n"
        );
        let fact = Fact::parse(line.trim_end()).unwrap().unwrap();
        assert_eq!(fact.topic(), "cpu.online");
        assert_eq!(fact.get("count").unwrap().value, Value::Integer(4));
        assert!(!fact.get("base").unwrap().stable);
        assert!(fact.get("name").unwrap().value.is_text("q35 tcg"));
        assert!(fact.get("absent").is_none());
    }

    #[test]
    fn a_fact_without_values_is_only_its_topic() {
        let mut line = String::new();
        fact!(&mut line, "boot.start").unwrap();
        assert_eq!(line, "@boot.start\n");
    }

    proptest! {
        #[test]
        fn any_string_survives_the_round_trip(text in ".*", number in any::<i64>()) {
            let mut line = String::new();
            fact!(&mut line, "trip", text = text.as_str(), number = number).unwrap();
            prop_assert_eq!(line.matches('\n').count(), 1);
            let fact = Fact::parse(line.trim_end_matches('\n')).unwrap().unwrap();
            prop_assert!(fact.get("text").unwrap().value.is_text(&text));
            prop_assert_eq!(fact.get("number").unwrap().value, Value::Integer(i128::from(number)));
        }

        #[test]
        fn no_line_makes_the_parser_panic(line in "@?[a-z.]*[ -~\\PC]*") {
            if let Ok(Some(fact)) = Fact::parse(&line) {
                let _ = fact.pairs().count();
                let _ = fact.get("key");
            }
        }
    }
}
