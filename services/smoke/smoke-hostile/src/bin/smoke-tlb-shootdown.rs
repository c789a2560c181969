//! Does a processor that holds a translation lose it before the change of the mapping is over?
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use sdk::{Console, Env, Error, MemoryObject, Refusal, VirtualMemory, fact};
use smoke::{Kit, give, memory_word, outcome, role};
use smoke_hostile::{Race, here, pinned};

sdk::entry!(main);

const ROUNDS: u32 = 10;
const PAGE: u64 = 4096;
/// What the page holds while it is mapped.
const SECRET: u32 = 0x5eed_cafe;
/// Uses of the page before its mapping is changed: the translation is held.
const USES: u32 = 1000;

/// Uses so far.
static USED: AtomicU32 = AtomicU32::new(0);
/// The mapping is changed, as far as the kernel says.
static CHANGED: AtomicU32 = AtomicU32::new(0);
/// What the use after that saw; `NOTHING` before.
static SEEN: AtomicU64 = AtomicU64::new(NOTHING);
const NOTHING: u64 = u64::MAX;
static RACE: Race = Race::new();

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("unmap") => child(env, |_, vm, page| vm.unmap(page, PAGE)),
        Some("protect") => child(env, |_, vm, page| vm.protect(page, PAGE, 1)),
        Some("revoke") => child(env, |memory, _, _| memory.revoke()),
        _ => ask(env),
    }
}

/// Changes a mapping on processor 0 while processor 1 uses it without a pause, and says so if that one saw the page
/// once more. Where the change makes the page fault, the process ends in that use.
fn child(
    env: &Env,
    change: fn(&MemoryObject, &VirtualMemory, u64) -> Result<(), Refusal>,
) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let _console: Console = env.get("console")?;
    let protects = role(env) == Some("protect");
    let memory = vm.create_memory(PAGE)?.memory;
    let page = memory.map(0, PAGE, 3)?.address;
    // SAFETY: mapped just now; after the change it is meant to fault, or to hold nothing of before.
    let word = unsafe { memory_word(page) };
    word.store(SECRET, Ordering::Release);
    let user = pinned(1, move || {
        let cpu = here();
        RACE.meet(2);
        while CHANGED.load(Ordering::Acquire) == 0 {
            if protects {
                word.store(SECRET, Ordering::Release);
            } else {
                word.load(Ordering::Acquire);
            }
            USED.fetch_add(1, Ordering::AcqRel);
        }
        if protects {
            word.store(1, Ordering::Release);
        }
        let seen = word.load(Ordering::Acquire);
        SEEN.store(u64::from(seen), Ordering::Release);
        cpu
    })?;
    let changer = pinned(0, move || {
        RACE.meet(2);
        while USED.load(Ordering::Acquire) < USES {
            core::hint::spin_loop();
        }
        let changed = change(&memory, &vm, page);
        CHANGED.store(1, Ordering::Release);
        while SEEN.load(Ordering::Acquire) == NOTHING {
            core::hint::spin_loop();
        }
        (here(), outcome(&changed))
    })?;
    let (from, changed) = changer.join()?;
    let on = user.join()?;
    let seen = SEEN.load(Ordering::Acquire);
    if role(env) != Some("revoke") || seen == u64::from(SECRET) {
        fact!(
            "tlb.stale-use",
            change = role(env).unwrap_or_default(),
            changed = changed,
            value = seen
        );
    }
    sdk::exit(
        0,
        format_args!("processors {from} and {on}, {changed}, saw {seen:#x}"),
    )
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-tlb-shootdown")?;
    let console: Console = env.get("console")?;
    fact!("tlb.machine", cpus = kit.info.machine()?.cpus);
    for change in ["revoke", "protect", "unmap"] {
        let mut faulted = 0;
        let mut last = None;
        for _ in 0..ROUNDS {
            let ended = kit.run(change, &[give("console", &console)])?;
            faulted += u32::from(ended.kind == "faulted");
            last = Some(ended);
        }
        let Some(last) = last else { continue };
        // A fault's text names addresses behind its rule and what the program did.
        let text = match last.kind {
            "faulted" => {
                let mut words = last.text.split(' ');
                let (rule, how) = (words.next(), words.next());
                sdk::alloc::format!("{} {}", rule.unwrap_or_default(), how.unwrap_or_default())
            }
            _ => last.text,
        };
        fact!(
            "tlb.changed",
            change = change,
            rounds = ROUNDS,
            faulted = faulted,
            last = last.kind,
            text = text.as_str()
        );
    }
    Ok(())
}
