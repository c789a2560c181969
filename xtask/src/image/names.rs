//! Which names a CD can hold: ISO 9660 at interchange level 3 without extensions, as the smallest reader sees it.
//!
//! Invariant: never renames; a name that does not survive is refused when the image is made.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use iso9660_format::{MAX_NAME, Name};

/// Refuses paths with a name that is too long, and two paths that the CD cannot tell apart.
pub fn check<'a>(paths: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for path in paths {
        let mut spelled = String::new();
        for name in path.split('/') {
            let plain = Name::plain(name).with_context(|| {
                format!(
                    "{path}: the name {name:?} is none a CD can hold: at most {MAX_NAME} characters, a dot among them"
                )
            })?;
            spelled.push('/');
            spelled.push_str(plain.as_str());
        }
        if let Some(other) = seen.insert(spelled.clone(), path) {
            bail!("{other} and {path} are both {spelled} on a CD; rename one");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn the_limit_is_31_characters_with_a_dot_among_them() {
        let fits = "a".repeat(30);
        assert!(check([fits.as_str()].into_iter()).is_ok());
        let long = format!("boot/bins/{fits}b");
        let error = check([long.as_str()].into_iter()).unwrap_err().to_string();
        assert!(error.contains("31 characters"), "{error}");
        let dotted = format!("{}.b", "a".repeat(29));
        assert!(check([dotted.as_str()].into_iter()).is_ok());
    }

    #[test]
    fn names_that_collide_after_normalisation_are_refused() {
        let error = check(["boot/bins/my-one", "boot/bins/my_one"].into_iter()).unwrap_err();
        assert!(error.to_string().contains("/BOOT/BINS/MY_ONE"), "{error}");
        assert!(check(["a/x", "b/x"].into_iter()).is_ok());
    }
}
