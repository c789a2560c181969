//! Does nothing that a program left in the processor reach the kernel, another process or a new thread?
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use core::arch::asm;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

use sdk::alloc::{format, string::String};
use sdk::process::thread_spawner::Shape;
use sdk::{
    Env, Error, Refusal, ThreadOptions, ThreadSpawner, Timer, VirtualMemory, fact, spawn_thread,
};
use smoke::{Kit, give, role};
use smoke_hostile::attack::{
    Begun, FLAGS, begin, flags_and_fault, flags_and_spin, flags_and_walk, return_late,
    step_into_kernel,
};

sdk::entry!(main);

const IMAGE: &str = "smoke-entry";
/// Long enough for several ticks of a processor that two threads share.
const SPIN_NS: u64 = 60_000_000;
/// The first address that is none.
const OUTSIDE: u64 = 1 << 47;
/// Programs that return there at most, until one is interrupted behind its return.
const RETURNS: u64 = 100;
/// Pages that are unmapped before a program returns.
const UNMAPPED_BEFORE: u32 = 3;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        None => ask(env),
        Some("calls") => sdk::exit(0, format_args!("flags={:#x}", flags_and_walk())),
        Some("spins") => {
            // Whoever sleeps beside it makes the timer interrupt it.
            let timer: Timer = env.get("timer")?;
            let end = timer.now()?.ns + SPIN_NS;
            let mut kept = FLAGS;
            while timer.now()?.ns < end {
                kept &= flags_and_spin();
            }
            sdk::exit(0, format_args!("flags={kept:#x}"))
        }
        Some("steps") => step_into_kernel(),
        Some("return") => returns(&Kit::new(env, IMAGE)?),
        Some("returns") => return_outside(env),
        Some("undefined") => flags_and_fault(None),
        Some("unmapped") => flags_and_fault(Some(0x10)),
        Some("selectors") => {
            let [ds, es, fs, gs] = selectors();
            sdk::exit(0, format_args!("ds={ds} es={es} fs={fs} gs={gs}"))
        }
        Some(_) => Ok(()),
    }
}

/// What DS, ES, FS and GS hold.
fn selectors() -> [u16; 4] {
    let (ds, es, fs, gs): (u16, u16, u16, u16);
    // SAFETY: reading a selector has no effect.
    unsafe {
        asm!(
            "mov {0:x}, ds", "mov {1:x}, es", "mov {2:x}, fs", "mov {3:x}, gs",
            out(reg) ds, out(reg) es, out(reg) fs, out(reg) gs, options(nomem, nostack)
        );
    }
    [ds, es, fs, gs]
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, IMAGE)?;
    // SAFETY: the selectors of data that a program may load; neither compiler nor runtime uses these registers.
    unsafe {
        asm!("mov ds, {0:e}", "mov es, {0:e}", "mov gs, {0:e}", in(reg) 0x1b, options(nomem, nostack));
    }
    let before = selectors();
    let ended = kit.run("selectors", &[])?;
    fact!(
        "entry.selectors",
        set = format!("{before:?}").as_str(),
        next_process = ended.text.as_str()
    );
    each_selector(&kit)?;
    new_thread(env)?;
    flags(&kit)
}

/// One selector alone: whoever looks at the others finds nothing to be emptied.
fn each_selector(kit: &Kit) -> Result<(), Error> {
    for name in ["ds", "es", "gs"] {
        // SAFETY: as in `ask`.
        unsafe {
            match name {
                "ds" => asm!("mov ds, {0:e}", in(reg) 0x1b, options(nomem, nostack)),
                "es" => asm!("mov es, {0:e}", in(reg) 0x1b, options(nomem, nostack)),
                _ => asm!("mov gs, {0:e}", in(reg) 0x1b, options(nomem, nostack)),
            }
        }
        let before = selectors();
        let ended = kit.run("selectors", &[])?;
        fact!(
            "entry.selector",
            alone = name,
            set = format!("{before:?}").as_str(),
            next_process = ended.text.as_str()
        );
    }
    Ok(())
}

/// Programs that enter the kernel, each in its way, with flags that it must not run with.
fn flags(kit: &Kit) -> Result<(), Error> {
    for name in ["calls", "spins", "steps", "undefined", "unmapped"] {
        let running = kit.start(name, &[give("timer", &kit.timer)])?;
        for _ in 0..20 {
            kit.pause_ms(2)?;
        }
        let ended = kit.ended(&running)?;
        let said = if ended.kind == "faulted" {
            ended.rule()
        } else {
            ended.text.as_str()
        };
        fact!(
            "entry.flags",
            program = name,
            kind = ended.kind,
            said = said
        );
    }
    Ok(())
}

/// Starts a thread that looks into its registers first.
fn new_thread(env: &Env) -> Result<(), Error> {
    let vm: VirtualMemory = env.get("vm")?;
    let threads: ThreadSpawner = env.get("threads")?;
    let memory = vm.map(3 * 4096, 3)?.address;
    let shape = Shape {
        submissions: 8,
        message_bytes: 4096,
        priority: 16,
        cpu: -1,
    };
    let (seen, stack) = (memory, memory + 3 * 4096);
    let begun = seen as *mut Begun;
    // SAFETY: the mapping above; the thread does not run yet.
    unsafe { (*begun).base = seen };
    let entry = begin as *const () as u64;
    let thread = threads.spawn(entry, stack, seen, &shape)?.thread;
    thread.join()?;
    // SAFETY: the thread has ended.
    let begun = unsafe { begun.read() };
    let others = begun.others.iter().filter(|word| **word != 0).count();
    fact!(
        "entry.thread",
        registers_set = others,
        argument = begun.rdi == seen,
        stack = begun.rsp == stack,
        flags = format!("{:#x}", begun.rflags).as_str(),
        cs = begun.selectors[0],
        ss = begun.selectors[1],
        data = format!("{:?}", &begun.selectors[2..]).as_str(),
        fs_names_area = begun.fs_first != 0 && begun.fs_first % 4096 == 0,
        gs_base_is_zero = begun.through_gs == seen
    );
    Ok(())
}

/// Programs that return out of the lower half while they are interrupted, until one is found behind its return.
fn returns(kit: &Kit) -> Result<(), Error> {
    let mut said = String::new();
    for _ in 0..RETURNS {
        let running = kit.start("returns", &[])?;
        said = kit.ended(&running)?.text;
        if !said.contains(" at ") {
            break;
        }
    }
    fact!("entry.return", said = said.as_str());
    Ok(())
}

/// Returns out of the lower half on one processor, while the other one interrupts it: each page that is unmapped there has to
/// be forgotten here.
fn return_outside(env: &Env) -> Result<(), Error> {
    static UNMAPPED: AtomicU32 = AtomicU32::new(0);
    let vm: VirtualMemory = env.get("vm")?;
    let on = |cpu| ThreadOptions {
        stack_bytes: 32 * 1024,
        shape: Shape {
            submissions: 8,
            message_bytes: 4096,
            priority: 16,
            cpu,
        },
    };
    let returning = spawn_thread(on(0), || {
        while UNMAPPED.load(Ordering::Acquire) < UNMAPPED_BEFORE {
            spin_loop();
        }
        // The first time takes longer.
        return_late(0);
        return_late(OUTSIDE);
    })?;
    let interrupting = spawn_thread(on(1), move || -> Result<(), Refusal> {
        loop {
            let address = vm.map(4096, 3)?.address;
            vm.unmap(address, 4096)?;
            UNMAPPED.fetch_add(1, Ordering::AcqRel);
        }
    })?;
    returning.join()?;
    interrupting.join()?.map_err(Error::from)
}
