//! Memory, mappings, vectors, time.
#![allow(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use audit_format::Event;
use device_manager::{
    Access, FrameRun, Layout, Line, Mapping, Message, Platform, Raiser, Refusal, Waiter, Waiters,
};
use dma_ledger::{Claim, OwnerId, QueueId, ShootdownProof};
use driver_core::{Addressing, DeviceAddress, PageAddresses, Ports, Registers};
use mmio::{PortBus, SharedBytes};
use units::Bdf;

use super::entries::Entries;
use super::looks::{Act, Looks};
use super::reach::FakeReach;

const PAGE: usize = 4096;
/// CPUs of the machine.
pub const CPUS: u16 = 3;

#[derive(Default)]
struct State {
    now_ns: u64,
    timers: BTreeMap<u32, u64>,
    /// Pages handed out and not given back.
    pages: u64,
    limit: Option<u64>,
    /// What is said beyond it, if not that there is no memory.
    short: Option<Refusal>,
    next_page: u64,
    vectors: BTreeSet<(u16, u8)>,
    /// Retired, and not settled yet.
    dying: BTreeSet<(u16, u8)>,
    /// Where pins arrive, and which lines are open.
    line: Option<u32>,
    open_lines: BTreeSet<u32>,
    line_timers: BTreeMap<u32, u64>,
    facts: String,
    audited: Vec<Event>,
    /// Register memory, by physical page.
    registers: BTreeMap<u64, usize>,
    mappings: Vec<FakeMapping>,
    scrubbed: u64,
    brokers_at_last_free: u32,
    reaches: Vec<FakeReach>,
    below_unit: bool,
    entries: Entries,
}

#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<State>>, pub Looks, pub Looks);

/// Frames on the host's heap.
pub struct FakeFrames {
    addresses: PageAddresses,
    memory: *mut u64,
    words: usize,
    contiguous: bool,
    freed: bool,
    /// The device has a translation to it, until that ends or its whole domain does.
    pub(super) mapped: AtomicBool,
    pub(super) domain: Option<FakeReach>,
}

// SAFETY: the memory is leaked, and reached only through the views.
unsafe impl Send for FakeFrames {}

impl fmt::Debug for FakeFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pages", self.addresses.len())
    }
}

impl FakeFrames {
    fn bytes(&self) -> SharedBytes {
        // SAFETY: leaked, 8-byte aligned, never referenced.
        unsafe { SharedBytes::new(self.memory.cast(), self.words * 8) }
    }
}

impl FrameRun for FakeFrames {
    fn pages(&self) -> &PageAddresses {
        &self.addresses
    }

    fn view(&self) -> Option<SharedBytes> {
        self.contiguous.then(|| self.bytes())
    }
}

/// An object that processes map: it counts revocations, and who could still write through it.
#[derive(Clone)]
pub struct FakeMapping {
    pub revocations: Arc<AtomicU32>,
    pub writable: bool,
    memory: Option<SharedBytes>,
    /// What another CPU does while this one waits for the shootdown.
    meanwhile: Arc<Mutex<Option<Act>>>,
    /// Whether the first of the two steps of a revocation is over.
    begun: Arc<AtomicBool>,
}

pub struct FakeProof;
impl ShootdownProof for FakeProof {}

impl Mapping for FakeMapping {
    type Proof = FakeProof;

    fn revoke(&self) -> FakeProof {
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(act) = meanwhile {
            act();
        }
        self.revocations.fetch_add(1, Ordering::SeqCst);
        FakeProof
    }

    fn revoke_some(&self) -> Option<FakeProof> {
        let begun = self.begun.swap(true, Ordering::SeqCst);
        begun.then(|| self.revoke())
    }
}

impl FakeMapping {
    pub fn is_revoked(&self) -> bool {
        self.revocations.load(Ordering::SeqCst) > 0
    }

    /// What a process that maps it does.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(self.writable && !self.is_revoked());
        self.memory.unwrap().write(offset, bytes).unwrap();
    }

    pub fn meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Box::new(act));
    }

    pub fn read(&self, offset: usize) -> u8 {
        let mut byte = [0];
        self.memory.unwrap().read(offset, &mut byte).unwrap();
        byte[0]
    }
}

/// One call that waits, as its caller sees it.
pub struct Ticket<T> {
    answers: Arc<Mutex<Vec<Result<T, Refusal>>>>,
    live: Arc<AtomicBool>,
    /// The caller goes away between the look and the answer.
    deaf: Arc<AtomicBool>,
}

pub struct FakeWaiter<T>(Ticket<T>);

impl<T> Clone for Ticket<T> {
    fn clone(&self) -> Self {
        Self {
            answers: self.answers.clone(),
            live: self.live.clone(),
            deaf: self.deaf.clone(),
        }
    }
}

impl<T: Copy> Ticket<T> {
    pub fn new() -> Self {
        Self {
            answers: Arc::default(),
            live: Arc::new(AtomicBool::new(true)),
            deaf: Arc::default(),
        }
    }

    pub fn waiter(&self) -> FakeWaiter<T> {
        FakeWaiter(self.clone())
    }

    /// The answer; there is never a second one.
    pub fn answer(&self) -> Option<Result<T, Refusal>> {
        let answers = self.answers.lock().unwrap();
        assert!(answers.len() <= 1, "answered twice");
        answers.first().copied()
    }

    pub fn go(&self) {
        self.live.store(false, Ordering::SeqCst);
    }

    pub fn go_deaf(&self) {
        self.deaf.store(true, Ordering::SeqCst);
    }
}

impl<T: Copy + Send> Waiter<T> for FakeWaiter<T> {
    fn is_live(&self) -> bool {
        self.0.live.load(Ordering::SeqCst)
    }

    fn answer(self, outcome: Result<T, Refusal>) -> bool {
        if !self.is_live() || self.0.deaf.load(Ordering::SeqCst) {
            return false;
        }
        self.0.answers.lock().unwrap().push(outcome);
        true
    }
}

impl Fake {
    pub fn now(&self) -> u64 {
        self.0.lock().unwrap().now_ns
    }

    pub fn advance_to(&self, at_ns: u64) {
        let mut state = self.0.lock().unwrap();
        state.now_ns = state.now_ns.max(at_ns);
    }

    /// Takes the timer that fires next.
    pub fn next_timer(&self) -> Option<(u32, u64)> {
        let mut state = self.0.lock().unwrap();
        let next = state.timers.iter().min_by_key(|(_, at)| **at)?;
        let next = (*next.0, *next.1);
        state.timers.remove(&next.0);
        Some(next)
    }

    pub fn brokers_at_last_free(&self) -> u32 {
        self.0.lock().unwrap().brokers_at_last_free
    }

    pub fn pages(&self) -> u64 {
        self.0.lock().unwrap().pages
    }

    pub fn limit_pages(&self, limit: u64) {
        self.0.lock().unwrap().limit = Some(limit);
    }

    /// What is said from here on beyond the limit of pages.
    pub fn refuse_with(&self, refusal: Refusal) {
        self.0.lock().unwrap().short = Some(refusal);
    }

    /// From here on every function lies below a unit.
    pub fn put_below_unit(&self) {
        self.0.lock().unwrap().below_unit = true;
    }

    /// The domain of the last claim.
    pub fn reach(&self) -> FakeReach {
        self.0.lock().unwrap().reaches.last().unwrap().clone()
    }

    /// From here on messages name entries of a unit.
    pub fn remap_interrupts(&self) {
        self.0.lock().unwrap().entries.remaps = true;
    }

    /// From here on that unit does not answer.
    pub fn silence_unit(&self) {
        self.0.lock().unwrap().entries.deaf = true;
    }

    /// Where each entry leads.
    pub fn entries(&self) -> Vec<(u16, (u16, u8))> {
        let state = self.0.lock().unwrap();
        state
            .entries
            .led
            .iter()
            .map(|(at, to)| (*at, *to))
            .collect()
    }

    /// CPU and vector of each source, in the order of vectors.
    pub fn vectors(&self) -> Vec<(u16, u8)> {
        self.0.lock().unwrap().vectors.iter().copied().collect()
    }

    /// Takes the vectors that wait to be settled.
    pub fn take_dying(&self) -> Vec<(u16, u8)> {
        std::mem::take(&mut self.0.lock().unwrap().dying)
            .into_iter()
            .collect()
    }

    /// From here on every pin arrives at this line.
    pub fn wire_pins(&self, gsi: u32) {
        self.0.lock().unwrap().line = Some(gsi);
    }

    pub fn is_open(&self, gsi: u32) -> bool {
        self.0.lock().unwrap().open_lines.contains(&gsi)
    }

    /// Takes the timer of a line.
    pub fn take_line_timer(&self, line: u32) -> Option<u64> {
        self.0.lock().unwrap().line_timers.remove(&line)
    }

    /// Takes what was recorded so far.
    pub fn audited(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap().audited)
    }

    pub fn facts(&self) -> String {
        self.0.lock().unwrap().facts.clone()
    }

    pub fn clear_facts(&self) {
        self.0.lock().unwrap().facts.clear();
    }

    /// A register of the device, as the hardware sees it.
    pub fn register(&self, physical: u64) -> u32 {
        let registers = self.registers(physical & !0xfff, PAGE as u64).unwrap();
        registers.read32((physical & 0xfff) as usize).unwrap()
    }

    /// How many objects nothing maps any more.
    pub fn revoked(&self) -> usize {
        let state = self.0.lock().unwrap();
        let revoked = state.mappings.iter().filter(|one| one.is_revoked());
        revoked.count()
    }

    pub fn all_revoked(&self) -> bool {
        self.0
            .lock()
            .unwrap()
            .mappings
            .iter()
            .all(FakeMapping::is_revoked)
    }

    pub fn mappings(&self) -> usize {
        self.0.lock().unwrap().mappings.len()
    }

    fn map(&self, memory: Option<SharedBytes>, access: Access) -> FakeMapping {
        let mapping = FakeMapping {
            revocations: Arc::default(),
            writable: access == Access::ReadWrite,
            memory,
            meanwhile: Arc::default(),
            begun: Arc::default(),
        };
        self.0.lock().unwrap().mappings.push(mapping.clone());
        mapping
    }
}

/// Ports that read as their own numbers.
struct PortNumbers;

impl PortBus for PortNumbers {
    fn read8(&self, port: u16) -> u8 {
        port as u8
    }
    fn read16(&self, port: u16) -> u16 {
        port
    }
    fn read32(&self, port: u16) -> u32 {
        u32::from(port) | 0x5a5a_0000
    }
    fn write8(&self, port: u16, _: u8) {
        panic!("port {port:#x} written");
    }
    fn write16(&self, port: u16, _: u16) {
        panic!("port {port:#x} written");
    }
    fn write32(&self, port: u16, _: u32) {
        panic!("port {port:#x} written");
    }
}

/// Pages that one step wipes.
const SCRUBS: usize = 2;

impl Waiters for Fake {
    type Claiming = FakeWaiter<Claim>;
    type Acting = FakeWaiter<()>;
    type Opening = FakeWaiter<QueueId>;
    type Waiting = FakeWaiter<u64>;
}

impl Platform for Fake {
    type Frames = FakeFrames;
    type Mapping = FakeMapping;
    type Reach = FakeReach;

    fn audit(&self, event: Event) {
        self.0.lock().unwrap().audited.push(event);
    }

    fn allocate(&self, pages: u32, layout: Layout) -> Result<FakeFrames, Refusal> {
        let contiguous = layout == Layout::Contiguous;
        let mut state = self.0.lock().unwrap();
        let after = state.pages + u64::from(pages);
        if state.limit.is_some_and(|limit| after > limit) {
            return Err(state.short.unwrap_or(Refusal::NoMemory));
        }
        state.pages = after;
        let first = state.next_page;
        state.next_page += u64::from(pages) * 2;
        let step = if contiguous { 1 } else { 2 };
        let addresses = (0..u64::from(pages))
            .map(|page| DeviceAddress::new((0x100 + first + page * step) << 12));
        let addresses = PageAddresses::of(addresses).unwrap();
        let words = pages as usize * PAGE / 8;
        let memory = Box::leak(vec![0u64; words].into_boxed_slice()).as_mut_ptr();
        Ok(FakeFrames {
            addresses,
            memory,
            words,
            contiguous,
            freed: false,
            mapped: AtomicBool::new(false),
            domain: None,
        })
    }

    fn reach(&self, _: Bdf, _: (OwnerId, u64), _: Addressing) -> Result<FakeReach, Refusal> {
        let mut state = self.0.lock().unwrap();
        let reach = FakeReach::new(state.below_unit);
        state.reaches.push(reach.clone());
        Ok(reach)
    }

    fn scrub(&self, frames: &mut FakeFrames, from: usize) -> Option<usize> {
        let pages = frames.addresses.len();
        let to = (from + SCRUBS).min(pages);
        self.0.lock().unwrap().scrubbed += (to - from) as u64;
        frames
            .bytes()
            .zero(from * PAGE, (to - from) * PAGE)
            .unwrap();
        (to < pages).then_some(to)
    }

    fn look(&self) {
        self.1.look();
    }

    fn free(&self, mut frames: FakeFrames) -> Option<FakeFrames> {
        assert!(!std::mem::replace(&mut frames.freed, true));
        let mapped = frames.mapped.load(Ordering::SeqCst);
        let domain = frames.domain.as_ref();
        assert!(
            !mapped || domain.is_some_and(FakeReach::is_ended),
            "freed under a translation"
        );
        let mut all = vec![0; frames.words * 8];
        frames.bytes().read(0, &mut all).unwrap();
        assert!(all.iter().all(|byte| *byte == 0), "freed dirty");
        let mut state = self.0.lock().unwrap();
        state.pages -= frames.addresses.len() as u64;
        state.brokers_at_last_free = super::script().lock().unwrap().brokers;
        None
    }

    #[cfg(sabotage)]
    fn alias(&self, frames: &FakeFrames) -> Option<FakeFrames> {
        Some(FakeFrames {
            addresses: PageAddresses::of(frames.addresses.iter().copied()).unwrap(),
            mapped: AtomicBool::new(false),
            domain: None,
            ..*frames
        })
    }

    fn registers(&self, physical: u64, bytes: u64) -> Option<Registers> {
        let mut state = self.0.lock().unwrap();
        let block = physical & !0xf_ffff;
        let base = *state.registers.entry(block).or_insert_with(|| {
            Box::leak(vec![0u64; 0x10_0000 / 8].into_boxed_slice()).as_mut_ptr() as usize
        });
        let at = base + (physical - block) as usize;
        // SAFETY: leaked, and the range lies in one block of it.
        Some(unsafe { Registers::new(at as *mut u8, bytes as usize) })
    }

    fn ports(&self, first: u16, bytes: u16) -> Option<Ports> {
        Ports::over(&PortNumbers, first, bytes)
    }

    fn share(&self, frames: &FakeFrames, access: Access) -> Option<FakeMapping> {
        Some(self.map(Some(frames.bytes()), access))
    }

    fn share_registers(&self, physical: u64, pages: u32) -> Option<FakeMapping> {
        assert!(physical.is_multiple_of(PAGE as u64) && pages > 0);
        Some(self.map(None, Access::Read))
    }

    fn allocate_vector(&self, cpu: Option<u16>) -> Result<Message, Refusal> {
        let mut state = self.0.lock().unwrap();
        let cpu = cpu.unwrap_or(0);
        if cpu >= CPUS {
            return Err(Refusal::OutOfRange);
        }
        let vector = (0x30..0x40)
            .find(|vector| {
                let slot = (cpu, *vector);
                !state.vectors.contains(&slot) && !state.dying.contains(&slot)
            })
            .ok_or(Refusal::Exhausted)?;
        state.vectors.insert((cpu, vector));
        Ok(Message {
            cpu,
            vector,
            apic_id: u32::from(cpu),
            address: 0xfee0_0000 | u64::from(cpu) << 12,
            data: u32::from(vector),
            entry: None,
        })
    }

    fn admit(&self, raiser: Raiser, message: Message) -> Result<Message, Refusal> {
        self.0.lock().unwrap().entries.admit(raiser, message)
    }

    fn redirect(&self, from: &mut Message, to: Message) -> Result<Message, Refusal> {
        self.0.lock().unwrap().entries.redirect(from, to)
    }

    fn hold_line(&self, gsi: u32) -> bool {
        self.0.lock().unwrap().open_lines.remove(&gsi);
        true
    }

    fn retire_vector(&self, message: &Message) {
        let Message { cpu, vector, .. } = *message;
        let mut state = self.0.lock().unwrap();
        if !state.entries.end(message) {
            return;
        }
        assert!(state.vectors.remove(&(cpu, vector)));
        assert!(state.dying.insert((cpu, vector)));
    }

    fn line_of(&self, _: Bdf, pin: u8) -> Option<Line> {
        assert!((1..=4).contains(&pin));
        let gsi = self.0.lock().unwrap().line?;
        Some(Line {
            gsi,
            level: true,
            active_low: true,
        })
    }

    fn route_line(&self, line: &Line, _: &Message) -> bool {
        self.0.lock().unwrap().open_lines.remove(&line.gsi);
        true
    }

    fn mask_line(&self, gsi: u32) {
        self.0.lock().unwrap().open_lines.remove(&gsi);
    }

    fn unmask_line(&self, gsi: u32) {
        self.0.lock().unwrap().open_lines.insert(gsi);
    }

    fn arm_line(&self, line: u32, at_ns: u64) {
        self.0.lock().unwrap().line_timers.insert(line, at_ns);
    }

    fn now_ns(&self) -> u64 {
        self.now()
    }

    fn arm(&self, function: u32, at_ns: u64) {
        let mut state = self.0.lock().unwrap();
        let timer = state.timers.entry(function).or_insert(at_ns);
        *timer = at_ns.min(*timer);
    }

    fn evidence(&self, write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) {
        self.fact(write);
    }

    fn fact(&self, write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) {
        write(&mut self.0.lock().unwrap().facts).unwrap();
        self.2.look();
    }
}
