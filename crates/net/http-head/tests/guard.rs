//! Whether a request is for this site, made by it, and by somebody with a session.

use http_head::*;
use proptest::prelude::*;
use units::Nanoseconds;

const SITE: Site<'_> = Site {
    scheme: "https",
    hosts: &["10.0.0.5:8443", "capos.local:8443"],
};

fn secs(seconds: u64) -> Nanoseconds {
    Nanoseconds::from_secs(seconds)
}

fn with<R>(method: &str, lines: &str, then: impl FnOnce(&Head<'_>) -> R) -> R {
    let request = format!(
        "{method} /api HTTP/1.1\r\nHost: 10.0.0.5:8443\r\nContent-Length: 0\r\n{lines}\r\n"
    );
    match parse(request.as_bytes(), &Limits::default()) {
        Ok(Parsed::Whole(head, _)) => then(&head),
        other => panic!("{other:?}"),
    }
}

fn secret(fill: u8) -> Secret {
    Secret([fill; ID_BYTES])
}

fn text(fill: u8) -> String {
    String::from_utf8(secret(fill).text().to_vec()).unwrap()
}

fn cookie(fill: u8) -> String {
    format!("Cookie: a=b; {COOKIE}={}; c=d\r\n", text(fill))
}

/// A name that was bound to our address anew still names itself.
#[test]
fn another_host_is_another_site() {
    for host in [
        "evil.example",
        "10.0.0.5",
        "10.0.0.5:8444",
        "capos.local",
        "capos.local.:8443",
        "localhost:8443",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let Ok(Parsed::Whole(head, _)) = parse(request.as_bytes(), &Limits::default()) else {
            panic!("{host}");
        };
        for purpose in [Purpose::Page, Purpose::Read, Purpose::Change] {
            assert_eq!(
                SITE.admit(&head, purpose),
                Err(Refusal::Misdirected),
                "{host}"
            );
        }
    }
}

#[test]
fn only_our_own_pages_read_and_change() {
    let ours = "Origin: https://10.0.0.5:8443\r\n";
    let cases = [
        // origin, fetch site, may read, may change
        ("", "", true, false),
        (ours, "", true, true),
        ("", "Sec-Fetch-Site: same-origin\r\n", true, true),
        (ours, "Sec-Fetch-Site: same-origin\r\n", true, true),
        (ours, "Sec-Fetch-Site: cross-site\r\n", false, false),
        ("", "Sec-Fetch-Site: cross-site\r\n", false, false),
        ("", "Sec-Fetch-Site: same-site\r\n", false, false),
        ("", "Sec-Fetch-Site: none\r\n", false, false),
        ("Origin: null\r\n", "", false, false),
        ("Origin: http://10.0.0.5:8443\r\n", "", false, false),
        ("Origin: https://10.0.0.5\r\n", "", false, false),
        ("Origin: https://capos.local:8443\r\n", "", false, false),
        (
            "Origin: https://10.0.0.5:8443.evil.example\r\n",
            "",
            false,
            false,
        ),
        (
            "Origin: https://evil.example\r\n",
            "Sec-Fetch-Site: same-origin\r\n",
            false,
            false,
        ),
        ("Origin:\r\n", "", false, false),
    ];
    for (origin, fetched, may_read, may_change) in cases {
        let lines = format!("{origin}{fetched}");
        with("GET", &lines, |head| {
            assert_eq!(SITE.admit(head, Purpose::Read).is_ok(), may_read, "{lines}");
            assert_eq!(SITE.admit(head, Purpose::Page), Ok(()), "a link");
        });
        with("POST", &lines, |head| {
            assert_eq!(
                SITE.admit(head, Purpose::Change).is_ok(),
                may_change,
                "{lines}"
            );
        });
    }
    with("GET", ours, |head| {
        assert_eq!(SITE.admit(head, Purpose::Change), Err(Refusal::Method))
    });
}

#[test]
fn a_session_opens_until_it_ends() {
    let mut sessions = Sessions::<u8, 4>::default();
    sessions.begin(secret(1), secret(2), 7, secs(0));
    with("GET", &cookie(1), |head| {
        let opened = sessions.open(head, secs(1799)).unwrap();
        assert_eq!((*opened.holder, opened.token.0), (7, [2; 32]));
        assert_eq!(
            sessions.open(head, secs(1799 + 1800)).err(),
            Some(Refusal::Session),
            "idle"
        );
        sessions.begin(secret(1), secret(2), 7, secs(0));
        for minute in (0..12 * 60).step_by(20) {
            assert!(sessions.open(head, secs(minute * 60)).is_ok());
        }
        assert_eq!(
            sessions.open(head, secs(12 * 3600)).err(),
            Some(Refusal::Session),
            "too long"
        );
        assert_eq!(sessions.count(secs(12 * 3600)), 0);
    });
}

#[test]
fn a_change_needs_the_sessions_own_token() {
    let mut sessions = Sessions::<(), 4>::default();
    sessions.begin(secret(1), secret(2), (), secs(0));
    sessions.begin(secret(3), secret(4), (), secs(0));
    let cases = [
        (format!("X-CSRF-Token: {}\r\n", text(2)), None),
        (String::new(), Some(Refusal::Token)),
        (
            format!("X-CSRF-Token: {}\r\n", text(4)),
            Some(Refusal::Token),
        ),
        (
            format!("X-CSRF-Token: {}\r\n", text(1)),
            Some(Refusal::Token),
        ),
        (
            format!("X-CSRF-Token: {}\r\n", &text(2)[1..]),
            Some(Refusal::Token),
        ),
        (
            format!("X-CSRF-Token: {}\r\n", text(0xaa).to_uppercase()),
            Some(Refusal::Token),
        ),
        ("X-CSRF-Token:\r\n".into(), Some(Refusal::Token)),
    ];
    for (line, refusal) in cases {
        with("POST", &(cookie(1) + &line), |head| {
            assert_eq!(
                sessions.open_to_change(head, secs(1)).err(),
                refusal,
                "{line}"
            );
        });
    }
    with("POST", &format!("X-CSRF-Token: {}\r\n", text(2)), |head| {
        assert_eq!(
            sessions.open_to_change(head, secs(1)).err(),
            Some(Refusal::Session),
            "a token alone"
        );
    });
}

#[test]
fn what_was_ended_or_renewed_opens_nothing() {
    let mut sessions = Sessions::<(), 4>::default();
    sessions.begin(secret(1), secret(2), (), secs(0));
    with("POST", &cookie(1), |head| {
        sessions.renew(head, secret(5), secret(6), secs(1)).unwrap();
        assert_eq!(
            sessions.open(head, secs(1)).err(),
            Some(Refusal::Session),
            "replayed"
        );
    });
    with("POST", &cookie(5), |head| {
        assert!(sessions.open(head, secs(1)).is_ok());
        sessions.end(head, secs(1)).unwrap();
        assert_eq!(
            sessions.open(head, secs(1)).err(),
            Some(Refusal::Session),
            "replayed"
        );
        assert_eq!(sessions.end(head, secs(1)).err(), Some(Refusal::Session));
    });
}

#[test]
fn a_cookie_is_one_and_whole() {
    let mut sessions = Sessions::<(), 4>::default();
    sessions.begin(secret(1), secret(2), (), secs(0));
    let (one, two) = (text(1), text(2));
    let cases = [
        (format!("{COOKIE}={one}; {COOKIE}={two}"), Refusal::Cookie),
        (format!("{COOKIE}={one}; {COOKIE}={one}"), Refusal::Cookie),
        (format!("{COOKIE}={}", &one[1..]), Refusal::Cookie),
        (format!("{COOKIE}={one}0"), Refusal::Cookie),
        (format!("{COOKIE}="), Refusal::Cookie),
        (format!("{COOKIE}=\"{one}\""), Refusal::Cookie),
        (format!("{COOKIE}={}", "g".repeat(64)), Refusal::Cookie),
        (format!("session={one}"), Refusal::Session),
        (format!("{}={one}", COOKIE.to_lowercase()), Refusal::Session),
        (format!("x{COOKIE}={one}"), Refusal::Session),
        (format!("{COOKIE}={two}"), Refusal::Session),
        (COOKIE.into(), Refusal::Session),
        (String::new(), Refusal::Session),
    ];
    for (value, refusal) in cases {
        with("GET", &format!("Cookie: {value}\r\n"), |head| {
            assert_eq!(sessions.open(head, secs(1)).err(), Some(refusal), "{value}");
        });
    }
}

#[test]
fn the_least_recently_used_session_gives_way() {
    let mut sessions = Sessions::<u8, 3>::default();
    for fill in 1..=3 {
        sessions.begin(secret(fill), secret(fill), fill, secs(fill.into()));
    }
    with("GET", &cookie(1), |head| {
        assert!(sessions.open(head, secs(10)).is_ok())
    });
    sessions.begin(secret(4), secret(4), 4, secs(11));
    let mut opens = |fill| {
        with("GET", &cookie(fill), |head| {
            sessions.open(head, secs(12)).is_ok()
        })
    };
    assert_eq!([1, 2, 3, 4].map(&mut opens), [true, false, true, true]);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), step in 1usize..50) {
        let _ = parse(&bytes, &Limits::default());
        let mut chunks = Chunks::new(64);
        let mut all = 0;
        for part in bytes.chunks(step) {
            match chunks.take(part) {
                Ok(piece) => all += piece.data.len(),
                Err(_) => break,
            }
        }
        prop_assert!(all <= 64);
    }

    /// Whatever follows it and however it is cut, a head is the same: nobody reads further than it goes.
    #[test]
    fn what_follows_changes_nothing(
        words in prop::collection::vec("[A-Za-z-]{1,12}: [ -~]{0,20}", 0..6), tail in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let lines: String = words.iter().map(|word| format!("X{word}\r\n")).collect();
        let request = format!("GET /a HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
        let limits = Limits::default();
        let whole = parse(&request, &limits);
        let followed = [&request[..], &tail].concat();
        prop_assert_eq!(parse(&followed, &limits), whole);
        if let Ok(Parsed::Whole(_, length)) = whole {
            prop_assert_eq!(length, request.len());
        }
    }
}
