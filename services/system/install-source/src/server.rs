//! Volume, Directory and File on one endpoint, told apart by their cookies.

use fat_core::Sessions;
use iso9660_format::{Entries, Entry, Error, Kind, SECTOR_BYTES, Volume};
use sdk::{
    Access, Answered, BootMedium, Call, Cap, CapArg, Endpoint, Interface as _, MemoryObject,
    Object as _, Received, Refusal, Reply, Service, VirtualMemory, Window,
    alloc::{
        boxed::Box,
        format,
        string::{String, ToString},
        vec,
        vec::Vec,
    },
    storage::{directory, file, volume},
    stub,
};

use crate::medium::Cd;

/// Entries of one listing answer, at most.
const LISTING: usize = 64;
/// The largest window of a client.
const MAX_WINDOW_BYTES: u64 = 16 << 20;
/// Bytes that are read at a time.
const PIECE_BYTES: usize = 16 * SECTOR_BYTES;

/// What a facet stands for.
enum Opened {
    /// A directory, the root without an entry, and the walk that its listing is at.
    Directory(Option<Entry>, Option<Box<(u64, Entries)>>),
    /// A file.
    File(Entry),
}

/// A piece of a directory, and where to go on, `None` at the end.
type Listing = (Vec<Entry>, Option<u64>);

/// The volume, once its descriptor was read.
struct Live {
    cd: Cd,
    volume: Volume,
    /// What a piece of a file is read into, before it goes to a client's window.
    piece: Vec<u8>,
}

/// The service.
pub struct Server {
    endpoint: Endpoint,
    medium: Option<BootMedium>,
    vm: VirtualMemory,
    live: Option<Live>,
    /// Why there is no volume, in one sentence.
    problem: String,
    sessions: Sessions<Window, Opened>,
}

impl Server {
    /// Serves what is on `medium`; without one it says so to every client.
    pub fn new(endpoint: Endpoint, medium: Option<BootMedium>, vm: VirtualMemory) -> Self {
        Self {
            endpoint,
            medium,
            vm,
            live: None,
            problem: String::new(),
            sessions: Sessions::default(),
        }
    }

    /// The volume, opened now if it was not.
    fn live(&mut self) -> Result<&mut Live, Refusal> {
        if self.live.is_none() {
            match self.open_volume() {
                Ok(live) => {
                    sdk::fact!("install.source", sectors ~ live.volume.blocks());
                    self.problem.clear();
                    self.live = Some(live);
                }
                Err((refusal, problem)) => {
                    if self.problem != problem {
                        sdk::warn!("no install source: {problem}");
                        self.problem = problem;
                    }
                    return Err(refusal);
                }
            }
        }
        self.live.as_mut().ok_or(Refusal::NoDevice)
    }

    fn open_volume(&self) -> Result<Live, (Refusal, String)> {
        let medium = self
            .medium
            .as_ref()
            .ok_or((Refusal::NoDevice, "no boot medium was granted".to_string()))?;
        let medium = BootMedium::from_object(Cap::borrowed(medium.object().handle()));
        let mut cd = Cd::open(medium, &self.vm).map_err(|refusal| {
            let why = match refusal {
                Refusal::NoDevice => {
                    "this machine was not booted from a CD that the kernel reads itself".to_string()
                }
                other => format!("the boot medium: {other}"),
            };
            (refusal, why)
        })?;
        let sectors = cd.sectors();
        let volume = Volume::open(&mut cd, sectors)
            .map_err(|error| (refusal(&error), format!("the boot medium: {error}")))?;
        Ok(Live {
            cd,
            volume,
            piece: vec![0; PIECE_BYTES],
        })
    }

    /// Makes a facet for something that was just opened, and closes it again if that fails.
    fn facet(&mut self, cookie: u64, interface: u64) -> Result<CapArg, Refusal> {
        match self.endpoint.mint(cookie, interface, false) {
            Ok(minted) => Ok(minted.facet.into_cap()),
            Err(refusal) => {
                drop(self.sessions.close(cookie));
                Err(refusal)
            }
        }
    }

    /// Finds what `path` names below a directory facet.
    fn resolve(&mut self, cookie: u64, path: &str) -> Result<(usize, Entry), Refusal> {
        let open = self.sessions.get(cookie)?;
        let session = open.session;
        let Opened::Directory(from, _) = open.opened else {
            return Err(Refusal::WrongKind);
        };
        let from = *from;
        let Live { cd, volume, .. } = self.live()?;
        let found = volume.find_in(cd, from.as_ref(), path);
        Ok((session, found.map_err(told)?))
    }

    fn attach_window(&mut self, window: Cap) -> Result<CapArg, Refusal> {
        self.live()?;
        let memory = MemoryObject::from_object(window);
        let info = memory.info()?;
        if !info.writable {
            return Err(Refusal::ReadOnly);
        }
        if info.bytes == 0 || info.bytes > MAX_WINDOW_BYTES {
            return Err(Refusal::OutOfRange);
        }
        let window = Window::map(memory, info.bytes, Access::ReadWrite)?;
        let root = Opened::Directory(None, None);
        let cookie = self
            .sessions
            .attach(window, root)
            .map_err(|(_, refusal)| refusal)?;
        self.facet(cookie, directory::INTERFACE_ID)
    }

    fn open_file(&mut self, cookie: u64, path: &str) -> Result<CapArg, Refusal> {
        let (session, entry) = self.resolve(cookie, path)?;
        if entry.kind == Kind::Directory {
            return Err(Refusal::IsDirectory);
        }
        let opened = self.sessions.open(session, Opened::File(entry))?;
        self.facet(opened, file::INTERFACE_ID)
    }

    fn open_directory(&mut self, cookie: u64, path: &str) -> Result<CapArg, Refusal> {
        let (session, entry) = self.resolve(cookie, path)?;
        if entry.kind == Kind::File {
            return Err(Refusal::NotDirectory);
        }
        let opened = Opened::Directory(Some(entry), None);
        let opened = self.sessions.open(session, opened)?;
        self.facet(opened, directory::INTERFACE_ID)
    }

    /// Some entries of a directory from the one numbered `cursor` on.
    fn entries(&mut self, cookie: u64, cursor: u64) -> Result<Listing, Refusal> {
        self.live()?;
        let (Some(Live { cd, volume, .. }), Ok(open)) = (&mut self.live, self.sessions.get(cookie))
        else {
            return Err(Refusal::Stale);
        };
        let Opened::Directory(entry, walk) = open.opened else {
            return Err(Refusal::WrongKind);
        };
        // A cursor that is not where the last answer ended begins the walk anew.
        let (mut at, mut entries) = match walk.take().filter(|walk| walk.0 == cursor) {
            Some(walk) => *walk,
            None => match entry {
                Some(entry) => (0, volume.entries(entry).map_err(told)?),
                None => (0, volume.root_entries()),
            },
        };
        let mut found = Vec::new();
        while found.len() < LISTING {
            let Some(entry) = entries.next(cd).map_err(told)? else {
                return Ok((found, None));
            };
            if at >= cursor {
                found.push(entry);
            }
            at += 1;
        }
        *walk = Some(Box::new((at, entries)));
        Ok((found, Some(at)))
    }

    fn read_file(
        &mut self,
        cookie: u64,
        offset: u64,
        length: u32,
        window_offset: u32,
    ) -> Result<u32, Refusal> {
        self.live()?;
        let (Some(Live { cd, volume, piece }), Ok(open)) =
            (&mut self.live, self.sessions.get(cookie))
        else {
            return Err(Refusal::Stale);
        };
        let Opened::File(entry) = open.opened else {
            return Err(Refusal::WrongKind);
        };
        if length == 0 {
            return Err(Refusal::ZeroLength);
        }
        if u64::from(window_offset) + u64::from(length) > open.window.len() {
            return Err(Refusal::OutOfRange);
        }
        // Files are smaller than 4 GiB, and nothing lies behind their end.
        let Ok(start) = u32::try_from(offset) else {
            return Ok(0);
        };
        let mut done = 0;
        while done < length {
            let wanted = piece.len().min((length - done) as usize);
            let part = piece.get_mut(..wanted).unwrap_or_default();
            let at = start.saturating_add(done);
            let read = volume.read(cd, entry, at, part).map_err(told)?;
            if read == 0 {
                break;
            }
            let part = piece.get(..read).unwrap_or_default();
            open.window.write(u64::from(window_offset + done), part)?;
            done += u32::try_from(read).map_err(|_| Refusal::OutOfRange)?;
        }
        Ok(done)
    }
}

const fn refusal(error: &Error<Refusal>) -> Refusal {
    match error {
        Error::Medium(refusal) => *refusal,
        Error::Malformed(_) => Refusal::Corrupt,
        Error::NotFound => Refusal::NotFound,
        Error::WrongKind => Refusal::NotDirectory,
        Error::BadPath => Refusal::BadArgument,
    }
}

/// What a client is told; the refusal is one word, what is wrong with the medium stands in the log.
fn told(error: Error<Refusal>) -> Refusal {
    let told = refusal(&error);
    if told == Refusal::Corrupt {
        sdk::warn!("{error}");
    }
    told
}

fn stat_of(entry: &Entry) -> directory::Stat {
    let modified_ns = entry
        .modified
        .map_or(0, |s| s.saturating_mul(1_000_000_000));
    directory::Stat {
        bytes: match entry.kind {
            Kind::File => entry.extent.bytes.into(),
            Kind::Directory => 0,
        },
        kind: match entry.kind {
            Kind::File => directory::Kind::File,
            Kind::Directory => directory::Kind::Directory,
        },
        created_ns: 0,
        modified_ns,
        time_source: if entry.modified.is_some() {
            directory::TimeSource::MediumMetadata
        } else {
            directory::TimeSource::None
        },
        read_only: true,
        hidden: false,
        system: false,
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
            Ok(live) => reply.send(volume::InfoReply {
                format: "ISO 9660",
                label: "",
                total_bytes: u64::from(live.volume.blocks()) * SECTOR_BYTES as u64,
                cluster_bytes: SECTOR_BYTES as u32,
                read_only: true,
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn attach(&mut self, reply: Reply<Call<'c>, volume::call::Attach>, window: Cap) -> Answered {
        let root = self.attach_window(window);
        reply.answer(root.map(|root| volume::AttachReply { root }))
    }

    fn problem(&mut self, reply: Reply<Call<'c>, volume::call::Problem>) -> Answered {
        let text = match self.live() {
            Ok(_) => "",
            Err(_) => self.problem.as_str(),
        };
        reply.send(volume::ProblemReply { text })
    }

    fn parts(&mut self, reply: Reply<Call<'c>, volume::call::Parts>, cursor: u32) -> Answered {
        match self.live() {
            Ok(live) => {
                let bytes = u64::from(live.volume.blocks()) * SECTOR_BYTES as u64;
                reply.send_with(volume::fill_parts(|results| {
                    results.next(1);
                    results.end(true);
                    results.parts(usize::from(cursor == 0), |list| {
                        if cursor > 0 {
                            return Ok(());
                        }
                        list.push(&volume::Part {
                            name: "",
                            what: "ISO 9660",
                            label: "",
                            bytes,
                            readable: true,
                            main: true,
                        })
                    })
                }))
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn part(&mut self, reply: Reply<Call<'c>, volume::call::Part>, number: u32) -> Answered {
        if number > 0 {
            return reply.refuse(Refusal::NotFound);
        }
        let volume = self.endpoint.mint(0, volume::INTERFACE_ID, true);
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
                    found.iter().try_for_each(|entry| {
                        list.push(&directory::Entry {
                            name: entry.name.as_str(),
                            stat: stat_of(entry),
                        })
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
        reply.answer(result.map(|(_, entry)| directory::StatReply {
            stat: stat_of(&entry),
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
        let result = self
            .sessions
            .get(reply.cookie())
            .and_then(|open| match open.opened {
                Opened::File(entry) => {
                    let stat = stat_of(entry);
                    Ok(file::StatReply {
                        bytes: stat.bytes,
                        modified_ns: stat.modified_ns,
                    })
                }
                Opened::Directory(..) => Err(Refusal::WrongKind),
            });
        reply.answer(result)
    }
}
