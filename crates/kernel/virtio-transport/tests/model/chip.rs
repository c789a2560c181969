//! The device.

use std::sync::{Mutex, MutexGuard};

use mmio::{PortBus, RegisterModel, SharedBytes};

use super::{BUS, Kind, PORT};

pub const COMMON: u64 = 0x100;
pub const ISR: u64 = 0x1000;
pub const DEVICE: u64 = 0x2000;
pub const NOTIFY: u64 = 0x3000;

#[derive(Clone, Copy, Default, Debug)]
pub struct Queue {
    pub most: u16,
    pub size: u16,
    pub vector: u16,
    pub enabled: u16,
    /// Descriptor table, available ring, used ring.
    pub parts: [u64; 3],
    pub page: u32,
    /// Chains taken, and elements used.
    pub taken: u16,
    pub used: u16,
}

/// A link of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    pub address: u64,
    pub length: u32,
    pub device_writes: bool,
}

/// What the device is, what it did, and what it is to do wrong.
pub struct State {
    pub kind: Kind,
    memory: SharedBytes,
    pub offered: u64,
    pub accepted: u64,
    pub selects: [u32; 2],
    pub status: u8,
    /// Every status that was written.
    pub statuses: Vec<u8>,
    pub generation: u8,
    pub config: [u8; 64],
    pub config_vector: u16,
    pub select: u16,
    pub queues: Vec<Queue>,
    pub isr: u8,
    pub bus_master: bool,
    /// Where the modern interface wants notifications, in steps.
    pub notify_off: Vec<u16>,
    /// Notifications: offset in BAR or ports, and value.
    pub notified: Vec<(u64, u64)>,
    /// Every register reads as ones.
    pub gone: bool,
    /// Looks at the status before it reads 0 after a reset; `None` never does.
    pub reset_looks: Option<u32>,
    pub resetting: Option<u32>,
    pub refuse_features: bool,
    pub refuse_vectors: bool,
    pub refuse_queue: bool,
    pub needs_reset: bool,
    /// The configuration changes at each look.
    pub restless: bool,
}

pub struct Chip(Mutex<State>);

impl Chip {
    pub fn new(kind: Kind, sizes: &[u16], memory: SharedBytes) -> &'static Self {
        let queues = sizes.iter().map(|most| Queue {
            most: *most,
            ..Queue::default()
        });
        let mut state = State {
            kind,
            memory,
            offered: if kind.is_modern() { 1 << 32 } else { 0 },
            accepted: 0,
            selects: [0; 2],
            // As firmware may have left it.
            status: 7,
            statuses: Vec::new(),
            generation: 0,
            config: std::array::from_fn(|at| at as u8 + 1),
            config_vector: 7,
            select: 0,
            queues: queues.collect(),
            isr: 0,
            bus_master: false,
            notify_off: (0..sizes.len() as u16).collect(),
            notified: Vec::new(),
            gone: false,
            reset_looks: Some(2),
            resetting: None,
            refuse_features: false,
            refuse_vectors: false,
            refuse_queue: false,
            needs_reset: false,
            restless: false,
        };
        state.clear();
        Box::leak(Box::new(Self(Mutex::new(state))))
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn clear(&mut self) {
        for queue in &mut self.queues {
            *queue = Queue {
                most: queue.most,
                size: queue.most,
                vector: 0xffff,
                ..Queue::default()
            };
        }
        (self.accepted, self.selects) = (0, [0; 2]);
    }

    fn queue(&mut self) -> Queue {
        let at = usize::from(self.select);
        self.queues.get(at).copied().unwrap_or_default()
    }

    fn change(&mut self, change: impl FnOnce(&mut Queue)) {
        let at = usize::from(self.select);
        change(&mut self.queues[at]);
    }

    fn read_status(&mut self) -> u64 {
        if let Some(looks) = self.resetting {
            if looks == 0 {
                self.resetting = None;
                self.status = 0;
                self.clear();
            } else {
                self.resetting = Some(looks - 1);
            }
        }
        self.status.into()
    }

    fn write_status(&mut self, value: u8) {
        self.statuses.push(value);
        if value == 0 {
            self.resetting = Some(self.reset_looks.unwrap_or(u32::MAX));
            return;
        }
        self.status = value;
        if value & 8 != 0 && value & 4 == 0 && self.refuse_features {
            self.status &= !8;
        }
        if value & 4 != 0 && self.needs_reset {
            self.status |= 64;
        }
    }

    fn taken_vector(&self, value: u64) -> u16 {
        let most = u64::from(self.kind.vectors());
        if value != 0xffff && (self.refuse_vectors || value >= most) {
            0xffff
        } else {
            value as u16
        }
    }

    fn read_common(&mut self, offset: u64, width: usize) -> u64 {
        let queue = self.queue();
        let (value, wide) = match offset {
            0 => (self.selects[0].into(), 4),
            4 => (
                self.offered >> (32 * self.selects[0].min(1)) & 0xffff_ffff,
                4,
            ),
            8 => (self.selects[1].into(), 4),
            16 => (self.config_vector.into(), 2),
            18 => (self.queues.len() as u64, 2),
            20 => (self.read_status(), 1),
            21 => {
                self.generation = self.generation.wrapping_add(self.restless.into());
                (self.generation.into(), 1)
            }
            22 => (self.select.into(), 2),
            24 => (queue.size.into(), 2),
            26 => (queue.vector.into(), 2),
            28 => (queue.enabled.into(), 2),
            30 => {
                let offsets = &self.notify_off;
                (
                    offsets
                        .get(usize::from(self.select))
                        .copied()
                        .unwrap_or(0)
                        .into(),
                    2,
                )
            }
            other => panic!("common configuration read at {other}"),
        };
        assert_eq!(width, wide, "at {offset}");
        value
    }

    fn write_common(&mut self, offset: u64, width: usize, value: u64) {
        let half = |old: u64, high: bool| match high {
            true => old & 0xffff_ffff | value << 32,
            false => old & !0xffff_ffff | value,
        };
        let wide = match offset {
            0 | 8 => {
                self.selects[offset as usize / 8] = value as u32;
                4
            }
            12 => {
                self.accepted = half(self.accepted, self.selects[1] == 1);
                4
            }
            16 => {
                self.config_vector = self.taken_vector(value);
                2
            }
            20 => {
                self.write_status(value as u8);
                1
            }
            22 => {
                self.select = value as u16;
                2
            }
            24 => {
                self.change(|queue| queue.size = value as u16);
                2
            }
            26 => {
                let vector = self.taken_vector(value);
                self.change(|queue| queue.vector = vector);
                2
            }
            28 => {
                assert_eq!(value, 1, "a driver never writes 0");
                assert!(self.status & 8 != 0 && self.status & 4 == 0);
                let refused = self.refuse_queue;
                self.change(|queue| queue.enabled = u16::from(!refused));
                2
            }
            32..56 => {
                let (part, high) = ((offset - 32) / 8, offset % 8 == 4);
                assert!(offset.is_multiple_of(4));
                self.change(|queue| {
                    let old = &mut queue.parts[part as usize];
                    *old = half(*old, high);
                });
                4
            }
            other => panic!("common configuration written at {other}"),
        };
        assert_eq!(width, wide, "at {offset}");
    }

    fn read_config(&self, at: usize, width: usize) -> u64 {
        let bytes = self.config[at..at + width].iter().rev();
        bytes.fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn legacy_config(&self) -> usize {
        if self.kind.vectors() > 0 { 24 } else { 20 }
    }

    fn read_port(&mut self, at: usize, width: usize) -> u64 {
        if self.gone {
            return u64::MAX >> (64 - 8 * width);
        }
        let msix = self.kind.vectors() > 0;
        let queue = self.queue();
        let (value, wide) = match at {
            0 => (self.offered & 0xffff_ffff, 4),
            8 => (queue.page.into(), 4),
            12 => (queue.most.into(), 2),
            14 => (self.select.into(), 2),
            18 => (self.read_status(), 1),
            19 => (std::mem::take(&mut self.isr).into(), 1),
            20 if msix => (self.config_vector.into(), 2),
            22 if msix => (queue.vector.into(), 2),
            at if at >= self.legacy_config() => {
                return self.read_config(at - self.legacy_config(), width);
            }
            other => panic!("port {other} read"),
        };
        assert_eq!(width, wide, "port {at}");
        value
    }

    fn write_port(&mut self, at: usize, width: usize, value: u64) {
        let msix = self.kind.vectors() > 0;
        let wide = match at {
            4 => {
                self.accepted = value;
                4
            }
            8 => {
                let page = if self.refuse_queue { 0 } else { value as u32 };
                self.change(|queue| {
                    let base = value << 12;
                    let n = u64::from(queue.most);
                    let used = (base + 16 * n + 6 + 2 * n).next_multiple_of(4096);
                    (queue.page, queue.size) = (page, queue.most);
                    queue.parts = [base, base + 16 * n, used];
                });
                4
            }
            14 => {
                self.select = value as u16;
                2
            }
            16 => {
                self.notified.push((16, value));
                2
            }
            18 => {
                self.write_status(value as u8);
                1
            }
            20 if msix => {
                self.config_vector = self.taken_vector(value);
                2
            }
            22 if msix => {
                let vector = self.taken_vector(value);
                self.change(|queue| queue.vector = vector);
                2
            }
            other => panic!("port {other} written"),
        };
        assert_eq!(width, wide, "port {at}");
    }

    fn load(&self, address: u64, bytes: usize) -> u64 {
        let mut word = [0; 8];
        let at = address.checked_sub(BUS).expect("an address of the bus") as usize;
        self.memory.read(at, &mut word[..bytes]).unwrap();
        u64::from_le_bytes(word)
    }

    fn store(&self, address: u64, value: u64, bytes: usize) {
        let at = (address - BUS) as usize;
        self.memory
            .write(at, &value.to_le_bytes()[..bytes])
            .unwrap();
    }

    /// Flags of the available ring.
    pub fn available_flags(&self, index: u16) -> u16 {
        self.load(self.queues[usize::from(index)].parts[1], 2) as u16
    }

    pub fn set_used_flags(&self, index: u16, flags: u16) {
        self.store(self.queues[usize::from(index)].parts[2], flags.into(), 2);
    }

    /// Takes the next chain that was made available: its head and its links.
    pub fn take(&mut self, index: u16) -> Option<(u16, Vec<Descriptor>)> {
        let queue = self.queues[usize::from(index)];
        assert!(self.bus_master && self.status & 4 != 0);
        let [table, available, _] = queue.parts;
        if self.load(available + 2, 2) as u16 == queue.taken {
            return None;
        }
        let at = u64::from(queue.taken % queue.size);
        let head = self.load(available + 4 + 2 * at, 2) as u16;
        let mut links = Vec::new();
        let mut next = head;
        loop {
            assert!(next < queue.size && links.len() < usize::from(queue.size));
            let at = table + 16 * u64::from(next);
            let flags = self.load(at + 12, 2);
            links.push(Descriptor {
                address: self.load(at, 8),
                length: self.load(at + 8, 4) as u32,
                device_writes: flags & 2 != 0,
            });
            assert_eq!(flags & !3, 0, "no indirect descriptors");
            if flags & 1 == 0 {
                assert_eq!(self.load(at + 14, 2), 0);
                break;
            }
            next = self.load(at + 14, 2) as u16;
        }
        let reads = links.iter().skip_while(|one| !one.device_writes);
        assert!(
            reads.clone().all(|one| one.device_writes),
            "what is read comes first"
        );
        self.queues[usize::from(index)].taken = queue.taken.wrapping_add(1);
        Some((head, links))
    }

    /// Posts a used element, whatever it says.
    pub fn post(&mut self, index: u16, id: u32, length: u32) {
        let queue = &mut self.queues[usize::from(index)];
        let (at, used) = (u64::from(queue.used % queue.size), queue.parts[2]);
        queue.used = queue.used.wrapping_add(1);
        let now = queue.used;
        self.store(
            used + 4 + 8 * at,
            u64::from(id) | u64::from(length) << 32,
            8,
        );
        self.store(used + 2, now.into(), 2);
        self.isr |= 1;
    }

    /// Claims to have used more than it posted.
    pub fn jump(&mut self, index: u16, elements: u16) {
        let queue = &mut self.queues[usize::from(index)];
        queue.used = queue.used.wrapping_add(elements);
        let (used, now) = (queue.parts[2], queue.used);
        self.store(used + 2, now.into(), 2);
    }
}

impl RegisterModel for Chip {
    fn read(&self, offset: usize, width: usize) -> u64 {
        let mut state = self.state();
        if state.gone {
            return u64::MAX >> (64 - 8 * width);
        }
        match offset as u64 {
            at if (COMMON..COMMON + 0x38).contains(&at) => state.read_common(at - COMMON, width),
            ISR => std::mem::take(&mut state.isr).into(),
            at if (DEVICE..DEVICE + 0x40).contains(&at) => {
                state.read_config((at - DEVICE) as usize, width)
            }
            other => panic!("register {other:#x} read"),
        }
    }

    fn write(&self, offset: usize, width: usize, value: u64) {
        let mut state = self.state();
        match offset as u64 {
            at if (COMMON..COMMON + 0x38).contains(&at) => {
                state.write_common(at - COMMON, width, value);
            }
            at if (NOTIFY..NOTIFY + 0x1000).contains(&at) => {
                assert_eq!(width, 2);
                state.notified.push((at - NOTIFY, value));
            }
            other => panic!("register {other:#x} written"),
        }
    }
}

impl PortBus for Chip {
    fn read8(&self, port: u16) -> u8 {
        self.state().read_port(usize::from(port - PORT), 1) as u8
    }

    fn read16(&self, port: u16) -> u16 {
        self.state().read_port(usize::from(port - PORT), 2) as u16
    }

    fn read32(&self, port: u16) -> u32 {
        self.state().read_port(usize::from(port - PORT), 4) as u32
    }

    fn write8(&self, port: u16, value: u8) {
        self.state()
            .write_port(usize::from(port - PORT), 1, value.into());
    }

    fn write16(&self, port: u16, value: u16) {
        self.state()
            .write_port(usize::from(port - PORT), 2, value.into());
    }

    fn write32(&self, port: u16, value: u32) {
        self.state()
            .write_port(usize::from(port - PORT), 4, value.into());
    }
}
