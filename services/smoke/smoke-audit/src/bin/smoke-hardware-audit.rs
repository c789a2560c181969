//! Can what was done with a device be read, in full, in order, by those who may, and by nobody else?
#![no_std]
#![cfg_attr(not(test), no_main)]

use audit_format::Kind;
use sdk::alloc::vec::Vec;
use sdk::audit::hardware_audit_log::{WaitParams, call};
use sdk::{
    AnyFacet, AuditAdmission, AuditBroker, AuditGate, Cap, CapArg, Console, Device, DmaPool, Env,
    Error, HardwareAuditLog, Interface, NEVER, Object, Refusal, Ring, Timer, fact,
};
use smoke::{Kit, give, outcome, role, wait_until};
use smoke_audit::{count, names, read, read_on, steps};

sdk::entry!(main);

/// Allocations and frees that fill the log more than once.
const ROUNDS: usize = 300;
const REFUSALS: usize = 200;
/// How long a reader waits to be revoked, in nanoseconds.
const PATIENCE_NS: u64 = 10_000_000_000;
/// Controller configuration (NVM Express Base Specification 2.0, 3.1.3.5): no window lets a provider write it.
const CC: u64 = 0x14;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("observer") => observe(env),
        Some("outsider") => stay_outside(env),
        Some("reader") => read_by_admission(env),
        Some("holder") => hold(env),
        _ => ask(env),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-hardware-audit")?;
    let log: HardwareAuditLog = env.get("log")?;
    let device: Device = env.get("device")?;
    let pool = life(&log, &device)?;
    cursor(&log)?;
    refusal(env, &log, &device)?;
    edge(&kit, &log, &pool)?;
    overflow(&log, &pool)?;
    flood(&log, &device)?;
    observer(env, &kit, &log, &device)?;
    readers(env, &kit, &log)?;
    drop(pool);
    death(&kit, &log, device)?;
    fact!("audit.end");
    Ok(())
}

/// A device's life, as the log tells it.
fn life(log: &HardwareAuditLog, device: &Device) -> Result<DmaPool, Error> {
    let (boot, chained) = read_on(log, 0, 0)?;
    let first = boot.first().map_or("", |record| record.event.kind.name());
    let claimed = count(&boot, Kind::Claimed);
    fact!(
        "audit.boot",
        first = first,
        claimed = claimed,
        chained = chained
    );
    let from = read(log, 0, 1)?.edge;
    smoke_rig::nvme::start(device, 1)?;
    let pool = device.pool(1 << 20)?.pool;
    let interrupt = device.interrupt(0)?.interrupt;
    let queue = device.queue(0, 0, 8, 0)?.queue;
    let buffer = pool.allocate(4096, sdk::Layout::Scattered)?.buffer;
    drop(buffer.window(sdk::WindowAccess::ReadWrite)?);
    buffer.free()?;
    drop(queue);
    drop(interrupt);
    let (life, _) = read_on(log, from, 0)?;
    let list = names(&life);
    // Init claimed it, for this process.
    let claimer = boot.iter().find(|one| one.event.kind == Kind::Claimed);
    let claimer = claimer.map_or(0, |record| record.event.owner);
    let of_claimer = life.iter().all(|record| record.event.owner == claimer);
    fact!(
        "audit.life",
        kinds = list.as_str(),
        of_claimer = of_claimer && claimer != 0
    );
    Ok(pool)
}

/// A process that holds one of each dies, and with it the claim: what the log says of it.
fn death(kit: &Kit, log: &HardwareAuditLog, device: Device) -> Result<(), Error> {
    let from = read(log, 0, 1)?.edge;
    let holder = kit.start("holder", &[give("device", &device)])?;
    // What came with the grants is given up by its number.
    drop(Cap::owned(device.object().handle()));
    let told = || {
        read_on(log, from, 0)
            .map(|(told, _)| told)
            .unwrap_or_default()
    };
    wait_until(kit, || count(&told(), Kind::BufferShared) == 1);
    // Until it waits for its interrupt.
    kit.pause_ms(200)?;
    let alive = read(log, 0, 1)?.edge;
    holder.kill()?;
    kit.ended(&holder)?;
    wait_until(kit, || count(&told(), Kind::Released) == 1);
    let (end, chained) = read_on(log, alive, 0)?;
    let order = steps(&end);
    fact!("audit.death", order = order.as_str(), chained = chained);
    Ok(())
}

/// Takes the device to where one of each thing is held, and waits for an interrupt that never comes.
fn hold(env: &Env) -> Result<(), Error> {
    let device: Device = env.get("device")?;
    smoke_rig::nvme::start(&device, 1)?;
    let _registers = device.mmio(0)?.mmio;
    let interrupt = device.interrupt(0)?.interrupt;
    let pool = device.pool(1 << 20)?.pool;
    let _queue = device.queue(0, 0, 8, 0)?.queue;
    let buffer = pool.allocate(4096, sdk::Layout::Scattered)?.buffer;
    buffer.map(3)?;
    interrupt.wait()?;
    Ok(())
}

/// Reading in pieces gives what reading at once gives.
fn cursor(log: &HardwareAuditLog) -> Result<(), Error> {
    let (whole, _) = read_on(log, 1, 0)?;
    let (pieces, chained) = read_on(log, 1, 3)?;
    let middle = read(log, 5, 2)?;
    let edge = read(log, 0, 1)?.edge;
    let ahead = read(log, edge + 1, 1);
    fact!(
        "audit.cursor",
        same = whole == pieces,
        chained = chained,
        from_five = middle.first,
        ahead = outcome(&ahead)
    );
    Ok(())
}

/// What a holder is refused is in the log, with who asked.
fn refusal(env: &Env, log: &HardwareAuditLog, device: &Device) -> Result<(), Error> {
    let from = read(log, 0, 1)?.edge;
    let registers = device.mmio(0)?.mmio;
    let write = registers.write(CC, 4, 1);
    let (told, _) = read_on(log, from, 0)?;
    let event = told.first().map(|record| record.event);
    let code = write.as_ref().err().map_or(0, |refusal| refusal.code());
    let right = event.is_some_and(|event| {
        event.kind == Kind::Refused && event.outcome == code && event.owner == env.process()
    });
    fact!(
        "audit.refusal",
        write = outcome(&write),
        told = told.len(),
        right = right
    );
    Ok(())
}

/// A reader at the edge waits, and is told of the next record.
fn edge(kit: &Kit, log: &HardwareAuditLog, pool: &DmaPool) -> Result<(), Error> {
    let at = read(log, 0, 1)?.edge;
    let early = log.with_deadline(kit.after_ms(50)?).wait(at);
    let mut ring = Ring::new(1, 256)?;
    ring.call::<call::Wait>(log.object(), WaitParams { from: at }, 0, NEVER)?;
    ring.submit();
    kit.pause_ms(20)?;
    let pending = ring.completed().is_none();
    drop(pool.allocate(4096, sdk::Layout::Scattered)?);
    ring.wait(1, kit.after_ms(5000)?);
    let woken = ring
        .completed()
        .map(|completion| completion.read::<call::Wait, _>(|results| results.edge));
    let woken = woken.and_then(Result::ok).is_some_and(|edge| edge > at);
    fact!(
        "audit.edge",
        early = outcome(&early),
        pending = pending,
        woken = woken
    );
    Ok(())
}

/// Old records go, and every read says how many; no read gives more than its limit.
fn overflow(log: &HardwareAuditLog, pool: &DmaPool) -> Result<(), Error> {
    for _ in 0..ROUNDS {
        pool.allocate(4096, sdk::Layout::Scattered)?.buffer.free()?;
    }
    let old = read(log, 5, 1)?;
    let (_, chained) = read_on(log, 1, 0)?;
    fact!(
        "audit.overflow",
        held = old.edge - old.first,
        moved_forward = old.first > 5,
        counted = old.dropped == old.first - 5,
        chained = chained
    );
    let most = read(log, 0, u32::MAX);
    let (got, truncated) = most
        .as_ref()
        .map_or((0, false), |piece| (piece.records.len(), piece.truncated));
    fact!(
        "audit.clamp",
        asked = u32::MAX,
        outcome = outcome(&most),
        got = got,
        truncated = truncated
    );
    Ok(())
}

/// Whoever is refused on purpose does not drive other records out.
fn flood(log: &HardwareAuditLog, device: &Device) -> Result<(), Error> {
    let counted = || -> Result<(u64, u64), Refusal> {
        log.counters(|results| {
            let kinds = results.kinds()?;
            let refused = kinds.iter().find(|one| one.kind() == Kind::Refused as u16);
            Ok((refused.map_or(0, |one| one.events()), results.suppressed()))
        })?
    };
    let (events_before, suppressed_before) = counted()?;
    let from = read(log, 0, 1)?.edge;
    let registers = device.mmio(0)?.mmio;
    for _ in 0..REFUSALS {
        let _ = registers.write(CC, 4, 1);
    }
    let (events, suppressed) = counted()?;
    let (recorded, _) = read_on(log, from, 0)?;
    let recorded = count(&recorded, Kind::Refused) as u64;
    let counted = events - events_before;
    fact!(
        "audit.flood",
        refused = REFUSALS,
        counted = counted,
        bounded = recorded < counted,
        all = recorded + suppressed - suppressed_before == counted,
        recorded ~ recorded
    );
    Ok(())
}

/// Another process with the log and nothing else reaches no device.
fn observer(env: &Env, kit: &Kit, log: &HardwareAuditLog, device: &Device) -> Result<(), Error> {
    let console: Console = env.get("console")?;
    let before = device.info()?;
    let from = read(log, 0, 1)?.edge;
    kit.run("observer", &[give("log", log), give("console", &console)])?;
    let after = device.info()?;
    let (told, _) = read_on(log, from, 0)?;
    fact!(
        "audit.observer",
        device_untouched = before == after,
        events = told.len()
    );
    Ok(())
}

/// The same handle, taken for one of another interface.
fn pretend<I: Interface<Cap>>(handle: u64) -> I {
    I::from_object(Cap::borrowed(handle))
}

fn observe(env: &Env) -> Result<(), Error> {
    let log: HardwareAuditLog = env.get("log")?;
    let handle = log.object().handle();
    let device: Device = pretend(handle);
    let (mmio, interrupt) = (device.mmio(0), device.interrupt(0));
    let (pool, queue) = (device.pool(4096), device.queue(0, 0, 8, 0));
    fact!(
        "observer.tries",
        reads = read(&log, 0, 1).is_ok(),
        mmio = outcome(&mmio),
        interrupt = outcome(&interrupt),
        pool = outcome(&pool),
        queue = outcome(&queue)
    );
    Ok(())
}

/// Who reads at run time: nobody by himself, whoever the broker admits, for as long as it likes.
fn readers(env: &Env, kit: &Kit, log: &HardwareAuditLog) -> Result<(), Error> {
    let console: Console = env.get("console")?;
    let gate: AuditGate = env.get("gate")?;
    let broker: AuditBroker = env.get("broker")?;
    let (gate_given, console_given) = (give("gate", &gate), give("console", &console));
    kit.run("outsider", &[gate_given, console_given])?;

    let from = read(log, 0, 1)?.edge;
    let admitted = broker.admit()?;
    let given = [
        give("gate", &gate),
        give("console", &console),
        give("admission", &admitted.admission),
        give("timer", &kit.timer),
    ];
    let reader = kit.start("reader", &given)?;
    let reader_id = reader.info()?.id;
    let admissions = || {
        let told = read_on(log, from, 0)
            .map(|(told, _)| told)
            .unwrap_or_default();
        count(&told, Kind::ReaderAdmitted) + count(&told, Kind::ReaderRefused)
    };
    // Its second try to subscribe is refused; after that it waits.
    wait_until(kit, || admissions() == 2);
    kit.pause_ms(200)?;
    let revoked = broker.revoke(admitted.reader);
    let again = broker.revoke(admitted.reader);
    kit.ended(&reader)?;
    let (told, _) = read_on(log, from, 0)?;
    let list = names(&told);
    let asked = [reader_id, reader_id, env.process()];
    fact!(
        "audit.readers",
        revoke = outcome(&revoked),
        again = outcome(&again),
        told = list.as_str(),
        by_who_asked = told.iter().map(|record| record.event.owner).eq(asked)
    );
    bound(&broker)
}

/// There is a bound on admissions, and those that nobody holds any more do not count.
fn bound(broker: &AuditBroker) -> Result<(), Error> {
    let mut held = Vec::new();
    let refused = loop {
        match broker.admit() {
            Ok(admitted) if held.len() < 1000 => held.push(admitted),
            other => break outcome(&other),
        }
    };
    let most = held.len();
    drop(held);
    fact!(
        "audit.admissions",
        most = most,
        one_more = refused,
        once_they_are_gone = outcome(&broker.admit())
    );
    Ok(())
}

fn subscribe<I: Interface<Cap>>(gate: &AuditGate, with: &I) -> Result<HardwareAuditLog, Refusal> {
    let admission = CapArg::copy(with.object().handle());
    Ok(gate.subscribe(admission)?.log)
}

fn stay_outside(env: &Env) -> Result<(), Error> {
    let gate: AuditGate = env.get("gate")?;
    let console: Console = env.get("console")?;
    let nothing: AnyFacet = pretend(0);
    let without = subscribe(&gate, &nothing);
    let (with_gate, with_console) = (subscribe(&gate, &gate), subscribe(&gate, &console));
    fact!(
        "reader.outsider",
        nothing = outcome(&without),
        own_gate = outcome(&with_gate),
        console = outcome(&with_console)
    );
    Ok(())
}

fn read_by_admission(env: &Env) -> Result<(), Error> {
    let gate: AuditGate = env.get("gate")?;
    let admission: AuditAdmission = env.get("admission")?;
    let log = subscribe(&gate, &admission)?;
    let reads = read(&log, 0, 1).is_ok();
    let second = subscribe(&gate, &admission);
    fact!("reader.admitted", reads = reads, second = outcome(&second));
    // Whoever is not revoked must not wait for ever.
    let timer: Timer = env.get("timer")?;
    let patience = timer.now()?.ns + PATIENCE_NS;
    let wait = log.with_deadline(patience).wait(u64::MAX);
    let after = read(&log, 0, 1);
    fact!(
        "reader.revoked",
        wait = outcome(&wait),
        after = outcome(&after),
        admission = outcome(&subscribe(&gate, &admission))
    );
    Ok(())
}
