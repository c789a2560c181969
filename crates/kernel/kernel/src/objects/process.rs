//! `ProcessSpawner`, `ProcessHandle`, `ThreadSpawner`, `ThreadHandle`, `EndpointFactory`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use arrayvec::{ArrayString, ArrayVec};
use frames::Grow;

use account::{Kind, Limits};
use cap::Epoch;
use ipc::{
    About, End, Endpoint, JoinRight, KernelCall, Label, Object, Process, Slot, Thread, ThreadSpec,
    Tie,
};
use memory::MemoryObject;
use sabotage::sabotage;
use schema::process::{
    endpoint_factory, process_handle, process_spawner, thread_handle, thread_spawner,
};
use stub::{Answered, Refusal};

use super::bell::Bell;
use super::memory::Shared;
use super::served::{self, Owed, Owner, Served, kernel_object};
use crate::spawn::{Grant, MAX_GRANTS, Own, Room, Source};

/// Longest image that comes in a memory object.
const IMAGE_BYTES: u64 = 32 << 20;

/// Bytes of an image that are copied from one look to the next.
const COPY_BYTES: usize = 4096;

/// The right to start processes.
pub struct Spawner {
    epoch: Epoch,
    /// What each process has of its own.
    own: Own,
}

impl Spawner {
    pub fn new(own: Own) -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
            own,
        })
    }
}

kernel_object!(Spawner, process_spawner, long from 0);

type Grants<'m> = stub::read::List<'m, process_spawner::GrantReader<'m>>;

fn limits(l: process_spawner::LimitsReader<'_>) -> Limits {
    Limits {
        memory: u64::from(l.memory_pages()) * frames::FRAME_BYTES,
        handles: u64::from(l.handles()),
        threads: u64::from(l.threads()),
        endpoints: u64::from(l.endpoints()),
        facets: u64::from(l.facets()),
        cpu: u64::from(l.cpu_per_mille()),
        priority: l.priority(),
    }
}

/// The `transfer` of a grant that names a handle of the caller: what the schema says.
const HELD: u16 = u16::MAX;

fn collect<'a, M: stub::Method>(
    reply: &mut Owed<'a, M>,
    grants: Grants<'_>,
) -> Result<ArrayVec<Grant, MAX_GRANTS>, Refusal> {
    let mut out = ArrayVec::new();
    for grant in grants.iter() {
        let name = ArrayString::from(grant.name()?).map_err(|_| Refusal::BadArgument)?;
        let slot: Slot = match grant.transfer() {
            HELD => reply.call().process().copy_slot(grant.handle())?,
            transfer => reply.take_cap(usize::from(transfer))?,
        };
        out.try_push(Grant {
            name,
            interface: grant.interface_id(),
            slot,
        })
        .map_err(|_| Refusal::OutOfRange)?;
    }
    sabotage!(GRAPH_FOR_EVERYBODY => {
        if out.iter().all(|grant| grant.name != *"systemGraph") {
            let _ = out.try_push(super::given::graph());
        }
    });
    Ok(out)
}

fn start<'a, M: stub::Method>(
    own: Own,
    reply: &mut Owed<'a, M>,
    name: &str,
    image: &Source<'_>,
    arguments: stub::read::TextList<'_>,
    limit: process_spawner::LimitsReader<'_>,
    grants: Grants<'_>,
) -> Result<Slot, Refusal> {
    // The name is the source of its lines in the log: it is one word, and not the kernel's.
    let is_word = name.bytes().all(|byte| byte.is_ascii_graphic());
    if name.is_empty() || name.len() > 32 || !is_word || name == crate::log::KERNEL {
        return Err(Refusal::BadArgument);
    }
    let mut list = Vec::new();
    for argument in arguments.iter() {
        list.add(argument?)?;
    }
    let grants = collect(reply, grants)?;
    // The account of who asks gives, whoever made the spawner: what it does not have the child cannot get.
    let caller = reply.call().process().clone();
    caller.settle_handles();
    let from = caller.account();
    #[cfg(sabotage)]
    let root = crate::accounts::root();
    #[cfg(sabotage)]
    let from = if sabotage!(SPAWN_OUT_OF_NOTHING) {
        &root
    } else {
        from
    };
    let label = Label {
        started_by: caller.id,
        name,
        restarts: limit.restarts(),
        fpu: limit.fpu(),
        // Who distrusts cannot give anybody less than that.
        distrusting: limit.distrusting() || caller.is_distrusting,
    };
    let room = Room::of(limit.stack_pages(), limit.area_pages())?;
    let out_of = (from, &limits(limit), room);
    let process = crate::spawn::spawn(label, image, &list, out_of, (own, grants))?;
    let made = caller.bank.object(|tie| Handle {
        epoch: Epoch::default(),
        process: process.clone(),
        tie,
    });
    // Who could not pay for a handle has not started it.
    made.inspect_err(|_| process.end(End::Killed, -1, ""))
}

impl<'a> process_spawner::Server<KernelCall<'a>> for Served<Spawner> {
    fn spawn(
        &mut self,
        mut reply: Owed<'a, process_spawner::call::Spawn>,
        name: &str,
        image: &str,
        arguments: stub::read::TextList<'_>,
        limits: process_spawner::LimitsReader<'_>,
        grants: Grants<'_>,
    ) -> Answered {
        let result = crate::package::program(image)
            .ok_or(Refusal::NotFound)
            .and_then(|bytes| {
                start(
                    self.0.own,
                    &mut reply,
                    name,
                    &Source::File(bytes),
                    arguments,
                    limits,
                    grants,
                )
            });
        reply.answer(result.map(|process| process_spawner::SpawnReply { process }))
    }

    fn spawn_memory(
        &mut self,
        mut reply: Owed<'a, process_spawner::call::SpawnMemory>,
        name: &str,
        image: Slot,
        bytes: u64,
        arguments: stub::read::TextList<'_>,
        limits: process_spawner::LimitsReader<'_>,
        grants: Grants<'_>,
    ) -> Answered {
        let result = copy_image(&image, bytes).and_then(|copy| {
            start(
                self.0.own, &mut reply, name, &copy, arguments, limits, grants,
            )
        });
        reply.answer(result.map(|process| process_spawner::SpawnMemoryReply { process }))
    }
}

/// A private copy, in pages of its own: its owner could change the pages while they are being checked.
fn copy_image(image: &Slot, bytes: u64) -> Result<Source<'static>, Refusal> {
    let shared = image.check()?.downcast::<Shared>()?;
    if bytes > IMAGE_BYTES {
        return Err(Refusal::OutOfRange);
    }
    let pages = bytes.div_ceil(frames::FRAME_BYTES).max(1) as u32;
    let copy = MemoryObject::new(pages)?;
    let mut buffer = Vec::new();
    let mut at = 0;
    while at < bytes {
        frames::widen(&mut buffer, COPY_BYTES.min((bytes - at) as usize))?;
        let place = shared.place(at, buffer.len() as u64)?;
        shared.object().read(place, &mut buffer)?;
        copy.write(at, &buffer)?;
        at += buffer.len() as u64;
        if sched::point() == sched::Look::Ending {
            return Err(Refusal::Cancelled);
        }
    }
    Ok(Source::Copy(copy, bytes as usize))
}

/// Memory that a process uses, in pages begun.
pub fn pages(process: &Process) -> u32 {
    let bytes = process.account().usage(Kind::Memory).own();
    u32::try_from(bytes.div_ceil(frames::FRAME_BYTES)).unwrap_or(u32::MAX)
}

/// Memory that a process may use, in whole pages.
pub fn limit_pages(process: &Process) -> u32 {
    let bytes = process.account().usage(Kind::Memory).limit;
    u32::try_from(bytes / frames::FRAME_BYTES).unwrap_or(u32::MAX)
}

/// How many of something a process may have.
pub fn limit(process: &Process, kind: Kind) -> u32 {
    u32::try_from(process.account().usage(kind).limit).unwrap_or(u32::MAX)
}

/// A started process, as its starter sees it.
pub struct Handle {
    epoch: Epoch,
    process: Arc<Process>,
    tie: Arc<Tie>,
}

kernel_object!(Handle, process_handle, tie, about);

impl Handle {
    fn about(&self) -> About {
        About::Process(self.process.id)
    }
}

impl<'a> process_handle::Server<KernelCall<'a>> for Served<Handle> {
    fn wait(&mut self, reply: Owed<'a, process_handle::call::Wait>) -> Answered {
        let (answered, later) = reply.defer();
        self.0.process.wait(later);
        answered
    }

    fn kill(&mut self, reply: Owed<'a, process_handle::call::Kill>) -> Answered {
        self.0.process.end(End::Killed, -1, "");
        reply.send(())
    }

    fn info(&mut self, reply: Owed<'a, process_handle::call::Info>) -> Answered {
        let p = &self.0.process;
        reply.send(process_handle::InfoReply {
            id: p.id,
            alive: !p.is_finished(),
            memory_pages: pages(p),
            cpu_ns: p.cpu_ns(),
        })
    }
}

/// A process's right to start threads of its own.
pub struct Threads {
    epoch: Epoch,
    owner: Owner,
}

impl Threads {
    pub fn of(process: &Arc<Process>) -> Self {
        Self {
            epoch: Epoch::default(),
            owner: Owner::of(process),
        }
    }
}

kernel_object!(Threads, thread_spawner);

impl<'a> thread_spawner::Server<KernelCall<'a>> for Served<Threads> {
    fn spawn(
        &mut self,
        reply: Owed<'a, thread_spawner::call::Spawn>,
        entry: u64,
        stack_top: u64,
        argument: u64,
        shape: thread_spawner::ShapeReader<'_>,
    ) -> Answered {
        let caller = reply.call().process();
        let result = self.0.owner.called_by(caller).and_then(|p| {
            let spec = ThreadSpec {
                entry,
                stack: stack_top,
                argument,
                submissions: shape.submissions(),
                message_bytes: shape.message_bytes(),
                priority: shape.priority(),
                cpu: u32::try_from(shape.cpu()).ok(),
            };
            let thread = Thread::new(&p, spec)?;
            let made = p.bank.object(|tie| Joinable {
                epoch: Epoch::default(),
                thread: thread.join_right(),
                tie,
            });
            made.inspect(|_| thread.start())
                .inspect_err(|_| thread.abandon())
        });
        reply.answer(result.map(|thread| thread_spawner::SpawnReply { thread }))
    }

    fn bell(&mut self, reply: Owed<'a, thread_spawner::call::Bell>) -> Answered {
        let caller = reply.call().process();
        let own = self.0.owner.called_by(caller);
        let result = own.and_then(|p| Bell::make(&p));
        reply.answer(result.map(|bell| thread_spawner::BellReply { bell }))
    }
}

/// A started thread.
pub struct Joinable {
    epoch: Epoch,
    thread: JoinRight,
    tie: Arc<Tie>,
}

kernel_object!(Joinable, thread_handle, tie);

impl<'a> thread_handle::Server<KernelCall<'a>> for Served<Joinable> {
    fn join(&mut self, reply: Owed<'a, thread_handle::call::Join>) -> Answered {
        let (answered, later) = reply.defer();
        self.0.thread.join(later);
        answered
    }
}

/// The right to make endpoints.
pub struct Endpoints {
    epoch: Epoch,
}

impl Endpoints {
    pub fn new() -> Arc<Self> {
        served::at_boot(Self {
            epoch: Epoch::default(),
        })
    }
}

kernel_object!(Endpoints, endpoint_factory);

impl<'a> endpoint_factory::Server<KernelCall<'a>> for Served<Endpoints> {
    fn create(&mut self, reply: Owed<'a, endpoint_factory::call::Create>) -> Answered {
        let p = reply.call().process();
        let result = Endpoint::new(p).map(|endpoint| {
            Slot::new(
                Object::Endpoint(endpoint),
                schema::process::endpoint::INTERFACE_ID,
            )
        });
        reply.answer(result.map(|endpoint| endpoint_factory::CreateReply { endpoint }))
    }
}
