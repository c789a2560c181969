//! What a bridge answers, from the first byte to the last. Whoever answers there is a stranger.

use save_core::Fault;
use save_core::wire::MAX_MESSAGE;
use sdk::alloc::vec::Vec;

/// The head of an answer, at most, and its fields.
const HEAD_BYTES: usize = 4 * 1024;
const FIELDS: usize = 32;

/// An answer as far as it has come.
#[derive(Debug, Default)]
pub struct Answer {
    bytes: Vec<u8>,
    /// Where its body begins, and how long it says that is.
    body: Option<(usize, usize)>,
    status: u16,
    retry_after_s: u32,
}

impl Answer {
    /// Takes what came; whether it is whole.
    ///
    /// # Errors
    /// What is no answer, has no stated length, or is longer than it may be.
    pub fn take(&mut self, piece: &[u8]) -> Result<bool, Fault> {
        self.bytes.extend_from_slice(piece);
        if self.body.is_none() {
            self.look()?;
        }
        let Some((start, length)) = self.body else {
            return Ok(false);
        };
        let have = self.bytes.len() - start;
        if have > length {
            return Err(Fault::Damaged);
        }
        Ok(have == length)
    }

    fn look(&mut self) -> Result<(), Fault> {
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        match head.parse(&self.bytes) {
            Ok(httparse::Status::Complete(start)) => {
                let field = |name: &str| {
                    let mut named = head.headers.iter();
                    named.find(|field| field.name.eq_ignore_ascii_case(name))
                };
                // Two readings of where it ends would be two answers.
                if field("transfer-encoding").is_some() {
                    return Err(Fault::Damaged);
                }
                let length = field("content-length").and_then(|field| number(field.value));
                let length = length.and_then(|length| usize::try_from(length).ok());
                let length = length.filter(|length| *length <= MAX_MESSAGE);
                self.status = head.code.unwrap_or(0);
                let after = field("retry-after").and_then(|field| number(field.value));
                self.retry_after_s = after.unwrap_or(1).min(3600);
                self.body = Some((start, length.ok_or(Fault::Damaged)?));
                Ok(())
            }
            Ok(httparse::Status::Partial) if self.bytes.len() < HEAD_BYTES => Ok(()),
            _ => Err(Fault::Damaged),
        }
    }

    /// What it says, once it is whole. The call may have been done before a status other than 200 was said.
    ///
    /// # Errors
    /// What the status says.
    pub fn end(mut self) -> Result<Vec<u8>, Fault> {
        let (start, _) = self.body.ok_or(Fault::Lost)?;
        match self.status {
            200 => Ok(self.bytes.split_off(start)),
            429 | 500..600 => Err(Fault::Busy {
                retry_after_ms: self.retry_after_s * 1000,
            }),
            _ => Err(Fault::Damaged),
        }
    }
}

fn number(value: &[u8]) -> Option<u32> {
    let is_plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = core::str::from_utf8(value).ok().filter(|_| is_plain)?;
    text.parse().ok()
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
