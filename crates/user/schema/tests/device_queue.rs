//! A queue of a device from client to reply: lists in lists in a message, and its ring's plain calls.

mod common;

use common::{Call, Local, Way};
use schema::device::device_queue;
use stub::read::List;
use stub::{Answered, Interface, Reply};

fn both(test: impl Fn(Way)) {
    test(Way::Registers);
    test(Way::Ring);
}

struct Queue;

impl device_queue::Server<Call> for Queue {
    fn info(&mut self, reply: Reply<Call, device_queue::call::Info>) -> Answered {
        reply.send(device_queue::InfoReply {
            depth: 64,
            in_flight: 3,
            generation: 1 << 60,
        })
    }
    fn submit(
        &mut self,
        reply: Reply<Call, device_queue::call::Submit>,
        commands: List<'_, device_queue::CommandReader<'_>>,
    ) -> Answered {
        let command = commands.get(1).unwrap();
        assert_eq!(command.cookie(), 12);
        assert_eq!(command.template().unwrap(), [9; 64]);
        let segments = command.segments().unwrap();
        let segment = segments.get(0).unwrap().value().unwrap();
        assert_eq!(
            (
                segments.len(),
                segment.buffer,
                segment.offset,
                segment.length
            ),
            (1, 5, 6, 7)
        );
        assert_eq!(segment.direction, device_queue::Direction::FromDevice);
        reply.send(device_queue::SubmitReply {
            accepted: commands.len() as u16,
            refusal: Some(stub::Refusal::Stale),
        })
    }
    fn complete(&mut self, reply: Reply<Call, device_queue::call::Complete>, max: u16) -> Answered {
        let completion = device_queue::Completion {
            cookie: 1,
            status: 2,
            result: 3,
            refusal: stub::Refusal::from_code(max as u8),
        };
        reply.send(device_queue::CompleteReply {
            completions: &[completion],
        })
    }
    fn reset(&mut self, reply: Reply<Call, device_queue::call::Reset>) -> Answered {
        reply.send(())
    }
    fn ring(&mut self, reply: Reply<Call, device_queue::call::Ring>) -> Answered {
        reply.refuse(stub::Refusal::NotSupported)
    }
    fn bind(&mut self, reply: Reply<Call, device_queue::call::Bind>, buffer: u64) -> Answered {
        reply.send(device_queue::BindReply {
            slot: 127,
            generation: buffer as u32,
        })
    }
    fn unbind(
        &mut self,
        reply: Reply<Call, device_queue::call::Unbind>,
        slot: u8,
        generation: u32,
    ) -> Answered {
        assert_eq!((slot, generation), (127, 9));
        reply.send(())
    }
    fn kick(
        &mut self,
        reply: Reply<Call, device_queue::call::Kick>,
        submit: u16,
        complete: u16,
    ) -> Answered {
        reply.send(device_queue::KickReply {
            accepted: submit,
            refused: 0,
            completed: complete,
            stopped: Some(stub::Refusal::QueueFull),
        })
    }
    fn doorbell(
        &mut self,
        reply: Reply<Call, device_queue::call::Doorbell>,
        tail: u16,
        head: u16,
    ) -> Answered {
        assert_eq!((tail, head), (5, 6));
        reply.send(())
    }
    fn address(
        &mut self,
        reply: Reply<Call, device_queue::call::Address>,
        buffer: u64,
    ) -> Answered {
        reply.send(device_queue::AddressReply {
            address: buffer << 12,
        })
    }
}

#[test]
fn a_ring_in_registers() {
    both(|way| {
        let handler = |received: stub::Received<'_>, call: Call| {
            let _ = device_queue::dispatch(&mut Queue, received, call);
        };
        let client = device_queue::Client::from_object(Local::new(&handler, way));
        let bound = client.bind(9).unwrap();
        assert_eq!((bound.slot, bound.generation), (127, 9));
        client.unbind(bound.slot, bound.generation).unwrap();
        let done = client.kick(32, 33).unwrap();
        assert_eq!((done.accepted, done.refused, done.completed), (32, 0, 33));
        assert_eq!(done.stopped, Some(stub::Refusal::QueueFull));
        client.doorbell(5, 6).unwrap();
        assert_eq!(client.address(3).unwrap().address, 3 << 12);
    });
}

#[test]
fn lists_in_lists() {
    both(|way| {
        let handler = |received: stub::Received<'_>, call: Call| {
            let _ = device_queue::dispatch(&mut Queue, received, call);
        };
        let client = device_queue::Client::from_object(Local::new(&handler, way));
        let segment = device_queue::Segment {
            buffer: 5,
            offset: 6,
            length: 7,
            direction: device_queue::Direction::FromDevice,
        };
        let commands = [
            device_queue::Command {
                cookie: 11,
                template: &[],
                segments: &[],
            },
            device_queue::Command {
                cookie: 12,
                template: &[9; 64],
                segments: &[segment],
            },
        ];
        let done = client.submit(&commands).unwrap();
        assert_eq!(
            (done.accepted, done.refusal),
            (2, Some(stub::Refusal::Stale))
        );
        let completion = client
            .complete(8, |r| r.completions().unwrap().get(0).unwrap().value())
            .unwrap()
            .unwrap();
        assert_eq!(
            (completion.status, completion.result, completion.refusal),
            (2, 3, stub::Refusal::from_code(8))
        );
    });
}
