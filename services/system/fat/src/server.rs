//! Volume, Directory and File on one endpoint, told apart by their cookies.

use fat_core::{OpenFile, Opened, Sessions, read_file, refusal};
use fat_format::{DirWalk, Error, Node, Step, attribute};
use sdk::{
    Access, Answered, BlockDevice, Call, Cap, CapArg, Endpoint, Interface as _, MemoryObject,
    Received, Refusal, Reply, Service, Window,
    alloc::{
        string::{String, ToString},
        vec::Vec,
    },
    storage::{directory, file, volume},
    stub,
};

use crate::shelf::{Live, Part, Problem, Shelf, format_name};

/// Bytes of names and stats that one listing answer may hold; what is left over comes with the next one.
const LISTING_BYTES: usize = 4096;
/// Bytes of an entry of a listing besides its name.
const ENTRY_BYTES: usize = 56;
/// The largest window of a client.
const MAX_WINDOW_BYTES: u64 = 16 << 20;

/// A piece of a directory, and where to go on, `None` at the end.
type Listing = (Vec<(String, directory::Stat)>, Option<u64>);

/// Marks the cookie of a part's facet; what `Sessions` makes has the bit above.
const PART: u64 = 1 << 62;
/// Parts of one answer.
const LISTED_PARTS: usize = 24;

/// What a session has: the client's window, and the part it reads.
struct Client {
    window: Window,
    part: usize,
}

/// The service.
pub struct Server {
    endpoint: Endpoint,
    device: Option<BlockDevice>,
    shelf: Option<Shelf>,
    /// What the last attempt to mount said, so that it is said once.
    said: String,
    sessions: Sessions<Client>,
}

/// The volume of a part.
fn live(shelf: &mut Option<Shelf>, part: usize) -> Result<Live<'_>, Refusal> {
    shelf.as_mut().ok_or(Refusal::NoDevice)?.live(part)
}

impl Server {
    /// Serves the volumes of `device`; without one it says so to every client.
    pub fn new(endpoint: Endpoint, device: Option<BlockDevice>) -> Self {
        Self {
            endpoint,
            device,
            shelf: None,
            said: String::new(),
            sessions: Sessions::default(),
        }
    }

    /// Everything on the device, looked at now if it was not.
    fn shelf(&mut self) -> Result<&mut Shelf, Problem> {
        if self.shelf.is_none() {
            let device = self.device.as_ref().ok_or_else(Problem::no_disk);
            match device.and_then(Shelf::open) {
                Ok(shelf) => self.shelf = Some(shelf),
                Err(problem) => return Err(self.say(problem)),
            }
        }
        self.shelf.as_mut().ok_or_else(Problem::no_disk)
    }

    /// Says a problem once.
    fn say(&mut self, problem: Problem) -> Problem {
        if self.said != problem.text {
            sdk::warn!("no volume: {}", problem.text);
            self.said.clone_from(&problem.text);
        }
        problem
    }

    /// The part that a Volume facet is about. Where nothing on the device could be read it is looked at anew: a device that
    /// comes late, or a provider that was restarted, needs nobody's help.
    fn part(&mut self, cookie: u64) -> Result<usize, Problem> {
        if let Some(number) = (cookie & PART != 0).then_some(cookie & !PART) {
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            return match self.shelf()?.parts.get(number).map(|part| &part.content) {
                Some(Ok(_)) => Ok(number),
                Some(Err(problem)) => Err(problem.clone()),
                None => Err(Problem {
                    refusal: Refusal::NotFound,
                    text: "there is no such part".to_string(),
                }),
            };
        }
        if self
            .shelf
            .as_ref()
            .is_some_and(|shelf| shelf.main.is_none())
        {
            self.shelf = None;
        }
        let shelf = self.shelf()?;
        match (shelf.main, shelf.problem.clone()) {
            (Some(main), _) => {
                self.said.clear();
                Ok(main)
            }
            (None, problem) => Err(self.say(problem)),
        }
    }

    /// Makes a facet for something that was just opened, and closes it again if that fails.
    fn facet(&mut self, cookie: u64, interface: u64) -> Result<CapArg, Refusal> {
        match self.endpoint.mint(cookie, interface, false) {
            Ok(minted) => Ok(minted.facet.into_cap()),
            Err(refusal) => {
                self.sessions.close(cookie);
                Err(refusal)
            }
        }
    }

    /// The node of a directory facet.
    fn directory(&mut self, cookie: u64) -> Result<(usize, Node), Refusal> {
        let open = self.sessions.get(cookie)?;
        match open.opened {
            Opened::Directory(node, _) => Ok((open.session, *node)),
            Opened::File(_) => Err(Refusal::WrongKind),
        }
    }

    /// Finds what `path` names below a directory facet.
    fn resolve(&mut self, cookie: u64, path: &str) -> Result<(usize, Node), Refusal> {
        let (session, from) = self.directory(cookie)?;
        // There is no way up, and no absolute path: a Directory is all that its holder may see.
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
            return Err(Refusal::BadArgument);
        }
        let part = self.sessions.get(cookie)?.window.part;
        let Live {
            cache,
            mounted,
            names,
        } = live(&mut self.shelf, part)?;
        let node = names
            .resolve(&mounted.volume, &mut mounted.part(cache), &from, path)
            .map_err(to_client)?;
        Ok((session, node))
    }

    fn attach_window(&mut self, cookie: u64, window: Cap) -> Result<CapArg, Refusal> {
        let part = self.part(cookie).map_err(|problem| problem.refusal)?;
        let root = live(&mut self.shelf, part)?.mounted.volume.root();
        let memory = MemoryObject::from_object(window);
        let info = memory.info()?;
        if !info.writable {
            return Err(Refusal::ReadOnly);
        }
        if info.bytes == 0 || info.bytes > MAX_WINDOW_BYTES {
            return Err(Refusal::OutOfRange);
        }
        let window = Window::map(memory, info.bytes, Access::ReadWrite)?;
        let cookie = self
            .sessions
            .attach(Client { window, part }, Opened::Directory(root, None))
            .map_err(|(_, refusal)| refusal)?;
        self.facet(cookie, directory::INTERFACE_ID)
    }

    fn open_file(&mut self, cookie: u64, path: &str) -> Result<CapArg, Refusal> {
        let (session, node) = self.resolve(cookie, path)?;
        let file = OpenFile::new(node).map_err(to_client)?;
        let opened = self.sessions.open(session, Opened::File(file))?;
        self.facet(opened, file::INTERFACE_ID)
    }

    fn open_directory(&mut self, cookie: u64, path: &str) -> Result<CapArg, Refusal> {
        let (session, node) = self.resolve(cookie, path)?;
        if !node.is_directory() {
            return Err(Refusal::NotDirectory);
        }
        let opened = self.sessions.open(session, Opened::Directory(node, None))?;
        self.facet(opened, directory::INTERFACE_ID)
    }

    /// Some entries of a directory from `cursor` on, and where to go on, `None` at the end.
    fn entries(&mut self, cookie: u64, cursor: u64) -> Result<Listing, Refusal> {
        let open = self.sessions.get(cookie)?;
        let Live { cache, mounted, .. } = live(&mut self.shelf, open.window.part)?;
        let Opened::Directory(node, walk) = open.opened else {
            return Err(Refusal::WrongKind);
        };
        let mut at = match walk.take() {
            Some(walk) => walk,
            None => DirWalk::new(&mounted.volume, node).map_err(to_client)?,
        };
        let (mut found, mut bytes) = (Vec::new(), 0);
        let next = mounted
            .volume
            .list(&mut mounted.part(cache), &mut at, cursor, |entry| {
                let name = entry.name.as_str();
                let size = ENTRY_BYTES + name.len();
                if !found.is_empty() && bytes + size > LISTING_BYTES {
                    return Step::StopBefore;
                }
                bytes += size;
                found.push((name.to_string(), stat_of(&entry.node)));
                Step::Continue
            })
            .map_err(to_client)?;
        *walk = Some(at);
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
        let Live { cache, mounted, .. } = live(&mut self.shelf, open.window.part)?;
        let Opened::File(file) = open.opened else {
            return Err(Refusal::WrongKind);
        };
        let end = u64::from(window_offset) + u64::from(length);
        if length == 0 {
            return Err(Refusal::ZeroLength);
        }
        if end > open.window.window.len() {
            return Err(Refusal::OutOfRange);
        }
        read_file(
            cache,
            mounted,
            file,
            offset,
            length,
            &mut open.window.window,
            window_offset as usize,
        )
        .map_err(to_client)
    }
}

/// What a client is told about an error of the volume.
fn to_client(error: Error<fat_core::CacheError<Refusal>>) -> Refusal {
    let told = refusal(&error, |device| device);
    if told == Refusal::Corrupt {
        // The refusal is one word; what exactly is wrong with the volume stands in the log.
        sdk::warn!("{error}");
    }
    told
}

fn stat_of(node: &Node) -> directory::Stat {
    let ns =
        |time: Option<fat_format::LocalNs>| time.map_or(0, |t| i64::try_from(t.0).unwrap_or(0));
    let has = |bit| node.attributes & bit != 0;
    directory::Stat {
        bytes: if node.is_directory() {
            0
        } else {
            node.size.into()
        },
        kind: if node.is_directory() {
            directory::Kind::Directory
        } else {
            directory::Kind::File
        },
        created_ns: ns(node.created),
        modified_ns: ns(node.modified),
        time_source: if node.modified.is_some() || node.created.is_some() {
            directory::TimeSource::FatMetadata
        } else {
            directory::TimeSource::None
        },
        read_only: has(attribute::READ_ONLY),
        hidden: has(attribute::HIDDEN),
        system: has(attribute::SYSTEM),
    }
}

impl Service for Server {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        use sdk::stub::Incoming as _;
        let cookie = call.cookie();
        // The export's cookie is 0, those of parts were made here; all others by `Sessions`.
        if cookie & !(PART | u64::from(u32::MAX)) == 0 {
            return volume::dispatch(self, received, call);
        }
        match self
            .sessions
            .get(cookie)
            .map(|open| matches!(open.opened, Opened::Directory(..)))
        {
            Ok(true) => directory::dispatch(self, received, call),
            Ok(false) => file::dispatch(self, received, call),
            Err(refusal) => stub::refuse(call, refusal),
        }
    }

    fn dropped(&mut self, cookie: u64) {
        // The window of a session that is over is unmapped here.
        drop(self.sessions.close(cookie));
    }
}

impl<'c> volume::Server<Call<'c>> for Server {
    fn info(&mut self, reply: Reply<Call<'c>, volume::call::Info>) -> Answered {
        let part = self.part(reply.cookie());
        let part = part.and_then(|part| {
            live(&mut self.shelf, part).map_err(|refusal| Problem {
                refusal,
                text: String::new(),
            })
        });
        match part {
            Ok(live) => {
                let volume = &live.mounted.volume;
                reply.send(volume::InfoReply {
                    format: format_name(volume.kind()),
                    label: volume.label(),
                    total_bytes: volume.total_bytes(),
                    cluster_bytes: volume.cluster_bytes(),
                    read_only: true,
                })
            }
            Err(problem) => reply.refuse(problem.refusal),
        }
    }

    fn attach(&mut self, reply: Reply<Call<'c>, volume::call::Attach>, window: Cap) -> Answered {
        let cookie = reply.cookie();
        reply.answer(
            self.attach_window(cookie, window)
                .map(|root| volume::AttachReply { root }),
        )
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
        let shelf = match self.shelf() {
            Ok(shelf) => shelf,
            Err(problem) => return reply.refuse(problem.refusal),
        };
        let from = usize::try_from(cursor).unwrap_or(usize::MAX);
        let rest = shelf.parts.get(from..).unwrap_or_default();
        let listed: &[Part] = rest.get(..LISTED_PARTS).unwrap_or(rest);
        reply.send_with(volume::fill_parts(|results| {
            results.next(cursor.saturating_add(listed.len() as u32));
            results.end(listed.len() == rest.len());
            results.parts(listed.len(), |list| {
                (from..).zip(listed).try_for_each(|(number, part)| {
                    list.push(&volume::Part {
                        name: &part.name,
                        what: &part.what,
                        label: &part.label,
                        bytes: part.bytes,
                        readable: part.content.is_ok(),
                        main: shelf.main == Some(number),
                    })
                })
            })
        }))
    }

    fn part(&mut self, reply: Reply<Call<'c>, volume::call::Part>, number: u32) -> Answered {
        let cookie = PART | u64::from(number);
        let volume = match Self::part(self, cookie) {
            // It names a place of the list, which is the same to a successor as long as the disk is.
            Ok(_) => self.endpoint.mint(cookie, volume::INTERFACE_ID, true),
            Err(problem) => Err(problem.refusal),
        };
        reply.answer(volume.map(|minted| volume::PartReply {
            volume: minted.facet.into_cap(),
        }))
    }
}

impl<'c> directory::Server<Call<'c>> for Server {
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
        reply.answer(result.map(|(_, node)| directory::StatReply {
            stat: stat_of(&node),
        }))
    }
}

impl<'c> file::Server<Call<'c>> for Server {
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
        let result = match self.sessions.get(reply.cookie()) {
            Ok(open) => match open.opened {
                Opened::File(file) => {
                    let stat = stat_of(&file.node);
                    Ok(file::StatReply {
                        bytes: stat.bytes,
                        modified_ns: stat.modified_ns,
                    })
                }
                Opened::Directory(..) => Err(Refusal::WrongKind),
            },
            Err(refusal) => Err(refusal),
        };
        reply.answer(result)
    }
}
