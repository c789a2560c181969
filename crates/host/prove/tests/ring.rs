//! The page of a device queue.

use prove::subjects::ring::Ring;
use prove::{Most, at_random, each_was_done, explore};

#[test]
fn of_what_happens_to_a_page_that_is_empty_or_nearly_full() {
    for (before, filled) in [(0, 0), (0, 62), (63, 63)] {
        let found = explore(|| Ring::new(before, filled), Most { depth: 6 });
        found.say(
            "device-ring",
            &format!("64 entries, {before} gone through, {filled} inside"),
        );
        each_was_done("device-ring", &[found]);
    }
}

#[test]
fn of_pages_at_random() {
    at_random("device-ring", "64 entries", 40, 600, || Ring::new(0, 50));
}
