//! Mappings by their identity, and page tables by who pays for them. Its first argument says which question it asks.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU32, Ordering};

use sdk::process::process_spawner::Limits;
use sdk::process::virtual_memory;
use sdk::{Cap, Env, Error, Interface, MemoryObject, Object, Refusal, alloc::vec::Vec, fact};
use smoke::{Kit, give, memory_word, outcome, pinned, role, wait_until};

sdk::entry!(main);

/// A client of the program's own address space.
type VirtualMemory = virtual_memory::Client<Cap>;

const PAGE: u64 = 4096;
const READ: u8 = 1;
const READ_WRITE: u8 = 3;
/// What a client writes to memory of its own.
const OWN: u32 = 0x600d_600d;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("identity") => identity(env),
        Some("identity-race") => identity_race(env),
        Some("tables") => tables(env),
        Some("owner") => own_instead(env),
        Some("mapper") => map_all(env),
        _ => Err(Refusal::BadArgument.into()),
    }
}

fn word(address: u64) -> &'static AtomicU32 {
    // SAFETY: a page that this program mapped, and keeps.
    unsafe { memory_word(address) }
}

// ---- identity

/// What the two processes tell each other, in the shared memory's second page.
const MAPPED_OWN: u32 = 1;
const REVOKED: u32 = 2;

/// One after the other: unmapped and mapped again, and then revoked.
fn identity(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-maps")?;
    let vm: VirtualMemory = env.get("vm")?;
    let flag = vm.create_memory(PAGE)?.memory;
    let at = word(flag.map(0, PAGE, READ_WRITE)?.address);
    let memory = vm.create_memory(PAGE)?.memory;
    let owner = kit.start_within(
        "owner",
        &Limits::default(),
        &["waits"],
        &[give("memory", &memory), give("flag", &flag)],
    )?;
    wait_until(&kit, || at.load(Ordering::Acquire) == MAPPED_OWN);
    let revoked = memory.revoke();
    at.store(REVOKED, Ordering::Release);
    let ended = kit.ended(&owner)?;
    fact!(
        "identity.sequence",
        revoked = outcome(&revoked),
        owner = ended.text.as_str()
    );
    Ok(())
}

/// At once: the walk over 1,000 mappings is under way.
fn identity_race(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-maps")?;
    let vm: VirtualMemory = env.get("vm")?;
    let mut lost = 0;
    let mut refused = 0;
    for delay in [0, 300, 3000] {
        let (l, r) = race(&kit, &vm, delay)?;
        lost += l;
        refused += r;
    }
    fact!(
        "identity.race",
        rounds = 3,
        own_words_lost = lost,
        unmap_refused = refused
    );
    Ok(())
}

/// How many own words were lost, and how many times unmapping was refused.
fn race(kit: &Kit, vm: &VirtualMemory, delay: u32) -> Result<(u64, u64), Error> {
    let flag = vm.create_memory(PAGE)?.memory;
    let at = flag.map(0, PAGE, READ_WRITE)?.address;
    let memory = vm.create_memory(PAGE)?.memory;
    let mut own = Vec::new();
    while own.len() < 1000
        && let Ok(mapped) = memory.map(0, PAGE, READ)
    {
        own.push(mapped.address);
    }
    let delay = [("0", 0), ("300", 300), ("3000", 3000)]
        .into_iter()
        .find_map(|(name, n)| (n == delay).then_some(name))
        .unwrap_or("0");
    let owner = kit.start_within(
        "owner",
        &Limits::default(),
        &[delay],
        &[give("memory", &memory), give("flag", &flag)],
    )?;
    let handle = memory.object().handle();
    let revoker = pinned(0, move || {
        while word(at).load(Ordering::Acquire) != MAPPED_OWN {
            core::hint::spin_loop();
        }
        let memory = MemoryObject::from_object(Cap::borrowed(handle));
        let revoked = memory.revoke().is_ok();
        word(at).store(REVOKED, Ordering::Release);
        revoked
    })?;
    let revoked = revoker.join()?;
    let ended = kit.ended(&owner)?;
    drop(memory);
    for address in own {
        vm.unmap(address, PAGE)?;
    }
    vm.unmap(at, PAGE)?;
    if !revoked || ended.kind != "exited" {
        return Err(Refusal::Failed.into());
    }
    let lost = u64::from(ended.text.as_str() != "same_place=true words_lost=0");
    Ok((lost, u64::from(ended.code != 0)))
}

/// Maps the memory and unmaps it, puts memory of its own in the place, and looks whether that stays its own.
fn own_instead(env: &Env) -> Result<(), Error> {
    let memory: MemoryObject = env.get("memory")?;
    let flag: MemoryObject = env.get("flag")?;
    let vm: VirtualMemory = env.get("vm")?;
    let at = word(flag.map(0, PAGE, READ_WRITE)?.address);
    let shared = memory.map(0, PAGE, READ_WRITE)?.address;
    let delay: Option<u32> = env.arguments().nth(1).and_then(|w| w.parse().ok());
    if let Some(delay) = delay {
        at.store(MAPPED_OWN, Ordering::Release);
        while memory.info().is_ok() {}
        for _ in 0..delay {
            core::hint::spin_loop();
        }
    }
    let unmapped = vm.unmap(shared, PAGE);
    let mine = vm.map(PAGE, READ_WRITE)?.address;
    let words = || (0..PAGE / 4).map(|n| word(mine + n * 4));
    words().for_each(|word| word.store(OWN, Ordering::Relaxed));
    if delay.is_none() {
        at.store(MAPPED_OWN, Ordering::Release);
    }
    while at.load(Ordering::Acquire) != REVOKED {
        core::hint::spin_loop();
    }
    let lost = words()
        .filter(|word| word.load(Ordering::Relaxed) != OWN)
        .count();
    let refused = i64::from(unmapped.is_err());
    sdk::exit(
        refused,
        format_args!("same_place={} words_lost={lost}", mine == shared),
    )
}

// ---- tables

/// Each mapping of so much needs at least three tables of its own.
const SPREAD: u64 = 2048 * PAGE;
const MAPPINGS: usize = 100;
/// Pages that the mapper may have; the tables for all its mappings are more.
const LIMIT: u32 = 400;

fn tables(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-maps")?;
    let vm: VirtualMemory = env.get("vm")?;
    let memory = vm.create_memory(SPREAD)?.memory;
    // Records, so that the kernel's heap has grown as far as it will.
    hold(&memory, PAGE, 2 * MAPPINGS)?;
    let before = kit.free_kib()?;
    let (count, during) = {
        let mut held = Vec::new();
        while held.len() < MAPPINGS
            && let Ok(mapped) = memory.map(0, SPREAD, READ)
        {
            held.push(mapped.address);
        }
        let during = kit.free_kib()?;
        let count = held.len();
        for address in held {
            memory.unmap(address)?;
        }
        (count, during)
    };
    let after = kit.free_kib()?;
    fact!(
        "tables.back",
        mappings = count,
        some = before > during + 3 * 4 * count as u64,
        all = after >= before,
        kept_kib ~ before as i64 - after as i64
    );
    let limits = Limits {
        memory_pages: LIMIT,
        ..Limits::default()
    };
    let ended =
        kit.ended(&kit.start_within("mapper", &limits, &[], &[give("memory", &memory)])?)?;
    fact!(
        "tables.paid",
        mapper = ended.kind,
        told = ended.text.as_str()
    );
    Ok(())
}

fn hold(memory: &MemoryObject, bytes: u64, count: usize) -> Result<(), Refusal> {
    let mut held = Vec::new();
    for _ in 0..count {
        held.push(memory.map(0, bytes, READ)?.address);
    }
    held.into_iter()
        .try_for_each(|address| memory.unmap(address))
}

/// Maps until it is refused, lets go of one mapping, and maps again.
fn map_all(env: &Env) -> Result<(), Error> {
    let memory: MemoryObject = env.get("memory")?;
    let mut held = Vec::new();
    let refused = loop {
        match memory.map(0, SPREAD, READ) {
            Ok(mapped) => held.push(mapped.address),
            Err(refusal) => break refusal.name(),
        }
        if held.len() > LIMIT as usize {
            break "nothing";
        }
    };
    let some = held.len() > 10;
    let again = match held.pop() {
        Some(address) => {
            memory.unmap(address)?;
            outcome(&memory.map(0, SPREAD, READ))
        }
        None => "nothing",
    };
    sdk::exit(
        0,
        format_args!("some={some} refused={refused} again={again}"),
    )
}
