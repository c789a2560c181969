//! Sends back what one stranger sends, and ends a process of a name meanwhile, again and again: the driver below the connection.
//!
//! Arguments: the name, how often, bytes of the stranger's from one time to the next. Invariant: it never states what it did not see.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::vec;
use sdk::net::tcp_socket::State;
use sdk::{
    Env, Error, NetworkManager, ProcessControl, Refusal, SystemInfo, TcpListenAuthority, TcpServer,
    TcpStream, Timer, VirtualMemory, fact,
};
use smoke::process_named;
use smoke_net::{until_all_is_read, wait_for_network, wrong_sums};

sdk::entry!(main);

const PORT: u16 = 7;
const PATIENCE_NS: u64 = 120_000_000_000;
const PAUSE_NS: u64 = 20_000_000;

/// Whether everything that was sent has arrived.
fn is_over(stream: &TcpStream) -> Result<bool, Refusal> {
    let state = stream.socket().info(|info| info.state())?;
    Ok(matches!(state, Ok(State::Closed | State::Broken)))
}

fn main(env: &Env) -> Result<(), Error> {
    let mut arguments = env.arguments();
    let name = arguments.next().unwrap_or("nic");
    let times: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let each: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let vm: VirtualMemory = env.get("vm")?;
    let timer: Timer = env.get("timer")?;
    let network: NetworkManager = env.get("network")?;
    let listen: TcpListenAuthority = env.get("listen")?;
    let info: SystemInfo = env.get("systemInfo")?;
    let control: ProcessControl = env.get("processControl")?;
    wait_for_network(&network)?;
    let mut server = TcpServer::listen(&vm, &listen, PORT, 2)?;
    fact!("mirror.listening", port = PORT);
    let mut stream = server.accept(timer.now()?.ns + PATIENCE_NS)?;
    stream.set_deadline(timer.now()?.ns + PATIENCE_NS);
    let mut buffer = vec![0; 8192];
    let (mut bytes, mut killed) = (0, 0);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        if killed < times && bytes >= (killed + 1) * each {
            let id = process_named(&info, name)?.ok_or(Refusal::NotFound)?;
            control.kill(id)?;
            killed += 1;
            fact!("mirror.killed", name = name, times = killed);
        }
        stream.write_all(buffer.get(..count).unwrap_or_default())?;
    }
    stream.shutdown()?;
    // The last of it is on its way: whoever ends the system now would cut it off.
    let until = timer.now()?.ns + PATIENCE_NS;
    while !is_over(&stream)? && timer.now()?.ns < until {
        timer.sleep(timer.now()?.ns + PAUSE_NS)?;
    }
    until_all_is_read(&mut server, until)?;
    let sessions = network.status(|status| status.sessions())?;
    let was_damaged = wrong_sums(&network)? > 0;
    fact!(
        "mirror.served",
        bytes = bytes,
        sessions = sessions,
        damaged = was_damaged
    );
    Ok(())
}
