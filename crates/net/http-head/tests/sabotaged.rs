//! What each sabotage breaks, and only that. One test, because the choice is the whole program's.
#![cfg(sabotage)]

use http_head::{COOKIE, Head, Limits, Parsed, Purpose, Secret, Sessions, Site, parse};
use sabotage::{choose, points};
use units::Nanoseconds;

const SITE: Site<'_> = Site {
    scheme: "https",
    hosts: &["a"],
};
const NOW: Nanoseconds = Nanoseconds::ZERO;

#[test]
fn each_point_breaks_what_it_says() {
    choose(points::HTTP_ANY_HOST);
    with("Host: b\r\n", |head| {
        assert_eq!(SITE.admit(head, Purpose::Page), Ok(()))
    });
    choose(points::HTTP_ANY_ORIGIN);
    with("Host: a\r\nOrigin: https://b\r\n", |head| {
        assert_eq!(SITE.admit(head, Purpose::Change), Ok(()))
    });

    let text = String::from_utf8(Secret([1; 32]).text().to_vec()).unwrap();
    let mut sessions = Sessions::<(), 2>::default();
    sessions.begin(Secret([1; 32]), Secret([2; 32]), (), NOW);
    with(&format!("Host: a\r\nCookie: {COOKIE}={text}\r\n"), |head| {
        choose(points::HTTP_ANY_TOKEN);
        assert!(sessions.open_to_change(head, NOW).is_ok());
        choose(points::HTTP_KEEP_ENDED);
        sessions.end(head, NOW).unwrap();
        assert!(sessions.open(head, NOW).is_ok());
    });
}

fn with(lines: &str, then: impl FnOnce(&Head<'_>)) {
    let request = format!("POST / HTTP/1.1\r\n{lines}Content-Length: 0\r\n\r\n");
    match parse(request.as_bytes(), &Limits::default()) {
        Ok(Parsed::Whole(head, _)) => then(&head),
        other => panic!("{other:?}"),
    }
}
