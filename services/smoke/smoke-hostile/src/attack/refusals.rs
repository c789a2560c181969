//! What a correct program could ask for by mistake: refused, and nobody is ended.

use core::sync::atomic::Ordering;

use ring_abi::{NO_HANDLE, StatusWord, Submission, opcode, span, submission_flags};
use rt::sys::Operation;
use sdk::process::thread_spawner::Shape;
use sdk::{Env, Error, NEVER, Refusal, ThreadSpawner, VirtualMemory, fact};
use smoke::{outcome, raw};

use super::{MESSAGE, REPLY, granted, operate};

fn name(refusal: Option<Refusal>) -> &'static str {
    refusal.map_or("ok", Refusal::name)
}

fn registers(opcode: u8, flags: u8, handle: u64, words: [u64; 4]) -> &'static str {
    let outcome = operate(Operation {
        opcode,
        flags,
        handle,
        words,
        reply: REPLY,
        deadline_ns: 1,
        ..Operation::default()
    });
    name(outcome.refused())
}

fn ring(submission: Submission) -> &'static str {
    raw::submit(Submission {
        deadline_ns: 1,
        ..submission
    });
    raw::enter(1, NEVER);
    match raw::completion() {
        Some(completion) => name(Refusal::from_code(
            StatusWord::unpack(completion.status).status,
        )),
        None => "no completion",
    }
}

/// Handles that were never issued, and operations that do not exist.
pub fn operations(env: &Env) {
    let vm = granted(env, "vm");
    let inline = submission_flags::INLINE;
    let never = 0x0000_0100_00ff_fff0;
    fact!(
        "refused.handles",
        none = registers(opcode::CALL, inline, NO_HANDLE, [0; 4]),
        ones = registers(opcode::CALL, inline, u64::MAX, [0; 4]),
        never_issued = registers(opcode::CALL, inline, never, [0; 4]),
        older = registers(opcode::CALL, inline, vm & 0xff_ffff, [0; 4]),
        release = registers(opcode::RELEASE, 0, never, [0; 4]),
        receive = registers(opcode::RECEIVE, 0, vm, [0; 4])
    );
    fact!(
        "refused.replies",
        never_issued = registers(opcode::RETURN, inline, never, [0; 4]),
        other_kind = registers(opcode::RETURN, inline, vm, [0; 4]),
        refuse = registers(opcode::REFUSE, 0, never, [1, 0, 0, 0]),
        call = registers(opcode::RETURN_RECEIVE, inline, vm, [0; 4])
    );
    let message = span(MESSAGE, 64);
    fact!(
        "refused.operations",
        opcode = registers(77, 0, vm, [0; 4]),
        flags = registers(opcode::NOP, 0x80, vm, [0; 4]),
        park_kernel = registers(opcode::PARK, 0, 0xffff_8000_0000_0000, [0; 4]),
        park_odd = registers(opcode::PARK, 0, 0x20_0002, [0; 4]),
        transfers = registers(opcode::CALL, 0, vm, [message, 0, 0, 17]),
        many_transfers = registers(opcode::CALL, 0, vm, [message, 0, 0, u64::MAX])
    );
    let nop = Submission::default();
    fact!(
        "refused.submissions",
        reserved = ring(Submission { reserved: 1, ..nop }),
        inline = ring(Submission {
            flags: inline,
            ..nop
        }),
        park = ring(Submission {
            opcode: opcode::PARK,
            ..nop
        }),
        ring = ring(Submission {
            opcode: opcode::RING,
            ..nop
        }),
        cancel = ring(Submission {
            opcode: opcode::CANCEL,
            handle: 99,
            ..nop
        }),
        nop = ring(nop)
    );
}

/// Threads that would begin in the kernel, and mappings that nobody may have.
///
/// # Errors
/// A grant is missing.
pub fn threads_and_memory(env: &Env) -> Result<(), Error> {
    let threads: ThreadSpawner = env.get("threads")?;
    let vm: VirtualMemory = env.get("vm")?;
    let good = Shape {
        submissions: 8,
        message_bytes: 4096,
        priority: 16,
        cpu: -1,
    };
    let spawn = |entry, stack, shape: Shape| outcome(&threads.spawn(entry, stack, 0, &shape));
    let (kernel, hole) = (0xffff_ffff_8000_0000, 0x0000_8000_0000_0000);
    let code = operations as *const () as u64;
    fact!(
        "refused.threads",
        kernel_entry = spawn(kernel, 0x1000, good),
        non_canonical_entry = spawn(hole, 0x1000, good),
        kernel_stack = spawn(code, kernel, good),
        non_canonical_stack = spawn(code, hole, good),
        submissions = spawn(
            code,
            0x1000,
            Shape {
                submissions: 7,
                ..good
            }
        ),
        processor = spawn(code, 0x1000, Shape { cpu: 999, ..good })
    );
    let page = vm.map(4096, 3)?.address;
    fact!(
        "refused.memory",
        write_execute = outcome(&vm.protect(page, 4096, 7)),
        map_write_execute = outcome(&vm.map(4096, 6)),
        protect_kernel = outcome(&vm.protect(kernel, 4096, 1)),
        unmap_kernel = outcome(&vm.unmap(kernel, 4096)),
        unmap_beyond = outcome(&vm.unmap(page, 1 << 40)),
        odd = outcome(&vm.unmap(page + 1, 4096)),
        huge = outcome(&vm.map(u64::MAX, 3)),
        nothing = outcome(&vm.map(0, 3))
    );
    Ok(())
}

/// Submits without ever consuming a completion: the kernel stops taking when no completion slot is left, and loses none.
pub fn flood() {
    // SAFETY: the kernel wrote the header before the thread ran.
    let slots = unsafe { (*raw::header()).submissions };
    let taken = || raw::submission_head().load(Ordering::Relaxed);
    let (first, mut sent) = (taken(), 0_u64);
    for _ in 0..8 {
        let waiting = raw::submission_tail()
            .load(Ordering::Relaxed)
            .wrapping_sub(taken());
        for _ in waiting..slots {
            raw::submit(Submission {
                user_data: sent,
                ..Submission::default()
            });
            sent += 1;
        }
        raw::enter(0, 1);
    }
    let accepted = taken().wrapping_sub(first);
    let mut consumed = 0;
    let mut in_order = true;
    loop {
        while let Some(completion) = raw::completion() {
            in_order &= completion.user_data == consumed;
            consumed += 1;
        }
        if consumed == sent {
            break;
        }
        if raw::enter(1, NEVER) == 0 {
            break;
        }
    }
    fact!(
        "refused.flood",
        sent = sent,
        accepted_at_once = accepted,
        completed = consumed,
        in_order = in_order
    );
}
