//! About 120 hostile requests, each with the one answer that it gets.

use http_head::{Body, Chunks, Limits, Parsed, Refusal, parse};

const LIMITS: Limits = Limits {
    head: 2048,
    target: 256,
    body: 1000,
};

/// A head with these lines, after a host.
fn get(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

fn post(lines: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
}

fn target(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn raw(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn check(cases: &[(Vec<u8>, Refusal)]) {
    for (request, expected) in cases {
        let shown = String::from_utf8_lossy(request);
        assert_eq!(parse(request, &LIMITS), Err(*expected), "{shown:?}");
        // However it is cut, it is never taken: what was read of it is a beginning, or refused the same way or another.
        for end in 0..request.len() {
            let part = parse(&request[..end], &LIMITS);
            assert!(
                !matches!(part, Ok(Parsed::Whole(..))),
                "{shown:?} up to {end}"
            );
        }
    }
}

#[test]
fn lines_end_with_cr_lf_alone() {
    use Refusal::Line;
    check(&[
        (raw("GET / HTTP/1.1\nHost: a\n\n"), Line),
        (raw("GET / HTTP/1.1\r\nHost: a\n\r\n"), Line),
        (raw("GET / HTTP/1.1\nHost: a\r\n\r\n"), Line),
        (raw("GET / HTTP/1.1\rHost: a\r\n\r\n"), Line),
        (raw("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"), Line),
        (raw("GET / HTTP/1.1\r\nHost: a\r\n\n"), Line),
        (
            raw("GET / HTTP/1.1\r\nHost: a\r\nX: 1\rTransfer-Encoding: chunked\r\n\r\n"),
            Line,
        ),
        (
            raw("GET / HTTP/1.1\r\nHost: a\r\nX: 1\nTransfer-Encoding: chunked\r\n\r\n"),
            Line,
        ),
        (raw("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), Line),
        (raw("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), Line),
        (raw("\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), Line),
    ]);
}

#[test]
fn the_request_line_has_three_words() {
    use Refusal::{Line, Method, Syntax, Target, Version};
    check(&[
        (raw("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), Syntax),
        (raw("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"), Version),
        (raw("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), Syntax),
        (raw("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"), Syntax),
        (raw(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Syntax),
        (raw("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), Line),
        (raw("GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"), Line),
        (raw("GET /\r\nHost: a\r\n\r\n"), Syntax),
        (raw("GET HTTP/1.1\r\nHost: a\r\n\r\n"), Syntax),
        (raw("GET\r\nHost: a\r\n\r\n"), Syntax),
        (raw("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Version),
        (raw("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), Version),
        (raw("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), Version),
        (raw("GET / HTTP/11\r\nHost: a\r\n\r\n"), Version),
        (raw("GET / http/1.1\r\nHost: a\r\n\r\n"), Version),
        (raw("GET / HTTP/01.1\r\nHost: a\r\n\r\n"), Version),
        (raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Version),
        (raw("get / HTTP/1.1\r\nHost: a\r\n\r\n"), Method),
        (raw("PUT / HTTP/1.1\r\nHost: a\r\n\r\n"), Method),
        (raw("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"), Method),
        (raw("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), Method),
        (raw("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), Method),
        (raw("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), Method),
        (raw("G\0T / HTTP/1.1\r\nHost: a\r\n\r\n"), Syntax),
        (raw("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), Target),
        (raw("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n"), Syntax),
    ]);
}

#[test]
fn a_target_is_a_plain_path() {
    use Refusal::{Host, Syntax, Target};
    let wrong = [
        "x",
        "//",
        "//a",
        "/a//b",
        "/.",
        "/..",
        "/../etc/passwd",
        "/a/../b",
        "/a/.",
        "/./a",
        "/%2e%2e/a",
        "/%2E./a",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a\\b",
        "/a%00",
        "/a%0d%0aSet-Cookie:x",
        "/%",
        "/%4",
        "/%zz",
        "/%252e",
        "/a%7f",
        "/#a",
        "/a?b#c",
        "/<x>",
        "/\"",
        "/{x}",
        "/a|b",
        "/a^b",
        "/a`b",
        "/?a=%00",
        "/?a=%",
        "ftp://a/",
        "http:/a",
        "a:80",
    ];
    let cases: Vec<_> = wrong.iter().map(|wrong| (target(wrong), Target)).collect();
    check(&cases);
    check(&[
        (target("http://b/"), Host),
        (target("http://a:81/"), Host),
        (target("http://user@a/"), Host),
        (target("http:///"), Host),
        (target("http://[::1/"), Host),
        (target("/\u{1}"), Syntax),
        (target("/a\u{7f}"), Syntax),
        (target("/\u{e9}"), Target),
        (
            target(&format!("/{}", "a".repeat(256))),
            Refusal::TargetLong,
        ),
    ]);
}

#[test]
fn headers_are_headers() {
    use Refusal::{Syntax, Twice, Value};
    check(&[
        (get("X : 1\r\n"), Syntax),
        (get(" X: 1\r\n"), Syntax),
        (get("\tX: 1\r\n"), Syntax),
        (get("X: 1\r\n 2\r\n"), Syntax),
        (get("X: 1\r\n\t2\r\n"), Syntax),
        (get("X\r\n"), Syntax),
        (get(": 1\r\n"), Syntax),
        (get("X\0: 1\r\n"), Syntax),
        (get("X: 1\0\r\n"), Syntax),
        (get("X: \u{1b}[2J\r\n"), Syntax),
        (get("X: \u{7f}\r\n"), Syntax),
        (get("X(y): 1\r\n"), Syntax),
        (get("X\u{e9}: 1\r\n"), Syntax),
        (get("Origin: https://a\r\nOrigin: https://b\r\n"), Twice),
        (get("Cookie: a=1\r\ncookie: b=2\r\n"), Twice),
        (get("X-CSRF-Token: a\r\nx-csrf-token: a\r\n"), Twice),
        (
            get("Connection: close\r\nConnection: keep-alive\r\n"),
            Twice,
        ),
        (
            get("Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n"),
            Twice,
        ),
        (get("Origin: https://\u{e9}\r\n"), Value),
        (get("Cookie: a=\u{e9}\r\n"), Value),
        (get("Cookie: a=\t1\r\n"), Value),
        (get("Expect: 200-ok\r\n"), Refusal::Expectation),
        (get("Expect: 100-continue, x\r\n"), Refusal::Expectation),
    ]);
}

#[test]
fn there_is_one_host() {
    use Refusal::Host;
    let line = |line: &str| raw(&format!("GET / HTTP/1.1\r\n{line}\r\n"));
    check(&[
        (line(""), Host),
        (line("Host:\r\n"), Host),
        (line("Host: a\r\nHost: a\r\n"), Host),
        (line("Host: a\r\nhOST: b\r\n"), Host),
        (line("Host: a, b\r\n"), Host),
        (line("Host: a b\r\n"), Host),
        (line("Host: user@a\r\n"), Host),
        (line("Host: a/b\r\n"), Host),
        (line("Host: http://a\r\n"), Host),
        (line("Host: a:\r\n"), Host),
        (line("Host: a:123456\r\n"), Host),
        (line("Host: a:8x\r\n"), Host),
        (line("Host: a:80:80\r\n"), Host),
        (line("Host: [::1\r\n"), Host),
        (line("Host: [::g]\r\n"), Host),
        (line("Host: [::1]x\r\n"), Host),
        (line("Host: a\\b\r\n"), Host),
        (line("Host: a%00\r\n"), Host),
        (raw("GET / HTTP/1.0\r\n\r\n"), Host),
    ]);
}

/// RFC 9112 section 11.2: whatever two readers would end at different places.
#[test]
fn a_body_has_one_length() {
    use Refusal::{BodyLong, BodyUnasked, Encoding, Length, LengthMissing, Twice};
    check(&[
        (
            post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
            Length,
        ),
        (
            post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            Length,
        ),
        (post("Content-Length: 5\r\nContent-Length: 5\r\n"), Twice),
        (post("Content-Length: 5\r\nContent-Length: 6\r\n"), Twice),
        (post("Content-Length: 5, 5\r\n"), Length),
        (post("Content-Length: +5\r\n"), Length),
        (post("Content-Length: -1\r\n"), Length),
        (post("Content-Length: 0x5\r\n"), Length),
        (post("Content-Length: 5 \u{a0}\r\n"), Length),
        (post("Content-Length: 5.0\r\n"), Length),
        (post("Content-Length: \r\n"), Length),
        (post("Content-Length: 1e1\r\n"), Length),
        (post("Content-Length: 99999999999999999999999\r\n"), Length),
        (post("Content-Length: 18446744073709551621\r\n"), Length),
        (post("Content-Length: 1001\r\n"), BodyLong),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            Twice,
        ),
        (
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
            Twice,
        ),
        (post("Transfer-Encoding: gzip, chunked\r\n"), Encoding),
        (post("Transfer-Encoding: chunked, identity\r\n"), Encoding),
        (post("Transfer-Encoding: identity\r\n"), Encoding),
        (post("Transfer-Encoding: xchunked\r\n"), Encoding),
        (post("Transfer-Encoding: \"chunked\"\r\n"), Encoding),
        (post("Transfer-Encoding: chunked;x=1\r\n"), Encoding),
        (post("Transfer-Encoding:\r\n"), Encoding),
        (
            raw("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Encoding,
        ),
        (post(""), LengthMissing),
        (get("Content-Length: 5\r\n"), BodyUnasked),
        (get("Transfer-Encoding: chunked\r\n"), BodyUnasked),
        (
            raw("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"),
            BodyUnasked,
        ),
    ]);
}

#[test]
fn a_head_has_an_end() {
    use Refusal::{HeadLong, TargetLong};
    let many = |count: usize| get(&"X: 1\r\n".repeat(count));
    check(&[(many(48), HeadLong)]);
    assert!(parse(&many(47), &LIMITS).is_ok());
    for endless in [
        "X: 1\r\n".repeat(500),
        format!("X: {}", "a".repeat(4000)),
        "X".repeat(4000),
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{endless}");
        assert_eq!(parse(request.as_bytes(), &LIMITS), Err(HeadLong));
    }
    let request = format!("GET /{}", "a".repeat(300));
    assert_eq!(
        parse(request.as_bytes(), &LIMITS),
        Err(TargetLong),
        "not waited for"
    );
    let slow = b"GET /a HTTP/1.1\r\nHost: a\r\nX: ";
    assert_eq!(parse(slow, &LIMITS), Ok(Parsed::Partial));
    assert_eq!(parse(b"", &LIMITS), Ok(Parsed::Partial));
}

fn chunks(bytes: &[u8], step: usize) -> Result<(Vec<u8>, usize), Refusal> {
    let mut reader = Chunks::new(100);
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let end = (at + step).min(bytes.len());
        let piece = reader.take(&bytes[at..end])?;
        body.extend_from_slice(piece.data);
        at += piece.used;
        if piece.is_last {
            return Ok((body, at));
        }
        if at == bytes.len() {
            return Err(Refusal::Line);
        }
    }
}

#[test]
fn chunks_are_read_the_same_however_they_are_cut() {
    for step in 1..40 {
        let whole = b"5\r\nhello\r\n01\r\n \r\n5\r\nworld\r\n0\r\n\r\nGET /";
        assert_eq!(
            chunks(whole, step),
            Ok((b"hello world".to_vec(), whole.len() - 5))
        );
        let wrong = [
            ("\r\nhello", Refusal::Chunk),
            ("5\nhello\r\n", Refusal::Chunk),
            ("5\r\nhello0\r\n\r\n", Refusal::Chunk),
            ("5\r\nhello\n0\r\n\r\n", Refusal::Chunk),
            ("5 \r\nhello\r\n", Refusal::Chunk),
            (" 5\r\nhello\r\n", Refusal::Chunk),
            ("+5\r\nhello\r\n", Refusal::Chunk),
            ("0x5\r\nhello\r\n", Refusal::Chunk),
            ("-1\r\n", Refusal::Chunk),
            ("5;a=b\r\nhello\r\n", Refusal::Chunk),
            ("g\r\n", Refusal::Chunk),
            ("000000005\r\n", Refusal::Chunk),
            ("ffffffffffffffff\r\n", Refusal::Chunk),
            ("ffffffff\r\n", Refusal::BodyLong),
            ("65\r\n", Refusal::BodyLong),
            ("64\r\n", Refusal::Line),
            ("0\r\nX: 1\r\n\r\n", Refusal::Chunk),
            ("0\r\n\n", Refusal::Chunk),
            ("0\r\r\n", Refusal::Chunk),
        ];
        for (text, refusal) in wrong {
            assert_eq!(
                chunks(text.as_bytes(), step),
                Err(refusal),
                "{text:?} by {step}"
            );
        }
    }
    let halves = [&b"40\r\n"[..], &[b'a'; 0x40], b"\r\n40\r\n"].concat();
    assert_eq!(
        chunks(&halves, 7),
        Err(Refusal::BodyLong),
        "all chunks together"
    );
}

#[test]
fn what_browsers_and_curl_send_is_taken() {
    let request =
        b"POST /api/log?from=3&x=%20y HTTP/1.1\r\nHost: 10.0.0.5:8443\r\nUser-Agent: curl/8\r\n\
        Accept: */*\r\nOrigin: https://10.0.0.5:8443\r\nX-CSRF-Token: t\r\nContent-Length: 5\r\n\
        Content-Type: application/json\r\nX-Name: J\xc3\xb6rg\r\n\r\nhelloGET";
    let Ok(Parsed::Whole(head, length)) = parse(request, &LIMITS) else {
        panic!("not taken");
    };
    assert_eq!(
        (head.path, head.query, head.host),
        ("/api/log", Some("from=3&x=%20y"), "10.0.0.5:8443")
    );
    assert_eq!(
        (head.body, head.keeps_alive, &request[length..]),
        (Body::Length(5), true, &b"helloGET"[..])
    );
    for fine in [
        "/",
        "/a/b.css",
        "/a/",
        "/~x/%C3%B6",
        "/a;v=1/b",
        "http://a/",
        "HTTP://A/x?y",
        "https://a",
    ] {
        assert!(
            matches!(parse(&target(fine), &LIMITS), Ok(Parsed::Whole(..))),
            "{fine}"
        );
    }
    for (line, alive) in [
        ("", true),
        ("Connection: close\r\n", false),
        ("Connection: x, Close\r\n", false),
    ] {
        assert!(
            matches!(parse(&get(line), &LIMITS), Ok(Parsed::Whole(head, _)) if head.keeps_alive == alive)
        );
    }
    let old = b"GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    assert!(matches!(parse(old, &LIMITS), Ok(Parsed::Whole(head, _)) if !head.keeps_alive));
    assert!(
        matches!(parse(&post("Transfer-Encoding: Chunked\r\nExpect: 100-continue\r\n"), &LIMITS),
        Ok(Parsed::Whole(head, _)) if head.body == Body::Chunked && head.expects_continue)
    );
}
