//! What changes a volume. Each step is checked against the facet's right before the tree is asked.

use alloc::vec::Vec;

use sdk::storage::file;
use sdk::{CapArg, Refusal};

use crate::server::{Client, Opened, Right, check_path, in_window};
use crate::{Server, Tree};

/// Bytes of one write.
pub(crate) const MAX_WRITE_BYTES: u32 = 1 << 20;

impl<T: Tree> Server<T> {
    /// Does something with the directory of a facet that may change it. Returns the session, too.
    fn in_directory<R>(
        &mut self,
        cookie: u64,
        paths: &[&str],
        work: impl FnOnce(&mut T, usize, &T::Directory) -> Result<R, Refusal>,
    ) -> Result<(usize, R), Refusal> {
        let open = self.sessions.get(cookie)?;
        let Opened::Directory(from, right) = open.opened else {
            return Err(Refusal::WrongKind);
        };
        if *right != Right::Change {
            return Err(Refusal::ReadOnly);
        }
        paths.iter().try_for_each(|path| check_path(path))?;
        let done = work(&mut self.tree, open.window.part, from)?;
        Ok((open.session, done))
    }

    fn writer(&mut self, session: usize, file: T::File) -> Result<CapArg, Refusal> {
        let opened = self.sessions.open(session, Opened::Writer(file))?;
        self.facet(opened, file::INTERFACE_ID)
    }

    /// Refuses where somebody has what was found to be written.
    fn must_be_unwritten(&self, node: &T::Node) -> Result<(), Refusal> {
        let has =
            |opened: &Opened<T>| matches!(opened, Opened::Writer(file) if T::is_open(file, node));
        match self.sessions.opened().any(has) && !sabotage::sabotage!(STORE_SHARE_WRITER) {
            true => Err(Refusal::Busy),
            false => Ok(()),
        }
    }

    pub(crate) fn create_file(&mut self, cookie: u64, path: &str) -> Result<CapArg, Refusal> {
        // Before the file is there, so that a refusal leaves none.
        if !self.sessions.has_room() {
            return Err(Refusal::OverBudget);
        }
        let (session, file) = self.in_directory(cookie, &[path], |tree, part, from| {
            tree.create(part, from, path)
        })?;
        self.writer(session, file)
    }

    pub(crate) fn edit_file(&mut self, cookie: u64, path: &str) -> Result<CapArg, Refusal> {
        let (session, node) = self.in_directory(cookie, &[path], |tree, part, from| {
            tree.find(part, from, path)
        })?;
        self.must_be_unwritten(&node)?;
        let file = self.tree.file(node)?;
        self.writer(session, file)
    }

    pub(crate) fn make_directory(&mut self, cookie: u64, path: &str) -> Result<(), Refusal> {
        self.in_directory(cookie, &[path], |tree, part, from| {
            tree.mkdir(part, from, path)
        })
        .map(|_| ())
    }

    pub(crate) fn remove_path(&mut self, cookie: u64, path: &str) -> Result<(), Refusal> {
        let (_, node) = self.in_directory(cookie, &[path], |tree, part, from| {
            tree.find(part, from, path)
        })?;
        self.must_be_unwritten(&node)?;
        self.in_directory(cookie, &[path], |tree, part, from| {
            tree.remove(part, from, path)
        })
        .map(|_| ())
    }

    pub(crate) fn rename_in_place(
        &mut self,
        cookie: u64,
        path: &str,
        name: &str,
    ) -> Result<(), Refusal> {
        if name.contains('/') {
            return Err(Refusal::BadArgument);
        }
        let above = path.trim_end_matches('/').rsplit_once('/');
        let to = match above {
            Some((above, _)) => alloc::format!("{above}/{name}"),
            None => name.into(),
        };
        self.move_path(cookie, path, &to)
    }

    pub(crate) fn move_path(&mut self, cookie: u64, path: &str, to: &str) -> Result<(), Refusal> {
        self.in_directory(cookie, &[path, to], |tree, part, from| {
            tree.rename(part, from, path, to)
        })
        .map(|_| ())
    }

    pub(crate) fn write_file(
        &mut self,
        cookie: u64,
        offset: Option<u64>,
        length: u32,
        window_offset: u32,
    ) -> Result<u64, Refusal> {
        let open = self.sessions.get(cookie)?;
        let file = writable(open.opened)?;
        let Client { window, part, .. } = open.window;
        in_window(window, window_offset, length)?;
        if length > MAX_WRITE_BYTES {
            return Err(Refusal::OutOfRange);
        }
        // The client may go on writing into its window: what is written is one copy of it.
        let bytes = room(&mut self.scratch, length as usize)?;
        window.read(u64::from(window_offset), bytes)?;
        self.tree.write(*part, file, offset, bytes)
    }

    pub(crate) fn truncate_file(&mut self, cookie: u64, bytes: u64) -> Result<(), Refusal> {
        let open = self.sessions.get(cookie)?;
        let file = writable(open.opened)?;
        self.tree.truncate(open.window.part, file, bytes)
    }

    pub(crate) fn sync_session(&mut self, cookie: u64) -> Result<u64, Refusal> {
        let open = self.sessions.get(cookie)?;
        match open.opened {
            Opened::Directory(_, Right::Change)
            | Opened::Writer(_)
            | Opened::Store(Right::Change)
            | Opened::Names(_, Right::Change) => {}
            _ => return Err(Refusal::ReadOnly),
        }
        let client = open.window;
        self.tree.sync(client.part, &mut client.seen)
    }
}

/// The first bytes of a buffer that grows to the largest write that was asked for, and stays so.
pub(crate) fn room(scratch: &mut Vec<u8>, bytes: usize) -> Result<&mut [u8], Refusal> {
    if let Some(more) = bytes.checked_sub(scratch.len()) {
        let room = scratch.try_reserve_exact(more);
        room.map_err(|_| Refusal::NoMemory)?;
        scratch.resize(bytes, 0);
    }
    scratch.get_mut(..bytes).ok_or(Refusal::NoMemory)
}

/// The file, to be written.
fn writable<T: Tree>(opened: &mut Opened<T>) -> Result<&mut T::File, Refusal> {
    match opened {
        Opened::Writer(file) => Ok(file),
        Opened::Reader(_) => Err(Refusal::ReadOnly),
        _ => Err(Refusal::WrongKind),
    }
}
