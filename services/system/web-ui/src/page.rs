//! The page's files, which are part of the program, and the hash that they were reviewed with.

use sabotage::sabotage;
use sdk::alloc::string::String;
use sdk::alloc::vec::Vec;
use sha2::{Digest as _, Sha256};

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its path on this site.
    pub path: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

/// All files, in the order in which they are hashed.
pub const FILES: [File; 3] = [
    File {
        path: "/",
        kind: "text/html; charset=utf-8",
        bytes: include_bytes!("../page/index.html"),
    },
    File {
        path: "/app.js",
        kind: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../page/app.js"),
    },
    File {
        path: "/style.css",
        kind: "text/css; charset=utf-8",
        bytes: include_bytes!("../page/style.css"),
    },
];

/// The SHA-256 of the bundle as it was reviewed: of each file its path, a zero, its bytes and a zero. Whoever changes the page changes
/// this, too.
pub const PIN: &str = include_str!("../page/PIN");

/// The bytes of a file as they are served.
pub fn served(file: &File) -> Vec<u8> {
    let mut bytes = file.bytes.to_vec();
    if sabotage!(HTTP_OTHER_BUNDLE) {
        bytes.push(b'\n');
    }
    bytes
}

/// The hash of what is served, as hexadecimal digits.
pub fn hash() -> String {
    let mut hash = Sha256::new();
    for file in &FILES {
        hash.update(file.path);
        hash.update([0]);
        hash.update(served(file));
        hash.update([0]);
    }
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    let bytes = hash.finalize();
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{FILES, PIN, hash};

    #[test]
    fn the_page_is_the_one_that_was_reviewed() {
        assert_eq!(hash(), PIN.trim(), "page/PIN is the hash of another page");
    }

    #[test]
    fn the_page_asks_nobody_else_for_anything() {
        for file in &FILES {
            let text = core::str::from_utf8(file.bytes).unwrap();
            let links = text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !links.contains("://") && !text.contains("eval("),
                "{}",
                file.path
            );
            assert!(!text.contains("innerHTML"), "{}", file.path);
        }
    }
}
