//! Whether a request is for this site, and made by it.

use sabotage::sabotage;

use crate::{Head, Method, Refusal};

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// It shows a page: whoever links to it may.
    Page,
    /// It reads what a page shows: only our own pages do.
    Read,
    /// It changes something: only our own pages do, and they say so.
    Change,
}

/// The hosts that this site answers to, with their ports where these are not the scheme's: `10.0.0.5`, `localhost:8443`; or at
/// whatever port, where it cannot be known because somebody forwards it: `localhost:*`.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// `https`, or `http`.
    pub scheme: &'a str,
    /// The hosts.
    pub hosts: &'a [&'a str],
}

impl Site<'_> {
    /// Whether a request may be answered as far as host and origin go.
    ///
    /// # Errors
    /// It is for another host, which a name that was bound to our address anew looks like, or made by another site.
    pub fn admit(&self, head: &Head<'_>, purpose: Purpose) -> Result<(), Refusal> {
        let is_ours = |host: &str| self.hosts.iter().any(|own| is_it(own, host));
        if !is_ours(head.host) && !sabotage!(HTTP_ANY_HOST) {
            return Err(Refusal::Misdirected);
        }
        if purpose == Purpose::Change && head.method != Method::Post {
            return Err(Refusal::Method);
        }
        let origin = head.origin.map(|origin| {
            let host = origin
                .strip_prefix(self.scheme)
                .and_then(|rest| rest.strip_prefix("://"));
            host.is_some_and(|host| host.eq_ignore_ascii_case(head.host))
        });
        let fetched = head.fetch_site.map(|site| site == "same-origin");
        let is_right = match purpose {
            Purpose::Page => true,
            // A browser says at least one of both with what a script of another site asks for; a program says neither.
            Purpose::Read => origin.unwrap_or(true) && fetched.unwrap_or(true),
            Purpose::Change => origin.or(fetched).unwrap_or(false) && fetched.unwrap_or(true),
        };
        if !is_right && !sabotage!(HTTP_ANY_ORIGIN) {
            return Err(Refusal::Origin);
        }
        Ok(())
    }
}

fn is_it(own: &str, host: &str) -> bool {
    match own.strip_suffix(":*") {
        None => own.eq_ignore_ascii_case(host),
        Some(own) => {
            let port = |port: &str| {
                (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit())
            };
            let name = match host.rsplit_once(':') {
                Some((name, digits)) if port(digits) => name,
                _ => host,
            };
            own.eq_ignore_ascii_case(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_it;

    #[test]
    fn any_port_is_any_port_of_that_host_alone() {
        for host in ["localhost", "LOCALHOST:1", "localhost:65535"] {
            assert!(is_it("localhost:*", host), "{host}");
        }
        for host in [
            "localhost.evil.example",
            "localhost.evil.example:80",
            "evil.example:80",
            "localhost:",
            "localhost:8a",
            "localhost:123456",
            "localhost:80:80",
            "",
        ] {
            assert!(!is_it("localhost:*", host), "{host}");
        }
        assert!(is_it("[::1]:*", "[::1]:8080") && is_it("[::1]:*", "[::1]"));
        assert!(!is_it("localhost", "localhost:80"));
    }
}
