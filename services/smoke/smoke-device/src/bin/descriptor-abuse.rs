//! Every opcode, every bit of a template, every selector, and lengths and batches that do not fit: what gets past the
//! broker, and whether the controller ever hears of the rest.
//!
//! Invariant: the controller is asked for reads, flushes and its own descriptions, and for nothing that changes the disk.
#![no_std]
#![cfg_attr(not(test), no_main)]

use nvme_format::{Command, PAGE_SHIFT, io};
use sdk::alloc::{format, string::String, vec::Vec};
use sdk::device::device_queue::{self, Direction, Segment};
use sdk::{DeviceQueue, DeviceRegistry, DmaBuffer, Env, Error, Refusal, Timer, fact};
use smoke_rig::nvme::{Rig, submit};
use smoke_rig::{completions, into, outcome};

sdk::entry!(main);

const NSID: u32 = 1;
const PAGE: u32 = 4096;
const SET_FEATURES: u8 = 0x09;
const GET_FEATURES: u8 = 0x0a;
const GET_LOG_PAGE: u8 = 0x02;
const IDENTIFY: u8 = 0x06;

/// The bits of a template, as bytes of an entry: what bears an address, an identifier or a layout, and the opcode's own.
const IDENTIFIERS: core::ops::Range<usize> = 1..4;
const ADDRESSES: core::ops::Range<usize> = 8..40;

struct Bench<'a> {
    queue: &'a DeviceQueue,
    timer: &'a Timer,
    buffer: &'a DmaBuffer,
    /// Commands that were taken.
    accepted: u32,
    /// Completions that came.
    completed: u32,
}

impl Bench<'_> {
    /// Tries one template with a page to read into.
    fn with_page(&mut self, template: &[u8]) -> Result<&'static str, Refusal> {
        let page = into(self.buffer, 0, PAGE);
        self.admit(template, &[page])
    }

    fn admit(&mut self, template: &[u8], segments: &[Segment]) -> Result<&'static str, Refusal> {
        let one = device_queue::Command {
            cookie: u64::from(self.accepted),
            template,
            segments,
        };
        let submitted = self.queue.submit(&[one])?;
        if submitted.accepted == 1 {
            self.accepted += 1;
            self.completed += completions(self.queue, self.timer, 1)?.len() as u32;
        }
        Ok(submitted.refusal.map_or("ok", Refusal::name))
    }

    /// Whether the broker knows the command at all, with a page or without.
    fn known(&mut self, command: &Command) -> Result<bool, Refusal> {
        let bytes = command.to_bytes();
        let bare = self.admit(&bytes, &[])?;
        let paged = self.with_page(&bytes)?;
        Ok(bare != "templateRefused" || paged != "templateRefused")
    }

    /// The numbers up to 255 of which the broker knows the command.
    fn list(&mut self, make: impl Fn(u8) -> Command) -> Result<String, Refusal> {
        let mut list = Vec::new();
        for number in 0..=u8::MAX {
            if self.known(&make(number))? {
                list.push(format!("{number:02x}"));
            }
        }
        if list.len() > 32 {
            return Ok(format!("{} of 256", list.len()));
        }
        Ok(list.join(" "))
    }
}

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let rig = Rig::new(registry.claim("nvme", 0)?.device)?;
    let buffer = rig.buffer(1 << 19)?;
    let bench = |queue| Bench {
        queue,
        timer: &timer,
        buffer: &buffer,
        accepted: 0,
        completed: 0,
    };
    let (mut admin, mut io) = (bench(&rig.admin), bench(&rig.io));
    let opcode = |opcode| Command {
        opcode,
        nsid: NSID,
        cdw: [usual(opcode), 0, 0, 0, 0, 0],
        ..Command::default()
    };
    let on_admin = admin.list(opcode)?;
    let on_io = io.list(opcode)?;
    fact!(
        "abuse.opcodes",
        admin = on_admin.as_str(),
        io = on_io.as_str()
    );
    selectors(&mut admin)?;
    bits(&mut admin, &mut io)?;
    sizes(&mut io)?;
    lengths(&io);
    batches(&rig, &timer, &buffer)?;
    queues(&rig)?;
    fact!(
        "abuse.balance",
        admin_answered = admin.accepted == admin.completed,
        io_answered = io.accepted == io.completed,
        admin_in_flight = rig.admin.info()?.in_flight,
        io_in_flight = rig.io.info()?.in_flight,
        buffer_in_flight = buffer.info()?.in_flight,
        nothing_more = rig
            .io
            .complete(16, |r| r.completions().map(|l| l.iter().count()))??
    );
    Ok(())
}

/// What the administration command asks for that a provider may ask for.
fn usual(opcode: u8) -> u32 {
    match opcode {
        // A page of the health log.
        GET_LOG_PAGE => 0x3ff << 16 | 2,
        // The volatile write cache.
        SET_FEATURES | GET_FEATURES => 6,
        _ => 0,
    }
}

/// One bit at a time, in a command that is good without it.
fn bits<'a>(admin: &mut Bench<'a>, io: &mut Bench<'a>) -> Result<(), Refusal> {
    let read = Command::transfer(io::READ, NSID, 0, 8).ok_or(Refusal::BadArgument)?;
    let identify = Command::identify(1, 0, 0);
    for (name, bench, command) in [("read", io, read), ("identify", admin, identify)] {
        let plain = command.to_bytes();
        let before = bench.with_page(&plain)?;
        let (mut identifiers, mut addresses, mut taken, mut elsewhere) = (0, 0, 0, 0);
        for bit in 0..512 {
            let mut template = plain;
            let byte = bit / 8;
            // The opcode has its own list.
            if byte == 0 {
                continue;
            }
            template[byte] ^= 1 << (bit % 8);
            let refused = bench.with_page(&template)? == "templateRefused";
            match (refused, byte) {
                (true, byte) if IDENTIFIERS.contains(&byte) => identifiers += 1,
                (true, byte) if ADDRESSES.contains(&byte) => addresses += 1,
                (true, _) => elsewhere += 1,
                (false, _) => taken += 1,
            }
        }
        fact!(
            "abuse.bits",
            of = name,
            plain = before,
            identifiers_refused = identifiers,
            addresses_refused = addresses,
            others_refused = elsewhere,
            others_known = taken
        );
    }
    Ok(())
}

/// What SET FEATURES and its like name in their lowest byte: host memory, doorbell buffers and the like are in there.
fn selectors(admin: &mut Bench<'_>) -> Result<(), Refusal> {
    let with = |opcode| {
        move |selector: u8| Command {
            opcode,
            // A log page of a page's length.
            cdw: [
                u32::from(selector)
                    | if opcode == GET_LOG_PAGE {
                        0x3ff << 16
                    } else {
                        0
                    },
                0,
                0,
                0,
                0,
                0,
            ],
            ..Command::default()
        }
    };
    let set = admin.list(with(SET_FEATURES))?;
    let get = admin.list(with(GET_FEATURES))?;
    let log = admin.list(with(GET_LOG_PAGE))?;
    let identify = admin.list(with(IDENTIFY))?;
    fact!(
        "abuse.selectors",
        set_features = set.as_str(),
        get_features = get.as_str(),
        log_pages = log.as_str(),
        identify = identify.as_str()
    );
    Ok(())
}

fn sizes(bench: &mut Bench<'_>) -> Result<(), Refusal> {
    let plain = Command::transfer(io::READ, NSID, 0, 8).ok_or(Refusal::BadArgument)?;
    let bytes = plain.to_bytes();
    let mut long = [0u8; 128];
    long[..64].copy_from_slice(&bytes);
    let (nothing, short, long) = (
        bench.with_page(&[])?,
        bench.with_page(&bytes[..63])?,
        bench.with_page(&long)?,
    );
    fact!(
        "abuse.templates",
        empty = nothing,
        short = short,
        long = long
    );
    Ok(())
}

fn lengths(bench: &Bench<'_>) {
    let buffer = bench.buffer;
    let queue = bench.queue;
    let with = |blocks: u32, segments: &[Segment]| {
        let command = Command::transfer(io::READ, NSID, 0, blocks).unwrap_or_default();
        outcome(&submit(queue, 0, &command, segments))
    };
    let piece = |offset, length| into(buffer, offset, length);
    let many = |count: u32| {
        (0..count)
            .map(|n| piece(n * PAGE, PAGE))
            .collect::<Vec<_>>()
    };
    let end = 1 << 19;
    fact!(
        "abuse.lengths",
        nothing = with(8, &[]),
        zero = with(8, &[piece(0, 0)]),
        zero_beside = with(8, &[piece(0, PAGE), piece(0, 0)]),
        a_byte_less = with(8, &[piece(0, PAGE - 1)]),
        a_byte_more = with(8, &[piece(0, PAGE + 1)]),
        a_block_less = with(8, &[piece(0, PAGE - 512)]),
        a_page_more = with(8, &many(2)),
        over_the_end = with(8, &[piece(end - 512, PAGE)]),
        beyond = with(8, &[piece(end, PAGE)]),
        wraps = with(8, &[piece(u32::MAX - 511, PAGE)]),
        longest = with(8, &[piece(0, u32::MAX)]),
        odd_start = with(8, &[piece(1, PAGE)]),
        hole = with(16, &[piece(512, PAGE), piece(3 * PAGE, PAGE)]),
        too_many = with(8, &many(65)),
        to_device = with(
            8,
            &[Segment {
                direction: Direction::ToDevice,
                ..piece(0, PAGE)
            }]
        ),
        mixed = with(
            16,
            &[
                piece(0, PAGE),
                Segment {
                    direction: Direction::ToDevice,
                    ..piece(PAGE, PAGE)
                }
            ]
        ),
        over_the_transfer_limit = with(65_536, &many(64))
    );
}

/// More commands than a batch or a queue takes, and one bad one among good ones.
fn batches(rig: &Rig, timer: &Timer, buffer: &DmaBuffer) -> Result<(), Refusal> {
    let good = Command::transfer(io::READ, NSID, 0, 8)
        .ok_or(Refusal::BadArgument)?
        .to_bytes();
    let mut bad = good;
    bad[24] = 1;
    let page = [into(buffer, 0, PAGE)];
    let command = |cookie: u64, template| device_queue::Command {
        cookie,
        template,
        segments: &page,
    };
    let mixed = [command(1, &good), command(2, &bad), command(3, &good)];
    let mixed = rig.io.submit(&mixed)?;
    let first = completions(&rig.io, timer, 1)?;
    let full: Vec<_> = (0..40).map(|cookie| command(cookie, &good[..])).collect();
    let full = rig.io.submit(&full)?;
    let done = completions(&rig.io, timer, usize::from(full.accepted))?;
    let mut cookies: Vec<u64> = done.iter().map(|c| c.cookie).collect();
    cookies.sort_unstable();
    let once = cookies.iter().copied().eq(0..u64::from(full.accepted));
    let name = |refusal: Option<Refusal>| refusal.map_or("none", Refusal::name);
    fact!(
        "abuse.batches",
        before_the_bad_one = mixed.accepted,
        why = name(mixed.refusal),
        first = first.first().map_or(0, |c| c.cookie),
        of_40 = full.accepted,
        then = name(full.refusal),
        each_once = once
    );
    Ok(())
}

fn queues(rig: &Rig) -> Result<(), Refusal> {
    let open = |kind, index, depth, source| outcome(&rig.device.queue(kind, index, depth, source));
    fact!(
        "abuse.queues",
        again = open(1, 1, 16, 0),
        zero = open(1, 0, 16, 0),
        beyond = open(1, 2, 16, 0),
        far_beyond = open(1, u16::MAX, 16, 0),
        kind = open(2, 1, 16, 0),
        second_admin = open(0, 1, 8, 0),
        no_entries = open(1, 1, 0, 0),
        too_deep = open(1, 1, u16::MAX, 0),
        source = open(1, 1, 16, 0x7ff),
        page_size = outcome(&rig.device.configure_nvme(8, 1, PAGE_SHIFT))
    );
    Ok(())
}
