//! After a thousand rounds of everything, is every byte back, and everything else that an account counts?
//!
//! A round takes something of whatever there is to be taken, in this program, and in a child that ends by itself, that is
//! killed in the middle of it, that faults at once, or that is never made. Invariant: it counts only at quiet moments, by
//! what the interfaces say.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::string::ToString;
use sdk::alloc::vec::Vec;
use sdk::process::process_spawner::Limits;
use sdk::process::{bell, timer, virtual_memory};
use sdk::schema::smoke::probe;
use sdk::{
    Cap, CapArg, Device, DeviceRegistry, Endpoint, EndpointFactory, Env, Error, Interface, Layout,
    Lifetime, MachineInspector, NEVER, Object, Refusal, Ring, ThreadOptions, ThreadSpawner, Timer,
    Window, WindowAccess, fact, spawn_thread,
};
use smoke::accounts::{child, free_differs, kit_of, measure};
use smoke::{Kit, Probe, give, image, mint, probe_at, role, wait_until};

sdk::entry!(main);

type VirtualMemory = virtual_memory::Client<Cap>;

const PAGE: u64 = 4096;
/// Rounds that are counted, and how often the sums are compared on the way.
const ROUNDS: u32 = 1000;
const COUNTED: u32 = 250;
/// Rounds before that: whatever is kept for later is there then.
const WARM_UP: u32 = 80;
/// Children there are at once before that. The kernel's lists of processes and of who sleeps keep the room for as many as
/// there have ever been, and how many of those that ended are still in them when the next one starts differs from run to run.
const CROWD: usize = 24;
/// Rounds with one claim on the device.
const CLAIM: u32 = 20;
/// Of an image in memory.
const IMAGE_BYTES: u64 = 3 * PAGE;
/// The one queue of the device: its kind, its depth, and no source of interrupts.
const QUEUE: (u16, u16, u16) = (0, 1, 0xffff);

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("rounds") => rounds(env),
        Some("once") => Taker::new(env)?.take(1),
        Some("forever") => forever(env),
        Some("sleeps") => Ok(env.get::<Timer>("timer")?.sleep(NEVER)?),
        _ => ask(env),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "account-rounds")?;
    crowd(&kit)?;
    conduct(env, &kit, (0, WARM_UP))?;
    let held = held(env)?;
    let (before, first) = measure(&kit)?;
    let (mut differences, mut after) = (0, before);
    let mut free = free_differs(&kit)?.unsigned_abs();
    for from in (0..ROUNDS).step_by(COUNTED as usize) {
        let (began, used) = (kit.timer.now()?.ns, used(env, &kit)?);
        conduct(env, &kit, (from, COUNTED))?;
        let took = kit.timer.now()?.ns - began;
        let worked = self::used(env, &kit)? - used;
        let (lost, difference) = measure(&kit)?;
        differences += difference.unsigned_abs();
        free += free_differs(&kit)?.unsigned_abs();
        fact!("rounds.on-the-way", rounds = from + COUNTED, kept_bytes ~ lost as i64 - before as i64, took_ms ~ took / 1_000_000, cpu_ms ~ worked / 1_000_000);
        after = lost;
    }
    fact!(
        "rounds.sum",
        rounds = ROUNDS,
        difference_before = first,
        differences = differences,
        free_differs_kib = free,
        kept = after > before,
        kept_bytes ~ after as i64 - before as i64
    );
    fact!(
        "rounds.counts",
        back = self::held(env)? == held,
        lent_bytes = kit.info.memory()?.lent
    );
    Ok(())
}

/// Processor time of this program and of those that it started and that have ended.
fn used(env: &Env, kit: &Kit) -> Result<u64, Error> {
    let id = env.process();
    let used = kit.info.processes(id, |results| {
        let list = results.list()?;
        let me = list.iter().find(|process| process.id() == id);
        let me = me.ok_or(Refusal::NotFound)?;
        Ok::<_, Refusal>(me.cpu_ns() + me.cpu_below_ns())
    })?;
    Ok(used?)
}

/// As many processes at once as never after.
fn crowd(kit: &Kit) -> Result<(), Error> {
    let mut all = Vec::new();
    for _ in 0..CROWD {
        all.push(kit.start_within("sleeps", &child(128, 64), &[], &kit_of(kit))?);
    }
    kit.pause_ms(20)?;
    for one in &all {
        one.kill()?;
        kit.ended(one)?;
    }
    Ok(())
}

/// Has a child make rounds, which ends then with all that it has.
fn conduct(env: &Env, kit: &Kit, (from, count): (u32, u32)) -> Result<(), Error> {
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let console: sdk::Console = env.get("console")?;
    let inspector: MachineInspector = env.get("machineInspector")?;
    let mut given = kit_of(kit);
    given.extend([
        give("deviceRegistry", &registry),
        give("console", &console),
        give("machineInspector", &inspector),
    ]);
    let words = [from.to_string(), count.to_string()];
    let words = [words[0].as_str(), words[1].as_str()];
    let limits = Limits {
        threads: 32,
        endpoints: 32,
        facets: 200,
        ..child(8192, 4096)
    };
    let conductor = kit.start_within("rounds", &limits, &words, &given)?;
    let ended = kit.ended(&conductor)?;
    if ended.kind != "exited" || ended.code != 0 {
        fact!(
            "rounds.broken",
            ended = ended.kind,
            text = ended.text.as_str()
        );
        return Err(Refusal::Failed.into());
    }
    // This waits for the end of its claim, and for that of its own.
    drop(registry.claim("edu", 0)?);
    drop(registry.claim("edu", 0)?);
    Ok(())
}

/// What of each kind but memory this program holds.
fn held(env: &Env) -> Result<[u32; 4], Error> {
    let id = env.process();
    let inspector: MachineInspector = env.get("machineInspector")?;
    let held = inspector.charges(id, |results| {
        let list = results.list()?;
        let mine = list.iter().find(|charge| charge.id() == id);
        let mine = mine.ok_or(Refusal::NotFound)?;
        Ok::<_, Refusal>([
            mine.handles(),
            mine.threads(),
            mine.endpoints(),
            mine.facets(),
        ])
    })?;
    Ok(held?)
}

fn rounds(env: &Env) -> Result<(), Error> {
    let mut rounds = Rounds::new(env)?;
    let before = held(env)?;
    let word = |at| env.arguments().nth(at).and_then(|word| word.parse().ok());
    let (from, count): (u32, u32) = word(1).zip(word(2)).ok_or(Refusal::BadArgument)?;
    (from..from + count).try_for_each(|n| rounds.round(n))?;
    // What this process itself took it has given back: its end gives back whatever it kept, and would hide that.
    rounds.device = None;
    // A thread that was joined has ended; on the other processor it may not have left yet.
    wait_until(&rounds.kit, || held(env).is_ok_and(|now| now == before));
    let after = held(env)?;
    if after != before {
        fact!(
            "rounds.kept",
            handles = i64::from(after[0]) - i64::from(before[0]),
            threads = i64::from(after[1]) - i64::from(before[1]),
            endpoints = i64::from(after[2]) - i64::from(before[2]),
            facets = i64::from(after[3]) - i64::from(before[3])
        );
        return Err(Refusal::Failed.into());
    }
    Ok(())
}

/// What the rounds are made with.
struct Rounds {
    kit: Kit,
    taker: Taker,
    registry: DeviceRegistry,
    image: Window,
    device: Option<Device>,
}

impl Rounds {
    fn new(env: &Env) -> Result<Self, Error> {
        let vm: VirtualMemory = env.get("vm")?;
        Ok(Self {
            kit: Kit::new(env, "account-rounds")?,
            taker: Taker::new(env)?,
            registry: env.get("deviceRegistry")?,
            image: image::make(&vm, IMAGE_BYTES)?,
            device: None,
        })
    }

    fn round(&mut self, n: u32) -> Result<(), Error> {
        if n.is_multiple_of(CLAIM) {
            // The claim waits until the teardown of the one before is over.
            self.device = None;
            self.device = Some(claim(&self.registry)?);
        }
        if let Some(device) = &self.device {
            of_device(device, &self.taker.vm, n)?;
        }
        self.taker.take(n)?;
        match n % 4 {
            0 => self.child(&["once"], None),
            1 => self.child(&["forever"], Some(u64::from(n * 7 % 9))),
            2 => self.faults(),
            _ => self.refused(n),
        }
    }

    /// A child that ends by itself, or is killed after so many milliseconds.
    fn child(&self, words: &[&str], killed_after_ms: Option<u64>) -> Result<(), Error> {
        let kit = &self.kit;
        let endpoint = kit.endpoints.create()?.endpoint;
        let mut given = kit_of(kit);
        given.push(give("endpoint", &endpoint));
        let role = words.first().copied().unwrap_or_default();
        let child = kit.start_within(role, &child(1000, 300), &[], &given)?;
        if let Some(ms) = killed_after_ms {
            kit.pause_ms(ms)?;
            child.kill()?;
        }
        let ended = kit.ended(&child)?;
        let expected = if killed_after_ms.is_some() {
            "killed"
        } else {
            "exited"
        };
        if ended.kind == expected && ended.code <= 0 {
            Ok(())
        } else {
            fact!(
                "rounds.child",
                role = role,
                ended = ended.kind,
                text = ended.text.as_str()
            );
            Err(Refusal::Failed.into())
        }
    }

    /// A child from memory, whose first instruction is no good one.
    fn faults(&self) -> Result<(), Error> {
        let image = CapArg::copy(self.image.memory().object().handle());
        let limits = child(200, 64);
        let started =
            self.kit
                .spawner
                .spawn_memory("faults", image, IMAGE_BYTES, &[], &limits, &[], &[])?;
        self.kit.ended(&started.process).map(drop)?;
        Ok(())
    }

    /// A child that gets too little to begin with: how far it comes differs from round to round.
    fn refused(&self, n: u32) -> Result<(), Error> {
        let limits = Limits {
            memory_pages: 1 + n / 4 % 90,
            ..child(1, 64)
        };
        let started = self
            .kit
            .start_within("once", &limits, &[], &kit_of(&self.kit));
        if let Ok(started) = started {
            started.kill()?;
            self.kit.ended(&started)?;
        }
        Ok(())
    }
}

fn claim(registry: &DeviceRegistry) -> Result<Device, Refusal> {
    let device = registry.claim("edu", 0)?.device;
    device.reset()?;
    device.configure()?;
    device.enable()?;
    Ok(device)
}

/// Memory of a device in pieces and in runs, mapped in more than one way, a queue, an interrupt, registers.
fn of_device(device: &Device, vm: &VirtualMemory, n: u32) -> Result<(), Error> {
    let pool = device.pool(1 << 20)?.pool;
    let pieces = pool.allocate(5 * PAGE, Layout::Scattered)?.buffer;
    let run = pool.allocate(3 * PAGE, Layout::Contiguous)?.buffer;
    let window = pieces.window(WindowAccess::ReadWrite)?.memory;
    let mapped = [
        (window.map(PAGE, 2 * PAGE, 3)?.address, 2 * PAGE),
        (window.map(0, PAGE, 1)?.address, PAGE),
        (pieces.map(1)?.address, 5 * PAGE),
    ];
    run.map(3)?;
    run.unmap()?;
    if n.is_multiple_of(2) {
        pieces.unmap()?;
        pieces.free()?;
    } else {
        // What is mapped of it is this program's own then.
        pieces.free()?;
        for (address, bytes) in mapped {
            vm.unmap(address, bytes)?;
        }
    }
    if n % CLAIM == 1 {
        let (kind, depth, source) = QUEUE;
        let queue = device.queue(kind, 0, depth, source)?.queue;
        queue.info()?;
        // Its page, the places and the kernel's end of it, which all go with the queue or the claim.
        let page = queue.ring()?.memory;
        page.info()?;
        queue.bind(run.object().handle())?;
        let interrupt = device.interrupt(0)?.interrupt;
        interrupt.unmask()?;
        interrupt.mask()?;
        let mmio = device.mmio(0)?.mmio;
        mmio.read(0, 4)?;
    }
    Ok(())
}

/// Takes something of everything that needs no device and no child, and gives it back or leaves it to the end.
struct Taker {
    vm: VirtualMemory,
    endpoints: EndpointFactory,
    threads: ThreadSpawner,
    timer: Timer,
    ring: Ring,
}

impl Taker {
    fn new(env: &Env) -> Result<Self, Error> {
        Ok(Self {
            vm: env.get("vm")?,
            endpoints: env.get("endpointFactory")?,
            threads: env.get("threads")?,
            timer: env.get("timer")?,
            ring: Ring::new(16, 256)?,
        })
    }

    fn take(&mut self, n: u32) -> Result<(), Error> {
        self.memory(n)?;
        let endpoint = self.endpoints.create()?.endpoint;
        self.facets(&endpoint, n)?;
        self.operations(&endpoint)?;
        self.thread(n)
    }

    fn memory(&self, n: u32) -> Result<(), Refusal> {
        let vm = &self.vm;
        let own = vm.map(9 * PAGE, 3)?.address;
        vm.protect(own + PAGE, 2 * PAGE, 1)?;
        vm.unmap(own + 4 * PAGE, PAGE)?;
        vm.unmap(own, 4 * PAGE)?;
        vm.unmap(own + 5 * PAGE, 4 * PAGE)?;
        let shared = vm.create_memory(3 * PAGE)?.memory;
        let first = shared.map(0, 3 * PAGE, 3)?.address;
        let second = shared.map(PAGE, PAGE, 1)?.address;
        let narrow = shared.read_only()?.memory;
        let third = narrow.map(0, PAGE, 1)?.address;
        if n.is_multiple_of(2) {
            shared.revoke()?;
            vm.unmap(first, 3 * PAGE)?;
        } else {
            shared.unmap(first)?;
        }
        vm.unmap(second, PAGE)?;
        vm.unmap(third, PAGE)
    }

    /// Facets that are dropped, revoked, made stale, or end with their endpoint.
    fn facets(&self, endpoint: &Endpoint, n: u32) -> Result<(), Refusal> {
        let mut facets = Vec::new();
        for cookie in 0..6 {
            let lifetime = if cookie % 2 == 0 {
                Lifetime::Durable
            } else {
                Lifetime::Incarnation
            };
            facets.push(mint(endpoint, cookie, lifetime)?);
        }
        // What is lent, and lent on, with a facet of each.
        let lent = endpoint.lend(2)?.endpoint;
        let lent_on = lent.lend(1)?.endpoint;
        facets.push(mint(&lent, 6, Lifetime::Durable)?);
        facets.push(mint(&lent_on, 7, Lifetime::Incarnation)?);
        endpoint.revoke_facet(CapArg::copy(facets[0].object().handle()))?;
        facets.truncate(4);
        if n.is_multiple_of(3) {
            endpoint.renew()?;
        }
        Ok(())
    }

    /// Operations of the ring that end, that are cancelled, that time out; bells.
    fn operations(&mut self, endpoint: &Endpoint) -> Result<(), Refusal> {
        let now = self.timer.now()?.ns;
        let bell = self.threads.bell()?.bell;
        let ringer = bell.narrow(0b11)?.ringer;
        let facet = endpoint.mint(9, Probe::INTERFACE_ID, Lifetime::Durable)?;
        let unheard = probe_at(facet.facet);
        let ring = &mut self.ring;
        for (user, until_ns) in [(0, now + 20_000), (1, NEVER)] {
            let until = timer::SleepParams { until_ns };
            ring.call::<timer::call::Sleep>(self.timer.object(), until, user, NEVER)?;
        }
        for (user, mask) in [(2, 1), (3, 1 << 40)] {
            let mask = bell::WaitParams { mask };
            ring.call::<bell::call::Wait>(bell.object(), mask, user, NEVER)?;
        }
        let words = probe::WordsParams { a: 1, b: 2 };
        ring.call::<probe::call::Words>(unheard.object(), words, 4, now + 30_000)?;
        ring.call::<probe::call::Words>(unheard.object(), words, 5, NEVER)?;
        ring.submit();
        ringer.ring(0b11)?;
        for user in [1, 3, 5] {
            ring.cancel(user);
        }
        ring.wait(6, NEVER);
        while ring.completed().is_some() {}
        bell.silence()?;
        drop(unheard);
        // The notices of the facets that are gone come first, however many they are.
        for user in 8..12 {
            ring.receive(endpoint.object(), user)?;
        }
        ring.submit();
        for user in 8..12 {
            ring.cancel(user);
        }
        ring.wait(4, NEVER);
        while ring.completed().is_some() {}
        Ok(())
    }

    fn thread(&self, n: u32) -> Result<(), Error> {
        let timer = self.timer.object().handle();
        let until = self.timer.now()?.ns + u64::from(n % 5) * 10_000;
        let thread = spawn_thread(ThreadOptions::default(), move || {
            Timer::from_object(Cap::borrowed(timer)).sleep(until)
        })?;
        Ok(thread.join()??)
    }
}

/// Takes on two threads until it is killed, wherever that meets it.
fn forever(env: &Env) -> Result<(), Error> {
    let mut taker = Taker::new(env)?;
    let other = Taker::new(env)?;
    let (vm, endpoints) = (
        other.vm.object().handle(),
        other.endpoints.object().handle(),
    );
    let second = spawn_thread(ThreadOptions::default(), move || -> Result<(), Refusal> {
        let vm = VirtualMemory::from_object(Cap::borrowed(vm));
        let endpoints = EndpointFactory::from_object(Cap::borrowed(endpoints));
        loop {
            let memory = vm.create_memory(2 * PAGE)?.memory;
            let address = memory.map(0, 2 * PAGE, 3)?.address;
            let endpoint = endpoints.create()?.endpoint;
            let _facet = mint(&endpoint, 1, Lifetime::Durable)?;
            memory.revoke()?;
            vm.unmap(address, 2 * PAGE)?;
        }
    })?;
    core::mem::forget(second);
    for n in 0.. {
        taker.take(n)?;
    }
    Ok(())
}
