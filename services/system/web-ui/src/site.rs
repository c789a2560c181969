//! What a request is answered with: routes, sessions, the ticket. No socket and no clock is seen from here.
//!
//! Invariant: nothing of the system's state leaves without a session, and nothing but a session changes.

use http_head::{COOKIE, Head, Method, Purpose, Refusal, Secret, Sessions, Site as Hosts};
use sdk::alloc::format;
use sdk::alloc::string::String;
use sdk::alloc::vec::Vec;
use units::Nanoseconds;

use crate::page::{self, FILES};

/// Sessions at once; one more ends the one that was used least recently.
pub const SESSIONS: usize = 8;

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A status, a type, the body, and a line of its own for the head.
    Whole(u16, &'static str, Vec<u8>, String),
    /// The state, once.
    State,
    /// The state, for as long as the connection lasts.
    Events,
}

/// Sessions, and the ticket for the next one.
pub struct Site {
    scheme: &'static str,
    hosts: Vec<String>,
    sessions: Sessions<(), SESSIONS>,
    ticket: Secret,
    /// The hash of the page's files.
    bundle: String,
    /// How often each refusal was given, in the order of [`Refusal::ALL`].
    refused: [u64; Refusal::ALL.len()],
}

fn plain(status: u16, text: &str) -> Answer {
    Answer::Whole(
        status,
        "text/plain; charset=utf-8",
        format!("{text}\n").into_bytes(),
        String::new(),
    )
}

/// Compares without telling by the time how much was right.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differs = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differs == 0
}

/// Random octets, as they are needed: an identifier, a token, a ticket.
pub struct Drawn(pub [Secret; 3]);

impl Site {
    /// A site of this scheme under these hosts, which lets in who has this ticket.
    pub fn new(scheme: &'static str, hosts: Vec<String>, ticket: Secret) -> Self {
        Self {
            scheme,
            hosts,
            sessions: Sessions::default(),
            ticket,
            bundle: page::hash(),
            refused: [0; Refusal::ALL.len()],
        }
    }

    /// The hash of what is served.
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// What lets the next one in, once.
    pub fn ticket(&self) -> String {
        String::from_utf8_lossy(&self.ticket.text()).into_owned()
    }

    /// How often a refusal was given.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        let mut all = Refusal::ALL.iter().zip(&self.refused);
        all.find(|(one, _)| **one == refusal)
            .map_or(0, |(_, times)| *times)
    }

    /// How many requests were refused for what they are, and not for who sent them.
    pub fn unreadable(&self) -> u64 {
        use Refusal as R;
        let guards = [R::Misdirected, R::Origin, R::Token, R::Session];
        let all = Refusal::ALL.iter().zip(&self.refused);
        all.filter(|(one, _)| !guards.contains(one))
            .map(|(_, times)| times)
            .sum()
    }

    /// What was refused, by name, and how often.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = Refusal::ALL.iter().zip(&self.refused);
        all.filter(|(_, times)| **times > 0)
            .map(|(one, times)| (one.name(), *times))
    }

    /// What to answer to a request that cannot be read, or may not be answered.
    pub fn refuse(&mut self, refusal: Refusal) -> Answer {
        let mut all = Refusal::ALL.iter().zip(&mut self.refused);
        if let Some((_, times)) = all.find(|(one, _)| **one == refusal) {
            *times += 1;
        }
        plain(refusal.status(), refusal.name())
    }

    /// What to answer. `drawn` is asked where something is begun.
    pub fn answer(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        now: Nanoseconds,
        drawn: impl FnOnce() -> Option<Drawn>,
    ) -> Answer {
        self.routed(head, body, now, drawn)
            .unwrap_or_else(|refusal| self.refuse(refusal))
    }

    fn admit(&self, head: &Head<'_>, purpose: Purpose) -> Result<(), Refusal> {
        let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
        let site = Hosts {
            scheme: self.scheme,
            hosts: &hosts,
        };
        site.admit(head, purpose)
    }

    fn routed(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        now: Nanoseconds,
        drawn: impl FnOnce() -> Option<Drawn>,
    ) -> Result<Answer, Refusal> {
        if let Some(file) = FILES.iter().find(|file| file.path == head.path) {
            self.admit(head, Purpose::Page)?;
            return Ok(self.file(head, file));
        }
        match (head.method, head.path) {
            (Method::Get, "/events") => {
                self.admit(head, Purpose::Read)?;
                self.sessions.open(head, now)?;
                Ok(Answer::Events)
            }
            (Method::Get | Method::Head, "/state") => {
                self.admit(head, Purpose::Read)?;
                self.sessions.open(head, now)?;
                Ok(Answer::State)
            }
            (Method::Get, "/session") => {
                self.admit(head, Purpose::Read)?;
                let opened = self.sessions.open(head, now)?;
                Ok(session(&opened.token, String::new()))
            }
            (Method::Post, "/session") => self.begin(head, body, now, drawn),
            (Method::Post, "/session/end") => {
                self.admit(head, Purpose::Change)?;
                self.sessions.open_to_change(head, now)?;
                self.sessions.end(head, now)?;
                let gone = format!("Set-Cookie: {COOKIE}=; Path=/; Max-Age=0; {RULES}\r\n");
                Ok(Answer::Whole(
                    200,
                    "application/json",
                    b"{}\n".to_vec(),
                    gone,
                ))
            }
            (_, "/events" | "/state" | "/session" | "/session/end") => {
                self.admit(head, Purpose::Page)?;
                Ok(plain(405, "not with this method"))
            }
            _ => {
                self.admit(head, Purpose::Page)?;
                Ok(plain(404, "nothing is here"))
            }
        }
    }

    fn file(&mut self, head: &Head<'_>, file: &page::File) -> Answer {
        if head.method == Method::Post {
            return plain(405, "not with this method");
        }
        let tag = format!("\"{}\"", self.bundle);
        let line = format!("ETag: {tag}\r\n");
        if head.none_match == Some(tag.as_str()) {
            return Answer::Whole(304, file.kind, Vec::new(), line);
        }
        Answer::Whole(200, file.kind, page::served(file), line)
    }

    /// Somebody who has the ticket gets a session; the ticket is used up by that.
    fn begin(
        &mut self,
        head: &Head<'_>,
        body: &[u8],
        now: Nanoseconds,
        drawn: impl FnOnce() -> Option<Drawn>,
    ) -> Result<Answer, Refusal> {
        self.admit(head, Purpose::Change)?;
        if !is_same(body, &self.ticket.text()) {
            return Err(Refusal::Session);
        }
        let Some(Drawn([id, token, ticket])) = drawn() else {
            return Ok(plain(503, "no random numbers"));
        };
        self.ticket = ticket;
        self.sessions.begin(id, token, (), now);
        let id = id.text();
        let id = core::str::from_utf8(&id).unwrap_or_default();
        let line = format!("Set-Cookie: {COOKIE}={id}; Path=/; {RULES}\r\n");
        Ok(session(&token, line))
    }
}

/// A script does not see the cookie, other sites do not send it, and it goes over what counts as secure alone.
const RULES: &str = "Secure; HttpOnly; SameSite=Strict";

fn session(token: &Secret, line: String) -> Answer {
    let token = token.text();
    let token = core::str::from_utf8(&token).unwrap_or_default();
    let body = format!("{{\"token\":\"{token}\"}}\n").into_bytes();
    Answer::Whole(200, "application/json", body, line)
}

#[cfg(test)]
mod tests;
