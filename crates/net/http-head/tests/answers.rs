//! Answers, whole or in pieces, and what is none.

use http_head::{Answer, Limits, Refusal, answer};
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    head: 512,
    target: 0,
    body: 1000,
};

fn read(text: &str) -> Result<Option<Answer>, Refusal> {
    answer(text.as_bytes(), &LIMITS)
}

#[test]
fn what_an_answer_says_of_itself_is_read() {
    let head = "HTTP/1.1 503 -\r\ncontent-length: 3\r\nRetry-After: 7\r\nconnection: close\r\n\r\n";
    let wanted = Answer {
        status: 503,
        body: head.len(),
        length: 3,
        retry_after_s: Some(7),
    };
    assert_eq!(read(&format!("{head}abc")), Ok(Some(wanted)));
    assert_eq!(read(head), Ok(Some(wanted)));
    for end in 0..head.len() {
        assert_eq!(read(&head[..end]), Ok(None), "{end}");
    }
    let date = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nRetry-After: Mon, 01 Jan 2029\r\n\r\n";
    assert_eq!(read(date).unwrap().unwrap().retry_after_s, None);
}

#[test]
fn an_answer_that_two_readers_would_end_at_different_places_is_refused() {
    let long = format!("a: {}\r\n", "x".repeat(600));
    for (lines, refusal) in [
        ("", Refusal::LengthMissing),
        ("content-length: +3\r\n", Refusal::Length),
        ("content-length: 3, 3\r\n", Refusal::Length),
        ("content-length:\r\n", Refusal::Length),
        (
            "content-length: 99999999999999999999999\r\n",
            Refusal::Length,
        ),
        ("content-length: 3\r\ncontent-length: 3\r\n", Refusal::Twice),
        ("content-length: 1001\r\n", Refusal::BodyLong),
        (
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            Refusal::Encoding,
        ),
        (
            "content-length: 3\r\nretry-after: 1\r\nretry-after: 2\r\n",
            Refusal::Twice,
        ),
        (&"a: b\r\n".repeat(60), Refusal::HeadLong),
        (&long, Refusal::HeadLong),
        ("a\r\n", Refusal::Syntax),
    ] {
        let text = format!("HTTP/1.1 200 -\r\n{lines}\r\nabc");
        assert_eq!(read(&text), Err(refusal), "{lines:?}");
    }
    assert_eq!(read("HTTP/2 200\r\n\r\n"), Err(Refusal::Version));
    assert_eq!(read("SSH-2.0-x\r\n"), Err(Refusal::Version));
    assert_eq!(read("HTTP/1.1 abc\r\n\r\n"), Err(Refusal::Syntax));
}

proptest! {
    #[test]
    fn nothing_panics_and_nothing_is_read_beyond_its_end(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        if let Ok(Some(answer)) = answer(&bytes, &LIMITS) {
            prop_assert!(answer.body <= bytes.len() && answer.length <= 1000);
        }
    }
}
