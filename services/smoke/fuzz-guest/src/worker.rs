//! One attacking process: threads that do what the seed says, each step by itself, so that leaving one out changes no
//! other.

use core::sync::atomic::{AtomicU32, Ordering};

use ring_abi::{
    Completion, NEVER, StatusWord, Submission, completion_flags, opcode, span, submission_flags,
};
use rt::sys::{self, Operation};
use sdk::process::thread_spawner::Shape;
use sdk::schema::methods::{self, Kind, Method};
use sdk::{
    Cap, Env, Error, Interface, MemoryObject, ThreadOptions, Timer, alloc::vec::Vec, spawn_thread,
};
use smoke::{memory_word, raw};

use crate::guarded::{Guarded, SYSTEM_CONTROL};
use crate::message::{Message, Texts, number};
use crate::plan::{self, Plan};
use crate::pool::{self, Held, REPLY};
use crate::random::Random;

/// Bytes of each thread's message area. The last 16 KiB are the attack's; `rt` takes its pieces from the front.
const AREA: u32 = 32 * 1024;
const OUT: u32 = AREA - 16 * 1024;
const BATCH: u32 = AREA - 12 * 1024;
const REPLY_AT: u32 = AREA - 8 * 1024;
const REPLY_BYTES: u32 = 4096;
const RING_REPLIES: u32 = AREA - 4096;
const RING_REPLY_BYTES: u32 = 512;
/// Submissions of one batch.
const BATCH_MOST: u64 = 8;

static PARKED: AtomicU32 = AtomicU32::new(0);

/// Runs the process's share of a round.
pub fn run(env: &Env, plan: &Plan) -> Result<(), Error> {
    let mut random = Random::of(&[plan.seed, plan.round, plan.worker, u64::MAX]);
    let timer: Timer = env.get("timer")?;
    let seen = match env.get::<MemoryObject>("seen") {
        Ok(memory) => memory.map(0, plan::SEEN_BYTES, 3)?.address,
        Err(_) => 0,
    };
    let mut guarded = Guarded::default();
    for (name, kind, handle) in env.entries() {
        // What the record of the calls lies in is no target, so that it can be believed.
        if name != "seen" {
            pool::note_own(handle);
            let held = Held { handle, kind };
            if !guarded.keep(held) {
                pool::keep(&mut random, held);
            }
        }
    }
    pool::note(&mut random, stray as *const () as u64);
    let handle = sdk::Object::handle(timer.object());
    let mut threads = Vec::new();
    for number in 0..plan.threads {
        let cpu = random.below(3) as i16 - 1;
        let options = ThreadOptions {
            stack_bytes: 64 * 1024,
            shape: Shape {
                submissions: 32,
                message_bytes: AREA,
                priority: 4 + random.below(12) as u8,
                cpu: if cpu < plan.cpus as i16 { cpu } else { -1 },
            },
        };
        let mut attacker = Attacker {
            plan: *plan,
            thread: number,
            timer: handle,
            guarded,
            seen,
            batched: [None; BATCH_MOST as usize],
        };
        if let Ok(thread) = spawn_thread(options, move || attacker.run()) {
            threads.push(thread);
        }
    }
    let mut calls = 0;
    for thread in threads {
        calls += thread.join()?;
    }
    sdk::exit(0, format_args!("calls={calls}"))
}

/// Where a thread begins that a call of `ThreadSpawner.spawn` starts: it ends.
extern "C" fn stray() -> ! {
    sys::exit_thread(0)
}

struct Attacker {
    plan: Plan,
    thread: u64,
    timer: u64,
    /// Nothing strange is done with other handles while there is one of these: it could hit it.
    guarded: Guarded,
    /// The pages that count calls, those that were answered, and refusals; 0 for none.
    seen: u64,
    /// Which interface the last call in each place of a batch was for.
    batched: [Option<usize>; BATCH_MOST as usize],
}

impl Attacker {
    fn run(&mut self) -> u64 {
        let mut calls = 0;
        for step in 0..self.plan.steps {
            let plan = &self.plan;
            let mut random = Random::of(&[plan.seed, plan.round, plan.worker, self.thread, step]);
            calls += u64::from(self.step(&mut random));
        }
        calls
    }

    fn now(&self) -> u64 {
        let timer = Timer::from_object(Cap::borrowed(self.timer));
        timer.now().map_or(0, |now| now.ns)
    }

    fn deadline(&self, random: &mut Random) -> u64 {
        self.now() + [0, 20_000, 200_000, 2_000_000][random.index(4)]
    }

    /// One step. `true`: it was a call.
    fn step(&mut self, random: &mut Random) -> bool {
        let choice = random.below(100);
        let target = target(random);
        // Chosen before it is left out, so that leaving it out changes no later step.
        if self.plan.leaves_out(target.0) {
            return false;
        }
        match choice {
            0..=73 => self.call(random, target),
            74..=83 => return self.batch(random),
            84..=88 => self.receive(random),
            89..=91 => self.answer(random),
            92..=94 => pool::release(pool::take(random, None)),
            95 => touch(random),
            96 => self.park(random),
            97 => self.strange(random),
            _ => core::hint::spin_loop(),
        }
        choice <= 73
    }

    /// A call in registers, of a method of an interface that this process may or may not hold.
    fn call(&mut self, random: &mut Random, (interface, method): (usize, usize)) {
        let known = &methods::ALL[interface];
        let Some(of) = known.methods.get(method) else {
            return;
        };
        let held = self
            .guarded
            .instead(known.id, pool::any(random, Some(known.id)));
        let strange = self.guarded.is_empty();
        if held.handle == 0 || (held.kind != known.id && !(strange && random.one_in(12))) {
            return;
        }
        let texts = match known.name {
            "Console" | "LogSink" | "ProcessControl" => Texts::Lines,
            _ => Texts::Any,
        };
        let mut message = Message::new(random, &of.params, texts);
        self.care(random, (known.name, of.name), &mut message);
        let mut operation = Operation {
            opcode: opcode::CALL,
            method: if known.id != SYSTEM_CONTROL && random.one_in(40) {
                random.next() as u16
            } else {
                Guarded::number(random, known, method as u16)
            },
            handle: held.handle
                ^ if strange && random.one_in(60) {
                    1 << random.below(64)
                } else {
                    0
                },
            deadline_ns: self.deadline(random),
            reply: span(REPLY_AT, REPLY_BYTES),
            ..Operation::default()
        };
        let in_registers = of.params.data_words <= 4 && of.params.pointers == 0;
        if in_registers != random.one_in(12) {
            operation.flags = submission_flags::INLINE;
            operation.words = message.data(&of.params);
        } else {
            let (words, transfers) = self.write(random, OUT, of, &message);
            operation.words = [words, 0, 0, transfers];
        }
        let outcome = sys::operate(&operation);
        self.heard(random, (interface, method), of, &outcome);
    }

    /// Counts what became of a call, and keeps what it brought.
    fn heard(
        &self,
        random: &mut Random,
        (interface, method): (usize, usize),
        of: &'static Method,
        outcome: &sys::Outcome,
    ) {
        let number = plan::number_of(interface, method);
        // None of its methods is ever called.
        if methods::ALL[interface].id != SYSTEM_CONTROL {
            self.count(plan::place_of(number, 0));
        }
        if let Some(refusal) = outcome.refused() {
            self.count(plan::place_of_refusal(interface, refusal.code().into()));
        } else {
            self.count(plan::place_of(number, 1));
            if outcome.status.flags & completion_flags::INLINE != 0 {
                let named = of
                    .results
                    .fields
                    .iter()
                    .any(|field| field.name == "address");
                for (at, word) in outcome.words.iter().enumerate() {
                    match named && at == 0 {
                        true => pool::note_address(random, *word),
                        false => pool::note(random, *word),
                    }
                }
            } else {
                harvest(random, outcome.status, REPLY_AT, REPLY_BYTES, Some(of));
            }
        }
    }

    fn count(&self, place: Option<u64>) {
        if let Some(at) = place.filter(|_| self.seen != 0) {
            // SAFETY: pages that this process mapped and never unmaps by itself.
            unsafe { memory_word(self.seen + at) }.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What some methods need to get beyond their first check, or must not do to the fuzzer itself. Most of the time.
    fn care(&self, random: &mut Random, of: (&str, &str), message: &mut Message) {
        match of {
            // Killing whoever runs the test would end it: only processes of the round.
            ("ProcessControl", "kill") => {
                let far = if random.one_in(8) { 0 } else { 1 << 40 };
                message.set_data(0, far + self.plan.floor + random.below(24));
            }
            ("ProcessTracer", "trace") if !random.one_in(8) => {
                message.set_data(0, self.plan.floor + random.below(24));
                message.set_data(1, 1 + random.below(4096));
            }
            ("ThreadSpawner", "spawn") if !random.one_in(24) => {
                message.set_data(0, stray as *const () as u64);
                message.set_data(1, pool::address(random) + 4096);
            }
            // Sectors of the medium that is there, and a few behind it.
            ("BootMedium", "read") if !random.one_in(4) => {
                message.set_data(0, random.below(70) | random.below(36) << 32);
                message.set_data(1, random.below(4) * 2048);
            }
            ("VirtualMemory", "unmap" | "protect") | ("MemoryObject", "unmap")
                if !random.one_in(8) =>
            {
                message.set_data(0, pool::address(random));
            }
            _ => {}
        }
    }

    /// Writes a message and its transfers to `at` of the message area. Gives its span, and the count of transfers.
    fn write(&self, random: &mut Random, at: u32, of: &Method, message: &Message) -> (u64, u64) {
        let words = message.words();
        let end = at + words.len() as u32 * 8;
        for (place, word) in words.iter().enumerate() {
            raw::put(at + place as u32 * 8, *word);
        }
        let wanted = of
            .params
            .fields
            .iter()
            .filter_map(|field| match field.kind {
                Kind::Cap(id) => Some(id),
                _ => None,
            });
        let mut count = 0;
        let mut give = |random: &mut Random, kind| {
            let place = end + count as u32 * 16;
            let handle = pool::any(random, kind).handle;
            let moved = random.one_in(4) && !pool::is_own(handle);
            raw::put(place, handle);
            raw::put(place + 8, u64::from(moved));
            count += 1;
        };
        for id in wanted {
            let kind = if random.one_in(8) { None } else { Some(id) };
            give(random, kind);
        }
        if of.extra_transfers || random.one_in(16) {
            for _ in 0..random.below(4) {
                give(random, None);
            }
        }
        let strange = random.one_in(200);
        let sent = if strange { number(random, 8) } else { count };
        (span(at, words.len() as u32 * 8), sent)
    }

    /// Several submissions at once, through the ring.
    fn batch(&mut self, random: &mut Random) -> bool {
        let room = 32
            - raw::submission_tail()
                .load(Ordering::Relaxed)
                .wrapping_sub(raw::submission_head().load(Ordering::Acquire));
        for place in 0..(1 + random.below(BATCH_MOST)).min(room.into()) {
            let reply = span(
                RING_REPLIES + place as u32 * RING_REPLY_BYTES,
                RING_REPLY_BYTES,
            );
            let submission = self.submission(random, place, reply);
            raw::submit(submission);
        }
        raw::enter(random.below(3) as u16, self.deadline(random));
        while let Some(done) = raw::completion() {
            self.count_batched(&done);
            if done.reply != 0
                && StatusWord::unpack(done.status).flags & completion_flags::DROPPED == 0
            {
                pool::keep(
                    random,
                    Held {
                        handle: done.reply,
                        kind: REPLY,
                    },
                );
            }
            let at = RING_REPLIES + (done.user_data % BATCH_MOST) as u32 * RING_REPLY_BYTES;
            harvest(
                random,
                StatusWord::unpack(done.status),
                at,
                RING_REPLY_BYTES,
                None,
            );
        }
        false
    }

    /// Counts a refusal that came through the ring.
    fn count_batched(&mut self, done: &Completion) {
        let place = self.batched.get_mut(done.user_data as usize);
        let code = StatusWord::unpack(done.status).status;
        if let Some(interface) = place.and_then(Option::take).filter(|_| code != 0) {
            self.count(plan::place_of_refusal(interface, code.into()));
        }
    }

    fn submission(&mut self, random: &mut Random, place: u64, reply: u64) -> Submission {
        let (interface, method) = target(random);
        let mut submission = Submission {
            opcode: opcode::CALL,
            method: method as u16,
            user_data: place,
            deadline_ns: self.deadline(random),
            ..Submission::default()
        };
        match random.below(10) {
            0 => submission.opcode = opcode::NOP,
            1 => {
                submission.opcode = opcode::RECEIVE;
                submission.flags = if random.one_in(2) {
                    submission_flags::POLL
                } else {
                    0
                };
                submission.deadline_ns = NEVER;
                submission.handle = pool::any(random, Some(ENDPOINT)).handle;
                submission.words[1] = reply;
            }
            2 => {
                submission.opcode = opcode::CANCEL;
                submission.handle = random.below(BATCH_MOST);
                submission.deadline_ns = NEVER;
            }
            _ => match self.batched_call(random, (interface, method), submission, reply) {
                Some(call) => {
                    let is_call = call.opcode == opcode::CALL;
                    let place = self.batched.get_mut(place as usize);
                    let _ = place.map(|place| *place = is_call.then_some(interface));
                    submission = call;
                }
                None => return Submission::default(),
            },
        }
        if submission.opcode == opcode::NOP {
            submission = Submission {
                user_data: place,
                ..Submission::default()
            };
        }
        if random.one_in(1500) {
            submission.flags ^= 1 << random.below(8);
            submission.words[random.index(4)] ^= number(random, 64);
        }
        submission
    }

    /// A call as one of a batch; nothing where what is held is of another kind. `None`: there is no such method.
    fn batched_call(
        &self,
        random: &mut Random,
        (interface, method): (usize, usize),
        mut submission: Submission,
        reply: u64,
    ) -> Option<Submission> {
        let known = &methods::ALL[interface];
        let held = pool::any(random, Some(known.id));
        let of = known.methods.get(method)?;
        let wanted = held.kind == known.id && !self.plan.leaves_out(interface);
        if wanted && !matches!(known.name, "ProcessControl" | "ThreadSpawner") {
            let texts = match known.name {
                "Console" | "LogSink" => Texts::Lines,
                _ => Texts::Any,
            };
            let message = Message::new(random, &of.params, texts);
            // One place in the area for each submission of a batch.
            let words = &message.words()[..message.words().len().min(56)];
            let at = BATCH + submission.user_data as u32 * 512;
            for (word, value) in words.iter().enumerate() {
                raw::put(at + word as u32 * 8, *value);
            }
            submission.handle = held.handle;
            submission.words = [span(at, words.len() as u32 * 8), reply, 0, 0];
        } else {
            submission.opcode = opcode::NOP;
            submission.method = 0;
            submission.deadline_ns = 0;
        }
        Some(submission)
    }

    fn receive(&self, random: &mut Random) {
        let outcome = sys::operate(&Operation {
            opcode: opcode::RECEIVE,
            flags: if random.one_in(2) {
                submission_flags::POLL
            } else {
                0
            },
            handle: pool::any(random, Some(ENDPOINT)).handle,
            deadline_ns: self.deadline(random),
            reply: span(REPLY_AT, REPLY_BYTES),
            ..Operation::default()
        });
        if outcome.refused().is_none() && outcome.status.flags & completion_flags::DROPPED == 0 {
            pool::keep(
                random,
                Held {
                    handle: outcome.reply,
                    kind: REPLY,
                },
            );
            harvest(random, outcome.status, REPLY_AT, REPLY_BYTES, None);
        }
    }

    /// Answers or refuses a call that was received, or something that is none.
    fn answer(&self, random: &mut Random) {
        let kind = if random.one_in(8) { None } else { Some(REPLY) };
        let handle = if random.one_in(6) {
            pool::any(random, kind).handle
        } else {
            pool::take(random, kind)
        };
        let code = [opcode::RETURN, opcode::REFUSE, opcode::RETURN_RECEIVE][random.index(3)];
        sys::operate(&Operation {
            opcode: code,
            flags: if code == opcode::REFUSE {
                0
            } else {
                submission_flags::INLINE
            },
            handle,
            deadline_ns: self.deadline(random),
            words: [number(random, 64), 0, 0, 0],
            second: match code {
                opcode::RETURN_RECEIVE => pool::any(random, Some(ENDPOINT)).handle,
                _ => 0,
            },
            reply: span(REPLY_AT, REPLY_BYTES),
            ..Operation::default()
        });
    }

    fn park(&self, random: &mut Random) {
        let near = PARKED.as_ptr() as u64;
        let address = if random.one_in(3) {
            number(random, 64)
        } else {
            near
        };
        let code = if random.one_in(2) {
            opcode::PARK
        } else {
            opcode::UNPARK
        };
        sys::operate(&Operation {
            opcode: code,
            handle: address,
            deadline_ns: self.deadline(random),
            words: [random.below(2), 0, 0, 0],
            ..Operation::default()
        });
    }

    /// An operation that no correct program makes, most of which end the process.
    fn strange(&self, random: &mut Random) {
        if !self.guarded.is_empty() || !random.one_in(6) {
            return;
        }
        let mut words = [0; 4];
        words.iter_mut().for_each(|word| *word = number(random, 64));
        sys::operate(&Operation {
            opcode: random.below(12) as u8,
            flags: random.below(5) as u8,
            method: random.below(9) as u16,
            handle: pool::any(random, None).handle,
            deadline_ns: self.deadline(random),
            words,
            second: pool::any(random, None).handle,
            reply: span(
                number(random, 16) as u32 & !7,
                number(random, 16) as u32 & !7,
            ),
        });
    }
}

const ENDPOINT: u64 = sdk::process::endpoint::INTERFACE_ID;
const ANY_FACET: u64 = sdk::process::any_facet::INTERFACE_ID;
const PROBE: u64 = sdk::schema::smoke::probe::INTERFACE_ID;

/// A method, every one as likely as another.
fn target(random: &mut Random) -> (usize, usize) {
    let mut at = random.index(plan::methods());
    for (number, interface) in methods::ALL.iter().enumerate() {
        if at < interface.methods.len() {
            return (number, at);
        }
        at -= interface.methods.len();
    }
    (0, 0)
}

/// Keeps what an answer brought: its handles, and the first of its numbers.
fn harvest(random: &mut Random, status: StatusWord, at: u32, bytes: u32, of: Option<&Method>) {
    let words = u32::from(status.words);
    if status.status != 0 || words * 8 > bytes {
        return;
    }
    for word in 1..words.min(4) {
        pool::note(random, raw::get(at + word * 8));
    }
    let mut kinds = of
        .into_iter()
        .flat_map(|of| of.results.fields)
        .filter_map(|field| match field.kind {
            Kind::Cap(ANY_FACET) => Some(PROBE),
            Kind::Cap(id) => Some(id),
            _ => None,
        });
    for cap in 0..u32::from(status.caps) {
        let place = (words + cap) * 8;
        if place + 8 <= bytes {
            let kind = kinds.next().unwrap_or(PROBE);
            pool::keep(
                random,
                Held {
                    handle: raw::get(at + place),
                    kind,
                },
            );
        }
    }
}

/// Reads or writes memory that some answer named. Another thread may have unmapped it, which ends the process.
fn touch(random: &mut Random) {
    let address = pool::address(random);
    if address != 0 && random.one_in(3) {
        // SAFETY: an address of memory that this process mapped, never of its own image, stack or heap; where it is gone
        // the process faults.
        let word = unsafe { memory_word(address) };
        word.load(Ordering::Relaxed);
    }
}
