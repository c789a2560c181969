//! Absolute paths, and what is mounted where.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

/// A normal absolute path: no empty component, no `.` and no `..`.
///
/// The first component names a disk; the rest is a path on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    components: Vec<String>,
}

impl Path {
    /// The root, where the disks are.
    pub const fn root() -> Self {
        Self {
            components: Vec::new(),
        }
    }

    /// What `text` means in this directory. `..` at the root stays there.
    pub fn resolve(&self, text: &str) -> Self {
        let mut components = if text.starts_with('/') {
            Vec::new()
        } else {
            self.components.clone()
        };
        for part in text.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    components.pop();
                }
                name => components.push(name.to_string()),
            }
        }
        Self { components }
    }

    /// The disk, and the path on it, empty for its root directory. `None` for the root of everything.
    pub fn split_disk(&self) -> Option<(&str, String)> {
        let (disk, rest) = self.components.split_first()?;
        Some((disk, rest.join("/")))
    }

    /// The last component; `None` for the root.
    pub fn name(&self) -> Option<&str> {
        self.components.last().map(String::as_str)
    }

    /// The directory it is in; the root is in itself.
    pub fn parent(&self) -> Self {
        self.resolve("..")
    }

    /// Whether this is the root of everything.
    pub fn is_root(&self) -> bool {
        self.components.is_empty()
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.components.is_empty() {
            return f.write_str("/");
        }
        for component in &self.components {
            write!(f, "/{}", crate::text::Safe(component))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Path {
        Path::root().resolve(text)
    }

    #[test]
    fn dots_and_slashes_vanish() {
        assert_eq!(path("/disk//a/./b/../c/").to_string(), "/disk/a/c");
        assert_eq!(path("/../..").to_string(), "/");
        assert_eq!(path("/disk/a").resolve("../b c").to_string(), "/disk/b c");
        assert_eq!(path("/disk/a").resolve("/x").to_string(), "/x");
        assert_eq!(path("/disk/a").resolve("").to_string(), "/disk/a");
        assert_eq!(path("/disk/a").parent().to_string(), "/disk");
    }

    #[test]
    fn the_first_component_is_the_disk() {
        assert_eq!(path("/").split_disk(), None);
        assert_eq!(path("/disk").split_disk(), Some(("disk", String::new())));
        assert_eq!(
            path("disk1/ä/b").split_disk(),
            Some(("disk1", "ä/b".to_string()))
        );
        assert_eq!(path("/disk/a").name(), Some("a"));
        assert!(path("disk/..").is_root());
    }

    proptest! {
        #[test]
        fn resolving_is_stable(base in any::<String>(), text in any::<String>()) {
            let once = path(&base).resolve(&text);
            if let Some((disk, rest)) = once.split_disk() {
                let joined = alloc::format!("/{disk}/{rest}");
                prop_assert_eq!(path(&joined), once);
            }
        }
    }
}
