//! Is the end of a process told as it was, and is everything given back?
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use sdk::alloc::vec;
use sdk::process::process_spawner::Limits;
use sdk::process::virtual_memory;
use sdk::{Access, Cap, CapArg, Env, Error, Interface, NEVER, Object, Refusal, Window, fact};
use smoke::{Kit, give, outcome, role, wait_until};

sdk::entry!(main);

const WARM_UP: u32 = 600;
const CYCLES: u32 = 300;

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        Some("exits") => sdk::exit(42, format_args!("all {} done", 7)),
        Some("panics") => panic!("no more {}", "apples"),
        Some("faults") => {
            // SAFETY: nothing is mapped there: it faults, which is what this role is for.
            unsafe { core::ptr::with_exposed_provenance::<u64>(0x10).read_volatile() };
            Ok(())
        }
        Some("recurses") => {
            deeper(0);
            Ok(())
        }
        Some("recurses-in-thread") => {
            sdk::spawn_thread(sdk::ThreadOptions::default(), || deeper(0))?.join()?;
            Ok(())
        }
        Some("spins") => loop {
            core::hint::spin_loop();
        },
        Some("sleeps") => Ok(env.get::<sdk::Timer>("timer")?.sleep(NEVER)?),
        Some("ends") => Ok(()),
        Some("shows") => {
            let reaches = env.arguments().nth(1).and_then(|pages| pages.parse().ok());
            let area = area();
            sdk::exit(reaches.map_or(1, touch_below), format_args!("{area:?}"))
        }
        _ => ask(env),
    }
}

/// Needs more stack than there is.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let here = core::hint::black_box([depth; 40]);
    if depth == u64::MAX {
        return 0;
    }
    deeper(depth + 1).wrapping_add(core::hint::black_box(here[1]))
}

/// Reads the stack so many pages below here: it faults where the stack ends before. Gives 0.
fn touch_below(pages: u64) -> i64 {
    let here = core::hint::black_box(0u8);
    let below = (&raw const here).wrapping_sub((pages * PAGE) as usize);
    // SAFETY: nobody else has the calling thread's stack, whose pages are mapped or fault, which is what is asked.
    core::hint::black_box(unsafe { below.read_volatile() });
    0
}

/// Submissions of the calling thread's ring, and bytes of its message area.
fn area() -> (u32, u32) {
    let header = smoke::raw::header();
    // SAFETY: the kernel wrote the header before the thread ran, and these fields never change.
    unsafe { ((*header).submissions, (*header).message_bytes) }
}

/// What the manifest says that this program has.
const OWN_STACK: u64 = 40;

/// First threads with as much room as their starter says, the program's own first.
fn rooms(kit: &Kit) -> Result<(), Error> {
    touch_below(OWN_STACK - 2);
    let (submissions, messages) = area();
    fact!(
        "spawn.own_room",
        submissions = submissions,
        messages = messages
    );
    let with = |stack_pages, area_pages| Limits {
        stack_pages,
        area_pages,
        ..Limits::default()
    };
    let mut first = None;
    for (stack, area) in [(4, 1), (5, 3), (0, 0), (64, 16)] {
        let limits = with(stack, area);
        let run =
            |role: &str, word: &str| kit.ended(&kit.start_within(role, &limits, &[word], &[])?);
        let (stack_pages, area_pages) = if stack == 0 { (32, 16) } else { (stack, area) };
        let reaches = stack_pages - 2;
        let shown = run("shows", &sdk::alloc::format!("{reaches}"))?;
        let panicked = run("panics", "")?;
        let sleeper = kit.start_within("sleeps", &limits, &[], &[give("timer", &kit.timer)])?;
        kit.pause_ms(20)?;
        let pages = sleeper.info()?.memory_pages;
        sleeper.kill()?;
        kit.ended(&sleeper)?;
        // Beside the pages themselves, lists of them are charged, in bytes.
        let first = *first.get_or_insert(pages);
        let expected = u32::from(stack_pages - 4 + area_pages.next_power_of_two() - 1);
        fact!(
            "spawn.room",
            stack = stack,
            area = area,
            kind = shown.kind,
            code = shown.code,
            shows = shown.text.as_str(),
            panics = panicked.text.lines().last().unwrap_or_default(),
            recurses = run("recurses", "")?.rule(),
            charged = (expected..=expected + 1).contains(&(pages - first))
        );
    }
    let refused = |stack, area| outcome(&kit.start_within("ends", &with(stack, area), &[], &[]));
    fact!(
        "spawn.room_refused",
        little_stack = refused(3, 0),
        large_stack = refused(4097, 0),
        large_area = refused(0, 17)
    );
    Ok(())
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, "smoke-spawn-exit")?;
    rooms(&kit)?;
    ends(&kit)?;
    killed(&kit)?;
    refused(&kit)?;
    from_memory(env, &kit)?;
    cycles(&kit)
}

/// Bytes of the longest image that the kernel takes.
const LONGEST: u64 = 32 << 20;
const PAGE: u64 = 4096;
/// Ends with this code: `xor eax, eax; mov edi, 77; xor esi, esi; syscall`.
const ENDS: [u8; 11] = [0x31, 0xc0, 0xbf, 77, 0, 0, 0, 0x31, 0xf6, 0x0f, 0x05];

/// The first page of an image of one segment, of which the last page of the file is code.
fn head(bytes: u64) -> vec::Vec<u8> {
    let base: u64 = 0x20_0000;
    let mut head = vec![0u8; PAGE as usize];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = head.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, &[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    put(16, &[2, 0, 62, 0, 1, 0, 0, 0]);
    put(52, &[64, 0, 56, 0, 1, 0]);
    put(64, &[1, 0, 0, 0, 5, 0, 0, 0]);
    for (at, word) in [
        (24, base),
        (32, 64),
        // Section headers that are nowhere: nobody needs them.
        (40, bytes),
        (72, bytes - PAGE),
        (80, base),
        (88, base),
        (96, PAGE),
        (104, PAGE),
        (112, PAGE),
    ] {
        put(at, &u64::to_le_bytes(word));
    }
    head
}

/// A process whose image is as long as it may be, with its code at the very end.
fn from_memory(env: &Env, kit: &Kit) -> Result<(), Error> {
    let vm: virtual_memory::Client<Cap> = env.get("vm")?;
    let memory = vm.create_memory(LONGEST + PAGE)?.memory;
    let window = Window::map(memory, LONGEST, Access::ReadWrite)?;
    window.write(0, &head(LONGEST))?;
    window.write(LONGEST - PAGE, &ENDS)?;
    let image = CapArg::copy(window.memory().object().handle());
    let start = |bytes: u64| -> Result<_, Refusal> {
        let limits = Limits::default();
        let started = kit
            .spawner
            .spawn_memory("long", image, bytes, &[], &limits, &[], &[])?;
        kit.ended(&started.process)
    };
    let before = kit.free_kib()?;
    let longest = start(LONGEST)?;
    let longer = start(LONGEST + 1);
    let without_end = start(LONGEST - PAGE);
    let _ = wait_until(kit, || kit.free_kib().is_ok_and(|free| free >= before));
    fact!(
        "spawn.from_memory",
        mib = LONGEST >> 20,
        kind = longest.kind,
        code = longest.code,
        longer = outcome(&longer.map(|_| ())),
        without_end = outcome(&without_end.map(|_| ())),
        kept_kib = before.saturating_sub(kit.free_kib()?) / 1024 * 1024
    );
    Ok(())
}

/// How processes end by themselves.
fn ends(kit: &Kit) -> Result<(), Error> {
    let mut callers = 0;
    for role in [
        "exits",
        "panics",
        "faults",
        "recurses",
        "recurses-in-thread",
    ] {
        let ended = kit.run(role, &[])?;
        // A panic's text ends with where it was; the line may change.
        let text = ended.text.lines().last().unwrap_or_default();
        let text = if ended.kind == "faulted" {
            ended.rule()
        } else {
            text
        };
        fact!(
            "spawn.ended",
            role = role,
            kind = ended.kind,
            code = ended.code,
            text = text
        );
        // Who is not at the bottom was called by somebody: all but the one that ended as it meant to.
        callers += u32::from(ended.callers > 1);
    }
    fact!("spawn.callers", told_of = callers);
    Ok(())
}

/// How processes end by another's hand.
fn killed(kit: &Kit) -> Result<(), Error> {
    for role in ["spins", "sleeps"] {
        let process = kit.start(role, &[give("timer", &kit.timer)])?;
        kit.pause_ms(5)?;
        let alive = process.info()?.alive;
        process.kill()?;
        let ended = kit.ended(&process)?;
        let again = kit.ended(&process)?;
        fact!(
            "spawn.killed",
            role = role,
            before = alive,
            kind = ended.kind,
            after = process.info()?.alive,
            told_again = again.kind
        );
    }
    Ok(())
}

/// Less than a process takes to start.
fn too_small() -> Limits {
    Limits {
        memory_pages: 8,
        ..Limits::default()
    }
}

/// Processes that never begin.
fn refused(kit: &Kit) -> Result<(), Error> {
    let none = kit
        .spawner
        .spawn("none", "no-such-image", &[], &Limits::default(), &[], &[]);
    let poor = kit.start_within("ends", &too_small(), &[], &[]);
    let twice = kit.start(
        "ends",
        &[give("timer", &kit.timer), give("timer", &kit.timer)],
    );
    fact!(
        "spawn.refused",
        image = outcome(&none.map(|_| ())),
        memory = outcome(&poor.map(|_| ())),
        doubled_grant = outcome(&twice.map(|_| ()))
    );
    Ok(())
}

/// Whether everything comes back, whatever the end.
fn cycles(kit: &Kit) -> Result<(), Error> {
    let cycle = |count: u32| -> Result<u32, Error> {
        let mut done = 0;
        for at in 0..count {
            let roles = ["ends", "exits", "panics", "faults", "spins"];
            let role = roles[at as usize % roles.len()];
            let process = kit.start(role, &[give("timer", &kit.timer)])?;
            if role == "spins" {
                process.kill()?;
            }
            kit.ended(&process)?;
            let _ = kit.start_within("ends", &too_small(), &[], &[]);
            done += 1;
        }
        Ok(done)
    };
    cycle(WARM_UP)?;
    // What the kernel keeps for the next process (stacks, blocks of its heap) may grow once, when more ends at a time than
    // ever before. A leak is lost each time.
    let (mut done, mut leaked) = (0, i64::MAX);
    for _ in 0..3 {
        let before = kit.free_kib()?;
        done = cycle(CYCLES)?;
        let _ = wait_until(kit, || kit.free_kib().is_ok_and(|free| free >= before));
        leaked = leaked.min(before as i64 - kit.free_kib()? as i64).max(0);
        if leaked == 0 {
            break;
        }
    }
    fact!("spawn.cycles", done = done, leaked_kib = leaked);
    Ok(())
}
