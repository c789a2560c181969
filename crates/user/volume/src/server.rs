//! Volume, Directory and File on one endpoint, with Store and Namespace, told apart by their cookies.
//!
//! Whether something may be changed is a matter of the facet: a directory's that is [`Right::Change`], a file's that is
//! [`Opened::Writer`], of which each file has one at a time.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use sdk::storage::{directory, file, namespace, snapshot, store, volume, volume_keeper};
use sdk::{
    Answered, Call, Cap, CapArg, Endpoint, Lifetime, Received, Refusal, Reply, Service, Window,
    stub,
};

use crate::{Problem, Sessions, Step, Tree, Which};

/// Bytes of names and stats that one listing answer may hold; what is left over comes with the next one.
const LISTING_BYTES: usize = 4096;
/// Bytes of an entry of a listing besides its name.
const ENTRY_BYTES: usize = 56;
/// The largest window of a client.
const MAX_WINDOW_BYTES: u64 = 16 << 20;
/// Marks the cookie of a part's facet; what `Sessions` makes has the bit above.
const PART: u64 = 1 << 62;
/// Marks the cookie of a keeper's facet, with the part's number in it.
pub(crate) const KEEPER: u64 = 1 << 61;
/// Marks the cookie of a snapshot's facet, with its number and, above that, the part's in it.
pub(crate) const SNAPSHOT: u64 = 1 << 60;
/// The marks of cookies.
const KEPT_MASK: u64 = 0xf << 60;
/// Parts of one answer.
const LISTED_PARTS: usize = 24;

/// A piece of a directory, and where to go on, `None` at the end.
type Listing = (Vec<(String, directory::Stat)>, Option<u64>);

/// What a session has: the client's window, and the part it reads.
pub(crate) struct Client {
    pub window: Window,
    pub part: usize,
    /// Losses of unsynced changes that it knows of.
    pub seen: u64,
}

/// What a directory's facet allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Read,
    Change,
}

/// What a facet stands for. Most of it is what a walk remembers; it is moved once, when it is opened.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Opened<T: Tree> {
    Directory(T::Directory, Right),
    Reader(T::File),
    Writer(T::File),
    Store(Right),
    /// The names that begin so.
    Names(String, Right),
}

impl<T: Tree> Opened<T> {
    /// The file, to be read.
    ///
    /// # Errors
    /// `wrongKind`.
    pub fn file(&mut self) -> Result<&mut T::File, Refusal> {
        match self {
            Self::Reader(file) | Self::Writer(file) => Ok(file),
            _ => Err(Refusal::WrongKind),
        }
    }
}

/// The service.
pub struct Server<T: Tree> {
    pub(crate) endpoint: Endpoint,
    pub(crate) tree: T,
    /// What the last attempt to find a volume said, so that it is said once.
    said: String,
    pub(crate) sessions: Sessions<Client, Opened<T>>,
    /// What is written, copied out of a client's window.
    pub(crate) scratch: Vec<u8>,
}

impl<T: Tree> Server<T> {
    /// Serves the volumes of `tree`.
    pub fn new(endpoint: Endpoint, tree: T) -> Self {
        Self {
            endpoint,
            tree,
            said: String::new(),
            sessions: Sessions::default(),
            scratch: Vec::new(),
        }
    }

    /// Says a problem once.
    fn say(&mut self, problem: Problem) -> Problem {
        if self.said != problem.text {
            sdk::warn!("no {}: {}", T::WHAT, problem.text);
            self.said.clone_from(&problem.text);
        }
        problem
    }

    /// How many parts there are, and which stands for the device.
    fn parts(&mut self) -> Result<(usize, Option<usize>), Problem> {
        self.tree.parts().map_err(|problem| self.say(problem))
    }

    /// The part that a Volume facet is about.
    pub(crate) fn part(&mut self, cookie: u64) -> Result<usize, Problem> {
        if cookie & PART != 0 {
            self.parts()?;
            // What is wrong with one part is said to whoever asks for it.
            let number = u32::try_from(cookie & !PART).unwrap_or(u32::MAX);
            return self.tree.open(Which::Part(number));
        }
        match self.tree.open(Which::Main) {
            Ok(main) => {
                self.said.clear();
                Ok(main)
            }
            Err(problem) => Err(self.say(problem)),
        }
    }

    /// Makes a facet for something that was just opened, and closes it again if that fails.
    pub(crate) fn facet(&mut self, cookie: u64, interface: u64) -> Result<CapArg, Refusal> {
        match self.endpoint.mint(cookie, interface, Lifetime::Incarnation) {
            Ok(minted) => Ok(minted.facet.into_cap()),
            Err(refusal) => {
                drop(self.sessions.close(cookie));
                Err(refusal)
            }
        }
    }

    /// Finds what `path` names below a directory facet. Returns its session and the facet's right, too.
    fn resolve(&mut self, cookie: u64, path: &str) -> Result<(usize, Right, T::Node), Refusal> {
        let open = self.sessions.get(cookie)?;
        let Opened::Directory(from, right) = open.opened else {
            return Err(Refusal::WrongKind);
        };
        check_path(path)?;
        let node = self.tree.find(open.window.part, from, path)?;
        Ok((open.session, *right, node))
    }

    fn attach_window(&mut self, cookie: u64, window: Cap) -> Result<CapArg, Refusal> {
        let part = self.part(cookie).map_err(|problem| problem.refusal)?;
        let root = self.tree.root(part)?;
        let right = self.right(part)?;
        let root = Opened::Directory(root, right);
        self.begin(part, root, window, directory::INTERFACE_ID)
    }

    /// What a volume allows whoever holds it.
    pub(crate) fn right(&mut self, part: usize) -> Result<Right, Refusal> {
        Ok(match self.tree.info(part)?.read_only {
            true => Right::Read,
            false => Right::Change,
        })
    }

    /// Begins a client's session at a root directory, or at a store.
    pub(crate) fn begin(
        &mut self,
        part: usize,
        root: Opened<T>,
        window: Cap,
        interface: u64,
    ) -> Result<CapArg, Refusal> {
        let window = Window::of_client(window, MAX_WINDOW_BYTES)?;
        let client = Client {
            window,
            part,
            seen: self.tree.losses(part),
        };
        let cookie = self
            .sessions
            .attach(client, root)
            .map_err(|(_, refusal)| refusal)?;
        self.facet(cookie, interface)
    }

    fn open_file(&mut self, cookie: u64, path: &str) -> Result<CapArg, Refusal> {
        let (session, _, node) = self.resolve(cookie, path)?;
        let file = self.tree.file(node)?;
        let opened = self.sessions.open(session, Opened::Reader(file))?;
        self.facet(opened, file::INTERFACE_ID)
    }

    fn open_directory(&mut self, cookie: u64, path: &str) -> Result<CapArg, Refusal> {
        let (session, right, node) = self.resolve(cookie, path)?;
        let directory = self.tree.directory(node)?;
        let right = match sabotage::sabotage!(STORE_WIDEN_RESULT) {
            true => Right::Change,
            false => right,
        };
        self.directory_facet(session, directory, right)
    }

    fn directory_facet(
        &mut self,
        session: usize,
        directory: T::Directory,
        right: Right,
    ) -> Result<CapArg, Refusal> {
        let opened = self
            .sessions
            .open(session, Opened::Directory(directory, right))?;
        self.facet(opened, directory::INTERFACE_ID)
    }

    /// The same directory, to be read only.
    fn attenuated(&mut self, cookie: u64) -> Result<CapArg, Refusal> {
        let open = self.sessions.get(cookie)?;
        let Opened::Directory(directory, _) = open.opened else {
            return Err(Refusal::WrongKind);
        };
        let again = T::again(directory);
        let session = open.session;
        self.directory_facet(session, again, Right::Read)
    }

    /// Some entries of a directory from `cursor` on, and where to go on, `None` at the end.
    fn entries(&mut self, cookie: u64, cursor: u64) -> Result<Listing, Refusal> {
        let open = self.sessions.get(cookie)?;
        let Opened::Directory(directory, _) = open.opened else {
            return Err(Refusal::WrongKind);
        };
        let (mut found, mut bytes) = (Vec::new(), 0);
        let next = self
            .tree
            .list(open.window.part, directory, cursor, |name, stat| {
                let size = ENTRY_BYTES + name.len();
                if !found.is_empty() && bytes + size > LISTING_BYTES {
                    return Step::StopBefore;
                }
                bytes += size;
                found.push((name.to_string(), stat));
                Step::Continue
            })?;
        Ok((found, next))
    }

    fn read_file(
        &mut self,
        cookie: u64,
        offset: u64,
        length: u32,
        window_offset: u32,
    ) -> Result<u32, Refusal> {
        let open = self.sessions.get(cookie)?;
        let file = open.opened.file()?;
        let Client { window, part, .. } = open.window;
        in_window(window, window_offset, length)?;
        self.tree
            .read(*part, file, offset, length, window, window_offset)
    }

    fn file_stat(&mut self, cookie: u64) -> Result<file::StatReply, Refusal> {
        let open = self.sessions.get(cookie)?;
        let stat = self.tree.file_stat(open.window.part, open.opened.file()?)?;
        Ok(file::StatReply {
            bytes: stat.bytes,
            modified_ns: stat.modified_ns,
        })
    }
}

/// There is no way up, and no absolute path: a Directory is all that its holder may see.
pub(crate) fn check_path(path: &str) -> Result<(), Refusal> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(Refusal::BadArgument);
    }
    Ok(())
}

/// Whether `length` bytes from `offset` on lie in a window.
pub(crate) fn in_window(window: &Window, offset: u32, length: u32) -> Result<(), Refusal> {
    if length == 0 {
        return Err(Refusal::ZeroLength);
    }
    if u64::from(offset) + u64::from(length) > window.len() {
        return Err(Refusal::OutOfRange);
    }
    Ok(())
}

impl<T: Tree> Service for Server<T> {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        use sdk::stub::Incoming as _;
        let cookie = call.cookie();
        // The export's cookie is 0, those of parts were made here; all others by `Sessions`.
        if cookie & !(PART | u64::from(u32::MAX)) == 0 {
            return volume::dispatch(self, received, call);
        }
        if cookie & KEPT_MASK == KEEPER {
            return volume_keeper::dispatch(self, received, call);
        }
        if cookie & KEPT_MASK == SNAPSHOT {
            return snapshot::dispatch(self, received, call);
        }
        match self.sessions.get(cookie).map(|open| open.opened) {
            Ok(Opened::Directory(..)) => directory::dispatch(self, received, call),
            Ok(Opened::Reader(_) | Opened::Writer(_)) => file::dispatch(self, received, call),
            Ok(Opened::Store(_)) => store::dispatch(self, received, call),
            Ok(Opened::Names(..)) => namespace::dispatch(self, received, call),
            Err(refusal) => stub::refuse(call, refusal),
        }
    }

    fn deadline_ns(&self) -> u64 {
        self.tree.deadline_ns()
    }

    fn due(&mut self) {
        self.tree.due();
    }

    fn dropped(&mut self, cookie: u64) {
        // The window of a session that is over is unmapped here.
        drop(self.sessions.close(cookie));
    }
}

impl<'c, T: Tree> volume::Server<Call<'c>> for Server<T> {
    fn info(&mut self, reply: Reply<Call<'c>, volume::call::Info>) -> Answered {
        let part = self.part(reply.cookie());
        let part = part.map_err(|problem| problem.refusal);
        match part.and_then(|part| self.tree.info(part)) {
            Ok(info) => reply.send(volume::InfoReply {
                format: info.format,
                label: info.label,
                total_bytes: info.total_bytes,
                cluster_bytes: info.cluster_bytes,
                read_only: info.read_only,
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn attach(&mut self, reply: Reply<Call<'c>, volume::call::Attach>, window: Cap) -> Answered {
        let root = self.attach_window(reply.cookie(), window);
        reply.answer(root.map(|root| volume::AttachReply { root }))
    }

    fn problem(&mut self, reply: Reply<Call<'c>, volume::call::Problem>) -> Answered {
        let text = self
            .part(reply.cookie())
            .err()
            .map(|problem| problem.text)
            .unwrap_or_default();
        reply.send(volume::ProblemReply { text: &text })
    }

    fn parts(&mut self, reply: Reply<Call<'c>, volume::call::Parts>, cursor: u32) -> Answered {
        let (count, main) = match Self::parts(self) {
            Ok(parts) => parts,
            Err(problem) => return reply.refuse(problem.refusal),
        };
        let from = usize::try_from(cursor).unwrap_or(usize::MAX).min(count);
        let listed = (count - from).min(LISTED_PARTS);
        reply.send_with(volume::fill_parts(|results| {
            results.next(cursor.saturating_add(listed as u32));
            results.end(from + listed == count);
            results.parts(listed, |list| {
                (from..from + listed).try_for_each(|number| {
                    let part = self.tree.part(number).unwrap_or_default();
                    list.push(&volume::Part {
                        main: main == Some(number),
                        ..part
                    })
                })
            })
        }))
    }

    fn space(&mut self, reply: Reply<Call<'c>, volume::call::Space>) -> Answered {
        let part = self.part(reply.cookie());
        let part = part.map_err(|problem| problem.refusal);
        let space = part.and_then(|part| self.tree.space(part));
        reply.answer(space.map(|space| volume::SpaceReply { space }))
    }

    fn keeper(&mut self, reply: Reply<Call<'c>, volume::call::Keeper>) -> Answered {
        let keeper = self.keeper_of(reply.cookie());
        reply.answer(keeper.map(|keeper| volume::KeeperReply { keeper }))
    }

    fn store(&mut self, reply: Reply<Call<'c>, volume::call::Store>, window: Cap) -> Answered {
        let store = self.attach_store(reply.cookie(), window);
        reply.answer(store.map(|store| volume::StoreReply { store }))
    }

    fn part(&mut self, reply: Reply<Call<'c>, volume::call::Part>, number: u32) -> Answered {
        let cookie = PART | u64::from(number);
        let volume = match Self::part(self, cookie) {
            // It names a place of the list, which is the same to a successor as long as the disk is.
            Ok(_) => self
                .endpoint
                .mint(cookie, volume::INTERFACE_ID, Lifetime::Durable),
            Err(problem) => Err(problem.refusal),
        };
        reply.answer(volume.map(|minted| volume::PartReply {
            volume: minted.facet.into_cap(),
        }))
    }
}

impl<'c, T: Tree> directory::Server<Call<'c>> for Server<T> {
    fn open(&mut self, reply: Reply<Call<'c>, directory::call::Open>, path: &str) -> Answered {
        let result = self.open_file(reply.cookie(), path);
        reply.answer(result.map(|file| directory::OpenReply { file }))
    }

    fn list(&mut self, reply: Reply<Call<'c>, directory::call::List>, cursor: u64) -> Answered {
        match self.entries(reply.cookie(), cursor) {
            Ok((found, next)) => reply.send_with(directory::fill_list(|results| {
                results.next(next.unwrap_or(0));
                results.end(next.is_none());
                results.entries(found.len(), |list| {
                    found.iter().try_for_each(|(name, stat)| {
                        list.push(&directory::Entry { name, stat: *stat })
                    })
                })
            })),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn sub(&mut self, reply: Reply<Call<'c>, directory::call::Sub>, path: &str) -> Answered {
        let result = self.open_directory(reply.cookie(), path);
        reply.answer(result.map(|directory| directory::SubReply { directory }))
    }

    fn stat(&mut self, reply: Reply<Call<'c>, directory::call::Stat>, path: &str) -> Answered {
        let result = self.resolve(reply.cookie(), path);
        reply.answer(result.map(|(_, _, node)| directory::StatReply {
            stat: T::stat(&node),
        }))
    }

    fn create(&mut self, reply: Reply<Call<'c>, directory::call::Create>, path: &str) -> Answered {
        let result = self.create_file(reply.cookie(), path);
        reply.answer(result.map(|file| directory::CreateReply { file }))
    }

    fn mkdir(&mut self, reply: Reply<Call<'c>, directory::call::Mkdir>, path: &str) -> Answered {
        let result = self.make_directory(reply.cookie(), path);
        reply.answer(result)
    }

    fn remove(&mut self, reply: Reply<Call<'c>, directory::call::Remove>, path: &str) -> Answered {
        let result = self.remove_path(reply.cookie(), path);
        reply.answer(result)
    }

    fn rename(
        &mut self,
        reply: Reply<Call<'c>, directory::call::Rename>,
        path: &str,
        name: &str,
    ) -> Answered {
        let result = self.rename_in_place(reply.cookie(), path, name);
        reply.answer(result)
    }

    fn move_to(
        &mut self,
        reply: Reply<Call<'c>, directory::call::MoveTo>,
        path: &str,
        to: &str,
    ) -> Answered {
        let result = self.move_path(reply.cookie(), path, to);
        reply.answer(result)
    }

    fn edit(&mut self, reply: Reply<Call<'c>, directory::call::Edit>, path: &str) -> Answered {
        let result = self.edit_file(reply.cookie(), path);
        reply.answer(result.map(|file| directory::EditReply { file }))
    }

    fn sync(&mut self, reply: Reply<Call<'c>, directory::call::Sync>) -> Answered {
        let result = self.sync_session(reply.cookie());
        reply.answer(result.map(|group| directory::SyncReply { group }))
    }

    fn read_only(&mut self, reply: Reply<Call<'c>, directory::call::ReadOnly>) -> Answered {
        let result = self.attenuated(reply.cookie());
        reply.answer(result.map(|directory| directory::ReadOnlyReply { directory }))
    }
}

impl<'c, T: Tree> file::Server<Call<'c>> for Server<T> {
    fn read(
        &mut self,
        reply: Reply<Call<'c>, file::call::Read>,
        offset: u64,
        length: u32,
        window_offset: u32,
    ) -> Answered {
        let result = self.read_file(reply.cookie(), offset, length, window_offset);
        reply.answer(result.map(|bytes| file::ReadReply { bytes }))
    }

    fn stat(&mut self, reply: Reply<Call<'c>, file::call::Stat>) -> Answered {
        let result = self.file_stat(reply.cookie());
        reply.answer(result)
    }

    fn write(
        &mut self,
        reply: Reply<Call<'c>, file::call::Write>,
        offset: u64,
        length: u32,
        window_offset: u32,
    ) -> Answered {
        let result = self.write_file(reply.cookie(), Some(offset), length, window_offset);
        reply.answer(result.map(|_| ()))
    }

    fn append(
        &mut self,
        reply: Reply<Call<'c>, file::call::Append>,
        length: u32,
        window_offset: u32,
    ) -> Answered {
        let result = self.write_file(reply.cookie(), None, length, window_offset);
        reply.answer(result.map(|offset| file::AppendReply { offset }))
    }

    fn truncate(&mut self, reply: Reply<Call<'c>, file::call::Truncate>, bytes: u64) -> Answered {
        let result = self.truncate_file(reply.cookie(), bytes);
        reply.answer(result)
    }

    fn sync(&mut self, reply: Reply<Call<'c>, file::call::Sync>) -> Answered {
        let result = self.sync_session(reply.cookie());
        reply.answer(result.map(|group| file::SyncReply { group }))
    }
}
