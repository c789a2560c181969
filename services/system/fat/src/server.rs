//! Volume, Directory and File on one endpoint, told apart by their cookies.

use fat_core::{Cache, MountError, Mounted, OpenFile, Opened, Sessions, mount, read_file, refusal};
use fat_format::{DirWalk, Error, FatKind, Node, Step, attribute};
use sdk::{
    Access, Answered, BlockDevice, Call, Cap, CapArg, Endpoint, Interface as _, MemoryObject,
    Object as _, Received, Refusal, Reply, Service, Window,
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
    storage::{directory, file, volume},
    stub,
};

use crate::disk::BlockDisk;

/// Bytes of names and stats that one listing answer may hold; what is left over comes with the next one.
const LISTING_BYTES: usize = 4096;
/// Bytes of an entry of a listing besides its name.
const ENTRY_BYTES: usize = 56;
/// The largest window of a client.
const MAX_WINDOW_BYTES: u64 = 16 << 20;

/// A piece of a directory, and where to go on, `None` at the end.
type Listing = (Vec<(String, directory::Stat)>, Option<u64>);

/// A mounted volume and its cache.
struct Live {
    cache: Cache<BlockDisk>,
    mounted: Mounted,
}

/// The service.
pub struct Server {
    endpoint: Endpoint,
    device: Option<BlockDevice>,
    live: Option<Live>,
    /// What the last attempt to mount said, so that it is said once.
    said: String,
    sessions: Sessions<Window>,
}

/// Why there is no volume: what clients are refused with, and the sentence for a person.
struct Problem {
    refusal: Refusal,
    text: String,
}

impl Server {
    /// Serves the volume of `device`; without one it says so to every client.
    pub fn new(endpoint: Endpoint, device: Option<BlockDevice>) -> Self {
        Self {
            endpoint,
            device,
            live: None,
            said: String::new(),
            sessions: Sessions::default(),
        }
    }

    /// The volume, mounted now if it was not.
    fn live(&mut self) -> Result<&mut Live, Problem> {
        if self.live.is_none() {
            match self.mount() {
                Ok(live) => {
                    let volume = &live.mounted.volume;
                    let place = live
                        .mounted
                        .partition
                        .map(|number| format!(", partition {number}"))
                        .unwrap_or_default();
                    sdk::info!(
                        "mounted {}, {} bytes{place}",
                        format_name(volume.kind()),
                        volume.total_bytes()
                    );
                    if live.mounted.others > 0 {
                        sdk::warn!(
                            "other partitions that may hold FAT: {}; of each disk the first FAT volume is served",
                            live.mounted.others
                        );
                    }
                    if let Some(fault) = live.mounted.gpt_fault {
                        sdk::warn!(
                            "the first copy of the GPT is damaged ({fault}); its backup is used"
                        );
                    }
                    if volume.missing_bytes() > 0 {
                        sdk::warn!(
                            "the disk ends {} bytes before its volume does",
                            volume.missing_bytes()
                        );
                    }
                    self.said.clear();
                    self.live = Some(live);
                }
                Err(problem) => {
                    if self.said != problem.text {
                        sdk::warn!("no volume: {}", problem.text);
                        self.said.clone_from(&problem.text);
                    }
                    return Err(problem);
                }
            }
        }
        self.live.as_mut().ok_or_else(|| Problem {
            refusal: Refusal::NoDevice,
            text: String::new(),
        })
    }

    fn mount(&self) -> Result<Live, Problem> {
        let no_disk = || Problem {
            refusal: Refusal::NoDevice,
            text: "no disk".to_string(),
        };
        let device = self.device.as_ref().ok_or_else(no_disk)?;
        // A client of its own for the session; the handle under it stays the program's.
        let device = BlockDevice::from_object(Cap::borrowed(device.object().handle()));
        let disk = BlockDisk::open(device).map_err(|refusal| match refusal {
            Refusal::NoDevice => no_disk(),
            _ => Problem {
                refusal,
                text: MountError::Device(refusal).to_string(),
            },
        })?;
        let mut cache = Cache::new(disk);
        match mount(&mut cache) {
            Ok(mounted) => Ok(Live { cache, mounted }),
            Err(error) => Err(Problem {
                refusal: match &error {
                    MountError::Device(refusal) => *refusal,
                    MountError::Unsupported(_) => Refusal::NotSupported,
                    MountError::Corrupt(_) => Refusal::Corrupt,
                },
                text: error.to_string(),
            }),
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
        let Live { cache, mounted } = self.live().map_err(|problem| problem.refusal)?;
        let node = mounted
            .volume
            .resolve(&mut mounted.part(cache), &from, path)
            .map_err(to_client)?;
        Ok((session, node))
    }

    fn attach_window(&mut self, window: Cap) -> Result<CapArg, Refusal> {
        let root = self
            .live()
            .map_err(|problem| problem.refusal)?
            .mounted
            .volume
            .root();
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
            .attach(window, Opened::Directory(root, None))
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
        // The borrow of the volume ends before the session's begins: mounting first.
        self.live().map_err(|problem| problem.refusal)?;
        let (Some(Live { cache, mounted }), Ok(open)) = (&mut self.live, self.sessions.get(cookie))
        else {
            return Err(Refusal::Stale);
        };
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
        self.live().map_err(|problem| problem.refusal)?;
        let (Some(Live { cache, mounted }), Ok(open)) = (&mut self.live, self.sessions.get(cookie))
        else {
            return Err(Refusal::Stale);
        };
        let Opened::File(file) = open.opened else {
            return Err(Refusal::WrongKind);
        };
        let end = u64::from(window_offset) + u64::from(length);
        if length == 0 {
            return Err(Refusal::ZeroLength);
        }
        if end > open.window.len() {
            return Err(Refusal::OutOfRange);
        }
        read_file(
            cache,
            mounted,
            file,
            offset,
            length,
            open.window,
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

const fn format_name(kind: FatKind) -> &'static str {
    match kind {
        FatKind::Fat12 => "FAT12",
        FatKind::Fat16 => "FAT16",
        FatKind::Fat32 => "FAT32",
    }
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
        // The first export's cookie is 0; all others were made by `Sessions`.
        if cookie == 0 {
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
        match self.live() {
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
        reply.answer(
            self.attach_window(window)
                .map(|root| volume::AttachReply { root }),
        )
    }

    fn problem(&mut self, reply: Reply<Call<'c>, volume::call::Problem>) -> Answered {
        let text = self
            .live()
            .err()
            .map(|problem| problem.text)
            .unwrap_or_default();
        reply.send(volume::ProblemReply { text: &text })
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
