//! Does revoking take effect at once: on handles, calls under way and mappings of other processes, and on nothing else?
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use core::sync::atomic::Ordering;

use sdk::process::virtual_memory;
use sdk::schema::smoke::probe::call;
use sdk::{Cap, Env, Error, Interface, Lifetime, MemoryObject, NEVER, Object, Refusal, Ring, fact};
use smoke::{Kit, Probe, Prober, give, memory_word, mint, outcome, role, serve_probe, wait_until};

sdk::entry!(main);

/// A client of the program's own address space.
type VirtualMemory = virtual_memory::Client<Cap>;

const READ: u8 = 1;
const READ_WRITE: u8 = 3;
const READ_EXECUTE: u8 = 5;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("server") => serve_probe(env, act),
        // Waits at the gate, then calls the facet.
        Some("client") => {
            env.get::<Probe>("gate")?.hold()?;
            let refused = env.get::<Probe>("facet")?.words(0, 0).err();
            sdk::exit(
                refused.map_or(0, |refusal| i64::from(refusal.code())),
                format_args!(""),
            )
        }
        Some("reader") => read_on(env),
        _ => ask(env),
    }
}

/// `act`: answers every call that is held.
const ANSWER: u64 = 1;
/// `act`: how many are held.
const HELD: u64 = 2;

fn act(state: &mut Prober, what: u64, word: u64) -> Result<u64, Refusal> {
    let held = state.held.len() as u64;
    match what {
        ANSWER => while state.release(word) {},
        HELD => {}
        _ => return Err(Refusal::BadArgument),
    }
    Ok(held)
}

/// What the shared memory holds before it is revoked.
const SECRET: u32 = 0x5ec7_e7ed;

/// Maps the memory, says so in its second word, and reads the first until the secret is gone from it. Ends with what
/// is there instead.
fn read_on(env: &Env) -> Result<(), Error> {
    let memory: MemoryObject = env.get("memory")?;
    let address = memory.map(0, 4096, READ_WRITE)?.address;
    // SAFETY: mapped until the process ends.
    let (first, second) = unsafe { (memory_word(address), memory_word(address + 4)) };
    second.store(1, Ordering::SeqCst);
    while first.load(Ordering::SeqCst) == SECRET {
        core::hint::spin_loop();
    }
    let after = first.load(Ordering::SeqCst);
    // What it writes now reaches nobody.
    first.store(1, Ordering::SeqCst);
    sdk::exit(after.into(), format_args!(""))
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-cap-revoke")?;
    let vm: VirtualMemory = env.get("vm")?;
    facets(&kit)?;
    mappings(&kit, &vm)?;
    narrower(&vm)?;
    reuse(&vm)
}

fn facets(kit: &Kit) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let _server = kit.start("server", &[give("endpoint", &endpoint)])?;
    let (gone, stays) = (
        mint(&endpoint, 1, Lifetime::Durable)?,
        mint(&endpoint, 2, Lifetime::Durable)?,
    );
    let before = outcome(&gone.words(0, 0));
    // A revoked facet cannot be handed on: the client gets its copy before.
    let client = kit.start("client", &[give("facet", &gone), give("gate", &stays)])?;
    // One call is with the server, which will not answer it.
    let mut ring = Ring::new(2, 256)?;
    ring.call::<call::Hold>(gone.object(), (), 1, kit.after_ms(3000)?)?;
    ring.call::<call::Hold>(stays.object(), (), 2, NEVER)?;
    ring.submit();
    let with_server = wait_until(kit, || stays.act(HELD, 0).is_ok_and(|held| held.word == 3));
    endpoint.revoke_facet(gone.cap())?;
    ring.wait(1, NEVER);
    let pending = ring
        .completed()
        .map(|completion| (completion.user(), completion.refused()));
    let pending = match pending {
        Some((1, Some(refusal))) => refusal.name(),
        _ => "none",
    };
    let other_pending = ring.completed().is_none();
    stays.act(ANSWER, 0)?;
    let refused = Refusal::from_code(kit.ended(&client)?.code as u8);
    let handed_on = refused.map_or("ok", Refusal::name);
    fact!(
        "revoke.facet",
        before = before,
        with_server = with_server,
        own = outcome(&gone.words(0, 0)),
        handed_on = handed_on,
        pending = pending,
        other = outcome(&stays.words(0, 0)),
        other_pending = other_pending
    );
    Ok(())
}

fn mappings(kit: &Kit, vm: &VirtualMemory) -> Result<(), Error> {
    let memory = vm.create_memory(4096)?.memory;
    let address = memory.map(0, 4096, READ_WRITE)?.address;
    // SAFETY: mapped until the process ends.
    let (first, second) = unsafe { (memory_word(address), memory_word(address + 4)) };
    first.store(SECRET, Ordering::SeqCst);
    let reader = kit.start("reader", &[give("memory", &memory)])?;
    let mapped = wait_until(kit, || second.load(Ordering::SeqCst) == 1);
    memory.revoke()?;
    let own = first.load(Ordering::SeqCst);
    if !wait_until(kit, || reader.info().is_ok_and(|info| !info.alive)) {
        reader.kill()?;
    }
    let ended = kit.ended(&reader)?;
    fact!(
        "revoke.memory",
        mapped = mapped,
        reader = ended.kind,
        reader_sees = ended.code,
        owner_sees = own,
        owner_sees_later = first.load(Ordering::SeqCst),
        info = outcome(&memory.info()),
        map = outcome(&memory.map(0, 4096, READ))
    );
    Ok(())
}

/// A narrower object of the same pages never becomes wide again.
fn narrower(vm: &VirtualMemory) -> Result<(), Error> {
    let wide = vm.create_memory(4096)?.memory;
    let narrow = wide.read_only()?.memory;
    let write = outcome(&narrow.map(0, 4096, READ_WRITE));
    let address = narrow.map(0, 4096, READ)?.address;
    let upgrade = outcome(&vm.protect(address, 4096, READ_WRITE));
    let execute = outcome(&vm.protect(address, 4096, READ_EXECUTE));
    let revoke_wide = outcome(&narrow.revoke());
    let wide_still = outcome(&wide.info());
    wide.revoke()?;
    fact!(
        "revoke.narrower",
        write = write,
        upgrade = upgrade,
        execute = execute,
        revoke_wide = revoke_wide,
        wide = wide_still,
        after = outcome(&narrow.info())
    );
    Ok(())
}

/// The slot of a released handle is used again; the old handle stays dead.
fn reuse(vm: &VirtualMemory) -> Result<(), Error> {
    let index = |memory: &MemoryObject| memory.object().handle() & 0xff_ffff;
    let old = vm.create_memory(4096)?.memory;
    let (slot, handle) = (index(&old), old.object().handle());
    drop(old);
    let mut kept = sdk::alloc::vec::Vec::new();
    let mut same_slot = false;
    while !same_slot && kept.len() < 64 {
        let memory = vm.create_memory(4096)?.memory;
        same_slot = index(&memory) == slot;
        kept.push(memory);
    }
    let stale = MemoryObject::from_object(Cap::borrowed(handle));
    let new = kept.last().map_or("none", |memory| outcome(&memory.info()));
    fact!(
        "revoke.reuse",
        same_slot = same_slot,
        new = new,
        old = outcome(&stale.info())
    );
    Ok(())
}
