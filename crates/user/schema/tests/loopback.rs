//! Client to bytes to dispatch to reply to client, for a method of every shape, in registers and through a ring.

mod common;

use std::cell::RefCell;

use common::{Call, Handle, Local, Way};
use schema::device::device_registry;
use schema::process::{
    any_facet, console, entropy_source, log_reader, log_sink, memory_object, process_spawner,
    thread_spawner, timer, virtual_memory,
};
use schema::smoke::probe;
use stub::read::{List, Numbers, TextList};
use stub::{Answered, CapArg, Deferred, Interface, Payload, Refusal, Reply};

fn both(test: impl Fn(Way)) {
    test(Way::Registers);
    test(Way::Ring);
}

struct Clock {
    slept: Vec<u64>,
    waiting: Option<Deferred<Call, timer::call::Sleep>>,
}

impl timer::Server<Call> for Clock {
    fn now(&mut self, reply: Reply<Call, timer::call::Now>) -> Answered {
        assert_eq!(reply.cookie(), 77);
        reply.send(timer::NowReply {
            ns: 0x1234_5678_9abc_def0,
        })
    }
    fn sleep(&mut self, reply: Reply<Call, timer::call::Sleep>, until_ns: u64) -> Answered {
        self.slept.push(until_ns);
        if until_ns == 0 {
            return reply.refuse(Refusal::OutOfRange);
        }
        let (answered, deferred) = reply.defer();
        self.waiting = Some(deferred);
        answered
    }
}

#[test]
fn plain_methods_and_deferred_replies() {
    both(|way| {
        let clock = RefCell::new(Clock {
            slept: Vec::new(),
            waiting: None,
        });
        let handler = |received: stub::Received<'_>, call: Call| {
            let _ = timer::dispatch(&mut *clock.borrow_mut(), received, call);
            if let Some(waiting) = clock.borrow_mut().waiting.take() {
                waiting.send(());
            }
        };
        let client = timer::Client::from_object(Local::new(&handler, way));
        assert_eq!(client.now().unwrap().ns, 0x1234_5678_9abc_def0);
        assert_eq!(client.object().seen.get(), Some(u64::MAX));
        client.with_deadline(99).sleep(5).unwrap();
        assert_eq!(client.object().seen.get(), Some(99));
        assert_eq!(client.sleep(0), Err(Refusal::OutOfRange));
        assert_eq!(clock.borrow().slept, [5, 0]);
        assert_eq!(client.cap(), CapArg::copy(7));
        assert_eq!(client.into_cap(), CapArg::moved(7));
    });
}

struct Memory;

impl virtual_memory::Server<Call> for Memory {
    fn map(
        &mut self,
        reply: Reply<Call, virtual_memory::call::Map>,
        bytes: u64,
        protection: u8,
    ) -> Answered {
        reply.send(virtual_memory::MapReply {
            address: bytes << 8 | u64::from(protection),
        })
    }
    fn unmap(
        &mut self,
        reply: Reply<Call, virtual_memory::call::Unmap>,
        address: u64,
        bytes: u64,
    ) -> Answered {
        reply.answer(if address == bytes {
            Ok(())
        } else {
            Err(Refusal::WrongState)
        })
    }
    fn protect(
        &mut self,
        reply: Reply<Call, virtual_memory::call::Protect>,
        _: u64,
        _: u64,
        _: u8,
    ) -> Answered {
        reply.refuse(Refusal::WriteExecute)
    }
    fn create_memory(
        &mut self,
        reply: Reply<Call, virtual_memory::call::CreateMemory>,
        bytes: u64,
    ) -> Answered {
        reply.send(virtual_memory::CreateMemoryReply {
            memory: CapArg::moved(bytes),
        })
    }
}

#[test]
fn a_capability_comes_back_typed() {
    both(|way| {
        let handler = |received: stub::Received<'_>, call: Call| {
            let _ = virtual_memory::dispatch(&mut Memory, received, call);
        };
        let client = virtual_memory::Client::from_object(Local::new(&handler, way));
        assert_eq!(client.map(0x1000, 3).unwrap().address, 0x10_0003);
        assert_eq!(client.unmap(4, 4), Ok(()));
        assert_eq!(client.unmap(4, 5), Err(Refusal::WrongState));
        let memory: memory_object::Client<Handle> = client.create_memory(4242).unwrap().memory;
        assert_eq!(memory.object().0, 4242);
    });
}

struct Text(Vec<String>);

impl console::Server<Call> for Text {
    fn write(&mut self, reply: Reply<Call, console::call::Write>, bytes: &[u8]) -> Answered {
        self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
        reply.send(console::WriteReply {
            written: bytes.len() as u32,
        })
    }
    fn read(&mut self, reply: Reply<Call, console::call::Read>) -> Answered {
        reply.send(console::ReadReply {
            count: 255,
            a: 1,
            b: u64::MAX,
            c: 3,
        })
    }
}

impl log_sink::Server<Call> for Text {
    fn write(
        &mut self,
        reply: Reply<Call, log_sink::call::Write>,
        level: log_sink::Level,
        line: &str,
    ) -> Answered {
        self.0.push(format!("{level:?} {line}"));
        reply.send(())
    }
}

#[test]
fn texts_bytes_and_enums() {
    both(|way| {
        let text = RefCell::new(Text(Vec::new()));
        let to_console = |received: stub::Received<'_>, call: Call| {
            let _ = console::dispatch(&mut *text.borrow_mut(), received, call);
        };
        let client = console::Client::from_object(Local::new(&to_console, way));
        for line in ["", "a", "12345678", "a longer line, with an ä"] {
            assert_eq!(
                client.write(line.as_bytes()).unwrap().written,
                line.len() as u32
            );
        }
        let got = client.read().unwrap();
        assert_eq!((got.count, got.a, got.b, got.c), (255, 1, u64::MAX, 3));
        assert_eq!(client.write(&[b'x'; 5000]), Err(Refusal::BadMessage));
        let to_log = |received: stub::Received<'_>, call: Call| {
            let _ = log_sink::dispatch(&mut *text.borrow_mut(), received, call);
        };
        let client = log_sink::Client::from_object(Local::new(&to_log, way));
        client.write(log_sink::Level::Warn, "careful").unwrap();
        client.write(log_sink::Level::Error, "").unwrap();
        let expected = [
            "",
            "a",
            "12345678",
            "a longer line, with an ä",
            "Warn careful",
            "Error ",
        ];
        assert_eq!(text.borrow().0, expected);
    });
}

struct Log;

impl log_reader::Server<Call> for Log {
    fn read(&mut self, reply: Reply<Call, log_reader::call::Read>, from: u64) -> Answered {
        if from == 0 {
            return reply.send(log_reader::ReadReply {
                next: 1,
                dropped: 2,
                records: &[],
            });
        }
        // More than fits: the list ends where the buffer does, and the reply says where to go on.
        reply.send_with(log_reader::fill_read(|results| {
            let mut next = from;
            results.dropped(9);
            results.records(20, |records| {
                let line = "x".repeat(if from == 1 { 10 } else { 600 });
                for sequence in from..from + 30 {
                    let record = log_reader::Record {
                        sequence,
                        ns: sequence * 10,
                        level: log_sink::Level::Debug,
                        source: "me",
                        line: &line,
                    };
                    if records.push(&record).is_err() {
                        break;
                    }
                    next = sequence + 1;
                }
                Ok(())
            })?;
            results.next(next);
            Ok(())
        }))
    }
}

#[test]
fn lists_are_built_in_place_and_end_where_the_buffer_does() {
    both(|way| {
        let handler = |received: stub::Received<'_>, call: Call| {
            let _ = log_reader::dispatch(&mut Log, received, call);
        };
        let client = log_reader::Client::from_object(Local::new(&handler, way));
        let empty = client.read(0, |r| (r.next(), r.dropped(), r.records().unwrap().len()));
        assert_eq!(empty, Ok((1, 2, 0)));
        for (from, count) in [(1, 20), (2, 5)] {
            client
                .read(from, |results| {
                    let records = results.records().unwrap();
                    assert_eq!(
                        (results.next(), results.dropped(), records.len()),
                        (from + count, 9, count as usize)
                    );
                    for (index, record) in records.iter().enumerate() {
                        assert_eq!(record.sequence(), from + index as u64);
                        assert_eq!(record.ns(), record.sequence() * 10);
                        assert_eq!(record.level(), Ok(log_sink::Level::Debug));
                        assert_eq!(record.source(), Ok("me"));
                        assert_eq!(
                            record.line().unwrap().len(),
                            if from == 1 { 10 } else { 600 }
                        );
                    }
                    assert!(records.get(count as usize).is_none());
                })
                .unwrap();
        }
    });
}

struct Spawner(Vec<String>);

impl process_spawner::Server<Call> for Spawner {
    fn spawn(
        &mut self,
        mut reply: Reply<Call, process_spawner::call::Spawn>,
        name: &str,
        image: &str,
        arguments: TextList<'_>,
        limits: process_spawner::LimitsReader<'_>,
        grants: List<'_, process_spawner::GrantReader<'_>>,
    ) -> Answered {
        let mut result = || {
            self.0.push(format!("{name} {image}"));
            for argument in arguments.iter() {
                self.0.push(argument?.into());
            }
            self.0.push(format!("{:?}", limits.value()?));
            for grant in grants.iter() {
                let cap = reply.take_cap(grant.transfer().into())?;
                self.0.push(format!(
                    "{} {:x} {cap}",
                    grant.name()?,
                    grant.interface_id()
                ));
            }
            Ok(process_spawner::SpawnReply {
                process: CapArg::moved(5),
            })
        };
        let result = result();
        reply.answer(result)
    }
    fn spawn_memory(
        &mut self,
        mut reply: Reply<Call, process_spawner::call::SpawnMemory>,
        name: &str,
        image: u64,
        bytes: u64,
        _: TextList<'_>,
        _: process_spawner::LimitsReader<'_>,
        _: List<'_, process_spawner::GrantReader<'_>>,
    ) -> Answered {
        self.0
            .push(format!("{name} {image} {bytes} {:?}", reply.take_cap(1)));
        reply.send(process_spawner::SpawnMemoryReply {
            process: CapArg::copy(6),
        })
    }
}

#[test]
fn defaults_nested_lists_and_extra_transfers() {
    both(|way| {
        let spawner = RefCell::new(Spawner(Vec::new()));
        let handler = |received: stub::Received<'_>, call: Call| {
            let _ = process_spawner::dispatch(&mut *spawner.borrow_mut(), received, call);
        };
        let client = process_spawner::Client::from_object(Local::new(&handler, way));
        let limits = process_spawner::Limits {
            threads: 3,
            ..Default::default()
        };
        assert_eq!((limits.memory_pages, limits.priority), (4096, 16));
        let grants = [
            process_spawner::Grant {
                name: "b",
                interface_id: 0xb,
                transfer: 1,
                handle: 0,
            },
            process_spawner::Grant {
                name: "a",
                interface_id: 0xa,
                transfer: 0,
                handle: 0,
            },
        ];
        let transfers = [CapArg::copy(100), CapArg::moved(101)];
        let spawned = client
            .spawn("n", "i", &["x", "", "yz"], &limits, &grants, &transfers)
            .unwrap();
        assert_eq!(spawned.process.object().0, 5);
        let expected = [
            "n i",
            "x",
            "",
            "yz",
            &format!("{limits:?}"),
            "b b 101",
            "a a 100",
        ];
        assert_eq!(spawner.borrow().0, expected);
        let twice = [grants[0], grants[0]];
        let doubled = client.spawn("n", "i", &[], &limits, &twice, &transfers);
        assert_eq!(doubled.err(), Some(Refusal::BadTransfer));
        spawner.borrow_mut().0.clear();
        let image = CapArg::copy(55);
        let spawned = client
            .spawn_memory("m", image, 9, &[], &limits, &[], &transfers)
            .unwrap();
        assert_eq!(spawned.process.object().0, 6);
        assert_eq!(spawner.borrow().0, ["m 55 9 Ok(100)"]);
    });
}

struct Threads;

impl thread_spawner::Server<Call> for Threads {
    fn spawn(
        &mut self,
        reply: Reply<Call, thread_spawner::call::Spawn>,
        entry: u64,
        stack_top: u64,
        argument: u64,
        shape: thread_spawner::ShapeReader<'_>,
    ) -> Answered {
        assert_eq!((entry, stack_top, argument), (1, 2, 3));
        let cpu = shape.cpu();
        reply.send(thread_spawner::SpawnReply {
            thread: CapArg::copy((cpu + 1) as u64),
        })
    }
    fn bell(&mut self, reply: Reply<Call, thread_spawner::call::Bell>) -> Answered {
        reply.refuse(Refusal::NotSupported)
    }
}

#[test]
fn signed_defaults_hold_in_both_directions() {
    both(|way| {
        let handler = |received: stub::Received<'_>, call: Call| {
            let _ = thread_spawner::dispatch(&mut Threads, received, call);
        };
        let client = thread_spawner::Client::from_object(Local::new(&handler, way));
        let shape = thread_spawner::Shape::default();
        assert_eq!(shape.cpu, -1);
        assert_eq!(client.spawn(1, 2, 3, &shape).unwrap().thread.object().0, 0);
        let shape = thread_spawner::Shape { cpu: 6, ..shape };
        assert_eq!(client.spawn(1, 2, 3, &shape).unwrap().thread.object().0, 7);
    });
}

#[test]
fn lists_of_integers() {
    let answer = |small: Numbers<'_, u16>, signed: Numbers<'_, i64>, bytes: &[u8]| {
        let sums: Vec<u32> = small.iter().map(|number| u32::from(number) << 16).collect();
        let back: Vec<i64> = signed.iter().rev().collect();
        (sums, back, bytes.len() as i64)
    };
    both(|way| {
        let handler = |received: stub::Received<'_>, call: Call| {
            let Payload::Message(bytes) = received.payload else {
                panic!("lists travel as a message")
            };
            let segment = [bytes];
            let message = stub::read::Message::new(&segment);
            let root = message.root().unwrap();
            // A list of anything of another size is no list of these.
            assert!(root.get_numbers::<u32>(0).is_err() && root.get_numbers::<i32>(1).is_err());
            let (sums, back, total) = answer(
                root.get_numbers(0).unwrap(),
                root.get_numbers(1).unwrap(),
                root.get_data(2).unwrap(),
            );
            let _ = Reply::<Call, probe::call::Sums>::new(call).send(probe::SumsReply {
                sums: &sums,
                signed: &back,
                total,
            });
        };
        let client = probe::Client::from_object(Local::new(&handler, way));
        let seen = client.sums(&[1, u16::MAX, 3], &[i64::MIN, -1], &[7; 9], |results| {
            let sums: Vec<u32> = results.sums().unwrap().iter().collect();
            let signed = results.signed().unwrap();
            assert_eq!((signed.len(), signed.get(2)), (2, None));
            (sums, signed.get(0), signed.get(1), results.total())
        });
        let sums = vec![1 << 16, 0xffff_0000, 3 << 16];
        assert_eq!(seen, Ok((sums, Some(-1), Some(i64::MIN), 9)));
        // What no message holds is refused before it is sent.
        let many = vec![0; 3000];
        assert_eq!(
            client.sums(&many, &[], &[], |_| ()),
            Err(Refusal::BadMessage)
        );
    });
}

#[test]
fn interfaces_are_known_by_name_and_id() {
    for (id, name) in schema::INTERFACES {
        assert_eq!(schema::interface_name(*id), Some(*name));
        assert_eq!(schema::interface_id(name), Some(*id));
    }
    assert!(schema::INTERFACES.is_sorted());
    assert_eq!(
        schema::interface_id("BlockDevice"),
        Some(schema::block::block_device::INTERFACE_ID)
    );
    assert_eq!(schema::interface_name(1), None);
    assert_eq!(any_facet::NAME, "AnyFacet");
    assert_eq!(entropy_source::method::FILL, 0);
    assert_eq!(
        <schema::storage::file::call::Read as stub::Method>::NAME,
        "File.read"
    );
    const { assert!(<schema::storage::file::call::Read as stub::Method>::IDEMPOTENT) };
    const { assert!(!<schema::block::block_session::call::Write as stub::Method>::IDEMPOTENT) };
    let _ = device_registry::Kind::Io;
}
