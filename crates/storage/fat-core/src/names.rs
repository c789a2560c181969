//! Where the names of a directory stand, so that a large one is searched once and not for every look-up.

use alloc::vec::Vec;

use fat_format::{
    Blocks, DirWalk, Entry, Error, Node, Step, Volume, check_name, eq_fold, hash_fold,
};

/// Names that are kept, of all directories together: more than the format lets one directory have. A longer one is searched
/// each time.
pub const MAX_NAMES: usize = 1 << 16;
/// Directories whose names are kept.
const MAX_DIRECTORIES: usize = 16;
/// Marks the end of a list of names.
const NONE: u32 = u32::MAX;

/// One name: the sum of it, the slot at which its entry begins, and the next name of the same list.
struct Name {
    sum: u32,
    slot: u32,
    next: u32,
}

/// The names of one directory, as far as it has been searched.
struct Known {
    position: u64,
    used: u64,
    walk: DirWalk,
    /// Where the search goes on, `None` once all names are known.
    next: Option<u64>,
    /// Lists of names by the low bits of their sums; a power of two of them.
    lists: Vec<u32>,
    names: Vec<Name>,
}

impl Known {
    fn new<E>(volume: &Volume, directory: &Node) -> Result<Self, Error<E>> {
        Ok(Self {
            position: directory.position,
            used: 0,
            walk: DirWalk::new(volume, directory)?,
            next: Some(0),
            lists: alloc::vec![NONE; 16],
            names: Vec::new(),
        })
    }

    fn list(&self, sum: u32) -> usize {
        sum as usize & (self.lists.len() - 1)
    }

    fn add(&mut self, sum: u32, slot: u64) {
        let (Ok(slot), Ok(own)) = (u32::try_from(slot), u32::try_from(self.names.len())) else {
            return;
        };
        if self.names.len() >= self.lists.len() {
            self.lists = alloc::vec![NONE; self.lists.len() * 2];
            for index in 0..self.names.len() {
                self.chain(index);
            }
        }
        let next = NONE;
        self.names.push(Name { sum, slot, next });
        self.chain(own as usize);
    }

    /// Puts a name at the head of its list.
    fn chain(&mut self, index: usize) {
        let Some(sum) = self.names.get(index).map(|name| name.sum) else {
            return;
        };
        let list = self.list(sum);
        if let (Some(head), Some(name)) = (self.lists.get_mut(list), self.names.get_mut(index)) {
            name.next = *head;
            *head = index as u32;
        }
    }

    /// The slots of names with that sum.
    fn slots(&self, sum: u32) -> impl Iterator<Item = u64> {
        let mut at = self.lists.get(self.list(sum)).copied().unwrap_or(NONE);
        core::iter::from_fn(move || {
            let name = self.names.get(at as usize)?;
            at = name.next;
            Some((name.sum == sum).then_some(u64::from(name.slot)))
        })
        .flatten()
    }

    fn remember(&mut self, entry: &Entry) {
        let (name, alias) = (entry.name.as_str(), entry.alias.as_str());
        self.add(hash_fold(name), entry.at);
        if name != alias {
            self.add(hash_fold(alias), entry.at);
        }
    }
}

/// The names of the directories that were searched last. They are those of a volume that nobody writes to.
#[derive(Default)]
pub struct Names {
    directories: Vec<Known>,
    now: u64,
}

fn is_named(entry: &Entry, name: &str) -> bool {
    eq_fold(entry.name.as_str(), name) || eq_fold(entry.alias.as_str(), name)
}

impl Names {
    /// Names that are kept now.
    fn count(&self) -> usize {
        self.directories.iter().map(|known| known.names.len()).sum()
    }

    /// Finds `path` below `from`; components are separated by '/', and empty ones and "." mean nothing. There is no ".."
    ///
    /// # Errors
    /// The volume's.
    pub fn resolve<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        from: &Node,
        path: &str,
    ) -> Result<Node, Error<B::Error>> {
        let mut node = *from;
        for name in path.split('/') {
            if !node.is_directory() {
                return Err(Error::NotADirectory);
            }
            if !matches!(name, "" | ".") {
                node = self.lookup(volume, blocks, &node, name)?;
            }
        }
        Ok(node)
    }

    /// Finds the entry of `directory` with the long or short name `name`, without regard to case, as
    /// [`Volume::lookup`] does.
    ///
    /// # Errors
    /// The volume's.
    pub fn lookup<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        directory: &Node,
        name: &str,
    ) -> Result<Node, Error<B::Error>> {
        check_name(name)?;
        self.now += 1;
        let mut known = match self
            .directories
            .iter()
            .position(|known| known.position == directory.position)
        {
            Some(index) => self.directories.swap_remove(index),
            None => Known::new(volume, directory)?,
        };
        known.used = self.now;
        let found = search(&mut known, volume, blocks, name);
        // What was learnt before an error is true all the same.
        self.keep(known);
        found
    }

    fn keep(&mut self, known: Known) {
        if known.names.len() > MAX_NAMES {
            return;
        }
        while self.directories.len() >= MAX_DIRECTORIES
            || self.count() + known.names.len() > MAX_NAMES
        {
            let oldest = self.directories.iter().enumerate();
            let Some((oldest, _)) = oldest.min_by_key(|(_, known)| known.used) else {
                break;
            };
            self.directories.swap_remove(oldest);
        }
        self.directories.push(known);
    }
}

fn search<B: Blocks>(
    known: &mut Known,
    volume: &Volume,
    blocks: &mut B,
    name: &str,
) -> Result<Node, Error<B::Error>> {
    let sum = hash_fold(name);
    let mut found = None;
    // Names with one sum are few; their own order is that of the directory, whose first one counts.
    let mut slots: Vec<u64> = known.slots(sum).collect();
    slots.sort_unstable();
    for slot in slots {
        volume.list(blocks, &mut known.walk, slot, |entry| {
            if is_named(entry, name) {
                found = Some(entry.node);
            }
            Step::StopAfter
        })?;
        if let Some(node) = found {
            return Ok(node);
        }
    }
    while let Some(at) = known.next {
        let mut walk = known.walk.clone();
        known.next = volume.list(blocks, &mut walk, at, |entry| {
            if known.names.len() <= MAX_NAMES {
                known.remember(entry);
            }
            if is_named(entry, name) {
                found = Some(entry.node);
                Step::StopAfter
            } else {
                Step::Continue
            }
        })?;
        known.walk = walk;
        if let Some(node) = found {
            return Ok(node);
        }
    }
    Err(Error::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Image, fat_image, mounted};
    use crate::{Cache, CacheError, Mounted};
    use alloc::{format, string::String};
    use foreign_bytes::ReadError;

    /// A volume with `count` files in the folder `d`.
    fn many(count: usize) -> (Cache<Image>, Mounted) {
        let names: Vec<String> = (0..count)
            .map(|n| format!("d/File number {n}.text"))
            .collect();
        let files: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b"x"[..])).collect();
        let mut cache = Cache::new(Image::new(fat_image(&files), 512));
        let mounted = mounted(&mut cache);
        (cache, mounted)
    }

    fn find(
        names: &mut Names,
        cache: &mut Cache<Image>,
        on: &Mounted,
        path: &str,
    ) -> Result<Node, Error<CacheError<u8>>> {
        let from = folder(cache, on);
        names.resolve(on.fat(), &mut on.part(cache), &from, path)
    }

    fn folder(cache: &mut Cache<Image>, on: &Mounted) -> Node {
        let root = on.fat().root();
        on.fat()
            .lookup(&mut on.part(cache), &root, "d")
            .unwrap()
            .node
    }

    #[test]
    fn what_is_found_is_what_a_search_finds() {
        let (mut cache, on) = many(120);
        let mut names = Names::default();
        let root = folder(&mut cache, &on);
        for name in [
            "file NUMBER 5.text",
            "File number 119.text",
            "FILENU~1.TEX",
            "nothing",
            "File number 5.text",
        ] {
            let searched = on.fat().lookup(&mut on.part(&mut cache), &root, name);
            let found = find(&mut names, &mut cache, &on, name);
            assert_eq!(found, searched.map(|entry| entry.node), "{name}");
        }
        assert_eq!(
            find(&mut names, &mut cache, &on, "a\u{1}b"),
            Err(Error::InvalidName)
        );
        assert_eq!(
            find(&mut names, &mut cache, &on, "File number 5.text/x"),
            Err(Error::NotADirectory)
        );
        assert_eq!(
            find(&mut names, &mut cache, &on, "./").map(|n| n.is_root()),
            Ok(false)
        );
    }

    #[test]
    fn a_directory_is_searched_once() {
        let (mut cache, on) = many(120);
        let from = folder(&mut cache, &on);
        let mut names = Names::default();
        let mut find = |cache: &mut Cache<Image>, name| {
            names.resolve(on.fat(), &mut on.part(cache), &from, name)
        };
        assert!(find(&mut cache, "File number 119.text").is_ok());
        assert_eq!(find(&mut cache, "nothing"), Err(Error::NotFound));
        // From here on nothing is read but the entry itself, and for a name that is not there nothing at all.
        let asked = cache.reads_for_test();
        assert_eq!(find(&mut cache, "nothing else"), Err(Error::NotFound));
        assert_eq!(cache.reads_for_test(), asked);
        assert!(find(&mut cache, "File number 60.text").is_ok());
        let reads = cache.reads_for_test() - asked;
        assert!(reads <= 8, "{reads}");
    }

    #[test]
    fn names_are_bounded_and_an_oversized_directory_works_all_the_same() {
        let (mut cache, on) = many(40);
        let mut names = Names::default();
        let mut known = Known::new::<()>(on.fat(), &on.fat().root()).unwrap();
        known.position = 77;
        for slot in 0..MAX_NAMES as u64 {
            known.add(slot as u32, slot);
        }
        assert_eq!(known.slots(12345).collect::<Vec<_>>(), [12345]);
        names.keep(known);
        assert_eq!(names.count(), MAX_NAMES);
        assert!(find(&mut names, &mut cache, &on, "File number 39.text").is_ok());
        assert!(names.count() <= MAX_NAMES && names.directories.len() == 1);
        let mut known = Known::new::<()>(on.fat(), &on.fat().root()).unwrap();
        for slot in 0..=MAX_NAMES as u64 {
            known.add(slot as u32, slot);
        }
        names.keep(known);
        assert_eq!(names.directories.len(), 1);
    }

    #[test]
    fn an_unreadable_part_of_a_directory_is_an_error_and_no_answer() {
        let (mut cache, on) = many(120);
        let mut names = Names::default();
        let node = find(&mut names, &mut cache, &on, "File number 70.text").unwrap();
        let (mut cache, on) = many(120);
        cache.disk_mut().bad = alloc::vec![node.position / 512];
        let mut names = Names::default();
        assert!(find(&mut names, &mut cache, &on, "File number 3.text").is_ok());
        for _ in 0..2 {
            let error = Err(Error::Read(ReadError::Device(CacheError::Device(7))));
            assert_eq!(
                find(&mut names, &mut cache, &on, "File number 110.text"),
                error
            );
            assert_eq!(find(&mut names, &mut cache, &on, "nothing"), error);
        }
        assert!(find(&mut names, &mut cache, &on, "File number 3.text").is_ok());
        cache.disk_mut().bad.clear();
        assert!(find(&mut names, &mut cache, &on, "File number 110.text").is_ok());
    }
}
