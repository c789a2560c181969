//! The first process: everything the kernel has to give goes to it, and with it ends the machine.

use ipc::{End, Exit, Label, Process};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::refusal::{boot_error, say};
use crate::spawn::{Room, Source, spawn};
use crate::{accounts, objects, package};

/// Starts the first process with every capability the kernel has to give.
pub fn start() {
    Process::on_exit(on_exit);
    let Some(image) = package::program(manifest::INIT_IMAGE) else {
        boot_error(format_args!("the boot package holds no /boot/bins/init"))
    };
    let grants = objects::for_init();
    // It gets all there is; everything else gets what init gives it.
    let root = accounts::root();
    let limits = accounts::for_first_process();
    let label = Label {
        started_by: 0,
        name: "init",
        restarts: 0,
        fpu: false,
        distrusting: false,
    };
    let spawned = Room::of(0, 0).and_then(|room| {
        spawn(
            label,
            &Source::File(image),
            &[],
            (&root, &limits, room),
            (objects::own, grants),
        )
    });
    crate::heap::end_boot();
    sabotage!(FAIL_BOOT_ALLOC => {
        crate::fact!("boot.charges", count ~ frames::armed::end_boot());
    });
    match spawned {
        Ok(process) => watch(&process),
        Err(Refusal::NoMemory | Refusal::OverBudget) => boot_error(format_args!(
            "too little memory: /boot/bins/{} needs {} bytes and its stack, {} bytes are free",
            manifest::INIT_IMAGE,
            image.len(),
            frames::stats().free * 4096
        )),
        Err(refusal) => boot_error(format_args!("init cannot be started: {refusal}")),
    }
}

/// Exit code of a machine whose first process ended otherwise than by exiting.
const INIT_LOST: u8 = 70;

/// Stops the machine when the first process ends: nothing could start anything any more.
fn watch(process: &Process) {
    process.wait_with(|exit| {
        let how = match exit.kind {
            End::Exited => crate::power::halt(exit.code as u8),
            End::Panicked => "panicked",
            End::Faulted => "faulted",
            End::Killed => "was killed",
        };
        // Facts may be kept off the line; without this a person would see the machine go for no reason.
        let (text, callers) = exit
            .text()
            .split_once(ring_abi::CALLERS)
            .unwrap_or((exit.text(), ""));
        let text = text.strip_prefix("panicked ").unwrap_or(text);
        let gap = if text.is_empty() { "" } else { ": " };
        say(format_args!(
            "init {how}{gap}{}; nothing can run without it",
            text.escape_debug()
        ));
        if !callers.is_empty() {
            say(format_args!("init backtrace:{}", callers.escape_debug()));
        }
        crate::power::halt(INIT_LOST)
    });
}

/// Needs more stack than there is.
#[cfg(sabotage)]
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    let here = core::hint::black_box([depth; 20]);
    if depth == u64::MAX {
        return 0;
    }
    deeper(depth + 1).wrapping_add(core::hint::black_box(here[1]))
}

/// States the end of every process.
fn on_exit(process: &Process, exit: &Exit) {
    sabotage!(RECURSE_IN_KERNEL => {
        core::hint::black_box(deeper(0));
    });
    objects::forget_ended();
    let kind = match exit.kind {
        End::Exited => "exited",
        End::Panicked => "panicked",
        End::Faulted => "faulted",
        End::Killed => "killed",
    };
    let (text, callers) = exit
        .text()
        .split_once(ring_abi::CALLERS)
        .unwrap_or((exit.text(), ""));
    let (rule, detail) = match exit.kind {
        End::Faulted => text.split_once(": ").unwrap_or((text, "")),
        _ => ("", text),
    };
    crate::fact!(
        "process.ended",
        name = process.name.as_str(),
        kind = kind,
        code = exit.code,
        rule = rule,
        detail ~ detail,
        callers ~ callers.trim_start(),
        id ~ process.id
    );
}
