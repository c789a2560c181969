//! What a bridge answers, from the first byte to the last. Whoever answers there is a stranger.

use http_head::{Limits, answer};
use save_core::Fault;
use save_core::wire::MAX_MESSAGE;
use sdk::alloc::vec::Vec;

const LIMITS: Limits = Limits {
    head: 4 * 1024,
    target: 0,
    body: MAX_MESSAGE as u64,
};
const MOST_WAIT_S: u32 = 3600;

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub struct Answer {
    bytes: Vec<u8>,
    /// What it says of itself, once that has come.
    head: Option<http_head::Answer>,
}

impl Answer {
    /// Takes what came; whether it is whole.
    ///
    /// # Errors
    /// What is no answer, has no stated length, or is longer than it may be.
    pub fn take(&mut self, piece: &[u8]) -> Result<bool, Fault> {
        self.bytes.extend_from_slice(piece);
        if self.head.is_none() {
            self.head = answer(&self.bytes, &LIMITS).map_err(|_| Fault::Damaged)?;
        }
        let Some(head) = self.head else {
            return Ok(false);
        };
        let have = self.bytes.len().saturating_sub(head.body);
        if have > head.length {
            return Err(Fault::Damaged);
        }
        Ok(have == head.length)
    }

    /// The status of one that says of the call or of who makes it that it is none, and what to look at.
    pub fn trouble(&self) -> Option<(u16, &'static str)> {
        let status = self.head?.status;
        let what = match status {
            200 | 429 | 500..600 => return None,
            401 | 403 => "it does not know the facet's token",
            400 | 413 => "it does not take the call: is it of another version?",
            _ => "is there a save bridge?",
        };
        Some((status, what))
    }

    /// What it says, once it is whole. The call may have been done before a status other than 200 was said.
    ///
    /// # Errors
    /// What the status says.
    pub fn end(mut self) -> Result<Vec<u8>, Fault> {
        let head = self.head.ok_or(Fault::Lost)?;
        match head.status {
            200 => Ok(self.bytes.split_off(head.body)),
            429 | 500..600 => Err(Fault::Busy {
                retry_after_ms: head.retry_after_s.unwrap_or(1).min(MOST_WAIT_S) * 1000,
            }),
            _ => Err(Fault::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;
    use save_core::Fault;
    use sdk::alloc::format;
    use sdk::alloc::vec::Vec;

    /// In pieces of that length.
    fn read(text: &str, piece: usize) -> Result<Vec<u8>, Fault> {
        let mut answer = Answer::default();
        for piece in text.as_bytes().chunks(piece) {
            if answer.take(piece)? {
                return answer.end();
            }
        }
        Err(Fault::Lost)
    }

    #[test]
    fn a_bridge_that_does_not_know_the_token_is_told_apart() {
        let trouble = |status: u16| {
            let mut answer = Answer::default();
            let said = format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n");
            assert_eq!(answer.take(said.as_bytes()), Ok(true));
            let (status, what) = answer.trouble()?;
            Some((status, what.contains("token")))
        };
        let all = [200, 503, 429, 401, 400, 404].map(trouble);
        let [none, none_too, nor_this, token, call, other] = all;
        assert_eq!((none, none_too, nor_this), (None, None, None));
        assert_eq!(token, Some((401, true)));
        assert_eq!((call, other), (Some((400, false)), Some((404, false))));
    }

    #[test]
    fn an_answer_is_whole_or_refused() {
        for piece in [1, 7, 1000] {
            let good = "HTTP/1.1 200 -\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc";
            assert_eq!(read(good, piece), Ok(b"abc".to_vec()));
            let busy = Fault::Busy {
                retry_after_ms: 7000,
            };
            let said = "HTTP/1.1 503 -\r\nContent-Length: 0\r\nRetry-After: 7\r\n\r\n";
            assert_eq!(read(said, piece), Err(busy));
            for (text, fault) in [
                ("HTTP/1.1 200 -\r\ncontent-length: 3\r\n\r\nab", Fault::Lost),
                ("HTTP/1.1 200 -\r\n\r\nabc", Fault::Damaged),
                (
                    "HTTP/1.1 200 -\r\ncontent-length: +3\r\n\r\nabc",
                    Fault::Damaged,
                ),
                (
                    "HTTP/1.1 200 -\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\nabc",
                    Fault::Damaged,
                ),
                (
                    "HTTP/1.1 200 -\r\ncontent-length: 9999999\r\n\r\n",
                    Fault::Damaged,
                ),
                (
                    "HTTP/1.1 401 -\r\ncontent-length: 0\r\n\r\n",
                    Fault::Damaged,
                ),
                ("SSH-2.0\r\n", Fault::Damaged),
                ("", Fault::Lost),
            ] {
                assert_eq!(read(text, piece), Err(fault), "{text:?}");
            }
        }
        let over = "HTTP/1.1 200 -\r\ncontent-length: 1\r\n\r\nab";
        assert_eq!(read(over, 1000), Err(Fault::Damaged));
        let long = format!("HTTP/1.1 200 -\r\na: {}", "x".repeat(9000));
        assert_eq!(read(&long, 100), Err(Fault::Damaged));
    }
}
