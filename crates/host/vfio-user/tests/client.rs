//! The server against a small client of ours, which is what QEMU is to it.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vfio_user::hostile::{Hostile, ID, Order, Start};
use vfio_user::wire::{Kind, u32_at, words};
use vfio_user::{Channel, Message, Model, Refusal, Server, Way};

type Told = Arc<Mutex<Vec<String>>>;

struct Client {
    channel: Channel,
    orders: mpsc::Sender<Order>,
    told: Told,
    next: u16,
    server: JoinHandle<(bool, Vec<Refusal>)>,
}

impl Client {
    fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (orders, receiver) = mpsc::channel();
        let told = Told::default();
        let heard = told.clone();
        let server = thread::spawn(move || {
            let mut device = Hostile::new(receiver, Start::AtOnce, |line| {
                heard.lock().unwrap().push(line)
            });
            let mut server = Server::new(Channel::new(theirs), device.describe());
            let end = server.run(&mut device, || true);
            (end.is_ok(), server.refusals().to_vec())
        });
        let channel = Channel::new(ours);
        Self {
            channel,
            orders,
            told,
            next: 100,
            server,
        }
    }

    fn receive(&mut self) -> Message {
        self.channel.receive().unwrap().unwrap()
    }

    fn ask_with(
        &mut self,
        command: u16,
        body: &[u8],
        fds: &[BorrowedFd<'_>],
    ) -> Result<Vec<u8>, u32> {
        self.next += 1;
        self.channel
            .send(self.next, command, Kind::Command, body, fds)
            .unwrap();
        let reply = self.receive();
        assert_eq!(
            (reply.header.id, reply.header.command),
            (self.next, command)
        );
        match reply.header.kind {
            Kind::Reply => Ok(reply.body),
            Kind::Refusal(error) => Err(error),
            other => panic!("{other:?}"),
        }
    }

    fn ask(&mut self, command: u16, body: &[u8]) -> Result<Vec<u8>, u32> {
        self.ask_with(command, body, &[])
    }

    fn read(&mut self, region: u32, offset: u64, count: u32) -> Result<Vec<u8>, u32> {
        let body = [&offset.to_le_bytes()[..], &words(&[region, count])].concat();
        self.ask(9, &body).map(|reply| reply[16..].to_vec())
    }

    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), u32> {
        let head = words(&[region, data.len() as u32]);
        self.ask(10, &[&offset.to_le_bytes()[..], &head, data].concat())
            .map(drop)
    }

    fn map(
        &mut self,
        address: u64,
        bytes: u64,
        rights: u32,
        file: Option<&File>,
    ) -> Result<(), u32> {
        let mut body = words(&[32, rights]);
        for word in [0, address, bytes] {
            body.extend_from_slice(&word.to_le_bytes());
        }
        let fds: Vec<_> = file.iter().map(|file| file.as_fd()).collect();
        self.ask_with(2, &body, &fds).map(drop)
    }

    fn unmap(&mut self, address: u64, bytes: u64) -> Result<(), u32> {
        let mut body = words(&[24, 0]);
        body.extend_from_slice(&address.to_le_bytes());
        body.extend_from_slice(&bytes.to_le_bytes());
        self.ask(3, &body).map(drop)
    }

    /// Lets the device do one thing, and answers what it asks.
    fn order(&mut self, order: Order, answer: impl Fn(&[u8]) -> (Kind, Vec<u8>)) -> String {
        let before = self.told.lock().unwrap().len();
        self.orders.send(order).unwrap();
        loop {
            if let Some(line) = self.told.lock().unwrap().get(before) {
                return line.clone();
            }
            if self
                .channel
                .wait(std::time::Duration::from_millis(2))
                .unwrap()
            {
                let Message { header, body, .. } = self.receive();
                assert!(header.command == 11 || header.command == 12);
                let (kind, reply) = answer(&body);
                self.channel
                    .send(header.id, header.command, kind, &reply, &[])
                    .unwrap();
            }
        }
    }

    fn end(self) -> (bool, Vec<Refusal>) {
        drop(self.channel);
        self.server.join().unwrap()
    }
}

fn memory(bytes: u64) -> File {
    let file = memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, bytes).unwrap();
    File::from(file)
}

#[test]
fn a_device_is_described_and_its_registers_are_read_and_written() {
    let mut client = Client::new();
    let reply = client.ask(1, &[0, 0, 3, 0, b'{', b'}', 0]).unwrap();
    assert!(reply[..4] == [0, 0, 1, 0] && reply.ends_with(b"\0"));
    assert_eq!(client.ask(1, &[1, 0, 0, 0]), Err(95));
    assert_eq!(
        client.ask(4, &words(&[16, 0, 0, 0])).unwrap(),
        words(&[16, 3, 9, 5])
    );
    let region = client.ask(5, &words(&[32, 0, 7, 0, 0, 0, 0, 0])).unwrap();
    assert_eq!(u32_at(&region, 16), Some(256));
    let vectors = client.ask(7, &words(&[16, 0, 2, 0])).unwrap();
    assert_eq!(u32_at(&vectors, 12), Some(4));
    let id = client.read(7, 0, 4).unwrap();
    assert_eq!(id, [ID.0.to_le_bytes(), ID.1.to_le_bytes()].concat());
    client.write(7, 0x10, &[0xff; 4]).unwrap();
    assert_eq!(
        client.read(7, 0x10, 4).unwrap(),
        0xffff_f000u32.to_le_bytes()
    );
    client.write(0, 0x800, b"registers").unwrap();
    assert_eq!(client.read(0, 0x800, 9).unwrap(), b"registers");
    client.ask(13, &[]).unwrap();
    assert_eq!(client.read(0, 0x800, 9).unwrap(), [0; 9]);
    assert_eq!(client.read(7, 0x10, 4).unwrap(), [0; 4]);
    assert_eq!(
        client.end(),
        (
            true,
            vec![Refusal {
                command: 1,
                error: 95
            }]
        )
    );
}

#[test]
fn what_makes_no_sense_is_refused_by_number_and_the_connection_goes_on() {
    let mut client = Client::new();
    let mut expected = Vec::new();
    let mut refused = |command, error, result: Option<u32>| {
        assert_eq!(result, Some(error), "command {command}");
        expected.push(Refusal { command, error });
    };
    refused(99, 95, client.ask(99, &[]).err());
    refused(11, 95, client.ask(11, &[0; 16]).err());
    // Regions: outside, over the end, without an end, one that is not there, nothing at all.
    for (region, offset, count) in [
        (0, 4096, 1),
        (0, 4095, 2),
        (0, u64::MAX, 4),
        (1, 0, 1),
        (0, 0, 0),
        (99, 0, 1),
    ] {
        refused(9, 22, client.read(region, offset, count).err());
    }
    // Less data than the count says.
    let short = [&0u64.to_le_bytes()[..], &words(&[0, 8]), &[1, 2]].concat();
    refused(10, 22, client.ask(10, &short).err());
    for command in [1, 2, 3, 5, 7, 8, 9, 10] {
        refused(command, 22, client.ask(command, &[]).err());
    }
    refused(5, 22, client.ask(5, &words(&[32, 0, 9, 0])).err());
    refused(8, 22, client.ask(8, &words(&[20, 0x24, 2, 3, 2])).err());
    refused(
        8,
        22,
        client.ask(8, &words(&[20, 0x24, 2, u32::MAX, 2])).err(),
    );
    refused(2, 22, client.map(0, 0, 3, None).err());
    refused(2, 22, client.map(u64::MAX, 2, 3, None).err());
    client.map(0x1000, 0x1000, 3, None).unwrap();
    refused(2, 22, client.map(0x1800, 0x1000, 3, None).err());
    refused(3, 22, client.unmap(0x1000, 0x800).err());
    refused(3, 22, client.unmap(0x9000, 0x1000).err());
    client.unmap(0x1000, 0x1000).unwrap();
    assert_eq!(client.read(7, 0, 2).unwrap(), ID.0.to_le_bytes());
    assert_eq!(client.end(), (true, expected));
}

#[test]
fn a_message_without_an_end_ends_the_connection() {
    for bytes in [3u32, u32::MAX] {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let (_, receiver) = mpsc::channel();
            let mut device = Hostile::new(receiver, Start::AtOnce, |_| ());
            let mut server = Server::new(Channel::new(theirs), device.describe());
            server
                .run(&mut device, || true)
                .map_err(|error| error.kind())
        });
        let header = words(&[9 << 16, bytes, 0, 0]);
        std::io::Write::write_all(&mut ours, &header).unwrap();
        assert_eq!(server.join().unwrap(), Err(std::io::ErrorKind::InvalidData));
        assert_eq!(ours.read(&mut [0; 4]).unwrap(), 0);
    }
}

#[test]
fn memory_is_reached_by_message_and_every_refusal_is_told() {
    let mut client = Client::new();
    let read = |way, address| Order::Read(way, address, 4);
    let line = client.order(read(Way::Message, 0x5000), |body| {
        assert_eq!(
            body,
            [&0x5000u64.to_le_bytes()[..], &4u64.to_le_bytes()].concat()
        );
        (Kind::Reply, [body, b"\x01\x02\x03\x04"].concat())
    });
    assert_eq!(
        line,
        "read way=Message address=0x5000 bytes=4 accepted data=01020304"
    );
    let line = client.order(read(Way::Message, 0x5000), |_| {
        (Kind::Refusal(19), Vec::new())
    });
    assert_eq!(
        line,
        "read way=Message address=0x5000 bytes=4 refused error=19"
    );
    let line = client.order(read(Way::Message, 0x5000), |body| {
        (Kind::Reply, body.to_vec())
    });
    assert_eq!(
        line,
        "read way=Message address=0x5000 bytes=4 failed why=Short"
    );
    let line = client.order(Order::Forge(0xfee0_0000, 0x55), |body| {
        assert_eq!(body[16..], 0x55u32.to_le_bytes());
        (Kind::Reply, body[..16].to_vec())
    });
    assert_eq!(line, "forge address=0xfee00000 data=0x55 accepted");
    assert!(client.end().0);
}

#[test]
fn orders_through_registers_are_carried_out_after_their_answer() {
    let mut client = Client::new();
    client.write(0, 0x800, b"four").unwrap();
    let orders = [&0x7000u64.to_le_bytes()[..], &words(&[4, 2])].concat();
    client.write(0, 0x08, &orders).unwrap();
    let asked = client.receive();
    assert_eq!(
        (asked.header.command, &asked.body[16..]),
        (12, &b"four"[..])
    );
    // A command that comes before the answer waits for it.
    let body = [&0x18u64.to_le_bytes()[..], &words(&[0, 12])].concat();
    client
        .channel
        .send(7, 9, Kind::Command, &body, &[])
        .unwrap();
    client
        .channel
        .send(asked.header.id, 12, Kind::Refusal(14), &[], &[])
        .unwrap();
    let reply = client.receive();
    // Refused, with the number; nothing accepted so far.
    assert_eq!(
        (reply.header.id, &reply.body[16..]),
        (7, &words(&[2, 14, 0])[..])
    );
    assert!(client.end().0);
}

#[test]
fn memory_that_was_handed_over_is_reached_without_asking_until_it_is_taken_back() {
    let mut client = Client::new();
    let file = memory(0x4000);
    file.write_all_at(b"seen", 0x2ffc).unwrap();
    client.map(0x10_0000, 0x3000, 3, Some(&file)).unwrap();
    client.map(0x20_0000, 0x1000, 1, Some(&file)).unwrap();
    client.map(0x30_0000, 0x1000, 3, None).unwrap();
    let mut order = |order| client.order(order, |_| panic!("nobody is asked"));
    let line = order(Order::Read(Way::Memory, 0x10_2ffc, 4));
    assert!(line.ends_with("accepted data=7365656e"), "{line}");
    let line = order(Order::Write(Way::Memory, 0x10_0010, b"mine".to_vec()));
    assert!(line.ends_with("bytes=4 accepted"), "{line}");
    for (order_, why) in [
        (Order::Read(Way::Memory, 0x10_2ffd, 4), "NotMapped"),
        (Order::Read(Way::Memory, u64::MAX, 4), "NotMapped"),
        (Order::Read(Way::Memory, 0, 4), "NotMapped"),
        (Order::Write(Way::Memory, 0x20_0000, vec![1]), "Direction"),
        (Order::Read(Way::Memory, 0x30_0000, 4), "NoFile"),
    ] {
        let line = order(order_);
        assert!(
            line.ends_with(&format!("failed why=Memory({why})")),
            "{line}"
        );
    }
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 0x10).unwrap();
    assert_eq!(&bytes, b"mine");
    client.unmap(0x10_0000, 0x3000).unwrap();
    let line = client.order(Order::Read(Way::Memory, 0x10_0000, 4), |_| panic!());
    assert!(line.ends_with("NotMapped)"), "{line}");
    assert!(client.end().0);
}

#[test]
fn a_vector_is_heard_where_it_was_asked_for_and_nowhere_after_a_reset() {
    let mut client = Client::new();
    let event = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let set = words(&[20, 0x24, 2, 1, 1]);
    client.ask_with(8, &set, &[event.as_fd()]).unwrap();
    let line = client.order(Order::Interrupt(1), |_| panic!());
    assert_eq!(line, "interrupt vector=1 accepted");
    let mut count = [0; 8];
    File::from(event).read_exact(&mut count).unwrap();
    assert_eq!(u64::from_ne_bytes(count), 1);
    for vector in [0, 4, u16::MAX] {
        let line = client.order(Order::Interrupt(vector), |_| panic!());
        assert!(line.ends_with("failed why=NoVector"), "{line}");
    }
    client.ask(13, &[]).unwrap();
    client.told.lock().unwrap().clear();
    let line = client.order(Order::Interrupt(1), |_| panic!());
    assert!(line.ends_with("failed why=NoVector"), "{line}");
    assert!(client.end().0);
}
