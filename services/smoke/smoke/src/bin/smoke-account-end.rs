//! When an account ends, is all gone that it paid for, whoever holds it, and is whoever holds it told so?
//!
//! One child makes something of everything, hands it to a keeper that works with it, and ends. Invariant: the keeper gives
//! nothing back before it has said what came of each.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::Limits;
use sdk::process::{bell, thread_handle, virtual_memory};
use sdk::schema::device::interrupt;
use sdk::schema::smoke::probe;
use sdk::{
    Access, Bell, BellRinger, Cap, CapArg, Device, DeviceMmio, DeviceQueue, DeviceRegistry,
    DmaBuffer, DmaPool, Endpoint, Env, Error, Interface, Interrupt, JoinHandle, Layout, Lifetime,
    MemoryObject, NEVER, ProcessHandle, Refusal, Ring, ThreadOptions, ThreadSpawner, Window,
    WindowAccess, fact, spawn_thread,
};
use smoke::accounts::{child, kit_of, measure};
use smoke::receives::take_waiting;
use smoke::{Kit, Probe, Prober, give, mint, outcome, role, wait_until};

sdk::entry!(main);

type VirtualMemory = virtual_memory::Client<Cap>;

const PAGE: u64 = 4096;
/// What a maker gets: nearly all that its starter has, so that there is no more of it while the maker's is in use.
const GIVEN: u32 = 13_800;
/// Pages that it makes and the keeper has, and pages of its own child.
const MADE: u64 = 8_000;
const ORPHANS: u32 = 1_000;
/// What a maker may mint: the starter has not twice as many.
const FACETS: u32 = 40;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("maker") => make(env),
        Some("keeper") => keep(env),
        Some("sleeper") => {
            let timer: sdk::Timer = env.get("timer")?;
            Ok(timer.sleep(NEVER)?)
        }
        Some("nothing") => Ok(()),
        _ => ask(env),
    }
}

/// What the keeper gets, by its place among what it has taken.
mod at {
    pub const MEMORY: usize = 0;
    pub const READ_ONLY: usize = 1;
    pub const ENDPOINT: usize = 2;
    pub const OWN: usize = 3;
    pub const LENT: usize = 4;
    pub const PASSING: usize = 5;
    pub const STRANGERS: usize = 6;
    pub const BELL: usize = 7;
    pub const RINGER: usize = 8;
    pub const THREAD: usize = 9;
    pub const ORPHAN: usize = 10;
    /// A claim of the maker's, and what derives from it.
    pub const DEVICE: usize = 11;
    pub const REGISTERS: usize = 12;
    pub const INTERRUPT: usize = 13;
    pub const QUEUE: usize = 14;
    pub const POOL: usize = 15;
    pub const BUFFER: usize = 16;
    /// What the maker derived from a claim of the keeper's.
    pub const OTHER_POOL: usize = 17;
    pub const OTHER_BUFFER: usize = 18;
    /// Rights to receive that the maker lent on: at its starter's endpoint, and at the keeper's own.
    pub const LENT_ON: usize = 19;
    pub const LENT_BACK: usize = 20;
    pub const ALL: u64 = 21;
}

/// What the keeper gives to the maker: an endpoint that it lends, a claim, and an endpoint that nobody calls.
const LENT: u64 = 0;
const CLAIM: u64 = 1;
const IDLE: u64 = 2;
/// Pages of the maker's buffer in a claim of its own, and in the keeper's.
const BUFFER: u64 = 300;
/// The one queue of the device: its kind, its depth, and no source of interrupts.
const QUEUE: (u16, u16, u16) = (0, 1, 0xffff);

/// Which card is whose.
const OF_MAKER: u32 = 0;
const OF_KEEPER: u32 = 1;

/// What the keeper does.
const HOLD: u64 = 0;
const REPORT: u64 = 1;
const FORGET: u64 = 2;
const CLEAR: u64 = 3;

/// How makers end.
const ENDS: [&str; 3] = ["panics", "waits", "exits"];

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-account-end")?;
    let console: sdk::Console = env.get("console")?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let keeper = mint(&endpoint, 1, Lifetime::Durable)?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let mut given = kit_of(&kit);
    given.extend([
        give("console", &console),
        give("endpoint", &endpoint),
        give("deviceRegistry", &registry),
    ]);
    let limits = Limits {
        facets: 8,
        ..child(1_500, 600)
    };
    let keeping = kit.start_within("keeper", &limits, &[], &given)?;
    drop(endpoint);
    // The first rounds are for what is kept for later.
    for end in ENDS {
        round(&kit, &keeper, &registry, end)?;
    }
    let mut kept = 0;
    for end in ENDS {
        keeper.act(CLEAR, 0)?;
        let before = measure(&kit)?.0;
        round(&kit, &keeper, &registry, end)?;
        // What ends in its own time has then. Lists of threads that go on grow by a few entries now and then.
        let is_back = || measure(&kit).is_ok_and(|(lost, _)| lost < before + PAGE);
        kept += u32::from(!wait_until(&kit, is_back));
    }
    fact!("end.pages", kept = kept);
    keeping.kill()?;
    kit.ended(&keeping)?;
    Ok(())
}

/// A maker makes, hands over and ends, one way or another.
fn round(kit: &Kit, keeper: &Probe, registry: &DeviceRegistry, end: &str) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let lent = endpoint.lend(FACETS)?.endpoint;
    let mut given = kit_of(kit);
    given.extend([
        give("keeper", keeper),
        give("lent", &lent),
        give("deviceRegistry", registry),
    ]);
    let limits = limits();
    let maker = kit.start_within("maker", &limits, &[end], &given)?;
    drop(lent);
    let held = wait_until(kit, || keeper.act(HOLD, 0).is_ok_and(|held| held.word > 0));
    let meanwhile = outcome(&again(kit));
    if end == "waits" {
        maker.kill()?;
    }
    let ended = kit.ended(&maker)?;
    if end == "exits" && ended.code != 0 || !held {
        fact!("end.maker", code = ended.code, text = ended.text.as_str());
    }
    // This waits until the device has stopped, and is refused while somebody holds it.
    let claim_again = outcome(&registry.claim("edu", OF_MAKER));
    // The maker's own child ends in its own time.
    let back = wait_until(kit, || again(kit).is_ok());
    let answers = keeper.act(REPORT, 0).map(|reported| reported.word);
    let refused = answers
        .as_ref()
        .map_or_else(|refusal| refusal.name(), |_| "nothing");
    drop(endpoint);
    drop(maker);
    keeper.act(FORGET, 0)?;
    fact!(
        "end.account",
        maker = ended.kind,
        held = held,
        meanwhile = meanwhile,
        given_again = back,
        claim_again = claim_again,
        report = refused,
        difference = measure(kit)?.1
    );
    if claim_again != "ok" {
        // The next maker would find no device, and nobody would hear of it soon.
        return Err(Refusal::Busy.into());
    }
    Ok(())
}

fn limits() -> Limits {
    Limits {
        endpoints: 20,
        facets: FACETS,
        ..child(GIVEN, 600)
    }
}

/// Whether what a maker got can be given once more, all of it.
fn again(kit: &Kit) -> Result<(), Refusal> {
    let limits = Limits {
        // One facet of the maker's outlives it, as long as the keeper has it.
        facets: FACETS - 1,
        // What was lent to the maker is gone.
        endpoints: limits().endpoints + 1,
        ..limits()
    };
    let process = kit.start_within("nothing", &limits, &[], &[])?;
    kit.ended(&process).map(drop)
}

extern "C" fn spin(_: u64) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

fn make(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-account-end")?;
    let keeper: Probe = env.get("keeper")?;
    let lent: Endpoint = env.get("lent")?;
    let vm: VirtualMemory = env.get("vm")?;
    let threads: ThreadSpawner = env.get("threads")?;
    let memory = vm.create_memory(MADE * PAGE)?.memory;
    let narrow = memory.read_only()?.memory;
    let own = kit.endpoints.create()?.endpoint;
    let strangers = Endpoint::from_object(keeper.give(LENT)?.cap.into_object());
    let facets = [
        mint(&own, 1, Lifetime::Durable)?,
        mint(&lent, 2, Lifetime::Durable)?,
        mint(&lent, 3, Lifetime::Incarnation)?,
        mint(&strangers, 4, Lifetime::Durable)?,
    ];
    let bell = threads.bell()?.bell;
    let ringer = bell.narrow(u64::MAX)?.ringer;
    let stack = vm.map(4 * PAGE, 3)?.address + 4 * PAGE;
    let shape = sdk::process::thread_spawner::Shape {
        submissions: 8,
        message_bytes: 256,
        priority: 1,
        cpu: -1,
    };
    let entry = spin as extern "C" fn(u64) -> ! as usize as u64;
    let thread = threads.spawn(entry, stack, 0, &shape)?.thread;
    let limits = Limits {
        threads: 1,
        endpoints: 1,
        facets: 1,
        ..child(ORPHANS, 64)
    };
    let given = [give("timer", &kit.timer)];
    let sleeper = kit.start_within("sleeper", &limits, &[], &given)?;
    let handles = [memory.cap(), narrow.cap(), own.cap()];
    let more = [bell.cap(), ringer.cap(), thread.cap(), sleeper.cap()];
    let all: Vec<CapArg> = handles
        .into_iter()
        .chain(facets.iter().map(Probe::cap))
        .chain(more)
        .collect();
    keeper.take(b"all", &all)?;
    let claimed = Claimed::new(&env.get("deviceRegistry")?, &keeper)?;
    keeper.take(b"devices", &claimed.all())?;
    let idle = Endpoint::from_object(keeper.give(IDLE)?.cap.into_object());
    let lent_on = [lent.lend(1)?.endpoint, idle.lend(1)?.endpoint];
    keeper.take(b"lent on", &[lent_on[0].cap(), lent_on[1].cap()])?;
    use_up(&kit, &keeper, &own)?;
    // It ends when the keeper works with all of it.
    let worked = wait_until(&kit, || keeper.act(HOLD, 1).is_ok_and(|held| held.word > 0));
    match env.arguments().nth(1) {
        Some("waits") => Ok(kit.timer.sleep(NEVER)?),
        Some("panics") => panic!("as it was told"),
        _ => sdk::exit(i64::from(!worked), format_args!("")),
    }
}

/// What a maker has of devices.
struct Claimed {
    device: Device,
    registers: DeviceMmio,
    interrupt: Interrupt,
    queue: DeviceQueue,
    pools: [DmaPool; 2],
    buffers: [DmaBuffer; 2],
}

impl Claimed {
    fn new(registry: &DeviceRegistry, keeper: &Probe) -> Result<Self, Refusal> {
        let device = claim(registry, OF_MAKER)?;
        let others = Device::from_object(keeper.give(CLAIM)?.cap.into_object());
        let (kind, depth, source) = QUEUE;
        let pools = [device.pool(4 << 20)?.pool, others.pool(4 << 20)?.pool];
        let allocate = |pool: &DmaPool| pool.allocate(BUFFER * PAGE, Layout::Scattered);
        Ok(Self {
            registers: device.mmio(0)?.mmio,
            interrupt: device.interrupt(0)?.interrupt,
            queue: device.queue(kind, 0, depth, source)?.queue,
            buffers: [allocate(&pools[0])?.buffer, allocate(&pools[1])?.buffer],
            pools,
            device,
        })
    }

    fn all(&self) -> [CapArg; 8] {
        [
            self.device.cap(),
            self.registers.cap(),
            self.interrupt.cap(),
            self.queue.cap(),
            self.pools[0].cap(),
            self.buffers[0].cap(),
            self.pools[1].cap(),
            self.buffers[1].cap(),
        ]
    }
}

fn claim(registry: &DeviceRegistry, nth: u32) -> Result<Device, Refusal> {
    let device = registry.claim("edu", nth)?.device;
    device.reset()?;
    device.configure()?;
    device.enable()?;
    Ok(device)
}

/// Gives the keeper more endpoints and facets than there are twice.
fn use_up(kit: &Kit, keeper: &Probe, own: &Endpoint) -> Result<(), Refusal> {
    let (mut endpoints, mut minted) = (Vec::new(), Vec::new());
    while let Ok(created) = kit.endpoints.create() {
        endpoints.push(created.endpoint);
    }
    while let Ok(facet) = mint(own, 5, Lifetime::Durable) {
        minted.push(facet);
    }
    for some in endpoints.chunks(8) {
        let caps: Vec<CapArg> = some.iter().map(Endpoint::cap).collect();
        keeper.take(b"endpoints", &caps)?;
    }
    for some in minted.chunks(8) {
        let caps: Vec<CapArg> = some.iter().map(Probe::cap).collect();
        keeper.take(b"facets", &caps)?;
    }
    Ok(())
}

/// What the keeper works with.
struct Working {
    ring: Ring,
    window: Window,
    /// Of the maker's buffers.
    seen: [Window; 2],
    /// Sends some of it on, to nobody who takes them before their maker has ended.
    sender: JoinHandle<()>,
    /// How what was begun ended.
    ended: [&'static str; 10],
}

fn keep(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-account-end")?;
    let own = kit.endpoints.create()?.endpoint;
    let lent = own.lend(FACETS)?.endpoint;
    let device = claim(&env.get("deviceRegistry")?, OF_KEEPER)?;
    let idle = kit.endpoints.create()?.endpoint;
    let idle_lent = idle.lend(FACETS)?.endpoint;
    let mut working: Option<Working> = None;
    let mut before: Vec<Cap> = Vec::new();
    smoke::lend_probe(
        env,
        Vec::from([lent.cap(), device.cap(), idle_lent.cap()]),
        |state: &mut Prober, what: u64, word: u64| match what {
            HOLD if word == 0 => Ok(u64::from(working.is_some())),
            HOLD => {
                if working.is_none() && state.taken.len() as u64 >= at::ALL {
                    working = Some(hold(state, &own, &idle)?);
                }
                Ok(u64::from(working.is_some()))
            }
            REPORT => {
                let working = working.as_mut().ok_or(Refusal::NotFound)?;
                report(&kit, working, state)?;
                report_devices(working, state, &device)?;
                Ok(1)
            }
            FORGET => {
                let taken = working.take();
                let Some(Working {
                    ring,
                    window,
                    seen,
                    sender,
                    ..
                }) = taken
                else {
                    return Err(Refusal::NotFound);
                };
                drop(ring);
                // The one facet that lives on goes, and what is mapped; the rest stays where it is.
                drop((window, seen));
                let mut rest = core::mem::take(&mut state.taken);
                rest.swap_remove(at::LENT);
                // They stay: what is dead costs nobody anything but a place of this table.
                before = rest;
                report_arrived(&own)?;
                sender.join()?;
                Ok(before.len() as u64)
            }
            CLEAR => {
                before.clear();
                Ok(0)
            }
            _ => Err(Refusal::BadArgument),
        },
    )
}

/// What came of the memory, the pool and the endpoint that were on their way.
fn report_arrived(endpoint: &Endpoint) -> Result<(), Refusal> {
    let mut arrived = take_waiting(endpoint)?.into_iter();
    let mut next = || arrived.next().ok_or(Refusal::NotFound);
    let memory = MemoryObject::from_object(next()?);
    let pool = DmaPool::from_object(next()?);
    let own = Endpoint::from_object(next()?);
    fact!(
        "end.arrived",
        memory = outcome(&memory.info()),
        pool = outcome(&pool.info()),
        endpoint = outcome(&own.renew())
    );
    Ok(())
}

/// One of what was taken, without owning it.
fn held<I: Interface<Cap>>(state: &Prober, at: usize) -> Result<I, Refusal> {
    let cap = state.taken.get(at).ok_or(Refusal::NotFound)?;
    Ok(I::from_object(cap.share()))
}

/// Begins to use everything.
fn hold(state: &Prober, nowhere: &Endpoint, idle: &Endpoint) -> Result<Working, Refusal> {
    let memory: MemoryObject = held(state, at::MEMORY)?;
    let window = Window::map(memory, MADE * PAGE, Access::ReadWrite)?;
    window.write((MADE - 1) * PAGE, b"kept")?;
    let endpoint: Endpoint = held(state, at::ENDPOINT)?;
    let own: Probe = held(state, at::OWN)?;
    let bell: Bell = held(state, at::BELL)?;
    let thread: thread_handle::Client<Cap> = held(state, at::THREAD)?;
    let mut ring = Ring::new(16, 512)?;
    // The first is answered by the second, which nobody answers.
    ring.receive(endpoint.object(), 1)?;
    ring.receive(endpoint.object(), 2)?;
    ring.submit();
    ring.call::<probe::call::Hold>(own.object(), (), 3, NEVER)?;
    ring.call::<bell::call::Wait>(bell.object(), bell::WaitParams { mask: 1 }, 4, NEVER)?;
    ring.call::<thread_handle::call::Join>(thread.object(), (), 5, NEVER)?;
    let source: Interrupt = held(state, at::INTERRUPT)?;
    source.unmask()?;
    ring.call::<interrupt::call::Wait>(source.object(), (), 6, NEVER)?;
    let lent_on: Endpoint = held(state, at::LENT_ON)?;
    ring.receive(lent_on.object(), 7)?;
    // This one rests on a right of the keeper's own.
    let lent_back: Endpoint = held(state, at::LENT_BACK)?;
    ring.receive(lent_back.object(), 8)?;
    ring.receive(idle.object(), 9)?;
    ring.submit();
    // It is on its way when its maker ends.
    let slow = mint(nowhere, 9, Lifetime::Incarnation)?;
    let pool: DmaPool = held(state, at::POOL)?;
    let sent = [window.memory().cap(), pool.cap(), endpoint.cap()];
    let sender = spawn_thread(ThreadOptions::default(), move || {
        let _ = slow.take(b"on its way", &sent);
    })?;
    Ok(Working {
        ring,
        window,
        seen: [see(state, at::BUFFER)?, see(state, at::OTHER_BUFFER)?],
        sender,
        ended: ["never"; 10],
    })
}

/// Maps a buffer of a device and writes to it.
fn see(state: &Prober, at: usize) -> Result<Window, Refusal> {
    let buffer: DmaBuffer = held(state, at)?;
    let memory = buffer.window(WindowAccess::ReadWrite)?.memory;
    let window = Window::map(memory, BUFFER * PAGE, Access::ReadWrite)?;
    window.write((BUFFER - 1) * PAGE, b"seen")?;
    Ok(window)
}

/// What came of receiving with a right that was lent on.
fn report_rights(working: &mut Working, state: &Prober, soon: u64) -> Result<(), Refusal> {
    let ended = working.ended;
    let lent_on: Endpoint = held(state, at::LENT_ON)?;
    let again = working.ring.receive(lent_on.object(), 7);
    working.ring.submit();
    working.ring.wait(1, soon + 1);
    let refused = working.ring.completed().and_then(|done| done.refused());
    fact!(
        "end.rights",
        lent_on = ended[7],
        again = again.err().or(refused).map_or("ok", Refusal::name),
        lent_back = ended[8],
        own = ended[9]
    );
    Ok(())
}

/// What came of everything but devices.
fn report(kit: &Kit, working: &mut Working, state: &Prober) -> Result<(), Refusal> {
    let soon = kit.after_ms(200)?;
    working.ring.wait(7, soon);
    while let Some(completion) = working.ring.completed() {
        if let Some(one) = working.ended.get_mut(completion.user() as usize) {
            *one = completion.refused().map_or("ok", Refusal::name);
        }
    }
    let ended = working.ended;
    let mut read = [1; 4];
    working.window.read((MADE - 1) * PAGE, &mut read)?;
    let memory: MemoryObject = held(state, at::MEMORY)?;
    let narrow: MemoryObject = held(state, at::READ_ONLY)?;
    fact!(
        "end.memory",
        reads_zeros = read == [0; 4],
        map = outcome(&memory.map(0, PAGE, 1)),
        info = outcome(&memory.info()),
        narrower = outcome(&memory.read_only()),
        read_only = outcome(&narrow.info())
    );
    let endpoint: Endpoint = held(state, at::ENDPOINT)?;
    report_rights(working, state, soon)?;
    let probe = |at| held::<Probe>(state, at);
    let words = |at| probe(at).and_then(|probe| probe.with_deadline(soon + 1).words(1, 2));
    fact!(
        "end.endpoints",
        received = ended[1],
        receive = ended[2],
        called = ended[3],
        renew = outcome(&endpoint.renew()),
        mint = outcome(&mint(&endpoint, 1, Lifetime::Durable)),
        own = outcome(&words(at::OWN)),
        lent = outcome(&words(at::LENT)),
        passing = outcome(&words(at::PASSING)),
        strangers = outcome(&words(at::STRANGERS))
    );
    let bell: Bell = held(state, at::BELL)?;
    let ringer: BellRinger = held(state, at::RINGER)?;
    let thread: thread_handle::Client<Cap> = held(state, at::THREAD)?;
    let orphan: ProcessHandle = held(state, at::ORPHAN)?;
    fact!(
        "end.others",
        waited = ended[4],
        bell = outcome(&bell.ring(1)),
        ringer = outcome(&ringer.ring(1)),
        joined = ended[5],
        join = outcome(&thread.join()),
        process = outcome(&orphan.info())
    );
    Ok(())
}

/// What came of the maker's claim, and of what it had of the keeper's.
fn report_devices(working: &Working, state: &Prober, own: &Device) -> Result<(), Refusal> {
    let device: Device = held(state, at::DEVICE)?;
    let registers: DeviceMmio = held(state, at::REGISTERS)?;
    let source: Interrupt = held(state, at::INTERRUPT)?;
    let queue: DeviceQueue = held(state, at::QUEUE)?;
    let info = |pool: usize, buffer: usize| {
        let pool: DmaPool = held(state, pool)?;
        let buffer: DmaBuffer = held(state, buffer)?;
        Ok::<_, Refusal>((outcome(&pool.info()), outcome(&buffer.info())))
    };
    let zeros = |window: &Window| {
        let mut read = [1; 4];
        let done = window.read((BUFFER - 1) * PAGE, &mut read);
        done.is_ok() && read == [0; 4]
    };
    let (pool, buffer) = info(at::POOL, at::BUFFER)?;
    fact!(
        "end.claim",
        device = outcome(&device.info()),
        registers = outcome(&registers.info()),
        interrupt = outcome(&source.info()),
        waited = working.ended[6],
        queue = outcome(&queue.info()),
        pool = pool,
        buffer = buffer,
        reads_zeros = zeros(&working.seen[0])
    );
    let (pool, buffer) = info(at::OTHER_POOL, at::OTHER_BUFFER)?;
    fact!(
        "end.derived",
        device = outcome(&own.info()),
        pool = pool,
        buffer = buffer,
        reads_zeros = zeros(&working.seen[1])
    );
    Ok(())
}
