//! What a verifier remembers of a log, outside of its disk: how far it went. A disk that was put back to an earlier day is as
//! valid as it was then, and only who saw it later can tell.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use audit_format::{Digest, Header, INSTALLATION_BYTES, Key, Recovery};

/// How far a log goes, as its disk has it.
pub struct Seen {
    installation: [u8; INSTALLATION_BYTES],
    /// The index of the segment that comes next.
    next: u64,
    /// The digests of sealed headers, by index.
    digests: BTreeMap<u64, Digest>,
}

impl Seen {
    /// What a verified log says, of whose headers `headers` are all.
    pub fn of(found: &Recovery, key: &Key, headers: &[Header]) -> Self {
        let digest = |header: &Header| (header.index, Digest::of_header(&header.encode(key)));
        Self {
            installation: found.superblock().installation,
            next: match found.newest {
                Some(newest) => newest.index + 1,
                None => found.superblock().next_index,
            },
            digests: headers.iter().map(digest).collect(),
        }
    }

    /// Refuses a log that does not go on from what the anchor in the file has seen of it, and keeps in the file what was seen now.
    /// Where there is no file, this is the first look.
    pub fn check(&self, path: &Path) -> Result<()> {
        match fs::read_to_string(path) {
            Ok(text) => {
                let anchor = Anchor::parse(text.trim())
                    .with_context(|| format!("{} is no anchor of a log", path.display()))?;
                self.goes_on(&anchor)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
        self.keep(path)
    }

    fn goes_on(&self, anchor: &Anchor) -> Result<()> {
        ensure!(
            anchor.installation == hex(&self.installation),
            "another log than the anchor has seen: its partition was made anew, or is another disk's"
        );
        if self.next < anchor.next {
            bail!(
                "the log was put back to an earlier day: it ends before segment {}, and the anchor has seen segment {}",
                self.next,
                anchor.next - 1
            );
        }
        let Some(last) = anchor.next.checked_sub(1) else {
            return Ok(());
        };
        // Where it was overwritten by newer ones since, the chain over those is what is left.
        let is_other = |digest: &Digest| hex(&digest.0) != anchor.newest;
        ensure!(
            !self.digests.get(&last).is_some_and(is_other),
            "segment {last} is another one than the anchor has seen: the log was put back, and written again"
        );
        Ok(())
    }

    fn keep(&self, path: &Path) -> Result<()> {
        let last = self.next.checked_sub(1);
        let newest = last.and_then(|last| self.digests.get(&last));
        let newest = newest.unwrap_or(&Digest::NONE);
        let anchor = format!(
            "installation={} next={} newest={}\n",
            hex(&self.installation),
            self.next,
            hex(&newest.0)
        );
        // Never half of it.
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(anchor.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(())
    }
}

struct Anchor {
    installation: String,
    next: u64,
    newest: String,
}

impl Anchor {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut word = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        let (installation, next, newest) = (word("installation")?, word("next")?, word("newest")?);
        let is_hex = |text: &str, bytes: usize| {
            text.len() == 2 * bytes && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let fits = is_hex(installation, INSTALLATION_BYTES) && is_hex(newest, 32);
        let next = next.parse().ok()?;
        (fits && words.next().is_none()).then(|| Self {
            installation: installation.to_owned(),
            next,
            newest: newest.to_owned(),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(installation: u8, next: u64, salt: u8) -> Seen {
        let digest = |index: u64| (index, Digest([index as u8 ^ salt; 32]));
        Seen {
            installation: [installation; INSTALLATION_BYTES],
            next,
            // Older ones were overwritten.
            digests: (next.saturating_sub(3)..next).map(digest).collect(),
        }
    }

    #[test]
    fn a_log_goes_on_and_never_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor");
        let look = |log: &Seen| log.check(&path).map_err(|error| error.to_string());
        assert_eq!(look(&seen(1, 0, 0)), Ok(()));
        for next in [0, 1, 4, 4, 5, 60] {
            assert_eq!(look(&seen(1, next, 0)), Ok(()));
        }
        let kept = fs::read_to_string(&path).unwrap();
        for (log, why) in [
            (seen(1, 59, 0), "put back to an earlier day"),
            (seen(1, 0, 0), "put back to an earlier day"),
            (seen(1, 60, 1), "written again"),
            (seen(1, 62, 1), "written again"),
            (seen(2, 99, 0), "another log"),
        ] {
            assert!(look(&log).unwrap_err().contains(why));
        }
        // What was refused is not kept.
        assert_eq!(fs::read_to_string(&path).unwrap(), kept);
        assert_eq!(look(&seen(1, 61, 0)), Ok(()));
        fs::write(&path, kept.replace("next=60", "next=x")).unwrap();
        assert!(look(&seen(1, 99, 0)).unwrap_err().contains("is no anchor"));
    }
}
