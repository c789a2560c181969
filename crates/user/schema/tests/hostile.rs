//! Messages that nobody sane sent: no server and no client panics, runs away, or sees a value outside its type.

mod common;

use std::cell::RefCell;

use common::{Buffer, Call, Handle, Local, Way, encode};
use proptest::prelude::*;
use schema::device::device_queue as queue;
use schema::process::{log_reader, log_sink, process_spawner as spawner};
use schema::storage::{directory, volume};
use stub::read::{List, TextList};
use stub::{Answered, CapArg, Interface, Outgoing, Payload, Received, Refusal, Reply};

/// Looks at everything there is to see in a call.
#[derive(Default)]
struct Nosy {
    calls: usize,
}

impl spawner::Server<Call> for Nosy {
    fn spawn(
        &mut self,
        mut reply: Reply<Call, spawner::call::Spawn>,
        name: &str,
        image: &str,
        arguments: TextList<'_>,
        limits: spawner::LimitsReader<'_>,
        grants: List<'_, spawner::GrantReader<'_>>,
    ) -> Answered {
        self.calls += name.len() + image.len();
        for argument in arguments.iter() {
            self.calls += argument.map_or(0, str::len);
        }
        self.calls += usize::from(limits.value().is_ok());
        for grant in grants.iter() {
            self.calls += grant.name().map_or(0, str::len);
            let _ = reply.take_cap(grant.transfer().into());
        }
        reply.send(spawner::SpawnReply {
            process: CapArg::copy(1),
        })
    }
    fn spawn_memory(
        &mut self,
        reply: Reply<Call, spawner::call::SpawnMemory>,
        _: &str,
        image: u64,
        _: u64,
        _: TextList<'_>,
        _: spawner::LimitsReader<'_>,
        _: List<'_, spawner::GrantReader<'_>>,
    ) -> Answered {
        assert!(image == 40 || image == 41, "a handle that was sent");
        reply.refuse(Refusal::Failed)
    }
}

impl queue::Server<Call> for Nosy {
    fn info(&mut self, reply: Reply<Call, queue::call::Info>) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn submit(
        &mut self,
        reply: Reply<Call, queue::call::Submit>,
        commands: List<'_, queue::CommandReader<'_>>,
    ) -> Answered {
        for command in commands.iter() {
            self.calls += command.template().map_or(0, <[u8]>::len);
            for segment in command.segments().into_iter().flat_map(|list| list.iter()) {
                self.calls += usize::from(segment.value().is_ok());
            }
        }
        reply.send(queue::SubmitReply::default())
    }
    fn complete(&mut self, reply: Reply<Call, queue::call::Complete>, _: u16) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn reset(&mut self, reply: Reply<Call, queue::call::Reset>) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn ring(&mut self, reply: Reply<Call, queue::call::Ring>) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn bind(&mut self, reply: Reply<Call, queue::call::Bind>, _: u64) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn unbind(&mut self, reply: Reply<Call, queue::call::Unbind>, _: u8, _: u32) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn kick(&mut self, reply: Reply<Call, queue::call::Kick>, _: u16, _: u16) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn doorbell(&mut self, reply: Reply<Call, queue::call::Doorbell>, _: u16, _: u16) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn address(&mut self, reply: Reply<Call, queue::call::Address>, _: u64) -> Answered {
        reply.refuse(Refusal::Failed)
    }
}

impl volume::Server<Call> for Nosy {
    fn info(&mut self, reply: Reply<Call, volume::call::Info>) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn attach(&mut self, reply: Reply<Call, volume::call::Attach>, window: u64) -> Answered {
        assert!(window == 40 || window == 41, "a handle that was sent");
        reply.send(volume::AttachReply {
            root: CapArg::copy(3),
        })
    }
    fn problem(&mut self, reply: Reply<Call, volume::call::Problem>) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn parts(&mut self, reply: Reply<Call, volume::call::Parts>, _: u32) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn part(&mut self, reply: Reply<Call, volume::call::Part>, _: u32) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn space(&mut self, reply: Reply<Call, volume::call::Space>) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn keeper(&mut self, reply: Reply<Call, volume::call::Keeper>) -> Answered {
        reply.refuse(Refusal::Failed)
    }
    fn store(&mut self, reply: Reply<Call, volume::call::Store>, window: u64) -> Answered {
        assert!(window == 40 || window == 41, "a handle that was sent");
        reply.send(volume::StoreReply {
            store: CapArg::copy(3),
        })
    }
}

fn serve(interface: u8, method: u16, payload: Payload<'_>, caps: usize) -> Option<Refusal> {
    let slot = std::rc::Rc::new(RefCell::new(None));
    let call = Call {
        cookie: 0,
        caps: (0..caps as u64).map(|n| Some(40 + n)).collect(),
        room: 4096,
        way: Way::Registers,
        slot: slot.clone(),
    };
    let received = Received { method, payload };
    let mut nosy = Nosy::default();
    let _: Answered = match interface {
        0 => spawner::dispatch(&mut nosy, received, call),
        1 => queue::dispatch(&mut nosy, received, call),
        _ => volume::dispatch(&mut nosy, received, call),
    };
    slot.take().expect("every call is answered").err()
}

/// Good messages to start from: interface, method, bytes.
fn seeds() -> Vec<(u8, u16, Vec<u8>)> {
    let grants = [
        spawner::Grant {
            name: "console",
            interface_id: 5,
            transfer: 1,
            handle: 0,
        },
        spawner::Grant {
            name: "timer",
            interface_id: 6,
            transfer: 0,
            handle: 0,
        },
    ];
    let segment = queue::Segment {
        buffer: 1,
        offset: 2,
        length: 3,
        direction: queue::Direction::FromDevice,
    };
    let command = queue::Command {
        cookie: 1,
        template: &[7; 64],
        segments: &[segment, segment],
    };
    let limits = spawner::Limits::default();
    let spawn = spawner::SpawnParams {
        name: "a name",
        image: "an image",
        arguments: &["one", "two", ""],
        limits,
        grants: &grants,
        transfers: &[],
    };
    let spawn_memory = spawner::SpawnMemoryParams {
        name: "m",
        image: CapArg::copy(40),
        bytes: 4096,
        arguments: &["x"],
        limits,
        grants: &grants,
        transfers: &[],
    };
    let submit = queue::SubmitParams {
        commands: &[command, command],
    };
    let attach = volume::AttachParams {
        window: CapArg::copy(40),
    };
    fn bytes(payload: impl Outgoing<CapArg>) -> Vec<u8> {
        encode(payload, Way::Ring, 4096).unwrap().message
    }
    vec![
        (0, 0, bytes(spawn)),
        (0, 1, bytes(spawn_memory)),
        (1, 1, bytes(submit)),
        (2, 1, bytes(attach)),
    ]
}

/// One way to spoil a message.
#[derive(Clone, Debug)]
enum Spoil {
    Flip(usize),
    Byte(usize, u8),
    Word(usize, u64),
    Pointer(usize, i32, u8, u16, u16),
    List(usize, i32, u8, u32),
    Truncate(usize),
    Copy(usize, usize),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        any::<usize>().prop_map(Spoil::Flip),
        (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Spoil::Byte(at, value)),
        (any::<usize>(), any::<u64>()).prop_map(|(at, value)| Spoil::Word(at, value)),
        (any::<usize>(), -8..64_i32, 0..4_u8, 0..9_u16, 0..9_u16).prop_map(
            |(at, offset, kind, data, pointers)| Spoil::Pointer(at, offset, kind, data, pointers)
        ),
        (any::<usize>(), -8..64_i32, 0..8_u8, any::<u32>())
            .prop_map(|(at, offset, size, count)| Spoil::List(at, offset, size, count)),
        any::<usize>().prop_map(Spoil::Truncate),
        (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Spoil::Copy(from, to)),
    ]
}

fn apply(message: &mut Vec<u8>, spoils: &[Spoil]) {
    for spoil in spoils {
        let words = message.len() / 8;
        if words == 0 {
            return;
        }
        let before = message.clone();
        let mut put = |at: usize, word: u64| {
            let at = at % words * 8;
            message[at..at + 8].copy_from_slice(&word.to_le_bytes());
        };
        match *spoil {
            Spoil::Flip(bit) => {
                let bit = bit % (words * 64);
                message[bit / 8] ^= 1 << (bit % 8);
            }
            Spoil::Byte(at, value) => message[at % (words * 8)] = value,
            Spoil::Word(at, word) => put(at, word),
            Spoil::Pointer(at, offset, kind, data, pointers) => put(
                at,
                u64::from(offset as u32) << 2 & 0xffff_fffc
                    | u64::from(kind)
                    | u64::from(data) << 32
                    | u64::from(pointers) << 48,
            ),
            Spoil::List(at, offset, size, count) => put(
                at,
                u64::from(offset as u32) << 2 & 0xffff_fffc
                    | 1
                    | u64::from(size) << 32
                    | u64::from(count) << 35,
            ),
            Spoil::Truncate(to) => message.truncate(to % (words + 1) * 8),
            Spoil::Copy(from, to) => {
                let from = from % words * 8;
                let word = u64::from_le_bytes(before[from..from + 8].try_into().unwrap());
                put(to, word);
            }
        }
    }
}

/// A server that answers everything with the same bytes.
fn fixed(message: &[u8], caps: usize) -> impl Fn(Received<'_>, Call) + use<> {
    let message = message.to_vec();
    move |_, call| {
        let sent = common::Sent {
            words: None,
            message: message.clone(),
            caps: vec![CapArg::copy(9); caps],
        };
        *call.slot.borrow_mut() = Some(Ok(sent));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn spoiled_calls_are_answered(
        seed in 0..4_usize,
        spoils in prop::collection::vec(spoil(), 1..6),
        caps in 0..3_usize,
    ) {
        let (interface, method, mut message) = seeds().swap_remove(seed);
        apply(&mut message, &spoils);
        let buffer = Buffer::new(&message);
        let _ = serve(interface, method, Payload::Message(buffer.get()), caps);
    }

    #[test]
    fn noise_is_answered(
        interface in 0..3_u8,
        method in 0..6_u16,
        noise in prop::collection::vec(any::<u64>(), 0..40),
        caps in 0..3_usize,
    ) {
        let message: Vec<u8> = noise.iter().flat_map(|word| word.to_le_bytes()).collect();
        let buffer = Buffer::new(&message);
        let _ = serve(interface, method, Payload::Message(buffer.get()), caps);
    }

    #[test]
    fn spoiled_replies_are_refused_or_read(
        spoils in prop::collection::vec(spoil(), 1..6),
        caps in 0..3_usize,
    ) {
        let record = log_reader::Record {
            sequence: 1,
            ns: 2,
            level: log_sink::Level::Info,
            source: "source",
            line: "a line",
        };
        let reply = log_reader::ReadReply { next: 1, dropped: 0, records: &[record, record, record] };
        let mut message = encode(reply, Way::Ring, 4096).unwrap().message;
        apply(&mut message, &spoils);
        let handler = fixed(&message, caps);
        let log = log_reader::Client::from_object(Local::new(&handler, Way::Registers));
        let _ = log.read(0, |results| {
            for record in results.records().into_iter().flat_map(|list| list.iter()) {
                let _ = (record.source(), record.line(), record.level(), record.sequence());
            }
        });

        let reply = directory::OpenReply { file: CapArg::copy(1) };
        let mut message = encode(reply, Way::Ring, 4096).unwrap().message;
        apply(&mut message, &spoils);
        let handler = fixed(&message, caps);
        let directory = directory::Client::from_object(Local::new(&handler, Way::Registers));
        match directory.open("x") {
            Ok(open) => {
                let handle: &Handle = open.file.object();
                prop_assert_eq!(handle.0, 9);
            }
            Err(refusal) => prop_assert_eq!(refusal, Refusal::BadMessage),
        }
    }
}

#[test]
fn unspoiled_seeds_are_accepted() {
    for (interface, method, message) in seeds() {
        let buffer = Buffer::new(&message);
        let refusal = serve(interface, method, Payload::Message(buffer.get()), 2);
        let expected = (interface == 0 && method == 1).then_some(Refusal::Failed);
        assert_eq!(refusal, expected);
    }
}

#[test]
fn each_defect_has_its_refusal() {
    let empty = Payload::Message(&[]);
    assert_eq!(serve(0, 0, empty, 0), Some(Refusal::BadMessage));
    assert_eq!(
        serve(0, 0, Payload::Plain([0; 4]), 0),
        Some(Refusal::BadMessage)
    );
    assert_eq!(serve(0, 9, empty, 0), Some(Refusal::NoSuchMethod));
    let (_, _, attach) = seeds().swap_remove(3);
    let buffer = Buffer::new(&attach);
    let attach = Payload::Message(buffer.get());
    assert_eq!(serve(2, 1, attach, 0), Some(Refusal::BadTransfer));
    assert_eq!(serve(2, 1, attach, 1), None);
    // A null capability.
    let null = Buffer::new(&[0; 8]);
    assert_eq!(
        serve(2, 1, Payload::Message(null.get()), 1),
        Some(Refusal::BadMessage)
    );
}

#[test]
fn a_list_of_nothing_half_a_billion_long_is_refused() {
    // The root has one pointer: a list of 2^29 - 1 structs without any content.
    let words: [u64; 3] = [1 << 48, 1 | 7 << 32, u64::from(0x1fff_ffff_u32) << 2];
    let message: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let buffer = Buffer::new(&message);
    assert_eq!(
        serve(1, 1, Payload::Message(buffer.get()), 0),
        Some(Refusal::BadMessage)
    );
}

#[test]
fn a_deep_message_ends_at_the_limit() {
    // Commands whose segments point back at the commands: readers stop at the nesting and traversal limits.
    let (interface, method, mut message) = seeds().swap_remove(2);
    let words = message.len() / 8;
    for at in 0..words {
        let word = (-(at as i64) as u64) << 2 & 0xffff_fffc | 1 | 7 << 32 | 4 << 35;
        let mut copy = message.clone();
        copy[at * 8..at * 8 + 8].copy_from_slice(&word.to_le_bytes());
        let buffer = Buffer::new(&copy);
        let _ = serve(interface, method, Payload::Message(buffer.get()), 0);
    }
    message.clear();
    let buffer = Buffer::new(&message);
    assert_eq!(
        serve(interface, method, Payload::Message(buffer.get()), 0),
        Some(Refusal::BadMessage)
    );
}
