//! A device queue's ring in the hands of a provider that writes what it likes, beside the message form of the same queue.
//!
//! Invariant: every read, write and flush that the ring takes, the message form takes, and the other way round.
#![no_std]
#![cfg_attr(not(test), no_main)]

use device_ring::{Binding, Command, Completion, ENTRIES, Memory, Opcode, ProviderEnd};
use nvme_format::io;
use sdk::alloc::vec::Vec;
use sdk::device::device_queue::{Direction, Segment};
use sdk::{Access, DeviceQueue, DeviceRegistry, DmaBuffer, Env, Error, Refusal, Timer, Window};
use sdk::{Words, fact};
use smoke_rig::nvme::{Rig, submit};
use smoke_rig::{completion, handle, outcome, piece, window};

sdk::entry!(main);

const NSID: u16 = 1;
const PAGE: u32 = 4096;
const BLOCK: u32 = 512;
const BUFFER: u32 = 1 << 18;
/// A transfer that the disk takes a while for.
const LONG: u32 = 64 << 10;
/// Between two looks at the device.
const PAUSE_NS: u64 = 500_000;
const PATIENCE_NS: u64 = 10_000_000_000;

/// Words of the page (`device-ring` says where what is).
const COMMANDS_MADE: usize = 8;
const FIRST_COMMAND: usize = 16;
const COMPLETIONS_TAKEN: usize = 272;

/// What is tried, and what came of it.
struct Bench<'a> {
    rig: &'a Rig,
    timer: &'a Timer,
    page: Words,
    end: ProviderEnd<Words>,
}

impl<'a> Bench<'a> {
    fn new(rig: &'a Rig, timer: &'a Timer) -> Result<Self, Refusal> {
        let memory = rig.io.ring()?.memory;
        let page = Words::of(Window::map(memory, PAGE.into(), Access::ReadWrite)?)?;
        let end = ProviderEnd::new(page.clone()).map_err(|_| Refusal::OutOfRange)?;
        Ok(Self {
            rig,
            timer,
            page,
            end,
        })
    }

    fn queue(&self) -> &DeviceQueue {
        &self.rig.io
    }

    fn bind(&self, buffer: &DmaBuffer) -> Result<Binding, Refusal> {
        let bound = self.queue().bind(handle(buffer))?;
        Ok(Binding {
            slot: bound.slot,
            generation: bound.generation,
        })
    }

    fn push(&mut self, command: &Command) -> Result<(), Refusal> {
        self.end.push(command).map_err(|_| Refusal::QueueFull)?;
        self.end.show();
        Ok(())
    }

    /// The completions that there are in the page.
    fn given(&mut self) -> Result<Vec<Completion>, Refusal> {
        let mut all = Vec::new();
        while let Some(one) = self.end.take().map_err(|_| Refusal::Corrupt)? {
            all.push(one);
        }
        self.end.give_back();
        Ok(all)
    }

    /// Waits for so many completions.
    fn wait(&mut self, count: usize) -> Result<Vec<Completion>, Refusal> {
        let give_up = self.timer.now()?.ns + PATIENCE_NS;
        let mut all = self.given()?;
        while all.len() < count {
            let now = self.timer.now()?.ns;
            if now > give_up {
                return Err(Refusal::TimedOut);
            }
            self.timer.sleep(now + PAUSE_NS)?;
            self.queue().kick(0, ENTRIES as u16)?;
            all.extend(self.given()?);
        }
        Ok(all)
    }

    /// One command alone, to its end: `ok`, or why it was refused.
    fn tried(&mut self, command: &Command) -> Result<&'static str, Refusal> {
        self.push(command)?;
        self.queue().kick(1, 0)?;
        let done = self.wait(1)?;
        let outcome = done.first().map(|one| one.outcome);
        Ok(match outcome {
            Some(Ok((0, _))) => "ok",
            Some(Ok(_)) => "status",
            Some(Err(refusal)) => refusal.name(),
            None => "nothing",
        })
    }
}

fn read(cookie: u64, binding: Binding, block: u64, offset: u32, length: u32) -> Command {
    Command {
        block,
        ..Command::bare(cookie, Opcode::Read, NSID)
    }
    .with(binding, offset, length)
}

fn main(env: &Env) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let rig = Rig::new(registry.claim("nvme", 0)?.device)?;
    let buffer = rig.buffer(BUFFER.into())?;
    let before = outcome(&rig.io.kick(1, 1));
    let mut bench = Bench::new(&rig, &timer)?;
    fact!(
        "ring.opened",
        before = before,
        again = outcome(&rig.io.ring()),
        administration = outcome(&rig.admin.ring())
    );
    compare(&mut bench, &buffer)?;
    data(&mut bench, &buffer)?;
    entries(&mut bench, &buffer)?;
    clears(&mut bench, &buffer)?;
    bindings(&mut bench, &buffer)?;
    full(&mut bench, &buffer)?;
    frees(&mut bench)?;
    counts(&mut bench, &buffer)?;
    resets(bench, &buffer)?;
    fact!(
        "ring.balance",
        in_flight = rig.io.info()?.in_flight,
        buffer_in_flight = buffer.info()?.in_flight
    );
    fact!("ring.done");
    Ok(())
}

/// The same command as a message: its template, and its segment.
fn as_message(
    bench: &Bench<'_>,
    command: &Command,
    buffer: &DmaBuffer,
) -> Result<&'static str, Refusal> {
    let unit = command.unit.into();
    let blocks = (command.length / BLOCK).clamp(1, 65_536);
    let opcode = match command.opcode {
        1 => io::READ,
        2 => io::WRITE,
        _ => io::FLUSH,
    };
    let template = match opcode {
        io::FLUSH => nvme_format::Command::flush(unit),
        _ => nvme_format::Command::transfer(opcode, unit, command.block, blocks)
            .ok_or(Refusal::BadArgument)?,
    };
    let direction = match opcode {
        io::WRITE => Direction::ToDevice,
        _ => Direction::FromDevice,
    };
    let segment = [piece(buffer, command.offset, command.length, direction)];
    let segments: &[Segment] = if opcode == io::FLUSH { &[] } else { &segment };
    let cookie = command.cookie;
    let taken = submit(bench.queue(), cookie, &template, segments);
    if taken.is_ok() {
        let status = completion(bench.queue(), bench.timer, cookie)?.status;
        return Ok(if status == 0 { "ok" } else { "status" });
    }
    Ok(outcome(&taken))
}

/// Every kind of command in both forms.
fn compare(bench: &mut Bench<'_>, buffer: &DmaBuffer) -> Result<(), Error> {
    let binding = bench.bind(buffer)?;
    let (mut same, mut differ, mut taken) = (0, 0, 0);
    let offsets = [
        0,
        512,
        4,
        1,
        BUFFER - PAGE,
        BUFFER - BLOCK,
        BUFFER,
        u32::MAX,
    ];
    let lengths = [
        PAGE,
        BLOCK,
        3 * PAGE,
        0,
        1,
        PAGE - 1,
        PAGE + 1,
        BUFFER,
        u32::MAX,
    ];
    for opcode in [Opcode::Read, Opcode::Write, Opcode::Flush] {
        for unit in [NSID, 0, 2, u16::MAX] {
            for block in [0, 8, 1 << 20, u64::MAX] {
                for (n, offset) in offsets.into_iter().enumerate() {
                    let mut command = Command::bare(taken, opcode, unit);
                    if opcode != Opcode::Flush {
                        let length = lengths[(n + taken as usize) % lengths.len()];
                        command.block = block;
                        command = command.with(binding, offset, length);
                    } else if n > 0 || block > 0 {
                        continue;
                    }
                    let ring = bench.tried(&command)?;
                    let message = as_message(bench, &command, buffer)?;
                    taken += 1;
                    if ring == message {
                        same += 1;
                    } else {
                        differ += 1;
                        sdk::warn!("{command:?}: {ring} by the ring, {message} by message");
                    }
                }
            }
        }
    }
    fact!("ring.compared", same = same, differ = differ);
    lengths_of_reads(bench, binding)?;
    unbind(bench, binding)?;
    Ok(())
}

/// What becomes of reads of lengths that fit and that do not.
fn lengths_of_reads(bench: &mut Bench<'_>, binding: Binding) -> Result<(), Error> {
    let whole = |length| read(0, binding, 0, 0, length);
    fact!(
        "ring.lengths",
        page = bench.tried(&whole(PAGE))?,
        zero = bench.tried(&whole(0))?,
        a_byte_less = bench.tried(&whole(PAGE - 1))?,
        a_byte_more = bench.tried(&whole(PAGE + 1))?,
        over_the_end = bench.tried(&read(0, binding, 0, BUFFER - BLOCK, PAGE))?,
        wraps = bench.tried(&read(0, binding, 0, u32::MAX - 511, PAGE))?,
        odd_start = bench.tried(&read(0, binding, 0, 1, PAGE))?,
    );
    Ok(())
}

fn unbind(bench: &Bench<'_>, binding: Binding) -> Result<(), Refusal> {
    bench.queue().unbind(binding.slot, binding.generation)
}

/// What is written and read through the ring is what the message form reads.
fn data(bench: &mut Bench<'_>, buffer: &DmaBuffer) -> Result<(), Error> {
    let binding = bench.bind(buffer)?;
    let view = window(buffer, BUFFER.into())?;
    let pattern: Vec<u8> = (0..2 * PAGE).map(|at| (at * 7 + at / 251) as u8).collect();
    view.write(0, &pattern)?;
    let write = Command {
        opcode: Opcode::Write as u8,
        ..read(1, binding, 64, 0, 2 * PAGE)
    };
    let written = bench.tried(&write)?;
    let flushed = bench.tried(&Command::bare(2, Opcode::Flush, NSID))?;
    // Begins in the middle of a page, so that the transfer has three.
    let back = bench.tried(&read(3, binding, 64, 4 * PAGE + 2048, 2 * PAGE))?;
    let message = as_message(bench, &read(4, binding, 64, 8 * PAGE, 2 * PAGE), buffer)?;
    let mut copy = sdk::alloc::vec![0; pattern.len()];
    view.read(u64::from(4 * PAGE + 2048), &mut copy)?;
    let by_ring = copy == pattern;
    view.read(u64::from(8 * PAGE), &mut copy)?;
    fact!(
        "ring.data",
        written = written,
        flushed = flushed,
        back = back,
        message = message,
        same_by_ring = by_ring,
        same_by_message = copy == pattern
    );
    unbind(bench, binding)?;
    Ok(())
}

/// Opcodes that there are not, commands that are not bare, and an entry that changes after the kick.
fn entries(bench: &mut Bench<'_>, buffer: &DmaBuffer) -> Result<(), Error> {
    let binding = bench.bind(buffer)?;
    let good = read(1, binding, 0, 0, PAGE);
    let (mut known, mut unknown) = (0, 0);
    for opcode in (0..=u8::MAX).filter(|opcode| ![1, 2, 4].contains(opcode)) {
        let tried = bench.tried(&Command { opcode, ..good })?;
        if tried == "templateRefused" {
            unknown += 1;
        } else {
            known += 1;
        }
    }
    let bare = Command::bare(1, Opcode::Flush, NSID);
    let mut bits = 0;
    for bit in (72..256).filter(|bit| !(80..96).contains(bit)) {
        let mut words = bare.words();
        words[bit / 64] ^= 1 << (bit % 64);
        bits += u32::from(bench.tried(&Command::from_words(words))? == "templateRefused");
    }
    bench.push(&good)?;
    let kicked = bench.queue().kick(1, 0)?;
    // All places of the ring: the one that was read is among them.
    for word in FIRST_COMMAND..FIRST_COMMAND + 4 * ENTRIES as usize {
        bench
            .page
            .store(word, u64::MAX, core::sync::atomic::Ordering::Relaxed);
    }
    let done = bench.wait(1)?;
    fact!(
        "ring.entries",
        opcodes_refused = unknown,
        opcodes_known = known,
        bits_refused = bits,
        accepted = kicked.accepted,
        changed_after = done.first()
            == Some(&Completion {
                cookie: 1,
                outcome: Ok((0, 0))
            })
    );
    unbind(bench, binding)?;
    Ok(())
}

/// Zeros and discards of what there is and of what there is not; and with what they must not have.
fn clears(bench: &mut Bench<'_>, buffer: &DmaBuffer) -> Result<(), Error> {
    let binding = bench.bind(buffer)?;
    for (name, opcode) in [("zero", Opcode::Zero), ("discard", Opcode::Discard)] {
        let clear = |unit, block, length| Command {
            block,
            length,
            ..Command::bare(1, opcode, unit)
        };
        let good = clear(NSID, 4096, PAGE);
        // The disk has 8 MiB.
        let blocks = (8 << 20) / u64::from(BLOCK);
        fact!(
            "ring.clears",
            what = name,
            good = bench.tried(&good)?,
            last = bench.tried(&clear(NSID, blocks - 1, BLOCK))?,
            past = bench.tried(&clear(NSID, blocks, BLOCK))?,
            over = bench.tried(&clear(NSID, blocks - 1, PAGE))?,
            far = bench.tried(&clear(NSID, u64::MAX, BLOCK))?,
            none = bench.tried(&clear(NSID, 0, 0))?,
            part = bench.tried(&clear(NSID, 0, BLOCK - 1))?,
            unit = bench.tried(&clear(2, 0, BLOCK))?,
            bound = bench.tried(&good.with(binding, 0, PAGE))?
        );
    }
    unbind(bench, binding)?;
    Ok(())
}

/// Places and generations that name no buffer, and handles that name none.
fn bindings(bench: &mut Bench<'_>, buffer: &DmaBuffer) -> Result<(), Error> {
    let binding = bench.bind(buffer)?;
    let tried = |bench: &mut Bench<'_>, slot, generation| {
        bench.tried(&read(1, Binding { slot, generation }, 0, 0, PAGE))
    };
    let (mut stale, mut beyond, mut other) = (0, 0, 0);
    for slot in (0..=u8::MAX).filter(|slot| *slot != binding.slot) {
        match tried(bench, slot, binding.generation)? {
            "stale" => stale += 1,
            "outOfRange" => beyond += 1,
            _ => other += 1,
        }
    }
    let generation = binding.generation;
    let zero = tried(bench, binding.slot, 0)?;
    let before = tried(bench, binding.slot, generation - 1)?;
    let after = tried(bench, binding.slot, generation + 1)?;
    unbind(bench, binding)?;
    let unbound = tried(bench, binding.slot, generation)?;
    let second = bench.bind(buffer)?;
    let old = tried(bench, binding.slot, generation)?;
    let new = tried(bench, second.slot, second.generation)?;
    fact!(
        "ring.bindings",
        stale = stale,
        beyond = beyond,
        other = other,
        zero = zero,
        before = before,
        after = after,
        unbound = unbound,
        same_place = second.slot == binding.slot,
        old = old,
        new = new,
        twice = outcome(&unbind(bench, binding))
    );
    let mut bound = Vec::new();
    let last = loop {
        match bench.bind(buffer) {
            Ok(one) => bound.push(one),
            Err(refusal) => break refusal,
        }
    };
    let queue = bench.queue();
    fact!(
        "ring.bound",
        places = bound.len() + 1,
        then = last.name(),
        no_handle = outcome(&queue.bind(0)),
        made_up = outcome(&queue.bind(u64::MAX)),
        no_buffer = outcome(&queue.bind(handle(bench.timer)))
    );
    for one in bound.into_iter().chain([second]) {
        unbind(bench, one)?;
    }
    Ok(())
}

/// More commands than the queue and the ring take, and completions that nobody takes.
fn full(bench: &mut Bench<'_>, buffer: &DmaBuffer) -> Result<(), Error> {
    let binding = bench.bind(buffer)?;
    for cookie in 0..40 {
        bench.push(&read(cookie, binding, 0, 0, BLOCK))?;
    }
    let first = bench.queue().kick(u16::MAX, 0)?;
    let again = bench.queue().kick(u16::MAX, 0)?;
    let mut cookies = Vec::new();
    while cookies.len() < 40 {
        bench.queue().kick(u16::MAX, u16::MAX)?;
        cookies.extend(bench.given()?.iter().map(|one| one.cookie));
        bench.timer.sleep(bench.timer.now()?.ns + PAUSE_NS)?;
    }
    cookies.sort_unstable();
    let once = cookies.iter().copied().eq(0..40);
    // Refused commands fill the places of completions; then nothing more is taken.
    let mut refused = 0;
    for _ in 0..3 {
        for cookie in 0..u64::from(ENTRIES) {
            let _ = bench.push(&Command {
                opcode: 99,
                ..read(cookie, binding, 0, 0, BLOCK)
            });
        }
        refused += bench.queue().kick(u16::MAX, 0)?.refused;
    }
    let taken = bench.given()?.len();
    bench.queue().kick(u16::MAX, 0)?;
    let rest = bench.given()?.len();
    fact!(
        "ring.full",
        accepted = first.accepted,
        why = first.stopped.map_or("none", Refusal::name),
        again = again.accepted,
        each_once = once,
        refused = refused,
        taken = taken,
        rest = rest
    );
    unbind(bench, binding)?;
    Ok(())
}

/// A buffer that is to be freed is bound no more, though it is still in flight; nor is what is freed and made again.
fn frees(bench: &mut Bench<'_>) -> Result<(), Error> {
    let buffer = bench.rig.buffer(LONG.into())?;
    let binding = bench.bind(&buffer)?;
    bench.push(&read(1, binding, 0, 0, LONG))?;
    let kicked = bench.queue().kick(1, 0)?;
    let busy = outcome(&buffer.free());
    let second = bench.tried(&read(2, binding, 0, 0, BLOCK))?;
    // `tried` waits for one completion: the refusal's. The transfer's own may have come with it.
    let _ = bench.wait(0)?;
    while buffer.info()?.in_flight > 0 {
        bench.queue().kick(0, 64)?;
        let _ = bench.given()?;
        bench.timer.sleep(bench.timer.now()?.ns + PAUSE_NS)?;
    }
    let freed = outcome(&buffer.free());
    let after = bench.tried(&read(3, binding, 0, 0, BLOCK))?;
    let next = bench.rig.buffer(LONG.into())?;
    let bound = bench.bind(&next)?;
    let old = bench.tried(&read(4, binding, 0, 0, BLOCK))?;
    fact!(
        "ring.frees",
        accepted = kicked.accepted,
        while_in_flight = busy,
        then_bound = second,
        freed = freed,
        after = after,
        old_in_new = old,
        new = bench.tried(&read(5, bound, 0, 0, BLOCK))?
    );
    Ok(())
}

/// Counts in the page that cannot be.
fn counts(bench: &mut Bench<'_>, buffer: &DmaBuffer) -> Result<(), Error> {
    let binding = bench.bind(buffer)?;
    let order = core::sync::atomic::Ordering::Relaxed;
    let made = bench.page.load(COMMANDS_MADE, order);
    let taken = bench.page.load(COMPLETIONS_TAKEN, order);
    let mut refused = 0;
    let mut in_flight = 0;
    let counts = [u64::from(ENTRIES) + 1, 1 << 32, 1 << 63, u64::MAX];
    for count in counts {
        bench
            .page
            .store(COMMANDS_MADE, made.wrapping_add(count), order);
        refused += u32::from(bench.queue().kick(64, 64) == Err(Refusal::BadMessage));
        bench.page.store(COMMANDS_MADE, made, order);
        bench
            .page
            .store(COMPLETIONS_TAKEN, taken.wrapping_add(count), order);
        refused += u32::from(bench.queue().kick(64, 64) == Err(Refusal::BadMessage));
        bench.page.store(COMPLETIONS_TAKEN, taken, order);
        in_flight += bench.queue().info()?.in_flight;
    }
    let _ = bench.given();
    fact!(
        "ring.counts",
        tried = 2 * counts.len(),
        refused = refused,
        in_flight = in_flight,
        goes_on = bench.tried(&read(1, binding, 0, 0, BLOCK))?
    );
    unbind(bench, binding)?;
    Ok(())
}

/// A reset of the queue ends ring and bindings; what was in flight comes back once.
fn resets(mut bench: Bench<'_>, buffer: &DmaBuffer) -> Result<(), Error> {
    let binding = bench.bind(buffer)?;
    for cookie in 0..4 {
        bench.push(&read(cookie, binding, 0, 0, LONG))?;
    }
    let kicked = bench.queue().kick(64, 0)?;
    // Two that are in the ring and were not taken when the queue is reset.
    bench.push(&read(8, binding, 0, 0, BLOCK))?;
    bench.push(&read(9, binding, 0, 0, BLOCK))?;
    let reset = outcome(&bench.queue().reset());
    let owed = bench.queue().kick(64, 64)?;
    let revoked = bench.given()?;
    let all_revoked = revoked.len() == 4
        && revoked
            .iter()
            .all(|one| one.outcome == Err(Refusal::Revoked));
    let ended = outcome(&bench.queue().kick(64, 64));
    let gone = outcome(&bench.queue().kick(64, 64));
    let unbound = outcome(&unbind(&bench, binding));
    let (rig, timer) = (bench.rig, bench.timer);
    drop(bench);
    let mut bench = Bench::new(rig, timer)?;
    let old = bench.tried(&read(1, binding, 0, 0, BLOCK))?;
    let fresh = bench.bind(buffer)?;
    fact!(
        "ring.queue-reset",
        accepted = kicked.accepted,
        reset = reset,
        owed = owed.completed,
        taken = owed.accepted,
        revoked = all_revoked,
        ended = ended,
        gone = gone,
        unbind = unbound,
        old = old,
        new = bench.tried(&read(2, fresh, 0, 0, BLOCK))?
    );
    bench.push(&read(7, fresh, 0, 0, LONG))?;
    bench.queue().kick(64, 0)?;
    rig.device.reset()?;
    let owed = outcome(&bench.queue().kick(64, 64));
    let given = bench.given()?;
    fact!(
        "ring.device-reset",
        owed = owed,
        revoked = given.first()
            == Some(&Completion {
                cookie: 7,
                outcome: Err(Refusal::Revoked)
            }),
        ended = outcome(&bench.queue().kick(64, 64)),
        bind = outcome(&bench.bind(buffer)),
        ring = outcome(&bench.queue().ring())
    );
    Ok(())
}
