//! Windows over a device's pages: who may end them, what is mapped after they were freed, and what is kept of each.
//!
//! Its first argument says which question it asks.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use sdk::process::virtual_memory;
use sdk::{
    Cap, Device, DeviceRegistry, Env, Error, Interface, MemoryObject, Object, Refusal,
    alloc::vec::Vec, fact,
};
use smoke::{Kit, memory_word, outcome, pinned, role};

sdk::entry!(main);

/// A client of the program's own address space.
type VirtualMemory = virtual_memory::Client<Cap>;

const PAGE: u64 = 4096;
const READ: u8 = 1;
const READ_WRITE: u8 = 3;
/// What the freed page held, and what its next owner writes.
const OLD: u32 = 0x1111_1111;
const FRESH: u32 = 0x5ec2_e700;

fn main(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "map-windows")?;
    let registry: DeviceRegistry = env.get("deviceRegistry")?;
    let device = registry.claim("nvme", 0)?.device;
    match role(env) {
        Some("free") => free(env, &device),
        Some("records") => records(env, &kit, &device),
        _ => Err(Refusal::BadArgument.into()),
    }
}

fn word(address: u64) -> &'static AtomicU32 {
    // SAFETY: a page of this program; where it is gone, the access ends the program, which the smoke notices.
    unsafe { memory_word(address) }
}

// ---- free

static GO: AtomicBool = AtomicBool::new(false);
static OVER: AtomicBool = AtomicBool::new(false);

/// What one try came to.
#[derive(Default)]
struct Tried {
    freed: u32,
    seen: u32,
}

fn free(env: &Env, device: &Device) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let pool = device.pool(16 << 20)?.pool;
    // Apart from the race, in which the buffer may be gone before the client asks.
    let apart = pool.allocate(PAGE, sdk::Layout::Scattered)?.buffer;
    let revoke = outcome(&apart.window(sdk::WindowAccess::ReadWrite)?.memory.revoke());
    // Whoever may revoke does, sooner or later: then the race begins there, however busy the host is.
    let looks = match revoke {
        "ok" => 2_000_000,
        _ => 200,
    };
    let mut all = Tried::default();
    let delays = [0u32, 0, 100, 100, 300, 300, 1000, 1000];
    for delay in delays {
        let tried = try_free(&vm, &pool, looks, delay)?;
        all.freed += tried.freed;
        all.seen += tried.seen;
    }
    fact!(
        "windows.freed",
        tries = delays.len(),
        freed = all.freed,
        freed_page_reached = all.seen > 0
    );
    fact!("windows.revoke", of_a_window = revoke);
    Ok(())
}

/// On one processor a window is revoked, or mapped and unmapped, while another frees the buffer and takes its page.
fn try_free(
    vm: &VirtualMemory,
    pool: &sdk::DmaPool,
    looks: u32,
    delay: u32,
) -> Result<Tried, Error> {
    let buffer = pool.allocate(PAGE, sdk::Layout::Scattered)?.buffer;
    let window = buffer.window(sdk::WindowAccess::ReadWrite)?.memory;
    let mut own = Vec::new();
    while own.len() < 2000
        && let Ok(mapped) = window.map(0, PAGE, READ)
    {
        own.push(mapped.address);
    }
    let last = window.map(0, PAGE, READ_WRITE)?.address;
    word(last).store(OLD, Ordering::Release);
    GO.store(false, Ordering::Release);
    OVER.store(false, Ordering::Release);
    let (vm_handle, handle) = (vm.object().handle(), window.object().handle());
    let client = pinned(0, move || take_back(handle))?;
    let owner = pinned(1, move || {
        take_page(handle, vm_handle, last, &buffer, (looks, delay))
    })?;
    let (freed, seen) = owner.join()?;
    client.join()?;
    own.push(last);
    for address in own {
        vm.unmap(address, PAGE)?;
    }
    Ok(Tried { freed, seen })
}

/// The client: revokes the window, or maps and unmaps it as long as there is an owner.
fn take_back(handle: u64) {
    let window = MemoryObject::from_object(Cap::borrowed(handle));
    while !GO.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
    let _ = window.revoke();
    // Whoever may not revoke it maps on.
    while !OVER.load(Ordering::Acquire)
        && let Ok(mapped) = window.map(0, PAGE, READ)
    {
        let _ = window.unmap(mapped.address);
    }
}

/// The owner: frees the buffer and takes its page, meanwhile. Returns whether it was freed, and how often what was written to
/// a fresh page was seen through the window's last mapping. It looks for a revocation `looks` times, and goes on after `delay`.
fn take_page(
    handle: u64,
    vm_handle: u64,
    last: u64,
    buffer: &sdk::DmaBuffer,
    (looks, delay): (u32, u32),
) -> (u32, u32) {
    let window = MemoryObject::from_object(Cap::borrowed(handle));
    let vm = VirtualMemory::from_object(Cap::borrowed(vm_handle));
    GO.store(true, Ordering::Release);
    // Until somebody has begun to revoke it, or nobody will.
    for _ in 0..looks {
        if window.info().is_err() {
            break;
        }
    }
    for _ in 0..delay {
        core::hint::spin_loop();
    }
    let freed = u32::from(buffer.free().is_ok());
    let mut seen = 0;
    let mut fresh = Vec::new();
    for _ in 0..8 {
        let Ok(mapped) = vm.map(PAGE, READ_WRITE) else {
            break;
        };
        word(mapped.address).store(FRESH, Ordering::Release);
        seen += u32::from(word(last).load(Ordering::Acquire) == FRESH);
        fresh.push(mapped.address);
    }
    OVER.store(true, Ordering::Release);
    for address in fresh {
        let _ = vm.unmap(address, PAGE);
    }
    (freed, seen)
}

// ---- records

const ROUNDS: u32 = 10_000;

fn records(env: &Env, kit: &Kit, device: &Device) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let pool = device.pool(1 << 20)?.pool;
    let buffer = pool.allocate(PAGE, sdk::Layout::Scattered)?.buffer;
    let round = || -> Result<(), Refusal> {
        let address = buffer.map(READ)?.address;
        vm.unmap(address, PAGE)
    };
    for _ in 0..100 {
        round()?;
    }
    let before = kit.free_kib()?;
    for _ in 0..ROUNDS {
        round()?;
    }
    let after = kit.free_kib()?;
    fact!(
        "windows.records",
        rounds = ROUNDS,
        kept = after < before,
        kept_kib ~ before as i64 - after as i64
    );
    // What is there is found, however it came to be mapped; what is gone is not.
    let unmapped_twice = buffer.unmap();
    let one = buffer.map(READ)?.address;
    let other = buffer.map(READ_WRITE)?.address;
    vm.unmap(one, PAGE)?;
    let in_its_place = vm.map(PAGE, READ_WRITE)?.address;
    word(in_its_place).store(OLD, Ordering::Release);
    let rest = buffer.unmap();
    fact!(
        "windows.unmap",
        none = outcome(&unmapped_twice),
        rest = outcome(&rest),
        same_place = in_its_place == one,
        own_stays = word(in_its_place).load(Ordering::Acquire) == OLD,
        other_gone = outcome(&vm.unmap(other, PAGE))
    );
    Ok(())
}
