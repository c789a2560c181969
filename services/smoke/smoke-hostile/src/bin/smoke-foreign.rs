//! Is what a process has of its own refused in other hands, every method of it, before and after its owner's end?
#![no_std]
#![cfg_attr(not(test), no_main)]
#![allow(unsafe_code)]

use ring_abi::{MAX_TRANSFERS, opcode, span};
use rt::sys::Operation;
use sdk::schema::methods::{self, Field, Kind, Shape};
use sdk::{
    Cap, CapArg, Env, Error, Lifetime, Object, Refusal, alloc::string::String, alloc::vec::Vec,
    fact,
};
use smoke::{Kit, Probe, Prober, give, mint, raw, role, serve_probe};

sdk::entry!(main);

const IMAGE: &str = "smoke-foreign";
/// What the owner finds under this name is the way to the stranger, and not its own.
const WAY: &str = "probe";
/// Where the stranger writes its messages.
const MESSAGE: u32 = raw::SAFE_OFFSET;
const REPLY: u64 = span(raw::SAFE_OFFSET + 4096, 1024);

fn main(env: &Env) -> Result<(), Error> {
    match role(env) {
        None => ask(env),
        Some("owner") => own(env),
        // The first process is told of every capability by its interface, in the order in which they were sent.
        Some(_) => serve_probe(env, |state: &mut Prober, interface, at| {
            let cap = state.taken.get(at as usize).ok_or(Refusal::NotFound)?;
            Ok(try_everything(cap, interface))
        }),
    }
}

fn ask(env: &Env) -> Result<(), Error> {
    let kit = Kit::new(env, IMAGE)?;
    let console: sdk::Console = env.get("console")?;
    let endpoint = kit.endpoints.create()?.endpoint;
    let given = [give("endpoint", &endpoint), give("console", &console)];
    let stranger = kit.start("stranger", &given)?;
    let probe = mint(&endpoint, 1, Lifetime::Durable)?;
    let owner = kit.run("owner", &[give(WAY, &probe)])?;
    fact!(
        "foreign.owner",
        kind = owner.kind,
        said = owner.text.as_str()
    );
    let own: usize = owner
        .text
        .split(' ')
        .filter_map(|id| u64::from_str_radix(id, 16).ok())
        .zip(0..)
        .map(|(interface, at)| probe.act(interface, at).map_or(0, |did| did.word as usize))
        .filter(|served| *served > 0)
        .count();
    fact!("foreign.after", served = own);
    Ok(stranger.kill()?)
}

/// Sends everything that it has of its own to the stranger, and has it tried there while it lives.
fn own(env: &Env) -> Result<(), Error> {
    let probe: Probe = env.get(WAY)?;
    let own: Vec<_> = env.entries().filter(|entry| entry.0 != WAY).collect();
    let copies: Vec<_> = own.iter().map(|entry| CapArg::copy(entry.2)).collect();
    assert!(own.len() < MAX_TRANSFERS, "more than one message holds");
    probe.take(&[], &copies)?;
    let mut said = String::new();
    for (at, (_, interface, _)) in (0..).zip(&own) {
        probe.act(*interface, at)?;
        said.push_str(&sdk::alloc::format!("{interface:x} "));
    }
    sdk::exit(0, format_args!("{}", said.trim_end()))
}

/// Calls every method of a capability; states what came of it, and gives how many did anything but refuse a stranger.
fn try_everything(cap: &Cap, interface: u64) -> u64 {
    let Some(known) = methods::ALL.iter().find(|known| known.id == interface) else {
        fact!("foreign.unknown", interface = interface);
        return 1;
    };
    let mut served = 0;
    let mut others = String::new();
    for (number, method) in (0..).zip(known.methods) {
        let mut message = Message::default();
        message.structure(0, &method.params);
        for (at, word) in (0..).zip(&message.words) {
            raw::put(MESSAGE + at * 8, *word);
        }
        let outcome = raw::operate(&Operation {
            opcode: opcode::CALL,
            method: number,
            handle: cap.handle(),
            deadline_ns: ring_abi::NEVER,
            words: [span(MESSAGE, message.words.len() as u32 * 8), 0, 0, 0],
            reply: REPLY,
            ..Operation::default()
        });
        if outcome.refused() != Some(Refusal::WrongOwner) {
            served += 1;
            others.push_str(method.name);
            others.push('=');
            others.push_str(outcome.refused().map_or("ok", Refusal::name));
            others.push(' ');
        }
    }
    fact!(
        "foreign.tried",
        interface = known.name,
        methods = known.methods.len(),
        not_refused = others.trim_end()
    );
    served
}

/// A message of a method's shape, with numbers that a good call could have.
#[derive(Default)]
struct Message {
    words: Vec<u64>,
}

impl Message {
    /// Appends a struct, and makes `slot` its pointer.
    fn structure(&mut self, slot: usize, shape: &Shape) {
        if self.words.is_empty() {
            self.words.push(0);
        }
        let at = self.words.len();
        let (data, pointers) = (usize::from(shape.data_words), usize::from(shape.pointers));
        self.words.resize(at + data + pointers, 0);
        let offset = ((at - slot - 1) as u64) << 2;
        self.words[slot] = match data + pointers {
            0 => 0xffff_fffc,
            _ => offset & 0xffff_ffff | (data as u64) << 32 | (pointers as u64) << 48,
        };
        for field in shape.fields {
            self.field(at, at + data, field);
        }
    }

    fn field(&mut self, data: usize, pointers: usize, field: &Field) {
        let value: u64 = match field.kind {
            // A page of memory, and what may be read and written.
            Kind::Int(64 | 32) => 4096,
            Kind::Int(16) => 8,
            Kind::Int(_) => 3,
            Kind::Struct(shape) => return self.structure(pointers + field.offset as usize, shape),
            _ => return,
        };
        if let Kind::Int(bits) = field.kind {
            let bit = field.offset as usize * usize::from(bits);
            self.words[data + bit / 64] |= value << (bit % 64);
        }
    }
}
