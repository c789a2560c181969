//! Output of which no one listing gets more than its page.

use alloc::{format, string::String, vec::Vec};

use crate::text::Safe;

/// Characters of a line, at most.
pub const LINE_CHARS: usize = 200;

/// One page of a listing.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Its lines, safe to show, each at most [`LINE_CHARS`] characters.
    pub lines: Vec<String>,
    /// Lines of the listing that are on other pages.
    pub cut: usize,
    /// Pages of the listing.
    pub pages: usize,
}

/// Cuts page `number`, counted from 1, out of a listing. `heading` lines at its beginning are on every page. A number past
/// the end gives no lines, and says how many pages there are.
pub fn page(
    listing: impl IntoIterator<Item = String>,
    heading: usize,
    number: u32,
    most_lines: usize,
) -> Page {
    let mut all: Vec<String> = listing.into_iter().map(|l| shorten(&l)).collect();
    let heading = heading.min(all.len());
    let body = all.split_off(heading);
    let room = most_lines.saturating_sub(heading).max(1);
    let pages = body.len().div_ceil(room).max(1);
    let number = usize::try_from(number).unwrap_or(usize::MAX).max(1);
    if number > pages {
        return Page {
            lines: Vec::new(),
            cut: body.len(),
            pages,
        };
    }
    let total = body.len();
    let shown: Vec<String> = body
        .into_iter()
        .skip((number - 1).saturating_mul(room))
        .take(room)
        .collect();
    let cut = total - shown.len();
    all.extend(shown);
    Page {
        lines: all,
        cut,
        pages,
    }
}

/// Makes a line safe to show, and no longer than [`LINE_CHARS`].
fn shorten(line: &str) -> String {
    let safe = format!("{}", Safe(line.trim_end()));
    match safe.char_indices().nth(LINE_CHARS) {
        None => safe,
        Some(_) => {
            let kept: String = safe.chars().take(LINE_CHARS - 3).collect();
            format!("{kept}...")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listing(lines: usize) -> Vec<String> {
        (0..lines).map(|n| format!("{n}")).collect()
    }

    #[test]
    fn every_line_is_on_exactly_one_page_under_the_heading() {
        let mut seen = Vec::new();
        for number in 1..=3 {
            let page = page(listing(23), 1, number, 11);
            assert_eq!(page.pages, 3);
            assert_eq!(page.lines[0], "0");
            assert_eq!(page.lines.len() - 1 + page.cut, 22);
            seen.extend(page.lines.into_iter().skip(1));
        }
        assert_eq!(seen, listing(23)[1..]);
    }

    #[test]
    fn a_page_past_the_end_is_empty_and_says_so() {
        let past = page(listing(5), 1, 2, 40);
        assert_eq!((past.lines.len(), past.pages), (0, 1));
        assert_eq!(page(listing(0), 1, 1, 40).pages, 1);
    }

    #[test]
    fn long_lines_are_cut_and_say_so() {
        let line = page([String::from("x").repeat(500)], 0, 1, 40)
            .lines
            .remove(0);
        assert_eq!(line.chars().count(), LINE_CHARS);
        assert!(line.ends_with("..."));
    }

    proptest! {
        #[test]
        fn no_page_is_longer_than_asked(
            lines in prop::collection::vec(any::<String>(), 0..50),
            heading in 0usize..4, number: u32, most in 4usize..20,
        ) {
            let page = page(lines, heading, number, most);
            prop_assert!(page.lines.len() <= most);
            for line in &page.lines {
                prop_assert!(line.chars().count() <= LINE_CHARS);
                prop_assert!(!line.chars().any(char::is_control));
            }
        }
    }
}
