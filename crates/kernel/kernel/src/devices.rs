//! The machine below the device manager: frames, mappings, vectors, timers; and the one manager.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicPtr, Ordering};

use ::memory::{MemoryObject, PageList, Unmapped, Writes};
use apic::{PoolError, Slot};
use cpu::Lock;
use device_manager::{DeviceManager, Done, FrameRun, Line, Mapping, Message, Platform, Waiter};
use dma_ledger::{Claim, ShootdownProof};
use driver_core::{DeviceAddress, Ports, Registers};
use frames::{Frames, Grow, ShootdownReceipt, Use};
use ipc::Pending;
use mmio::SharedBytes;
use sabotage::sabotage;
use stub::Refusal;
use units::Bdf;

use crate::acpi::Machine;

/// The one manager of the machine.
pub type Manager = DeviceManager<Kernel>;

static MANAGER: AtomicPtr<Manager> = AtomicPtr::new(core::ptr::null_mut());

/// The manager, once [`initialise`] ran.
pub fn manager() -> &'static Manager {
    // SAFETY: `initialise` stored a leaked box, before any process could ask.
    match unsafe { MANAGER.load(Ordering::Acquire).as_ref() } {
        Some(manager) => manager,
        None => unreachable!("the device manager is made before the first process"),
    }
}

/// Frames for a device.
#[derive(Debug)]
pub struct Run {
    frames: Vec<Frames>,
    list: Arc<Addresses>,
    view: Option<SharedBytes>,
    /// An alias of another run, or aliased by one: never freed.
    #[cfg(sabotage)]
    shared: core::sync::atomic::AtomicBool,
}

/// Where the pages of a run are, for the device and for what maps them.
#[derive(Debug)]
struct Addresses(Vec<DeviceAddress>);

impl PageList for Addresses {
    fn count(&self) -> u64 {
        self.0.len() as u64
    }

    fn page(&self, at: u64) -> Option<u64> {
        let page = self.0.get(usize::try_from(at).ok()?)?;
        Some(page.bus())
    }
}

impl Run {
    #[expect(clippy::disallowed_methods, reason = "lent: one for each run of pages")]
    fn new(frames: Vec<Frames>, pages: Vec<DeviceAddress>, view: Option<SharedBytes>) -> Self {
        Self {
            frames,
            list: Arc::new(Addresses(pages)),
            view,
            #[cfg(sabotage)]
            shared: core::sync::atomic::AtomicBool::new(false),
        }
    }
}

impl FrameRun for Run {
    fn pages(&self) -> &[DeviceAddress] {
        &self.list.0
    }

    fn view(&self) -> Option<SharedBytes> {
        self.view
    }
}

/// Made from the ledger of mappings alone, when nothing maps the pages and nothing will.
pub struct Shot(Unmapped);

impl ShootdownProof for Shot {}

/// Something processes can map, over a device's pages.
#[derive(Clone, Debug)]
pub struct Window(Arc<MemoryObject>);

impl Window {
    /// The pages as an object.
    pub const fn object(&self) -> &Arc<MemoryObject> {
        &self.0
    }
}

impl Mapping for Window {
    type Proof = Shot;

    fn revoke(&self) -> Shot {
        sabotage!(KEEP_WINDOWS => return Shot(Unmapped::untrue()));
        // Returns when every region is unmapped and every CPU has answered the shootdown, whoever began the revocation.
        let shot = Shot(self.0.revoke());
        // Objects may be many, and each of them quickly done.
        let _ = sched::point();
        shot
    }
}

/// What a waiting call is told when its operation ends.
#[derive(Debug)]
pub enum Answer {
    /// `DeviceRegistry.claim`.
    Claim,
    /// `Device.reset`, `Device.enable`.
    Nothing,
    /// `Device.queue`.
    Queue(Claim),
    /// `Interrupt.wait`.
    Dispatch,
}

/// A call that waits.
#[derive(Debug)]
pub struct Call {
    /// The right to answer.
    pub pending: Pending,
    /// How.
    pub answer: Answer,
}

impl Waiter for Call {
    fn is_live(&self) -> bool {
        self.pending.is_live()
    }

    fn answer(self, outcome: Result<Done, Refusal>) -> bool {
        use crate::objects::device as objects;
        use schema::device::{device, device_registry, interrupt};
        let pending = self.pending;
        match (self.answer, outcome) {
            (_, Err(refusal)) => pending.try_refuse(refusal),
            (Answer::Claim, Ok(Done::Claimed(claim))) => {
                // Not taken: the object is dropped here and releases the claim.
                match paid_by_caller(&pending, || objects::device(claim)) {
                    Ok(device) => pending.try_respond(device_registry::ClaimReply { device }),
                    Err(refusal) => pending.try_refuse(refusal),
                }
            }
            (Answer::Nothing, Ok(Done::Finished)) => pending.try_respond(()),
            (Answer::Queue(claim), Ok(Done::Queue(queue))) => {
                match paid_by_caller(&pending, || objects::queue(claim, queue)) {
                    Ok(queue) => pending.try_respond(device::QueueReply { queue }),
                    Err(refusal) => pending.try_refuse(refusal),
                }
            }
            (Answer::Dispatch, Ok(Done::Dispatched(dispatches))) => {
                pending.try_respond(interrupt::WaitReply { dispatches })
            }
            (_, Ok(_)) => pending.try_refuse(Refusal::Failed),
        }
    }
}

/// Makes what a call is answered with at the cost of its caller, in whatever process or interrupt the answer comes.
fn paid_by_caller<R>(pending: &Pending, make: impl FnOnce() -> R) -> R {
    let caller = pending.caller();
    let _paying = caller.as_ref().map(|p| frames::paid_by(p.account()));
    make()
}

/// Pages of a buffer that are made, wiped or freed in one go.
const STEP_PAGES: usize = 8;
/// What is longer than this is a buffer, for which the manager holds no lock: more than a queue has.
const LOCKED_PAGES: u32 = 64;

/// The kernel, as the device manager sees it.
#[derive(Debug)]
pub struct Kernel;

impl Platform for Kernel {
    type Frames = Run;
    type Mapping = Window;
    type Waiter = Call;

    fn allocate(&self, pages: u32, contiguous: bool) -> Option<Run> {
        #[cfg(sabotage)]
        let _nobody = sabotage::sabotage!(DMA_FOR_NOTHING).then(frames::paid_by_nobody);
        let step = |done: usize| {
            if pages > LOCKED_PAGES && done.is_multiple_of(STEP_PAGES) {
                let _ = sched::point();
            }
        };
        let mut addresses = Vec::new();
        addresses.grow(pages as usize).ok()?;
        if contiguous {
            let order = pages.max(1).checked_next_power_of_two()?.trailing_zeros();
            let mut list = Vec::new();
            list.grow(1).ok()?;
            let mut wiped = 0;
            let run = frames::allocate_stepping(order as u8, Use::Buffer, || {
                wiped += 1;
                step(wiped);
            });
            let run = run.ok()?;
            let view = run.shared().slice(0, pages as usize * 4096).ok();
            for page in 0..u64::from(pages) {
                let _ = addresses.put(DeviceAddress::new(run.address() + page * 4096));
            }
            let _ = list.put(run);
            return Some(Run::new(list, addresses, view));
        }
        let mut list = Vec::new();
        list.grow(pages as usize).ok()?;
        let mut payment = frames::pay(u64::from(pages) * frames::FRAME_BYTES).ok()?;
        for _ in 0..pages {
            match frames::allocate_out_of(&mut payment, Use::Buffer) {
                Ok(frame) => {
                    let _ = addresses.put(DeviceAddress::new(frame.address()));
                    let _ = list.put(frame);
                }
                Err(_) => {
                    while let Some(frame) = list.pop() {
                        frame.free_unmapped();
                        step(list.len());
                    }
                    return None;
                }
            }
            step(list.len());
        }
        Some(Run::new(list, addresses, None))
    }

    fn keep_from_processes(&self, run: &Run) {
        for frames in &run.frames {
            frames.set_use(Use::Queue);
        }
    }

    fn scrub(&self, run: &mut Run, from: usize) -> Option<usize> {
        let to = run.list.0.len().min(from + STEP_PAGES);
        if let Some(view) = run.view {
            let _ = view.zero(from * 4096, (to - from) * 4096);
        } else {
            for frame in run.frames.get(from..to)? {
                let _ = frame.shared().zero(0, frame.bytes());
            }
        }
        (to < run.list.0.len()).then_some(to)
    }

    fn free(&self, mut run: Run) -> Option<Run> {
        // A run that is dropped stays out of the allocator.
        sabotage!(SHARE_WINDOW => if run.shared.load(Ordering::Relaxed) {
            return None;
        });
        if sabotage!(LEAK_FRAMES) {
            return None;
        }
        for _ in 0..STEP_PAGES {
            let frames = run.frames.pop()?;
            // SAFETY: the manager frees a run only after its mappings were revoked, with the proof the ledger asks for.
            frames.free_scrubbed(unsafe { ShootdownReceipt::after_shootdown() });
        }
        (!run.frames.is_empty()).then_some(run)
    }

    fn look(&self) {
        let _ = sched::point();
    }

    #[cfg(sabotage)]
    fn alias(&self, run: &Run) -> Option<Run> {
        run.shared.store(true, Ordering::Relaxed);
        let alias = Run::new(Vec::new(), run.list.0.clone(), run.view);
        alias.shared.store(true, Ordering::Relaxed);
        Some(alias)
    }

    fn registers(&self, physical: u64, bytes: u64) -> Option<Registers> {
        let base = paging::map_device(physical, bytes).ok()?;
        // SAFETY: mapped uncached, for good, for this many bytes.
        Some(unsafe { Registers::new(base, usize::try_from(bytes).ok()?) })
    }

    fn ports(&self, first: u16, bytes: u16) -> Option<Ports> {
        // SAFETY: the manager asks for the ports of an assigned BAR of a claimed function alone, and turns their decoding off
        // when the claim ends.
        unsafe { Ports::new(first, bytes) }
    }

    fn share(&self, run: &Run, writable: bool) -> Option<Window> {
        let list: Arc<dyn PageList> = run.list.clone();
        let writes = match writable {
            true => Writes::Allowed,
            false => Writes::Never,
        };
        MemoryObject::borrowed(list, writes).ok().map(Window)
    }

    fn share_registers(&self, physical: u64, pages: u32) -> Option<Window> {
        MemoryObject::registers(physical, pages).ok().map(Window)
    }

    fn allocate_vector(&self, cpu: Option<u16>) -> Result<Message, Refusal> {
        take_vector(cpu)
    }

    fn retire_vector(&self, cpu: u16, vector: u8) {
        retire_vector(cpu, vector);
    }

    fn line_of(&self, function: Bdf, pin: u8) -> Option<Line> {
        crate::lines::of_pin(function, pin)
    }

    fn route_line(&self, line: &Line, message: &Message) -> bool {
        crate::lines::route(line, message)
    }

    fn mask_line(&self, gsi: u32, masked: bool) {
        crate::lines::mask(gsi, masked);
    }

    fn arm_line(&self, line: u32, at_ns: u64) {
        sched::callback_at(
            at_ns,
            |line| manager().poll_line(line as u32),
            u64::from(line),
        );
    }

    fn now_ns(&self) -> u64 {
        sched::now_ns()
    }

    fn arm(&self, function: u32, at_ns: u64) {
        sched::callback_at(
            at_ns,
            |function| manager().poll(function as u32),
            u64::from(function),
        );
    }

    fn fact(&self, write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) {
        state(write);
    }

    fn audit(&self, event: audit_format::Event) {
        crate::audit::record(event);
    }
}

/// Takes a vector of this CPU, or of the least loaded one.
///
/// # Errors
/// `Exhausted`; `OutOfRange` for a CPU that no device can interrupt.
pub fn take_vector(cpu: Option<u16>) -> Result<Message, Refusal> {
    let routed = apic::allocate_vector(cpu).map_err(|error| match error {
        PoolError::Exhausted => Refusal::Exhausted,
        PoolError::NoSuchCpu | PoolError::WrongState => Refusal::OutOfRange,
    })?;
    Ok(Message {
        cpu: routed.slot.cpu,
        vector: routed.slot.vector,
        apic_id: routed.apic_id,
        address: routed.address,
        data: routed.data,
    })
}

/// Takes a vector away from its source; [`drain_vectors`] on its CPU frees it.
pub fn retire_vector(cpu: u16, vector: u8) {
    apic::retire_vector(Slot { cpu, vector });
}

/// Frees this CPU's dying vectors: their sources were told to stop, and what they had sent has arrived. Interrupts are
/// off, so a vector on which nothing is pending now is quiet for good. Returns whether one has to wait.
pub fn drain_vectors() -> bool {
    let cpu = cpu::index() as u16;
    let mut waits = false;
    for vector in apic::dying_vectors(cpu).iter() {
        if apic::is_requested(vector) {
            waits = true;
        } else {
            manager().vector_settled(cpu, vector);
            apic::settle_vector(Slot { cpu, vector });
        }
    }
    waits
}

/// States a fact that somebody else words.
pub fn state(write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) {
    let mut line = crate::log::Line::new();
    // What does not fit is cut, and whoever reads the line refuses it.
    let _ = write(&mut line);
    crate::log::fact(&line);
}

/// Maps registers for good.
pub fn map(physical: u64, bytes: u64) -> Option<*mut u8> {
    paging::map_device(physical, bytes).ok()
}

/// Looks at what is plugged in and takes away what firmware left running. Before reclaimable memory is handed out.
#[expect(clippy::disallowed_methods, reason = "boot: functions are found once")]
pub fn quiesce(machine: &Machine) -> (pci::Config, pci::Scanned) {
    let windows: Vec<_> = machine
        .ecam
        .iter()
        .map(|w| pci::Window {
            segment: w.segment,
            start_bus: w.start_bus,
            end_bus: w.end_bus,
            start: w.start().as_u64(),
        })
        .collect();
    let mut config = pci::Config::new(windows, map);
    let scanned = config.quiesce_all(&mut |write| state(write));
    (config, scanned)
}

static TOPOLOGY: Lock<Option<pci::Topology>> = Lock::new(None);

/// Runs `f` on what the boot scan learnt of buses and bridges.
#[allow(dead_code, reason = "the console's commands are its readers")]
pub fn with_topology<R>(f: impl FnOnce(&pci::Topology) -> R) -> Option<R> {
    TOPOLOGY.lock().as_ref().map(f)
}

/// Makes the manager.
#[expect(clippy::disallowed_methods, reason = "boot: the manager is made once")]
pub fn initialise(config: pci::Config, scanned: pci::Scanned) {
    let table = crate::drivers::table();
    let manager = DeviceManager::new(
        Kernel,
        Box::new(config),
        &scanned.functions,
        &table,
        device_manager::LIMITS,
    );
    if crate::boot::option("show").as_deref() == Some("pci") {
        show(&manager, &scanned.topology);
    }
    *TOPOLOGY.lock() = Some(scanned.topology);
    MANAGER.store(Box::leak(Box::new(manager)), Ordering::Release);
}

/// States every bridge and every function, one fact each: `show=pci` on the command line asks for it.
fn show(manager: &Manager, topology: &pci::Topology) {
    for bridge in &topology.bridges {
        state(&|sink| pci::write_bridge(sink, bridge));
    }
    manager.list(0, &mut |function| {
        state(&|sink| {
            pci::write_function(
                sink,
                function.info,
                function.bars,
                function.msix,
                function.reset,
            )
        });
        true
    });
}
