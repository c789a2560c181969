//! A page that shows the system, over HTTP/1.1: who holds what, processes, devices, storage, the log and the network.
//!
//! Owns the connections of its listener, the sessions, and the words in which the state is told; `http-head` decides what a request
//! is, `authority-graph` what would end with whom. Invariant: it never holds anything with which more than a
//! session could be changed, and nothing of the system's state leaves without a session.
//!
//! Arguments: `port=N`, `hosts=HOST,...` (those that the page is had under, `localhost:*` for any port), and `open=ADDRESS`, to which a
//! ticket is added on the console for the next session. Without TLS what is sent can be read on the way: see the network's guide.
#![no_std]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

mod connection;
mod options;
mod page;
mod site;
mod view;

use core::cell::{Cell, RefCell};

use http_head::Secret;
use sdk::connections::Connections;
use sdk::{EntropySource, Env, Error, Refusal, Timer, exit, fact, octets, println};

use options::Options;
use site::{Drawn, Site};
use view::View;

sdk::entry!(main);

/// Exit code of a wrong manifest.
const BAD_ARGUMENT: i64 = 2;
/// Exit code where the files are others than were reviewed.
const OTHER_PAGE: i64 = 3;

/// What all connections share.
struct Ui {
    site: RefCell<Site>,
    view: RefCell<View>,
    entropy: EntropySource,
    timer: Timer,
    /// How many streams of events there are.
    streams: Cell<u32>,
    /// Whether a page was given to somebody.
    has_served: Cell<bool>,
    /// What a person opens, up to the ticket.
    open: sdk::alloc::string::String,
}

fn main(env: &Env) -> Result<(), Error> {
    let options = match Options::read(env.arguments()) {
        Ok(options) => options,
        Err(what) => exit(BAD_ARGUMENT, format_args!("bad argument: {what}")),
    };
    let entropy: EntropySource = env.get("entropySource")?;
    let ticket = match secrets(&entropy) {
        Ok([ticket]) => ticket,
        Err(Refusal::NotSupported) => {
            // Nobody can make a ticket that nobody guesses: no start again would change that.
            println!("web: no page: this machine has no source of random numbers (no RDRAND)");
            return Ok(());
        }
        Err(refusal) => return Err(refusal.into()),
    };
    let site = Site::new(options.scheme, options.hosts, ticket);
    if site.bundle() != page::PIN.trim() && !sabotage::sabotage!(HTTP_OTHER_BUNDLE) {
        exit(
            OTHER_PAGE,
            format_args!("the page is not the one that was reviewed"),
        );
    }
    let reviewed = site.bundle() == page::PIN.trim();
    fact!("web.bundle", reviewed = reviewed, files = page::FILES.len(), sha256 ~ site.bundle());
    let ui = Ui {
        site: RefCell::new(site),
        view: RefCell::new(View::find(env)?),
        entropy,
        timer: env.get("timer")?,
        streams: Cell::new(0),
        has_served: Cell::new(false),
        open: options.open,
    };
    let (memory, listen) = (env.get("vm")?, env.get("listen")?);
    let listening = Connections::listen(&memory, &listen, options.port, connection::PARTS);
    let connections = match listening {
        Ok(connections) => connections,
        Err(refusal @ (Refusal::NoDevice | Refusal::Unreachable)) => {
            fact!("web.absent", refusal = refusal.name());
            return Ok(ui.timer.sleep(sdk::NEVER)?);
        }
        Err(refusal) => return Err(refusal.into()),
    };
    fact!("web.listening", port = options.port);
    ui.say_where();
    Err(connections.serve(&ui.timer, &ui).into())
}

/// Random secrets from the system's entropy.
fn secrets<const N: usize>(entropy: &EntropySource) -> Result<[Secret; N], Refusal> {
    let mut secrets = [Secret([0; 32]); N];
    for secret in &mut secrets {
        *secret = Secret(octets(entropy)?);
    }
    Ok(secrets)
}

impl Ui {
    /// States that a session was ended, and how often requests of the kinds that guard it were refused until then.
    fn tell_end(&self) {
        use http_head::Refusal as R;
        let site = self.site.borrow();
        fact!(
            "web.ended",
            misdirected = site.refused(R::Misdirected),
            origin = site.refused(R::Origin),
            token = site.refused(R::Token),
            session = site.refused(R::Session),
            unreadable = site.unreadable()
        );
    }

    /// The state, with the lines of the log from number `from` on.
    fn state(&self, from: u64, now_ns: u64) -> sdk::alloc::string::String {
        let refused: sdk::alloc::vec::Vec<_> = self.site.borrow().counters().collect();
        self.view.borrow_mut().state(from, now_ns, &refused)
    }

    /// Tells who has the console where the page is, with the ticket that lets one person in. The log does not hear of it.
    fn say_where(&self) {
        let ticket = self.site.borrow().ticket();
        println!("web: open {}#{ticket}", self.open);
    }

    fn draw(&self) -> Option<Drawn> {
        secrets(&self.entropy).ok().map(Drawn)
    }
}
