//! The characters that do something else than take their place.
//!
//! Source: the Unicode Character Database, as `icu_properties` has it: General_Category Cc, Co, Zl and Zp; Cf but for
//! Prepended_Concatenation_Mark, which is seen; Default_Ignorable_Code_Point; Bidi_Control; Noncharacter_Code_Point. The
//! test below compares all of them, and prints the table anew when it is out of date.

/// First and last of each run, ascending.
const RUNS: [(char, char); 36] = [
    ('\u{0}', '\u{1f}'),
    ('\u{7f}', '\u{9f}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{e000}', '\u{f8ff}'),
    ('\u{fdd0}', '\u{fdef}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{fffe}', '\u{ffff}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{1fffe}', '\u{1ffff}'),
    ('\u{2fffe}', '\u{2ffff}'),
    ('\u{3fffe}', '\u{3ffff}'),
    ('\u{4fffe}', '\u{4ffff}'),
    ('\u{5fffe}', '\u{5ffff}'),
    ('\u{6fffe}', '\u{6ffff}'),
    ('\u{7fffe}', '\u{7ffff}'),
    ('\u{8fffe}', '\u{8ffff}'),
    ('\u{9fffe}', '\u{9ffff}'),
    ('\u{afffe}', '\u{affff}'),
    ('\u{bfffe}', '\u{bffff}'),
    ('\u{cfffe}', '\u{cffff}'),
    ('\u{dfffe}', '\u{e0fff}'),
    ('\u{efffe}', '\u{10ffff}'),
];

/// Whether a character does something else than take its place: control characters, those for private use, the marks
/// that reorder text or are ignored where nobody knows them, and what is no character at all.
pub fn is_unsafe(c: char) -> bool {
    // Nearly all text.
    if (' '..='~').contains(&c) {
        return false;
    }
    let behind = RUNS.partition_point(|(first, _)| *first <= c);
    behind
        .checked_sub(1)
        .and_then(|at| RUNS.get(at))
        .is_some_and(|(_, last)| c <= *last)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use icu_properties::props::{
        BidiControl, DefaultIgnorableCodePoint, GeneralCategory, NoncharacterCodePoint,
        PrependedConcatenationMark,
    };
    use icu_properties::{CodePointMapData, CodePointSetData};

    fn by_properties(c: char) -> bool {
        use GeneralCategory::{Control, Format, LineSeparator, ParagraphSeparator, PrivateUse};
        let seen = CodePointSetData::new::<PrependedConcatenationMark>();
        match CodePointMapData::<GeneralCategory>::new().get(c) {
            Control | PrivateUse | LineSeparator | ParagraphSeparator => true,
            Format if !seen.contains(c) => true,
            _ => {
                CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
                    || CodePointSetData::new::<BidiControl>().contains(c)
                    || CodePointSetData::new::<NoncharacterCodePoint>().contains(c)
            }
        }
    }

    #[test]
    fn the_table_says_what_unicode_says() {
        let mut runs = std::vec::Vec::<(char, char)>::new();
        let mut last = None;
        for c in '\0'..=char::MAX {
            if by_properties(c) {
                match runs.last_mut().filter(|run| Some(run.1) == last) {
                    Some(run) => run.1 = c,
                    None => runs.push((c, c)),
                }
                assert!(is_unsafe(c), "U+{:04X} is missing: {runs:x?}", u32::from(c));
            } else {
                assert!(!is_unsafe(c), "U+{:04X} is too much", u32::from(c));
            }
            last = Some(c);
        }
    }

    #[test]
    fn what_hides_or_turns_text_is_unsafe_and_what_is_seen_is_not() {
        let bad = "\u{202e}\u{ad}\u{e0041}\u{3164}\u{fff9}\u{200b}\u{feff}\u{e000}\u{2028}\u{1b}\u{9b}\u{115f}\u{fe0f}";
        assert!(bad.chars().all(is_unsafe));
        let good = "aÄß日本😀\u{300}\u{3000}\u{a0}\u{fffd}\u{600}┌€";
        assert!(!good.chars().any(is_unsafe));
    }
}
