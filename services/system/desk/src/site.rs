//! What a request is about, and whether it may be answered. No socket and no capsule is seen from here.

use http_head::{Head, Method, Purpose, Refusal, Secret, Site as Hosts};
use sabotage::sabotage;
use sdk::alloc::string::String;
use sdk::alloc::vec::Vec;

/// The page's files, which are part of the program.
const FILES: [(&str, &str, &[u8]); 2] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_bytes!("../../../../tools/companion/index.html"),
    ),
    (
        "/companion.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../../../tools/companion/companion.js"),
    ),
];

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// A file of the page: its type and its bytes.
    File(&'static str, &'static [u8]),
    /// The capsule that waits to be sent.
    Sealed,
    /// A capsule was sent.
    Sent,
    /// What the provider gave.
    Offered,
    /// Nothing is here, or not with this method.
    Absent(u16),
}

/// Who may ask, and what for.
pub struct Site {
    hosts: Vec<String>,
    key: Secret,
}

/// Compares without telling by the time how much was right.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differs = one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differs == 0
}

impl Site {
    /// A site under these hosts, for who has this key.
    pub const fn new(hosts: Vec<String>, key: Secret) -> Self {
        Self { hosts, key }
    }

    /// What lets the page in.
    pub fn key(&self) -> String {
        String::from_utf8_lossy(&self.key.text()).into_owned()
    }

    /// What a request is about. Without the key there is the page alone.
    ///
    /// # Errors
    /// It is for another host, from another site, or without the key.
    pub fn route(&self, head: &Head<'_>) -> Result<Route, Refusal> {
        let file = FILES.iter().find(|(path, ..)| *path == head.path);
        if let Some((_, kind, bytes)) = file {
            self.admit(head, Purpose::Page)?;
            return Ok(match head.method {
                Method::Post => Route::Absent(405),
                _ => Route::File(kind, bytes),
            });
        }
        if !head.path.starts_with("/v1/") {
            self.admit(head, Purpose::Page)?;
            return Ok(Route::Absent(404));
        }
        let purpose = match head.method {
            Method::Post => Purpose::Change,
            _ => Purpose::Read,
        };
        self.admit(head, purpose)?;
        let token = head.token.unwrap_or_default();
        if !is_same(token.as_bytes(), &self.key.text()) && !sabotage!(DESK_ANY_KEY) {
            return Err(Refusal::Token);
        }
        Ok(match (head.method, head.path) {
            (Method::Get, "/v1/sealed") => Route::Sealed,
            (Method::Post, "/v1/sent") => Route::Sent,
            (Method::Post, "/v1/offered") => Route::Offered,
            (_, "/v1/sealed" | "/v1/sent" | "/v1/offered") => Route::Absent(405),
            _ => Route::Absent(404),
        })
    }

    fn admit(&self, head: &Head<'_>, purpose: Purpose) -> Result<(), Refusal> {
        let hosts: Vec<&str> = self.hosts.iter().map(String::as_str).collect();
        let site = Hosts {
            scheme: "http",
            hosts: &hosts,
        };
        site.admit(head, purpose)
    }
}

#[cfg(test)]
mod tests {
    use super::{Route, Site};
    use http_head::{Limits, Parsed, Refusal, Secret, parse};
    use sdk::alloc::format;
    use sdk::alloc::string::ToString as _;

    fn route(line: &str, fields: &str) -> Result<Route, Refusal> {
        let site = Site::new(["127.0.0.1:*".to_string()].into(), Secret([7; 32]));
        let length = match line.starts_with("POST") {
            true => "Content-Length: 0\r\n",
            false => "",
        };
        let text = format!("{line} HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n{length}{fields}\r\n");
        let Ok(Parsed::Whole(head, _)) = parse(text.as_bytes(), &Limits::default()) else {
            panic!("{text:?}");
        };
        site.route(&head)
    }

    #[test]
    fn without_the_key_there_is_the_page_alone() {
        let own = "Origin: http://127.0.0.1:8081\r\n";
        let key = format!("{own}X-CSRF-Token: {}\r\n", "07".repeat(32));
        let other = format!("{own}X-CSRF-Token: {}8\r\n", &"07".repeat(32)[1..]);
        let strange = key.replace("127.0.0.1:8081", "127.0.0.1:9999");
        for (line, there) in [
            ("GET /v1/sealed", Route::Sealed),
            ("POST /v1/sent", Route::Sent),
            ("POST /v1/offered", Route::Offered),
            ("GET /v1/sent", Route::Absent(405)),
            ("GET /v1/else", Route::Absent(404)),
        ] {
            assert_eq!(route(line, &key), Ok(there), "{line}");
            assert_eq!(route(line, own), Err(Refusal::Token), "{line}");
            assert_eq!(route(line, &other), Err(Refusal::Token), "{line}");
            assert_eq!(route(line, &strange), Err(Refusal::Origin), "{line}");
        }
        assert!(matches!(route("GET /", ""), Ok(Route::File(..))));
        assert!(matches!(
            route("GET /companion.js", ""),
            Ok(Route::File(..))
        ));
        assert_eq!(route("POST /", &key), Ok(Route::Absent(405)));
        assert_eq!(route("GET /favicon.ico", ""), Ok(Route::Absent(404)));
    }
}
