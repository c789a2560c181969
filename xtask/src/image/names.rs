//! Which names a CD can hold: ISO 9660 at interchange level 3 without extensions, as the smallest reader sees it.
//!
//! Invariant: never renames; a name that does not survive is refused when the image is made.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

/// Longest file name, dot included (ECMA-119, section 7.5.1: name and extension together at most 30 characters, plus the
/// separator).
const MAX_CHARS: usize = 31;

/// How the CD's plain directory spells `name`: capitals, and `_` for everything that is no d-character.
pub fn normalised(name: &str) -> String {
    let (stem, end) = name.rsplit_once('.').unwrap_or((name, ""));
    let d_characters = |part: &str| -> String {
        part.chars()
            .map(|c| match c.to_ascii_uppercase() {
                c if c.is_ascii_uppercase() || c.is_ascii_digit() => c,
                _ => '_',
            })
            .collect()
    };
    format!("{}.{}", d_characters(stem), d_characters(end))
}

/// Refuses paths with a name that is too long, and two paths that the CD cannot tell apart.
pub fn check<'a>(paths: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for path in paths {
        let mut spelled = String::new();
        for name in path.split('/') {
            ensure!(
                !name.is_empty() && name.chars().count() <= MAX_CHARS,
                "{path}: the name {name:?} has not between 1 and {MAX_CHARS} characters, as a CD demands"
            );
            spelled.push('/');
            spelled.push_str(&normalised(name));
        }
        if let Some(other) = seen.insert(spelled.clone(), path) {
            bail!("{other} and {path} are both {spelled} on a CD; rename one");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check, normalised};

    #[test]
    fn names_become_d_characters() {
        assert_eq!(normalised("nvme-provider"), "NVME_PROVIDER.");
        assert_eq!(normalised("manifest.bin"), "MANIFEST.BIN");
        assert_eq!(normalised("a.b.c"), "A_B.C");
    }

    #[test]
    fn the_limit_is_31_characters() {
        let fits = "a".repeat(31);
        assert!(check([fits.as_str()].into_iter()).is_ok());
        let long = format!("boot/bins/{fits}b");
        let error = check([long.as_str()].into_iter()).unwrap_err().to_string();
        assert!(error.contains("31 characters"), "{error}");
    }

    #[test]
    fn names_that_collide_after_normalisation_are_refused() {
        let error = check(["boot/bins/my-one", "boot/bins/my_one"].into_iter()).unwrap_err();
        assert!(
            error.to_string().contains("/BOOT./BINS./MY_ONE."),
            "{error}"
        );
        assert!(check(["a/x", "b/x"].into_iter()).is_ok());
    }
}
