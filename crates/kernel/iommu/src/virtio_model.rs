//! A virtio-iommu in software, written by the specification alone: it reads requests as a device does, keeps its own map, and can be
//! told to misbehave. What devices reach through it is what the tests look at.

use std::boxed::Box;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::vec;
use std::vec::Vec;

use mmio::{RegisterModel, Registers};
use pci_format::{Command, ConfigAccess};
use units::Bdf;

use crate::forgetting_tests::Rig;
use crate::terms::Absent;
use crate::unit_tests::{memory, now_ns, word};
use crate::virtio::{Transport, Virtio};
use crate::{NotOn, Unit};

const PAGE: u64 = 4096;
/// Functions of bus 0 have these endpoints.
pub(crate) const FIRST: u32 = 0x7000;

/// Kinds of what it may not follow, by one bit for each: a reset, and requests by their numbers.
pub(crate) const RESET: u64 = 1 << 0;
pub(crate) const ATTACH: u64 = 1 << 1;
pub(crate) const DETACH: u64 = 1 << 2;
pub(crate) const MAP: u64 = 1 << 3;
pub(crate) const UNMAP: u64 = 1 << 4;

/// How the unit misbehaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Defect {
    None,
    /// It answers no request.
    Deaf,
    /// It answers requests of a kind with a status, and does nothing.
    Refuses(u8, u8),
    /// It refuses so from the second map on.
    SecondMap(u8),
    /// It says that it has used a request, and writes no status.
    Silent,
    /// It says that it has used a chain that it was not given.
    OtherChain,
    /// Its bypass stays on.
    Bypasses,
    /// Its features are not to be had.
    NoFeatures,
}

#[derive(Clone, Copy, Default)]
struct Ring {
    size: u16,
    enabled: bool,
    parts: [u64; 3],
    taken: u16,
}

pub(crate) struct State {
    pub(crate) defect: Defect,
    status: u8,
    select: u32,
    queue: u16,
    rings: [Ring; 2],
    bypass: u8,
    /// Device addresses of each domain, first to last and physical.
    pub(crate) domains: BTreeMap<u32, BTreeMap<u64, (u64, u64)>>,
    pub(crate) attached: BTreeMap<u32, u32>,
    pub(crate) properties: Vec<u8>,
    master: bool,
    pub(crate) asked: Vec<u8>,
    pub(crate) maps: u32,
    ignored: u64,
}

pub(crate) struct Model(Mutex<State>);

/// A structure of the unit's registers.
struct Part(&'static Model, u8);

fn bytes(at: u64, length: usize) -> Vec<u8> {
    let all = (at & !7..at + length as u64).step_by(8);
    let words: Vec<u8> = all.flat_map(|at| word(at).unwrap().to_le_bytes()).collect();
    words[(at & 7) as usize..][..length].to_vec()
}

fn store(at: u64, bytes: &[u8]) {
    for (step, byte) in bytes.iter().enumerate() {
        let place = frames::direct_map(at + step as u64);
        // SAFETY: the tests' memory, leaked; what the kernel's side does there is atomic.
        unsafe { place.write_volatile(*byte) };
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word[..N].copy_from_slice(&bytes[at..at + N]);
    u64::from_le_bytes(word)
}

/// Its head, what the device reads, and where it writes.
type Chain = (u16, Vec<u8>, Vec<(u64, usize)>);

impl State {
    /// The next chain of a ring: what the device reads, and where it writes.
    fn take(&mut self, queue: usize) -> Option<Chain> {
        let ring = &mut self.rings[queue];
        let available = number::<2>(&bytes(ring.parts[1] + 2, 2), 0) as u16;
        if !self.master || ring.taken == available {
            return None;
        }
        let entry = ring.parts[1] + 4 + u64::from(ring.taken % ring.size) * 2;
        let head = number::<2>(&bytes(entry, 2), 0) as u16;
        ring.taken = ring.taken.wrapping_add(1);
        let (mut read, mut write, mut next) = (Vec::new(), Vec::new(), Some(head));
        while let Some(place) = next {
            let one = bytes(ring.parts[0] + u64::from(place) * 16, 16);
            let (at, length) = (number::<8>(&one, 0), number::<4>(&one, 8) as usize);
            let flags = number::<2>(&one, 12);
            match flags & 2 {
                0 => read.extend(bytes(at, length)),
                _ => write.push((at, length)),
            }
            next = (flags & 1 != 0).then(|| number::<2>(&one, 14) as u16);
        }
        Some((head, read, write))
    }

    fn used(&self, queue: usize, head: u16, length: usize) {
        let ring = &self.rings[queue];
        let element = ring.parts[2] + 4 + u64::from((ring.taken - 1) % ring.size) * 8;
        store(element, &u32::from(head).to_le_bytes());
        store(element + 4, &(length as u32).to_le_bytes());
        store(ring.parts[2] + 2, &ring.taken.to_le_bytes());
    }

    fn work(&mut self) {
        while self.defect != Defect::Deaf {
            let Some((head, request, answer)) = self.take(0) else {
                break;
            };
            self.asked.push(request[0]);
            let [(at, length)] = answer[..] else {
                panic!("{answer:?}")
            };
            let tail = at + length as u64 - 4;
            let status = match self.defect {
                Defect::Refuses(kind, status) if kind == request[0] => status,
                _ => self.follow(&request, at, length - 4),
            };
            if self.defect != Defect::Silent {
                store(tail, &[status, 0xee, 0xee, 0xee]);
            }
            let wrong = u16::from(self.defect == Defect::OtherChain);
            self.used(0, head + wrong, length);
        }
    }

    fn reset(&mut self) {
        self.rings = [Ring::default(); 2];
        if self.ignored & RESET == 0 {
            self.domains.clear();
            self.attached.clear();
        }
    }

    /// Virtio 1.2, 5.13.6.
    #[expect(clippy::too_many_lines, reason = "one request after the other")]
    fn follow(&mut self, request: &[u8], properties: u64, room: usize) -> u8 {
        let domain = number::<4>(request, 4) as u32;
        match request[0] {
            1 => {
                let endpoint = number::<4>(request, 8) as u32;
                assert_eq!(number::<4>(request, 12), 0, "no flags");
                if !(FIRST..FIRST + 0x100).contains(&endpoint) {
                    return 6;
                }
                assert!(!self.attached.contains_key(&endpoint));
                if self.ignored & ATTACH == 0 {
                    self.attached.insert(endpoint, domain);
                }
                self.domains.entry(domain).or_default();
                0
            }
            2 => {
                let endpoint = number::<4>(request, 8) as u32;
                if self.attached.get(&endpoint) != Some(&domain) {
                    return 4;
                }
                if self.ignored & DETACH == 0 {
                    self.attached.remove(&endpoint);
                }
                // It remembers what nobody had it unmap.
                let used = self.attached.values().any(|other| *other == domain);
                if !used && self.domains[&domain].is_empty() {
                    self.domains.remove(&domain);
                }
                0
            }
            3 => {
                self.maps += 1;
                if let (Defect::SecondMap(status), 2..) = (self.defect, self.maps) {
                    return status;
                }
                let (first, last) = (number::<8>(request, 8), number::<8>(request, 16));
                assert_eq!(number::<4>(request, 32), 3, "read and write");
                let Some(all) = self.domains.get_mut(&domain) else {
                    return 6;
                };
                let meets = all
                    .iter()
                    .any(|(one, (end, _))| *one <= last && first <= *end);
                if meets || (first | (last + 1)) % PAGE != 0 {
                    return 4;
                }
                if self.ignored & MAP == 0 {
                    all.insert(first, (last, number::<8>(request, 24)));
                }
                0
            }
            4 => {
                let (first, last) = (number::<8>(request, 8), number::<8>(request, 16));
                let Some(all) = self.domains.get_mut(&domain) else {
                    return 6;
                };
                let part =
                    |one: u64, end: u64| one <= last && first <= end && (one < first || end > last);
                if all.iter().any(|(one, (end, _))| part(*one, *end)) {
                    return 5;
                }
                let keeps = self.ignored & UNMAP != 0;
                all.retain(|one, _| keeps || !(first..=last).contains(one));
                0
            }
            5 => {
                let mut all = self.properties.clone();
                all.resize(room, 0);
                store(properties, &all);
                0
            }
            other => panic!("request {other}"),
        }
    }
}

impl Model {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn new(defect: Defect) -> &'static Self {
        memory();
        Box::leak(Box::new(Self(Mutex::new(State {
            defect,
            status: 0,
            select: 0,
            queue: 0,
            rings: [Ring::default(); 2],
            bypass: 1,
            domains: BTreeMap::new(),
            attached: BTreeMap::new(),
            properties: Vec::new(),
            master: false,
            asked: Vec::new(),
            maps: 0,
            ignored: 0,
        }))))
    }

    pub(crate) fn on(&'static self) -> Result<&'static Unit, NotOn> {
        let part = |which, length| Registers::over(Box::leak(Box::new(Part(self, which))), length);
        let transport = Transport {
            common: part(0, 56),
            notify: part(1, 8),
            multiplier: 4,
            device: part(2, 40),
        };
        let function = Bdf::from_u32(0x18);
        let endpoints = vec![(0, 0xff, FIRST)];
        let on = Virtio::turn_on(transport, function, endpoints, &mut Space(self), now_ns);
        let unit = on.map(|(virtio, requests)| Unit::virtio(0, virtio, requests))?;
        Ok(Box::leak(Box::new(unit)))
    }

    /// What a device reaches; what it does not is told of.
    pub(crate) fn reach(&self, source: u16, iova: u64) -> Option<u64> {
        let state = &mut *self.state();
        let endpoint = FIRST + u32::from(source);
        let domain = state.attached.get(&endpoint);
        let found = match domain {
            None if state.bypass != 0 => Some(iova),
            None => None,
            Some(domain) => {
                let below = state.domains[domain].range(..=iova).next_back();
                let held = below.filter(|(_, (last, _))| iova <= *last);
                held.map(|(first, (_, physical))| physical + (iova - first))
            }
        };
        if found.is_none() {
            let reason = if domain.is_some() { 2u32 } else { 1 };
            let words = [reason, 0x102, endpoint, 0];
            let mut event: Vec<u8> = words.iter().flat_map(|one| one.to_le_bytes()).collect();
            event.extend_from_slice(&iova.to_le_bytes());
            if let Some((head, _, answer)) = state.take(1) {
                assert_eq!(answer[0].1, 24);
                store(answer[0].0, &event);
                state.used(1, head, 24);
            }
        }
        found
    }
}

impl Rig for Model {
    /// It keeps nothing that it was not asked for, whether something was there or not.
    fn new(_: Absent) -> &'static Self {
        Self::new(Defect::None)
    }

    fn on(&'static self) -> &'static Unit {
        self.on().unwrap()
    }

    fn place(&self, source: u16, iova: u64) -> Option<u64> {
        self.reach(source, iova)
    }

    /// Its first domain is 5.
    fn recalls(&self, domain: u16) -> bool {
        let state = self.state();
        let all = state.domains.get(&(5 + u32::from(domain)));
        all.is_some_and(|all| !all.is_empty())
    }

    fn ignore(&self, kinds: &[u64]) {
        self.state().ignored = kinds.iter().fold(0, |all, kind| all | kind);
    }
}

impl RegisterModel for Part {
    fn read(&self, offset: usize, _: usize) -> u64 {
        let state = self.0.state();
        let ring = state.rings[usize::from(state.queue)];
        match (self.1, offset) {
            (0, 4) if state.select == 1 => 1,
            (0, 4) => 0x7f,
            (0, 18) => 2,
            (0, 20) => u64::from(state.status),
            (0, 22) => u64::from(state.queue),
            (0, 24) => u64::from(ring.size),
            (0, 26) => 0xffff,
            (0, 28) => u64::from(ring.enabled),
            (0, 30) => u64::from(state.queue),
            (2, 0) => 0xffff_f000,
            (2, 4 | 16 | 20 | 28) => 0xffff_ffff,
            (2, 24) => 5,
            (2, 32) => 512,
            (2, 36) => u64::from(state.bypass),
            _ => 0,
        }
    }

    fn write(&self, offset: usize, _: usize, value: u64) {
        let state = &mut *self.0.state();
        let place = usize::from(state.queue);
        match (self.1, offset) {
            (0, 0 | 8) => state.select = value as u32,
            (0, 12) if state.select == 0 => assert_eq!(value, 0x57, "no old bypass, no registers"),
            (0, 20) => {
                let mut value = value as u8;
                if state.defect == Defect::NoFeatures {
                    value &= !8;
                }
                if value == 0 {
                    state.reset();
                }
                state.status = value;
            }
            (0, 22) => state.queue = value as u16,
            (0, 24) => state.rings[place].size = value as u16,
            (0, 28) => state.rings[place].enabled = value == 1,
            (0, 32..56) => {
                let (part, high) = ((offset - 32) / 8, offset % 8 == 4);
                let one = &mut state.rings[place].parts[part];
                *one = match high {
                    true => *one & 0xffff_ffff | value << 32,
                    false => *one & !0xffff_ffff | value,
                };
            }
            (1, 0) => state.work(),
            (2, 36) if state.defect != Defect::Bypasses => state.bypass = value as u8,
            _ => {}
        }
    }
}

/// Configuration space in which the unit alone is.
struct Space(&'static Model);

impl ConfigAccess for Space {
    fn read32(&self, _: Bdf, _: u16) -> u32 {
        let master = Command::MEMORY_SPACE.union(Command::BUS_MASTER);
        match self.0.state().master {
            true => master.bits().into(),
            false => 0,
        }
    }

    fn write32(&mut self, bdf: Bdf, offset: u16, value: u32) {
        assert_eq!((bdf.as_u32(), offset), (0x18, 4));
        self.0.state().master = value & 4 != 0;
    }
}
