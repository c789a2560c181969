//! The ends of the page: servers of an origin each, which write down all that crosses.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Result;
use save_bridge::http::{Request, answer};

use super::{World, open};

const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST: usize = 4 << 20;

/// What an end says.
pub(crate) enum Said {
    /// A status with a body of that type.
    This(u16, &'static str, Vec<u8>),
    /// Nothing: the connection ends.
    Nothing,
}

impl Said {
    /// A value as JSON.
    pub fn json(value: &serde_json::Value) -> Self {
        Self::This(200, "application/json", value.to_string().into_bytes())
    }

    /// A status alone.
    pub const fn status(status: u16) -> Self {
        Self::This(status, "text/plain", Vec::new())
    }
}

pub(crate) type Answers = fn(&World, &Request) -> Said;

/// A question and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// `page`, `desk` or `provider`.
    pub end: &'static str,
    pub method: String,
    /// Line, fields and body of the question.
    pub asked: Vec<u8>,
    pub said: Vec<u8>,
}

/// A server that ends with this.
pub(crate) struct End {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Drop for End {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It looks when somebody comes.
        drop(TcpStream::connect(self.address));
    }
}

impl End {
    /// Serves. Pages of `origin` may read what it says; an empty one is nobody's.
    pub fn start(
        world: &Arc<World>,
        answers: Answers,
        name: &'static str,
        origin: &str,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, world, origin) = (stop.clone(), world.clone(), origin.to_owned());
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = ready.send(());
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (world, origin) = (world.clone(), origin.clone());
                // A browser opens connections that it may use later: they must not hold up others.
                std::thread::spawn(move || converse(&world, answers, name, &origin, stream));
            }
        });
        is_ready.recv()?;
        Ok(Self { address, stop })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn converse(
    world: &World,
    answers: Answers,
    name: &'static str,
    origin: &str,
    mut stream: TcpStream,
) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let Ok(request) = Request::read(&mut stream, LONGEST) else {
        return;
    };
    let is_asking = request.method == "OPTIONS";
    let said = match is_asking {
        true => Said::status(204),
        false => answers(world, &request),
    };
    let (status, kind, body) = match said {
        Said::This(status, kind, body) => (status, kind, body),
        Said::Nothing => (0, "", Vec::new()),
    };
    let mut asked = format!("{} {}\n", request.method, request.path).into_bytes();
    for (name, value) in &request.headers {
        asked.extend([name.as_bytes(), b": ", value, b"\n"].concat());
    }
    asked.extend(&request.body);
    open(&world.seen).push(Seen {
        end: name,
        method: request.method.clone(),
        asked,
        said: body.clone(),
    });
    if status == 0 {
        let _ = stream.shutdown(Shutdown::Both);
        return;
    }
    let mut fields = vec![("content-type", kind)];
    if !origin.is_empty() {
        fields.push(("access-control-allow-origin", origin));
        fields.push((
            "access-control-allow-headers",
            "authorization, content-type, x-csrf-token",
        ));
        fields.push(("access-control-allow-methods", "GET, POST, PATCH"));
    }
    let _ = answer(&mut stream, status, &fields, &body);
    let _ = stream.flush();
    let _ = stream.shutdown(Shutdown::Write);
}

/// The page itself, as any server of files has it.
pub(crate) fn page(world: &World, request: &Request) -> Said {
    let file = world.page.iter().find(|(path, _)| *path == request.path);
    let Some((path, bytes)) = file else {
        return Said::status(404);
    };
    let kind = match path.ends_with(".js") {
        true => "text/javascript",
        false => "text/html",
    };
    Said::This(200, kind, bytes.clone())
}
