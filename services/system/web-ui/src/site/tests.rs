//! Routes, sessions and what guards them, without a socket.

use http_head::{COOKIE, Limits, Parsed, Secret, parse};
use sdk::alloc::format;
use sdk::alloc::string::{String, ToString as _};
use sdk::alloc::vec;
use units::Nanoseconds;

use super::{Answer, Drawn, Site};
use crate::page::{FILES, PIN};

const NOW: Nanoseconds = Nanoseconds::from_secs(100);
const OWN: &str =
    "Host: localhost:8080\r\nOrigin: http://localhost:8080\r\nSec-Fetch-Site: same-origin\r\n";

fn site() -> Site {
    Site::new("http", vec!["localhost:*".to_string()], Secret([7; 32]))
}

fn ask_at(site: &mut Site, head: &str, body: &[u8], now: Nanoseconds) -> Answer {
    let Parsed::Whole(head, _) = parse(head.as_bytes(), &Limits::default()).unwrap() else {
        panic!("{head:?} is no head");
    };
    let drawn = || Some(Drawn([Secret([1; 32]), Secret([2; 32]), Secret([3; 32])]));
    site.answer(&head, body, now, drawn)
}

fn ask(site: &mut Site, line: &str, headers: &str, body: &[u8]) -> Answer {
    let length = match line.starts_with("POST") {
        true => format!("Content-Length: {}\r\n", body.len()),
        false => String::new(),
    };
    ask_at(
        site,
        &format!("{line} HTTP/1.1\r\n{headers}{length}\r\n"),
        body,
        NOW,
    )
}

fn status(answer: &Answer) -> u16 {
    match answer {
        Answer::Whole(status, ..) => *status,
        Answer::State | Answer::Events => 200,
    }
}

fn cookie(byte: u8) -> String {
    let digits = String::from_utf8(Secret([byte; 32]).text().to_vec()).unwrap();
    format!("Cookie: {COOKIE}={digits}\r\n")
}

fn token(byte: u8) -> String {
    let digits = String::from_utf8(Secret([byte; 32]).text().to_vec()).unwrap();
    format!("X-CSRF-Token: {digits}\r\n")
}

/// A site with one session, that of the cookie 1 and the token 2.
fn signed_in() -> Site {
    let mut site = site();
    let ticket = site.ticket();
    let answer = ask(&mut site, "POST /session", OWN, ticket.as_bytes());
    assert_eq!(status(&answer), 200);
    site
}

#[test]
fn the_page_is_there_for_everybody_and_the_state_is_not() {
    let mut site = site();
    for file in &FILES {
        let answer = ask(&mut site, &format!("GET {}", file.path), OWN, b"");
        let Answer::Whole(200, kind, bytes, line) = answer else {
            panic!("{}: {answer:?}", file.path);
        };
        assert_eq!((kind, bytes.as_slice()), (file.kind, file.bytes));
        assert_eq!(line, format!("ETag: \"{}\"\r\n", PIN.trim()));
    }
    for line in [
        "GET /state",
        "GET /events",
        "GET /session",
        "HEAD /state",
        "POST /session/end",
    ] {
        assert_eq!(status(&ask(&mut site, line, OWN, b"")), 401, "{line}");
    }
    let known = format!("{OWN}If-None-Match: \"{}\"\r\n", PIN.trim());
    assert_eq!(status(&ask(&mut site, "GET /app.js", &known, b"")), 304);
}

#[test]
fn a_ticket_opens_one_session_and_is_used_up() {
    let mut site = site();
    let ticket = site.ticket();
    for wrong in [
        "",
        "0",
        &ticket[1..],
        &ticket.to_uppercase().replace('7', "8"),
        &format!("{ticket}0"),
    ] {
        assert_eq!(
            status(&ask(&mut site, "POST /session", OWN, wrong.as_bytes())),
            401
        );
    }
    let answer = ask(&mut site, "POST /session", OWN, ticket.as_bytes());
    let Answer::Whole(200, _, body, line) = answer else {
        panic!("{answer:?}");
    };
    assert!(String::from_utf8(body).unwrap().contains(&"02".repeat(32)));
    for rule in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/"] {
        assert!(line.contains(rule), "{line}");
    }
    assert_eq!(
        status(&ask(&mut site, "POST /session", OWN, ticket.as_bytes())),
        401
    );
    assert_eq!(site.ticket(), "03".repeat(32));
    let own = format!("{OWN}{}", cookie(1));
    assert_eq!(ask(&mut site, "GET /state", &own, b""), Answer::State);
    assert_eq!(ask(&mut site, "GET /events", &own, b""), Answer::Events);
    assert_eq!(
        status(&ask(
            &mut site,
            "GET /state",
            &format!("{OWN}{}", cookie(9)),
            b""
        )),
        401
    );
}

#[test]
fn other_hosts_other_sites_and_missing_tokens_are_refused() {
    let mut site = signed_in();
    let with = |headers: &str| format!("{headers}{}", cookie(1));
    let elsewhere = with("Host: rebound.example:8080\r\n");
    assert_eq!(status(&ask(&mut site, "GET /state", &elsewhere, b"")), 421);
    assert_eq!(
        status(&ask(&mut site, "GET /", "Host: rebound.example\r\n", b"")),
        421
    );
    let crossed = with("Host: localhost:8080\r\nOrigin: http://evil.example\r\n");
    assert_eq!(status(&ask(&mut site, "GET /state", &crossed, b"")), 403);
    let fetched = with("Host: localhost:8080\r\nSec-Fetch-Site: cross-site\r\n");
    assert_eq!(status(&ask(&mut site, "GET /events", &fetched, b"")), 403);
    assert_eq!(
        status(&ask(&mut site, "POST /session/end", &with(OWN), b"")),
        403
    );
    let wrong = format!("{}{}", with(OWN), token(1));
    assert_eq!(
        status(&ask(&mut site, "POST /session/end", &wrong, b"")),
        403
    );
    let forged = format!("{}{}", with("Host: localhost:8080\r\n"), token(2));
    assert_eq!(
        status(&ask(&mut site, "POST /session/end", &forged, b"")),
        403
    );
    assert_eq!(ask(&mut site, "GET /state", &with(OWN), b""), Answer::State);
    let counted: vec::Vec<_> = site.counters().collect();
    assert_eq!(counted, [("misdirected", 2), ("origin", 3), ("token", 2)]);
}

#[test]
fn a_session_ends_when_it_is_ended_and_by_time() {
    let mut site = signed_in();
    let own = format!("{OWN}{}", cookie(1));
    let right = format!("{own}{}", token(2));
    assert_eq!(
        status(&ask(&mut site, "POST /session/end", &right, b"")),
        200
    );
    assert_eq!(status(&ask(&mut site, "GET /state", &own, b"")), 401);
    let mut site = signed_in();
    let late = Nanoseconds::from_secs(100 + 31 * 60);
    let head = format!("GET /state HTTP/1.1\r\n{own}\r\n");
    assert_eq!(status(&ask_at(&mut site, &head, b"", late)), 401);
}

#[test]
fn what_is_not_there_and_what_is_not_done_so_says_so() {
    let mut site = site();
    assert_eq!(status(&ask(&mut site, "GET /favicon.ico", OWN, b"")), 404);
    assert_eq!(status(&ask(&mut site, "POST /", OWN, b"")), 405);
    assert_eq!(status(&ask(&mut site, "POST /state", OWN, b"")), 405);
    assert_eq!(status(&ask(&mut site, "HEAD /events", OWN, b"")), 405);
    assert_eq!(status(&ask(&mut site, "HEAD /", OWN, b"")), 200);
    assert_eq!(site.counters().count(), 0);
}
