//! The admin queue.

use gve_format::{
    COMMAND_BYTES, COMMANDS, Command, CreateRx, CreateTx, DESCRIPTOR_VERSION, DRIVER_INFO_BYTES,
    PAGE_BYTES, PTYPE_MAP_BYTES, RAW_LIST, Refusal, Resources, Status, dqo, gqi, pages,
    queue_resources,
};
use vfio_user::Bus;

use crate::device::{Configured, Direction, Gve, Rx, Tx, admin_page};
use crate::dqo_receive::ptype_map;
use crate::fault::Fault;
use crate::interrupt::Block;
use crate::port::Port;

/// The link's speed, in Mbit/s, as it is reported.
const SPEED: u64 = 16_000;

/// Why a command was not carried out: its status, and the rule that it broke.
type Broken = (Status, &'static str);

const INVALID: Status = Status::INVALID_ARGUMENT;
const ORDER: Broken = (Status::FAILED_PRECONDITION, "order");

#[expect(clippy::fn_params_excessive_bools, reason = "it is what was seen")]
fn ensure(holds: bool, rule: &'static str) -> Result<(), Broken> {
    match holds {
        true => Ok(()),
        false => Err((INVALID, rule)),
    }
}

/// Whether so many things of that length have addresses from there on: a ring at the end of the address space has none.
fn ensure_room(at: u64, count: u32, bytes: usize) -> Result<(), Broken> {
    let end = at.checked_add(u64::from(count) * bytes as u64);
    ensure(end.is_some(), "address")
}

/// The memory of a command cannot be reached; that was told already.
const UNREACHABLE: Broken = (Status::INTERNAL_ERROR, "");

impl<P: Port, F: FnMut(String)> Gve<P, F> {
    /// Carries out what was asked for.
    pub(crate) fn carry_out(&mut self, bus: &mut dyn Bus) {
        while self.state.asked != self.state.answered && !self.state.hangs {
            let slot = self.state.answered % COMMANDS;
            let at = admin_page(self.state.admin) + u64::from(slot) * COMMAND_BYTES as u64;
            let mut bytes = [0; COMMAND_BYTES];
            if self.dma(bus).read("command", at, &mut bytes).is_none() {
                self.state.hangs = true;
                return;
            }
            let opcode = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            if self.shape.has(Fault::Hang(opcode)) {
                self.judge.fault("hang", format_args!("opcode={opcode:#x}"));
                self.state.hangs = true;
                return;
            }
            let status = self.judged(bus, opcode, &bytes);
            self.judge.note(format_args!(
                "command opcode={opcode:#x} status={}",
                status.name()
            ));
            let (offset, word) = status.bytes();
            if self.dma(bus).write("status", at + offset, &word).is_none() {
                self.state.hangs = true;
                return;
            }
            self.state.answered = self.state.answered.wrapping_add(1);
        }
    }

    fn judged(&mut self, bus: &mut dyn Bus, opcode: u32, bytes: &[u8; COMMAND_BYTES]) -> Status {
        if self.shape.has(Fault::Refuse(opcode)) {
            self.judge
                .fault("refuse", format_args!("opcode={opcode:#x}"));
            return Status::RESOURCE_EXHAUSTED;
        }
        let done = match Command::read(bytes) {
            Ok(command) => self.command(bus, command),
            // Later drivers ask for more than this device has, and go on without.
            Err(Refusal::Opcode(_)) => return Status::UNIMPLEMENTED,
            Err(Refusal::Reserved) => Err((INVALID, "command-reserved")),
            Err(_) => Err((INVALID, "command-value")),
        };
        match done {
            Ok(()) => Status::PASSED,
            Err((status, "")) => status,
            Err((status, rule)) => {
                self.judge
                    .violation(rule, format_args!("opcode={opcode:#x}"));
                status
            }
        }
    }

    fn command(&mut self, bus: &mut dyn Bus, command: Command) -> Result<(), Broken> {
        match command {
            Command::DescribeDevice {
                address,
                version,
                available,
            } => {
                ensure(version == DESCRIPTOR_VERSION, "descriptor-version")?;
                let bytes = self.shape.description();
                ensure(available as usize >= bytes.len(), "descriptor-room")?;
                self.put(bus, "descriptor", address, &bytes)
            }
            Command::ConfigureResources(resources) => self.configure(bus, resources),
            Command::RegisterPageList {
                list,
                pages,
                address,
                page_bytes,
            } => {
                // Drivers from before pages could be larger leave it 0.
                ensure([0, PAGE_BYTES.into()].contains(&page_bytes), "page-bytes")?;
                self.register_list(bus, list, pages, address)
            }
            Command::UnregisterPageList { list } => self.unregister_list(list),
            Command::CreateTx(create) => self.create_tx(bus, create),
            Command::CreateRx(create) => self.create_rx(bus, create),
            Command::DestroyTx { queue } => {
                let gone = self.state.tx.remove(&queue);
                let gone = gone.ok_or((Status::NOT_FOUND, "queue"))?;
                self.give_block(gone.create.block);
                Ok(())
            }
            Command::DestroyRx { queue } => {
                let gone = self.state.rx.remove(&queue);
                let gone = gone.ok_or((Status::NOT_FOUND, "queue"))?;
                self.give_block(gone.create.block);
                Ok(())
            }
            Command::DeconfigureResources => self.deconfigure(),
            Command::SetParameter { value, .. } => {
                ensure((68..=u64::from(self.shape.mtu)).contains(&value), "mtu")
            }
            Command::ReportStats { bytes, address, .. } => {
                ensure(bytes == 0 || address != 0, "statistics")
            }
            Command::ReportLinkSpeed { address } => {
                self.put(bus, "link-speed", address, &SPEED.to_be_bytes())
            }
            Command::GetPtypeMap { .. } if self.shape.format.is_gqi() => {
                Err((Status::UNIMPLEMENTED, "format"))
            }
            Command::GetPtypeMap { bytes, address } => {
                ensure(bytes == PTYPE_MAP_BYTES, "ptype-map")?;
                self.put(bus, "ptype-map", address, &ptype_map())
            }
            Command::VerifyCompatibility { bytes, address } => {
                ensure(bytes == DRIVER_INFO_BYTES, "driver-info")?;
                let mut info = [0; DRIVER_INFO_BYTES as usize];
                let read = self.dma(bus).read("driver-info", address, &mut info);
                read.ok_or(UNREACHABLE)
            }
        }
    }

    fn put(
        &mut self,
        bus: &mut dyn Bus,
        what: &str,
        address: u64,
        bytes: &[u8],
    ) -> Result<(), Broken> {
        ensure(address != 0 && address.is_multiple_of(8), "alignment")?;
        self.dma(bus).write(what, address, bytes).ok_or(UNREACHABLE)
    }

    fn configure(&mut self, bus: &mut dyn Bus, resources: Resources) -> Result<(), Broken> {
        if self.state.configured.is_some() {
            return Err(ORDER);
        }
        let (counters, vectors) = (self.shape.descriptor().counters, self.shape.vectors());
        ensure(resources.format == self.shape.format, "format")?;
        ensure(resources.counters >= u32::from(counters), "counters")?;
        ensure(resources.counters <= PAGE_BYTES / 4, "counters")?;
        ensure(resources.counters_at.is_multiple_of(4), "alignment")?;
        ensure(resources.doorbells_at.is_multiple_of(4), "alignment")?;
        ensure(
            resources.stride >= 4 && resources.stride.is_multiple_of(4),
            "stride",
        )?;
        ensure(resources.first_vector <= 1, "first-vector")?;
        ensure(resources.blocks < vectors.into(), "blocks")?;
        ensure_room(resources.counters_at, resources.counters, 4)?;
        let stride = resources.stride as usize;
        ensure_room(resources.doorbells_at, resources.blocks, stride)?;
        for block in 0..resources.blocks {
            let at = resources.doorbells_at + u64::from(block) * u64::from(resources.stride);
            let index = Self::block_doorbell(block).to_be_bytes();
            self.dma(bus)
                .write("block-doorbell", at, &index)
                .ok_or(UNREACHABLE)?;
        }
        self.state.configured = Some(Configured {
            resources,
            blocks: vec![Block::default(); resources.blocks as usize],
        });
        Ok(())
    }

    fn deconfigure(&mut self) -> Result<(), Broken> {
        let state = &mut self.state;
        let idle = state.tx.is_empty() && state.rx.is_empty();
        if !idle || state.configured.is_none() {
            return Err(ORDER);
        }
        state.configured = None;
        Ok(())
    }

    fn register_list(
        &mut self,
        bus: &mut dyn Bus,
        list: u32,
        count: u32,
        address: u64,
    ) -> Result<(), Broken> {
        let all: usize = self.state.lists.values().map(Vec::len).sum();
        let most = self.shape.descriptor().max_pages;
        ensure(list != RAW_LIST, "list-id")?;
        if self.state.lists.contains_key(&list) {
            return Err((Status::ALREADY_EXISTS, "list-twice"));
        }
        ensure(
            count > 0 && all as u64 + u64::from(count) <= most,
            "list-pages",
        )?;
        ensure(address.is_multiple_of(8), "alignment")?;
        let mut bytes = vec![0; pages::list_bytes(count).unwrap_or(0)];
        let read = self.dma(bus).read("page-list", address, &mut bytes);
        read.ok_or(UNREACHABLE)?;
        let entries = bytes.chunks_exact(pages::ENTRY_BYTES);
        let found: Option<Vec<u64>> = entries
            .map(|entry| pages::address(entry.try_into().ok()?))
            .collect();
        let found = found.ok_or((INVALID, "page-alignment"))?;
        let mut sorted = found.clone();
        let others = self.state.lists.values().flatten();
        sorted.extend(others);
        sorted.sort_unstable();
        ensure(sorted.windows(2).all(|two| two[0] != two[1]), "page-twice")?;
        // A list with a page that cannot be reached is wrong from the start, not when it is first used.
        for page in &found {
            let mut byte = [0];
            self.dma(bus)
                .read("page", *page, &mut byte)
                .ok_or(UNREACHABLE)?;
        }
        self.state.lists.insert(list, found);
        Ok(())
    }

    fn unregister_list(&mut self, list: u32) -> Result<(), Broken> {
        if self.is_list_used(list) {
            return Err((Status::FAILED_PRECONDITION, "list-in-use"));
        }
        let gone = self.state.lists.remove(&list);
        gone.map(drop).ok_or((Status::NOT_FOUND, "list"))
    }

    fn is_list_used(&self, list: u32) -> bool {
        let tx = self.state.tx.values().any(|it| it.create.list == list);
        tx || self.state.rx.values().any(|it| it.create.list == list)
    }

    /// What both kinds of queue must keep.
    fn check_queue(&self, queue: u32, entries: u16, list: u32, block: u32) -> Result<(), Broken> {
        let configured = self.state.configured.as_ref().ok_or(ORDER)?;
        ensure(queue < self.shape.pairs.into(), "queue")?;
        // Drivers from before lengths could be chosen leave it 0.
        let silent = entries == 0 && self.shape.format.is_gqi();
        ensure(silent || entries == self.shape.entries, "entries")?;
        let block = configured.blocks.get(block as usize);
        ensure(block.is_some_and(|block| !block.taken), "block")?;
        if !self.shape.format.has_lists() {
            // Linux 6.1 leaves it 0.
            return ensure([0, RAW_LIST].contains(&list), "list");
        }
        ensure(self.state.lists.contains_key(&list), "list")?;
        ensure(!self.is_list_used(list), "list-in-use")
    }

    fn create_tx(&mut self, bus: &mut dyn Bus, mut create: CreateTx) -> Result<(), Broken> {
        self.check_queue(create.queue, create.entries, create.list, create.block)?;
        if self.state.tx.contains_key(&create.queue) {
            return Err((Status::ALREADY_EXISTS, "queue-twice"));
        }
        let entries = self.shape.entries;
        let completions = match self.shape.format.is_gqi() {
            true => create.completions_at == 0 && create.completions == 0,
            false => create.completions_at.is_multiple_of(8) && create.completions == entries,
        };
        ensure(completions, "format")?;
        ensure(
            create.ring_at.is_multiple_of(PAGE_BYTES.into()),
            "alignment",
        )?;
        ensure_room(create.ring_at, entries.into(), gqi::TX_BYTES)?;
        let completion = dqo::TX_COMPLETION_BYTES;
        ensure_room(create.completions_at, entries.into(), completion)?;
        create.entries = self.shape.entries;
        self.tell_place(bus, Direction::Transmit, create.queue, create.resources_at)?;
        self.take_block(create.block);
        let queue = Tx {
            create,
            done: 0,
            completed: 0,
            generation: true,
            unreported: 0,
            has_reported: false,
            ahead: 0,
            broken: false,
        };
        self.state.tx.insert(create.queue, queue);
        Ok(())
    }

    fn create_rx(&mut self, bus: &mut dyn Bus, mut create: CreateRx) -> Result<(), Broken> {
        self.check_queue(create.queue, create.entries, create.list, create.block)?;
        if self.state.rx.contains_key(&create.queue) {
            return Err((Status::ALREADY_EXISTS, "queue-twice"));
        }
        // Segments are not put together, whatever is allowed, and headers stay with the data.
        let (buffers, index) = match self.shape.format.is_gqi() {
            true => (0, create.queue),
            false => (self.shape.entries, 0),
        };
        ensure(create.index == index, "queue-index")?;
        let whole = create.buffers == buffers && create.header_bytes == 0;
        ensure(whole && !(create.coalesce && buffers == 0), "format")?;
        ensure([2048, 4096].contains(&create.buffer_bytes), "buffer-bytes")?;
        let aligned = create.ring_at.is_multiple_of(PAGE_BYTES.into());
        ensure(aligned && create.data_at.is_multiple_of(8), "alignment")?;
        let (ring, data) = match self.shape.format.is_gqi() {
            true => (gqi::RX_BYTES, gqi::SLOT_BYTES),
            false => (dqo::RX_COMPLETION_BYTES, dqo::RX_BYTES),
        };
        ensure_room(create.ring_at, self.shape.entries.into(), ring)?;
        ensure_room(create.data_at, self.shape.entries.into(), data)?;
        create.entries = self.shape.entries;
        self.tell_place(bus, Direction::Receive, create.queue, create.resources_at)?;
        self.take_block(create.block);
        let queue = Rx {
            create,
            given: 0,
            done: 0,
            posted: std::collections::VecDeque::new(),
            generation: true,
            sequence: 1,
            broken: false,
        };
        self.state.rx.insert(create.queue, queue);
        Ok(())
    }

    fn tell_place(
        &mut self,
        bus: &mut dyn Bus,
        direction: Direction,
        queue: u32,
        at: u64,
    ) -> Result<(), Broken> {
        let (doorbell, counter) = self.place(direction, queue);
        let bytes = queue_resources::bytes(doorbell, counter);
        self.put(bus, "queue-resources", at, &bytes)
    }

    fn take_block(&mut self, block: u32) {
        self.set_block(block, |block| block.taken = true);
    }

    fn give_block(&mut self, block: u32) {
        self.set_block(block, |block| *block = Block::default());
    }

    fn set_block(&mut self, block: u32, set: impl FnOnce(&mut Block)) {
        let found = self.state.configured.as_mut();
        if let Some(found) = found.and_then(|it| it.blocks.get_mut(block as usize)) {
            set(found);
        }
    }
}
