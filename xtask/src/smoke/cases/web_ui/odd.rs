//! Requests that nobody should send, each with the status that it should get.

use super::OWN;

/// What a request is answered with; 0 where it is not.
pub type Case = (Vec<u8>, u16);

/// The host that pages of this site name.
pub const HOST: &str = "Host: 127.0.0.1:8080\r\n";

/// Request lines, each with a plain host.
#[expect(clippy::too_many_lines, reason = "a table: one case after the other")]
pub fn lines() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add =
        |line: &str, status| cases.push((format!("{line}\r\n{HOST}\r\n").into_bytes(), status));
    for method in [
        "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "PROPFIND", "get", "Get", "GETS",
        "A", "PRI", "HEAD2", "POSTS", "X-GET",
    ] {
        add(&format!("{method} / HTTP/1.1"), 501);
    }
    for target in [
        "/..",
        "/../etc/passwd",
        "/a/../b",
        "/./",
        "/a//b",
        "//",
        "//evil.example/",
        "*",
        "evil.example:80",
        "a",
        "/%2e%2e/",
        "/%2E./x",
        "/a%2fb",
        "/%00",
        "/a%5cb",
    ] {
        add(&format!("GET {target} HTTP/1.1"), 400);
    }
    for target in [
        "/a",
        "/index.html",
        "/app.js.map",
        "/STATE",
        "/state/",
        "/session/end/",
        "/events/1",
        "/a?b=c",
        "/?",
        "/favicon.ico",
        "/.well-known/security.txt",
        "/~x",
    ] {
        let status = if target == "/?" { 200 } else { 404 };
        add(&format!("GET {target} HTTP/1.1"), status);
    }
    for version in [
        "HTTP/0.9",
        "HTTP/2.0",
        "HTTP/1.2",
        "HTTP/3",
        "http/1.1",
        "HTTPS/1.1",
        "HTTP/1.1.1",
        "HTTP/11",
        "HTTP/1.10",
        "FTP/1.1",
    ] {
        let status = if version.starts_with("HTTP/2") || version.starts_with("HTTP/0") {
            505
        } else {
            0
        };
        // Which of the two depends on how much of the word is one: either is a refusal.
        cases.push((
            format!("GET / {version}\r\n{HOST}\r\n").into_bytes(),
            status,
        ));
    }
    cases
}

/// Headers that change what the request is.
#[expect(clippy::too_many_lines, reason = "a table: one case after the other")]
pub fn headers() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |headers: &str, status| {
        cases.push((
            format!("GET / HTTP/1.1\r\n{headers}\r\n").into_bytes(),
            status,
        ))
    };
    for host in [
        "",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: 127.0.0.1:8080\r\nHost: 127.0.0.1:8080\r\n",
        "Host: 127.0.0.1:8080, evil.example\r\n",
        "Host: user@127.0.0.1\r\n",
        "Host: 127.0.0.1/x\r\n",
        "Host: \u{e4}\r\n",
        "Hos: 127.0.0.1\r\n",
    ] {
        add(host, 400);
    }
    for length in [
        "-1",
        "+1",
        "0x1",
        "1,1",
        "1 1",
        "a",
        "",
        "1.0",
        "99999999999999999999",
        "1e3",
    ] {
        add(&format!("{HOST}Content-Length: {length}\r\n"), 400);
    }
    add(&format!("{HOST}Content-Length: 5\r\n"), 400);
    add(&format!("{HOST}Content-Length: 0\r\n"), 200);
    add(
        &format!("{HOST}Content-Length: 0\r\nContent-Length: 0\r\n"),
        400,
    );
    add(
        &format!("{HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        400,
    );
    for encoding in [
        "gzip",
        "identity",
        "gzip, chunked",
        "chunked, chunked",
        "chunked, identity",
        "xchunked",
        "chunked;a=b",
        "\tchunked x",
    ] {
        add(&format!("{HOST}Transfer-Encoding: {encoding}\r\n"), 501);
    }
    add(
        &format!("{HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        400,
    );
    add(&format!("{HOST}Transfer-Encoding : chunked\r\n"), 400);
    add(&format!("{HOST} Transfer-Encoding: chunked\r\n"), 400);
    add(&format!("{HOST}A: b\r\n c\r\n"), 400);
    add(&format!("{HOST}: b\r\n"), 400);
    add(&format!("{HOST}A\r\n"), 400);
    add(&format!("{HOST}A b: c\r\n"), 400);
    add(&format!("{HOST}A: \u{0}\r\n"), 400);
    add(&format!("{HOST}A: b\u{1}c\r\n"), 400);
    for byte in (0..=8).chain(11..=12).chain(14..=31).chain([127]) {
        add(&format!("{HOST}A: b{}c\r\n", char::from(byte)), 400);
    }
    for expected in ["200-ok", "100-continue, x", "", "100"] {
        add(&format!("{HOST}Expect: {expected}\r\n"), 417);
    }
    for name in [
        "Origin",
        "Cookie",
        "X-CSRF-Token",
        "If-None-Match",
        "Connection",
        "Sec-Fetch-Site",
    ] {
        add(&format!("{HOST}{name}: a\r\n{name}: a\r\n"), 400);
        add(&format!("{HOST}{name}: \u{e9}\r\n"), 400);
    }
    add(&format!("{HOST}{}", "A: b\r\n".repeat(47)), 200);
    add(&format!("{HOST}{}", "A: b\r\n".repeat(48)), 431);
    add(&format!("{HOST}A: {}\r\n", "b".repeat(7000)), 200);
    add(&format!("{HOST}A: {}\r\n", "b".repeat(9000)), 431);
    cases
}

/// Bytes that are hardly requests, and bodies.
#[expect(clippy::too_many_lines, reason = "a table: one case after the other")]
pub fn bytes() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (bytes, status) in [
        (&b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], 400),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
        (b"GET / HTTP/1.1\rHost: a\r\r", 400),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        // What follows the second space is the version.
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 505),
        (b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /\r\nHost: a\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"\0\0\0\0\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"\xff\xfe\xfd\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"", 0),
        (b"G", 0),
        (b"GET / HTTP/1.1\r\n", 0),
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", 0),
        (
            b"POST /session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 64\r\n\r\nshort",
            0,
        ),
    ] {
        cases.push((bytes.to_vec(), status));
    }
    cases.push((
        format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(600)).into_bytes(),
        414,
    ));
    cases.push(("A".repeat(20_000).into_bytes(), 414));
    let post = |rest: &str| format!("POST /session HTTP/1.1\r\n{OWN}{rest}").into_bytes();
    cases.push((post("\r\n"), 411));
    cases.push((
        post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"),
        400,
    ));
    cases.push((post("Content-Length: 257\r\n\r\n"), 413));
    cases.push((post("Content-Length: 4\r\n\r\nabcd"), 401));
    for (chunks, status) in [
        ("4\r\nabcd\r\n0\r\n\r\n", 401),
        ("2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", 401),
        ("g\r\n", 400),
        ("-1\r\n", 400),
        ("0x4\r\nabcd\r\n0\r\n\r\n", 400),
        ("4;a=b\r\nabcd\r\n0\r\n\r\n", 400),
        (" 4\r\nabcd\r\n0\r\n\r\n", 400),
        ("4 \r\nabcd\r\n0\r\n\r\n", 400),
        ("4\nabcd\r\n0\r\n\r\n", 400),
        ("4\r\nabcde\r\n0\r\n\r\n", 400),
        ("4\r\nabcd\n0\r\n\r\n", 400),
        ("4\r\nabcd\r\n0\r\nTrailer: x\r\n\r\n", 400),
        ("ffffffffffffffff\r\n", 400),
        ("ffffffffffffffffff\r\n", 400),
        ("101\r\n", 413),
        ("\r\n", 400),
    ] {
        cases.push((
            post(&format!("Transfer-Encoding: chunked\r\n\r\n{chunks}")),
            status,
        ));
    }
    for prefix in 1..53 {
        let whole = format!("GET / HTTP/1.1\r\n{HOST}Accept: */*\r\n\r\n");
        cases.push((whole.into_bytes()[..prefix].to_vec(), 0));
    }
    cases
}
