//! A proxy for HTTP that fails as it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use save_bridge::http::Request;

/// The longest request that goes through.
const MAX_BODY: usize = 4 << 20;
/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(20);

/// What goes wrong with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wound {
    /// It never arrives.
    LoseRequest,
    /// It arrives, and its answer is lost.
    LoseAnswer,
    /// It arrives, and half of its answer comes back.
    CutAnswer,
    /// It never arrives, and this status comes back.
    Status(u16),
    /// It arrives, and this status comes back.
    StatusAfter(u16),
    /// It arrives without its condition.
    DropCondition,
}

#[derive(Default)]
struct Plan {
    /// Requests that go through before.
    skip: u32,
    /// Requests that are hit then.
    hits: u32,
    wound: Option<Wound>,
    seen: u32,
}

/// The proxy. It runs until its process ends.
pub struct Proxy {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    upstream: Arc<Mutex<SocketAddr>>,
}

impl Proxy {
    /// In front of a server.
    ///
    /// # Errors
    /// Where no port is free.
    pub fn start(upstream: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let plan = Arc::new(Mutex::new(Plan::default()));
        let upstream = Arc::new(Mutex::new(upstream));
        let (shared, to) = (Arc::clone(&plan), Arc::clone(&upstream));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (plan, to) = (Arc::clone(&shared), Arc::clone(&to));
                std::thread::spawn(move || {
                    let upstream = *to.lock().unwrap_or_else(PoisonError::into_inner);
                    let _ = pass(stream, upstream, &plan);
                });
            }
        });
        Ok(Self {
            address,
            plan,
            upstream,
        })
    }

    /// Its address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Goes to another server from now on.
    pub fn turn(&self, upstream: SocketAddr) {
        *self.upstream.lock().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Wounds `hits` requests after `skip`.
    pub fn wound(&self, wound: Wound, skip: u32, hits: u32) {
        let wound = Some(wound);
        let seen = 0;
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Plan {
            skip,
            hits,
            wound,
            seen,
        };
    }

    /// Lets everything through.
    pub fn heal(&self) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = Plan::default();
    }
}

fn next(plan: &Mutex<Plan>) -> Option<Wound> {
    let mut plan = plan.lock().unwrap_or_else(PoisonError::into_inner);
    plan.seen += 1;
    let hit = plan.seen > plan.skip && plan.seen - plan.skip <= plan.hits;
    plan.wound.filter(|_| hit)
}

fn pass(mut stream: TcpStream, upstream: SocketAddr, plan: &Mutex<Plan>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let Ok(mut request) = Request::read(&mut stream, MAX_BODY) else {
        return stream.shutdown(Shutdown::Both);
    };
    let wound = next(plan);
    match wound {
        Some(Wound::LoseRequest) => return stream.shutdown(Shutdown::Both),
        Some(Wound::Status(status)) => return say(&mut stream, status),
        Some(Wound::DropCondition) => drop_condition(&mut request),
        _ => {}
    }
    let answer = forward(&request, upstream)?;
    match wound {
        Some(Wound::LoseAnswer) => return stream.shutdown(Shutdown::Both),
        Some(Wound::StatusAfter(status)) => return say(&mut stream, status),
        Some(Wound::CutAnswer) => stream.write_all(&answer[..answer.len().saturating_sub(8)])?,
        _ => stream.write_all(&answer)?,
    }
    stream.flush()?;
    stream.shutdown(Shutdown::Both)
}

fn say(stream: &mut TcpStream, status: u16) -> std::io::Result<()> {
    let text = format!(
        "HTTP/1.1 {status} -\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Both)
}

/// Takes the condition off a write, as a server that does not know it would.
fn drop_condition(request: &mut Request) {
    let conditional = ["if-match", "if-none-match"];
    request
        .headers
        .retain(|(name, _)| !conditional.contains(&name.to_lowercase().as_str()));
    if let Some((path, query)) = request.path.split_once('?') {
        let kept: Vec<&str> = query
            .split('&')
            .filter(|part| !part.starts_with("ifGeneration"))
            .collect();
        request.path = format!("{path}?{}", kept.join("&"));
    }
}

/// Sends a request on its way and brings the whole answer.
fn forward(request: &Request, upstream: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(upstream)?;
    server.set_read_timeout(Some(PATIENCE))?;
    let mut message = format!("{} {} HTTP/1.1\r\n", request.method, request.path).into_bytes();
    for (name, value) in &request.headers {
        if !name.eq_ignore_ascii_case("connection") {
            message.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
    }
    message.extend(b"connection: close\r\n\r\n");
    message.extend(&request.body);
    server.write_all(&message)?;
    let mut answer = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let count = server.read(&mut chunk)?;
        answer.extend(&chunk[..count]);
        if count == 0 || is_whole(&answer) {
            return Ok(answer);
        }
    }
}

/// Whether an answer is all there, as far as its head tells.
fn is_whole(answer: &[u8]) -> bool {
    let mut space = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut space);
    let Ok(httparse::Status::Complete(start)) = head.parse(answer) else {
        return false;
    };
    let header = |name: &str| {
        let found = head
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok())
    };
    if head.code == Some(204) {
        return true;
    }
    match header("content-length").and_then(|text| text.parse::<usize>().ok()) {
        Some(length) => answer.len() >= start + length,
        None => header("transfer-encoding").is_some() && answer.ends_with(b"0\r\n\r\n"),
    }
}
