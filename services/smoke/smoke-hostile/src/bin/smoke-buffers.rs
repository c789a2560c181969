//! Does nothing come behind a buffer, whoever sends how much, and by whichever way?
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering};

use ring_abi::{
    NEVER, Refusal, StatusWord, Submission, completion_flags, opcode, span, submission_flags,
};
use rt::sys::Operation;
use sdk::process::thread_spawner::Shape;
use sdk::{Env, Error, Interface, Lifetime, Object, ThreadOptions, fact, spawn_thread};
use smoke::{Kit, mint, raw, role};

sdk::entry!(main);

const IMAGE: &str = "smoke-buffers";
/// Bytes of each buffer.
const BUFFER: u32 = 64;
/// The part of an area that is filled with a pattern: all of it from here on.
const FROM: u32 = raw::SAFE_OFFSET;
/// Where messages are sent from, the longest of them.
const OUT: u32 = FROM;
const LONGEST: u32 = 2048;
/// Where the buffer lies, with as much pattern behind it as in front of it.
const BUFFER_AT: u32 = FROM + 3072;
const END: u32 = FROM + 6144;

/// As much of an area as the first thread has.
fn options() -> ThreadOptions {
    let default = ThreadOptions::default();
    let shape = Shape {
        message_bytes: END,
        ..default.shape
    };
    ThreadOptions { shape, ..default }
}

/// An operation's form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Registers,
    Ring,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Registers => "registers",
            Self::Ring => "ring",
        }
    }

    /// Performs an operation and waits for it: its status, and the reply handle.
    fn perform(self, operation: &Operation) -> (StatusWord, u64) {
        if self == Self::Registers {
            let outcome = raw::operate(operation);
            return (outcome.status, outcome.reply);
        }
        let mut words = operation.words;
        if operation.opcode != opcode::RETURN {
            // In a ring the second word is the reply buffer's place.
            words[1] = operation.reply;
        }
        raw::submit(Submission {
            opcode: operation.opcode,
            flags: operation.flags,
            method: operation.method,
            handle: operation.handle,
            user_data: 1,
            deadline_ns: operation.deadline_ns,
            words,
            ..Submission::default()
        });
        raw::enter(1, NEVER);
        raw::completion().map_or((StatusWord::default(), 0), |done| {
            (StatusWord::unpack(done.status), done.reply)
        })
    }
}

/// What lies at `offset` of an area as long as nobody wrote there.
fn pattern(offset: u32) -> u64 {
    (u64::from(offset) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn fill() {
    for offset in (FROM..END).step_by(8) {
        raw::put(offset, pattern(offset));
    }
}

/// Words outside the buffer that are not what they were.
fn changed() -> u64 {
    let outside = (FROM..END)
        .step_by(8)
        .filter(|offset| !(BUFFER_AT..BUFFER_AT + BUFFER).contains(offset));
    outside
        .filter(|offset| raw::get(*offset) != pattern(*offset))
        .count() as u64
}

/// Words behind the receiver's buffers that changed, as it saw after each call.
static CHANGED: AtomicU64 = AtomicU64::new(0);
/// How long the next answer is: bytes of a message, or 0 for words; handles in the upper half.
static ANSWER: AtomicU64 = AtomicU64::new(0);

/// Receives in a form, and answers as it is told.
fn serve(form: Form, endpoint: u64, given: u64) {
    loop {
        fill();
        let (status, reply) = form.perform(&Operation {
            opcode: opcode::RECEIVE,
            handle: endpoint,
            deadline_ns: NEVER,
            reply: span(BUFFER_AT, BUFFER),
            ..Operation::default()
        });
        if status.status != 0 {
            return;
        }
        if reply == 0 || status.flags & completion_flags::DROPPED != 0 {
            continue;
        }
        CHANGED.fetch_add(changed(), Ordering::AcqRel);
        let answer = ANSWER.load(Ordering::Acquire);
        let (bytes, handles) = (answer as u32, answer >> 32);
        let inline = bytes == 0;
        for at in 0..handles as u32 {
            raw::put(OUT + bytes + at * 16, given);
            raw::put(OUT + bytes + at * 16 + 8, 0);
        }
        Form::Registers.perform(&Operation {
            opcode: opcode::RETURN,
            flags: if inline { submission_flags::INLINE } else { 0 },
            handle: reply,
            deadline_ns: NEVER,
            words: if inline {
                [1, 2, 3, 4]
            } else {
                [span(OUT, bytes), 0, 0, handles]
            },
            ..Operation::default()
        });
    }
}

/// Calls with a message and some handles, an answer of its own kind expected; what came of it.
fn call(
    form: Form,
    target: u64,
    given: u64,
    sent: (u32, u32),
    answer: (u32, u32),
    room: u32,
) -> &'static str {
    fill();
    ANSWER.store(
        u64::from(answer.0) | u64::from(answer.1) << 32,
        Ordering::Release,
    );
    let inline = sent.0 == 0;
    for at in 0..sent.1 {
        raw::put(OUT + sent.0 + at * 16, given);
        raw::put(OUT + sent.0 + at * 16 + 8, 0);
    }
    let (status, _) = form.perform(&Operation {
        opcode: opcode::CALL,
        flags: if inline { submission_flags::INLINE } else { 0 },
        handle: target,
        deadline_ns: NEVER,
        words: if inline {
            [1, 2, 3, 4]
        } else {
            [span(OUT, sent.0), 0, 0, u64::from(sent.1)]
        },
        reply: span(BUFFER_AT, room),
        ..Operation::default()
    });
    Refusal::from_code(status.status).map_or("ok", Refusal::name)
}

fn main(env: &Env) -> Result<(), Error> {
    if role(env).is_some() {
        sdk::exit(0, format_args!("a rather long text about how it ended"))
    }
    let kit = Kit::new(env, IMAGE)?;
    let given = kit.timer.object().handle();
    for form in [Form::Registers, Form::Ring] {
        let endpoint = kit.endpoints.create()?.endpoint;
        let probe = mint(&endpoint, 1, Lifetime::Durable)?;
        let (to, at) = (probe.object().handle(), endpoint.object().handle());
        let server = spawn_thread(options(), move || serve(form, at, given))?;
        let send =
            |bytes, handles| call(Form::Registers, to, given, (bytes, handles), (0, 0), BUFFER);
        let (fits, one_more, long) = (send(BUFFER, 0), send(BUFFER + 8, 0), send(LONGEST, 0));
        let (handle_fits, handle_too_many) = (send(BUFFER - 8, 1), send(BUFFER, 1));
        let handles_long = send(BUFFER - 16, 9);
        let again = send(8, 0);
        fact!(
            "buffers.received",
            form = form.name(),
            fits = fits,
            word_more = one_more,
            long = long,
            handle_fits = handle_fits,
            handle_more = handle_too_many,
            handles_long = handles_long,
            again = again,
            words_changed = CHANGED.swap(0, Ordering::AcqRel)
        );
        drop(probe);
        drop(endpoint);
        core::mem::forget(server);
    }
    for form in [Form::Registers, Form::Ring] {
        answers(&kit, form, given)?;
        of_kernel(&kit, form)?;
    }
    Ok(())
}

/// Answers of another thread.
fn answers(kit: &Kit, form: Form, given: u64) -> Result<(), Error> {
    let endpoint = kit.endpoints.create()?.endpoint;
    let probe = mint(&endpoint, 1, Lifetime::Durable)?;
    let (to, at) = (probe.object().handle(), endpoint.object().handle());
    let server = spawn_thread(options(), move || serve(Form::Registers, at, given))?;
    core::mem::forget(server);
    let mut words_changed = 0;
    let mut ask = |answer, room| {
        let came = call(form, to, given, (8, 0), answer, room);
        // The message that was sent is the pattern itself.
        words_changed += changed();
        came
    };
    fact!(
        "buffers.answered",
        form = form.name(),
        fits = ask((BUFFER, 0), BUFFER),
        word_more = ask((BUFFER + 8, 0), BUFFER),
        long = ask((LONGEST, 0), BUFFER),
        handle_fits = ask((BUFFER - 8, 1), BUFFER),
        handle_more = ask((BUFFER, 1), BUFFER),
        handles_long = ask((BUFFER - 16, 9), BUFFER),
        no_buffer = ask((BUFFER, 0), 0),
        words_fit = ask((0, 0), 40),
        words_in_less = ask((0, 0), 32)
    );
    fact!(
        "buffers.behind-answers",
        form = form.name(),
        words_changed = words_changed
    );
    Ok(())
}

/// Answers of the kernel: at once, and later.
fn of_kernel(kit: &Kit, form: Form) -> Result<(), Error> {
    let mut words_changed = 0;
    let mut ask = |target, method, room| {
        fill();
        // An empty struct: every parameter has its default.
        raw::put(OUT, 0xffff_fffc);
        let (status, _) = form.perform(&Operation {
            opcode: opcode::CALL,
            method,
            handle: target,
            deadline_ns: NEVER,
            words: [span(OUT, 8), 0, 0, 0],
            reply: span(BUFFER_AT, room),
            ..Operation::default()
        });
        raw::put(OUT, pattern(OUT));
        words_changed += changed();
        Refusal::from_code(status.status).map_or("ok", Refusal::name)
    };
    let info = kit.info.object().handle();
    let list = sdk::schema::methods::ALL
        .iter()
        .find(|known| known.id == sdk::SystemInfo::INTERFACE_ID)
        .and_then(|known| known.methods.iter().position(|of| of.name == "processes"))
        .unwrap_or(0) as u16;
    let at_once = ask(info, list, BUFFER);
    let child = kit.start("ends", &[])?;
    let later = ask(child.object().handle(), 0, 40);
    fact!(
        "buffers.of-kernel",
        form = form.name(),
        at_once = at_once,
        later = later,
        words_changed = words_changed
    );
    Ok(())
}
