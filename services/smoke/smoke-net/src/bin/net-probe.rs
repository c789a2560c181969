//! A client of the network: what it may and may not do, echoes, a connection each way.
//!
//! Invariant: it never states what it did not see.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec;
use sdk::alloc::vec::Vec;
use sdk::{
    Env, Error, IcmpEcho, NetworkManager, Refusal, TcpConnectAuthority, TcpListenAuthority,
    TcpServer, TcpStream, Timer, VirtualMemory, fact,
};
use smoke_net::{byte_at, spelled, until_all_is_read, wait_for_network, wrong_sums};
use smoke_rig::outcome;

sdk::entry!(main);

const SECOND_NS: u64 = 1_000_000_000;
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
/// Nobody has this address.
const NOBODY: [u8; 4] = [10, 0, 2, 99];
/// QEMU connects this one to a program that sends back what it gets.
const MIRROR: [u8; 4] = [10, 0, 2, 100];
const ELSEWHERE: [u8; 4] = [10, 0, 3, 1];
/// Bytes that go to the mirror and come back.
const MIRRORED: u64 = 128 * 1024;
const PORT: u16 = 7;

struct Probe {
    vm: VirtualMemory,
    timer: Timer,
    network: NetworkManager,
    echo: IcmpEcho,
    listen: TcpListenAuthority,
    connect: TcpConnectAuthority,
}

fn main(env: &Env) -> Result<(), Error> {
    let probe = Probe {
        vm: env.get("vm")?,
        timer: env.get("timer")?,
        network: env.get("network")?,
        echo: env.get("echo")?,
        listen: env.get("listen")?,
        connect: env.get("connect")?,
    };
    let address = wait_for_network(&probe.network)?;
    fact!("probe.lease", address = spelled(address).as_str());
    probe.echoes();
    probe.rights()?;
    probe.mirror()?;
    probe.serve()?;
    probe.counters()?;
    Ok(())
}

impl Probe {
    fn echoes(&self) {
        let echo = |target: &[u8], bytes| {
            let answer = self.echo.echo(target, bytes, 2 * SECOND_NS);
            outcome(&answer)
        };
        fact!(
            "probe.echo",
            gateway = echo(&GATEWAY, 56),
            long = echo(&GATEWAY, 1400),
            too_long = echo(&GATEWAY, 1401),
            nobody = echo(&NOBODY, 56),
            malformed = echo(&[10, 0, 2], 56)
        );
    }

    /// What the facets that were granted, and those made of them, cover.
    fn rights(&self) -> Result<(), Refusal> {
        let memory = self.vm.create_memory(4096)?.memory;
        let listen = |authority: &TcpListenAuthority, port| {
            outcome(&authority.listen(memory.cap(), &[], port, 1))
        };
        let connect = |address: &[u8], port| {
            let made = self.connect.connect(memory.cap(), address, port, SECOND_NS);
            outcome(&made)
        };
        let narrow = |first, last| self.listen.narrow(&[], first, last);
        fact!(
            "probe.listen",
            other_port = listen(&self.listen, PORT + 1),
            wider = outcome(&narrow(PORT, PORT + 1)),
            lower = outcome(&narrow(PORT - 1, PORT)),
            same = outcome(&narrow(PORT, PORT))
        );
        let read_only = memory.read_only()?.memory;
        let refused = self.listen.listen(read_only.cap(), &[], PORT, 1);
        let held = self.listen.listen(memory.cap(), &[], PORT, 1)?.listener;
        fact!(
            "probe.window",
            read_only = outcome(&refused),
            twice = listen(&self.listen, PORT)
        );
        drop(held);
        fact!(
            "probe.connect",
            elsewhere = connect(&ELSEWHERE, 80),
            other_port = connect(&MIRROR, 81),
            malformed = connect(&[1; 5], 80),
            wider = outcome(&self.connect.narrow(&[10, 0, 0, 0], 8, 80, 80))
        );
        Ok(())
    }

    /// Bytes to a program on the host and back.
    fn mirror(&self) -> Result<(), Refusal> {
        let mut stream = TcpStream::connect(&self.vm, &self.connect, &MIRROR, 80, 10 * SECOND_NS)?;
        stream.set_deadline(self.timer.now()?.ns + 120 * SECOND_NS);
        let (mut sent, mut got, mut is_same) = (0, 0, true);
        let mut buffer = vec![0; 8192];
        while got < MIRRORED {
            if sent < MIRRORED {
                let piece: Vec<u8> = (sent..(sent + 4096).min(MIRRORED)).map(byte_at).collect();
                sent += stream.write(&piece)? as u64;
            }
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            let expected = (got..).map(byte_at);
            is_same &= buffer.iter().take(count).copied().eq(expected.take(count));
            got += count as u64;
        }
        fact!("probe.mirror", bytes = got, same = is_same);
        Ok(())
    }

    /// Sends back what one stranger sends, until that ends.
    fn serve(&self) -> Result<(), Refusal> {
        let mut server = TcpServer::listen(&self.vm, &self.listen, PORT, 2)?;
        fact!("probe.listening", port = PORT);
        let mut stream = server.accept(self.timer.now()?.ns + 120 * SECOND_NS)?;
        stream.set_deadline(self.timer.now()?.ns + 120 * SECOND_NS);
        let mut buffer = vec![0; 8192];
        let mut bytes = 0;
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            bytes += count as u64;
            stream.write_all(buffer.get(..count).unwrap_or_default())?;
        }
        stream.shutdown()?;
        until_all_is_read(&mut server, self.timer.now()?.ns + 120 * SECOND_NS)?;
        fact!("probe.served", bytes = bytes);
        Ok(())
    }

    fn counters(&self) -> Result<(), Refusal> {
        let seen = wrong_sums(&self.network)?;
        let (received, transmitted, sockets) = self
            .network
            .status(|status| (status.received(), status.transmitted(), status.sockets()))?;
        fact!(
            "probe.counters",
            wrong_sums = seen,
            received = received > 100,
            transmitted = transmitted > 100,
            sockets ~ sockets
        );
        Ok(())
    }
}
