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

/// The hosts that this site answers to, with their ports where these are not the scheme's: `10.0.0.5`, `localhost:8443`.
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
        let is_ours = |host: &str| self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
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
