//! Commands about the network.

use core::cell::Cell;
use core::fmt::Write as _;
use core::net::IpAddr;
use core::pin::pin;

use sdk::{
    DnsResolver, Env, IcmpEcho, NEVER, NetworkManager, PacketTrace, Refusal, Tasks,
    TcpConnectAuthority, TcpListenAuthority, TcpListener, TcpServer, TcpSocket, TcpStream, Timer,
    VirtualMemory,
    alloc::{
        borrow::Cow,
        format,
        string::{String, ToString},
        vec,
        vec::Vec,
    },
    ip,
    net::dns_resolver::Families,
    net::network_manager::{Origin, Phase, Standing},
    net::tcp_listener::call::Accept,
    tasks::{Either, either},
};
use shell_lang::{
    network::{Command, Family, Url},
    show::{self, Align, Table},
    text::{FilterMode, Safe, TextFilter},
};
use terminal::{Failure, Terminal, print};

use crate::packets;

pub(crate) type Outcome = Result<(), Failure>;

const SECOND_NS: u64 = 1_000_000_000;
/// How long an echo and a connection may take.
const ECHO_NS: u64 = 3 * SECOND_NS;
const CONNECT_NS: u64 = 20 * SECOND_NS;
const LOOKUP_NS: u64 = 15 * SECOND_NS;
/// From one look at the keyboard to the next.
pub(crate) const LOOK_NS: u64 = 200_000_000;
/// A server may leave a connection silent for so long.
const SILENCE_NS: u64 = 60 * SECOND_NS;
/// Bytes of an echo.
const ECHO_BYTES: u16 = 56;
/// The head of an answer, at most, and its fields.
const HEAD_BYTES: usize = 16 * 1024;
const FIELDS: usize = 64;
/// Bytes that are shown at once.
const PIECE_BYTES: usize = 16 * 1024;

/// What the shell holds of the network; whatever was not granted is `None`.
pub struct Network {
    status: Option<NetworkManager>,
    echo: Option<IcmpEcho>,
    connect: Option<TcpConnectAuthority>,
    listen: Option<TcpListenAuthority>,
    resolver: Option<DnsResolver>,
    memory: Option<VirtualMemory>,
    pub(crate) timer: Option<Timer>,
    pub(crate) trace: Option<PacketTrace>,
}

impl Network {
    /// Looks for what was granted.
    pub fn find(env: &Env) -> Self {
        Self {
            status: env.get("network").ok(),
            echo: env.get("echo").ok(),
            connect: env.get("connect").ok(),
            listen: env.get("listen").ok(),
            resolver: env.get("resolver").ok(),
            trace: env.get("packets").ok(),
            memory: env.get("vm").ok(),
            timer: env.get("timer").ok(),
        }
    }

    /// Does what was asked.
    pub fn run(&self, command: &Command, to: &mut Terminal) -> Outcome {
        match command {
            Command::Show => self.show(to),
            Command::Ping {
                target,
                count,
                family,
            } => self.ping(target, *count, *family, to),
            Command::Resolve(name) => self.resolve(name, to),
            Command::Fetch(url) => self.fetch(url, to),
            Command::Listen(port) => self.listen(*port, to),
            Command::Packets(count) => packets::show(self, *count, to),
        }
    }

    pub(crate) fn memory(&self) -> Result<&VirtualMemory, Failure> {
        let memory = self.memory.as_ref();
        memory.ok_or_else(|| Failure::not_held("VirtualMemory"))
    }

    fn show(&self, to: &mut Terminal) -> Outcome {
        let status = self.status.as_ref();
        let status = status.ok_or_else(|| Failure::not_held("NetworkManager"))?;
        show_status(status, to)?;
        let failed = |refusal| Failure::about("net")(refusal);
        let mut addresses = Table::new(&[
            ("ADDRESS", Align::Left),
            ("FROM", Align::Left),
            ("STATE", Align::Left),
            ("VALID", Align::Right),
        ]);
        let now = to.now_ns().unwrap_or(0);
        let rows = status.addresses(|results| {
            let mut rows = Vec::new();
            for one in results.list()?.iter() {
                rows.push([
                    format!("{}/{}", spelled(one.address()?)?, one.prefix_bits()),
                    origin(one.origin()?).to_string(),
                    standing(one.standing()?).to_string(),
                    left(one.valid_ns(), now),
                ]);
            }
            Ok(rows)
        });
        fill(&mut addresses, rows.and_then(|rows| rows)).map_err(failed)?;
        print(to, &addresses);
        let mut routes = Table::new(&[("TO", Align::Left), ("BY", Align::Left)]);
        let rows = status.routes(|results| {
            let mut rows = Vec::new();
            for one in results.list()?.iter() {
                let router = one.router()?;
                let by = if router.is_empty() {
                    "the link".to_string()
                } else {
                    spelled(router)?
                };
                rows.push([
                    format!("{}/{}", spelled(one.target()?)?, one.prefix_bits()),
                    by,
                ]);
            }
            Ok(rows)
        });
        fill(&mut routes, rows.and_then(|rows| rows)).map_err(failed)?;
        print(to, &routes);
        let servers = status.servers(|results| {
            let list = results.list()?;
            let servers = list.iter().map(|one| spelled(one.address()?));
            servers.collect::<Result<Vec<_>, Refusal>>()
        });
        let servers = servers.and_then(|servers| servers).map_err(failed)?;
        let _ = writeln!(to, "name servers: {}", servers.join(" "));
        show_counters(status, to)
    }

    fn ping(&self, target: &str, count: u32, family: Family, to: &mut Terminal) -> Outcome {
        let echo = self.echo.as_ref();
        let echo = echo.ok_or_else(|| Failure::not_held("IcmpEcho"))?;
        let address = self.address(target, family)?;
        let octets = ip::octets(address);
        let (mut sent, mut answered) = (0, 0_u32);
        for number in 1..=count {
            let begun = to.now_ns();
            let outcome = echo.echo(&octets, ECHO_BYTES, ECHO_NS);
            sent += 1;
            match outcome {
                Ok(answer) => {
                    answered += 1;
                    let _ = writeln!(
                        to,
                        "{address}: echo {number} after {}, hop limit {}",
                        milliseconds(answer.took_ns),
                        answer.hop_limit
                    );
                }
                Err(refusal @ (Refusal::TimedOut | Refusal::Unreachable)) => {
                    let why = match refusal {
                        Refusal::TimedOut => "no answer",
                        _ => "not reachable",
                    };
                    let _ = writeln!(to, "{address}: echo {number}: {why}");
                }
                Err(refusal) => return Err(Failure::about(target)(refusal)),
            }
            let _ = to.flush();
            let next = begun.map(|ns| ns.saturating_add(SECOND_NS));
            let is_over = match next {
                Some(next) if number < count => to.interrupted_until(next),
                _ => to.interrupted(),
            };
            if is_over {
                break;
            }
        }
        let _ = writeln!(to, "{answered} of {sent} answered");
        if answered == 0 {
            return Err(Failure::Said(format!("{address} does not answer")));
        }
        Ok(())
    }

    fn fetch(&self, url: &Url, to: &mut Terminal) -> Outcome {
        let connect = self.connect.as_ref();
        let connect = connect.ok_or_else(|| Failure::not_held("TcpConnectAuthority"))?;
        let address = self.address(&url.host, Family::Any)?;
        let about = format!("{address} port {}", url.port);
        let failed = |refusal| Failure::about(&about)(refusal);
        let octets = ip::octets(address);
        let made = TcpStream::connect(self.memory()?, connect, &octets, url.port, CONNECT_NS);
        let mut stream = made.map_err(failed)?;
        let host = if url.host.contains(':') {
            format!("[{}]", url.host)
        } else {
            url.host.clone()
        };
        let request = format!(
            "GET {} HTTP/1.0\r\nHost: {host}:{}\r\nAccept: */*\r\n\r\n",
            url.path, url.port
        );
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = Answer::default();
        let silent_since = Cell::new(to.now_ns().unwrap_or(0));
        let mut filter = TextFilter::new(FilterMode::Text);
        let mut bytes = 0_u64;
        while let Some(piece) =
            read(&mut stream, to, &silent_since).map_err(|why| why.say(&about))?
        {
            let body = answer.take(&piece, to)?;
            bytes += body.len() as u64;
            let _ = filter.write(&body, |shown| to.write(shown));
        }
        let _ = filter.finish(|shown| to.write(shown));
        if !filter.at_line_start() {
            let _ = writeln!(to);
        }
        answer.end(bytes, to)
    }

    fn listen(&self, port: u16, to: &mut Terminal) -> Outcome {
        let listen = self.listen.as_ref();
        let listen = listen.ok_or_else(|| Failure::not_held("TcpListenAuthority"))?;
        let about = format!("port {port}");
        let failed = |refusal| Failure::about(&about)(refusal);
        let mut server = TcpServer::listen(self.memory()?, listen, port, 1).map_err(failed)?;
        let _ = writeln!(to, "listening at port {port}; Ctrl-C ends it");
        let _ = to.flush();
        let socket = self.accept(server.listener(), to, &about)?;
        let mut stream = server.adopt(socket);
        let peer = stream.socket().info(|info| {
            Ok::<_, Refusal>(format!(
                "{} port {}",
                spelled(info.remote_address()?)?,
                info.remote_port()
            ))
        });
        let peer = peer.and_then(|peer| peer).map_err(failed)?;
        let _ = writeln!(to, "{peer} is connected");
        let _ = to.flush();
        let mut filter = TextFilter::new(FilterMode::Text);
        let mut bytes = 0_u64;
        // A person decides how long to wait here.
        let silent_since = Cell::new(NEVER);
        while let Some(piece) =
            read(&mut stream, to, &silent_since).map_err(|why| why.say(&peer))?
        {
            bytes += piece.len() as u64;
            let _ = filter.write(&piece, |shown| to.write(shown));
            let _ = to.flush();
        }
        let _ = filter.finish(|shown| to.write(shown));
        let _ = writeln!(to, "{bytes} bytes came");
        Ok(())
    }
}

impl Network {
    /// The address that a word says, or that its name has.
    fn address(&self, word: &str, family: Family) -> Result<IpAddr, Failure> {
        let fits = |address: &IpAddr| family == Family::Any || address.is_ipv6();
        if let Ok(address) = word.parse() {
            return Some(address)
                .filter(fits)
                .ok_or_else(|| Failure::Said(format!("\"{}\" is no address of IPv6", Safe(word))));
        }
        let families = match family {
            Family::Any => Families::Any,
            Family::V6 => Families::Ipv6,
        };
        let found = self.lookup(word, families)?;
        let found = found.first().copied();
        found.ok_or_else(|| Failure::about(&Safe(word))(Refusal::NotFound))
    }

    /// The addresses of a name.
    fn lookup(&self, name: &str, families: Families) -> Result<Vec<IpAddr>, Failure> {
        let resolver = self.resolver.as_ref();
        let resolver = resolver.ok_or_else(|| Failure::not_held("DnsResolver"))?;
        let found = resolver.lookup(name, families, LOOKUP_NS, |results| {
            let mut found = Vec::new();
            for one in results.list()?.iter() {
                found.push(ip::read_one(one.address()?)?);
            }
            Ok(found)
        });
        found
            .and_then(|found| found)
            .map_err(Failure::about(&Safe(name)))
    }

    fn resolve(&self, name: &str, to: &mut Terminal) -> Outcome {
        for address in self.lookup(name, Families::Any)? {
            let _ = writeln!(to, "{address}");
        }
        Ok(())
    }

    /// Waits for a connection, and looks at the keyboard meanwhile.
    fn accept(
        &self,
        listener: &TcpListener,
        to: &mut Terminal,
        about: &str,
    ) -> Result<TcpSocket, Failure> {
        let timer = self.timer.as_ref();
        let timer = timer.ok_or_else(|| Failure::not_held("Timer"))?;
        let failed = |refusal| Failure::about(about)(refusal);
        let tasks = Tasks::new(4, 256).map_err(failed)?;
        tasks.run(async {
            let call = tasks.call::<Accept, _>(listener, (), |results| results.socket);
            let mut call = pin!(call);
            loop {
                match either(call.as_mut(), tasks.sleep_for(timer, LOOK_NS)).await {
                    Either::First(accepted) => return accepted.map_err(failed),
                    Either::Second(_) if to.interrupted() => return Err(Failure::Interrupted),
                    Either::Second(_) => {}
                }
            }
        })
    }
}

/// Why reading stopped.
enum Stop {
    Interrupted,
    Refused(Refusal),
}

impl Stop {
    fn say(self, about: &str) -> Failure {
        match self {
            Self::Interrupted => Failure::Interrupted,
            Self::Refused(refusal) => Failure::about(about)(refusal),
        }
    }
}

/// Reads a piece; `None` at the end. Looks at the keyboard meanwhile; [`NEVER`] for no bound on silence.
fn read(
    stream: &mut TcpStream,
    to: &mut Terminal,
    since: &Cell<u64>,
) -> Result<Option<Vec<u8>>, Stop> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let now = to.now_ns().unwrap_or(0);
        stream.set_deadline(now.saturating_add(LOOK_NS));
        match stream.read(&mut piece) {
            Ok(0) => return Ok(None),
            Ok(count) => {
                piece.truncate(count);
                if since.get() != NEVER {
                    since.set(now);
                }
                // Whoever sends without an end is ended, too.
                if to.interrupted() {
                    return Err(Stop::Interrupted);
                }
                return Ok(Some(piece));
            }
            Err(Refusal::TimedOut) if to.interrupted() => return Err(Stop::Interrupted),
            Err(Refusal::TimedOut) if now < since.get().saturating_add(SILENCE_NS) => {}
            Err(refusal) => return Err(Stop::Refused(refusal)),
        }
    }
}

/// An answer of HTTP, as far as it has come.
#[derive(Default)]
struct Answer {
    head: Vec<u8>,
    /// Its body has begun, and says that it is so long.
    begun: Option<Option<u64>>,
}

impl Answer {
    /// Takes a piece; gives what of it is the body's.
    fn take<'a>(&mut self, piece: &'a [u8], to: &mut Terminal) -> Result<Cow<'a, [u8]>, Failure> {
        if self.begun.is_some() {
            return Ok(Cow::Borrowed(piece));
        }
        self.head.extend_from_slice(piece);
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        match answer.parse(&self.head) {
            Ok(httparse::Status::Complete(length)) => {
                let code = answer.code.unwrap_or(0);
                let reason = answer.reason.unwrap_or_default();
                let _ = writeln!(to, "HTTP {code} {}", Safe(reason));
                let is_length = |field: &&httparse::Header<'_>| {
                    field.name.eq_ignore_ascii_case("content-length")
                };
                let stated = answer.headers.iter().find(is_length);
                let stated = stated.and_then(|field| core::str::from_utf8(field.value).ok());
                self.begun = Some(stated.and_then(|length| length.trim().parse().ok()));
                Ok(Cow::Owned(self.head.split_off(length)))
            }
            Ok(httparse::Status::Partial) if self.head.len() < HEAD_BYTES => Ok(Cow::Borrowed(&[])),
            _ => Err(Failure::Said(String::from(
                "what answers there does not speak HTTP",
            ))),
        }
    }

    /// The connection has ended.
    fn end(&self, bytes: u64, to: &mut Terminal) -> Outcome {
        match self.begun {
            None => Err(Failure::Said(String::from(
                "the connection ended before an answer",
            ))),
            Some(Some(stated)) if stated != bytes => Err(Failure::Said(format!(
                "the connection ended after {bytes} of {stated} bytes"
            ))),
            Some(_) => {
                let _ = writeln!(to, "{bytes} bytes");
                Ok(())
            }
        }
    }
}

fn show_status(status: &NetworkManager, to: &mut Terminal) -> Outcome {
    let now = to.now_ns().unwrap_or(0);
    let line = status.status(|status| {
        let phase = phase(status.phase()?);
        let [_, _, mac @ ..] = status.mac().to_be_bytes();
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        let mut text = format!(
            "interface {mac}, packets of up to {} bytes, {} in, {} out, {} sockets\nDHCPv4: {phase}",
            status.mtu(), status.received(), status.transmitted(), status.sockets()
        );
        if !status.address()?.is_empty() {
            let _ = write!(
                text,
                ", {} from {}, renewed in {}, rebound in {}, over in {}",
                spelled(status.address()?)?,
                spelled(status.server()?)?,
                left(status.renew_ns(), now),
                left(status.rebind_ns(), now),
                left(status.expires_ns(), now)
            );
        }
        Ok::<_, Refusal>(text)
    });
    let line = line.and_then(|line| line).map_err(Failure::about("net"))?;
    let _ = writeln!(to, "{line}");
    Ok(())
}

fn show_counters(status: &NetworkManager, to: &mut Terminal) -> Outcome {
    let mut counters = Table::new(&[
        ("REFUSED OR NOT DONE", Align::Left),
        ("TIMES", Align::Right),
    ]);
    let rows = status.counters(|results| {
        let list = results.list()?;
        let rows = list.iter();
        rows.map(|one| Ok([Safe(one.name()?).to_string(), one.times().to_string()]))
            .collect::<Result<Vec<_>, Refusal>>()
    });
    fill(&mut counters, rows.and_then(|rows| rows)).map_err(Failure::about("net"))?;
    print(to, &counters);
    Ok(())
}

fn fill<const N: usize>(
    table: &mut Table,
    rows: Result<Vec<[String; N]>, Refusal>,
) -> Result<(), Refusal> {
    for row in rows? {
        table.row(row);
    }
    Ok(())
}

/// An address of a message as people write it.
fn spelled(octets: &[u8]) -> Result<String, Refusal> {
    let address = ip::read(octets)?;
    Ok(address.map_or_else(|| String::from("nothing"), |address| address.to_string()))
}

fn left(at: u64, now: u64) -> String {
    if at == NEVER {
        return String::from("never");
    }
    show::span(at.saturating_sub(now))
}

fn milliseconds(ns: u64) -> String {
    format!("{}.{:03} ms", ns / 1_000_000, ns / 1_000 % 1_000)
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Selecting => "looking for a server",
        Phase::Requesting => "asking",
        Phase::Probing => "looking whether the address is free",
        Phase::Bound => "bound",
        Phase::Renewing => "renewing",
        Phase::Rebinding => "rebinding",
        Phase::Released => "given back",
    }
}

const fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::LinkLocal => "itself",
        Origin::Advertised => "a router",
        Origin::Dhcp => "DHCP",
    }
}

const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Tentative => "looked for",
        Standing::Duplicate => "somebody else's",
        Standing::Deprecated => "deprecated",
        Standing::Preferred => "used",
    }
}
