//! The words about the network, and what an address of the web is made of.

use alloc::string::{String, ToString};

use crate::usage::{Arguments, CommandHelp, Misuse, ParseError, help};

/// What a person asked of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// What the stack knows.
    Show,
    /// Asks somebody for echoes.
    Ping {
        /// Whom.
        target: String,
        /// How often.
        count: u32,
        /// Which kind of address it must be.
        family: Family,
    },
    /// The addresses of a name.
    Resolve(String),
    /// Gets a page.
    Fetch(Url),
    /// Waits for a connection at this port and shows what comes.
    Listen(u16),
    /// Shows so many frames that pass, as a file of them in hexadecimal digits.
    Packets(u32),
}

/// Kinds of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// Whichever it is.
    Any,
    /// IPv6 alone.
    V6,
}

/// Where a page is: `http://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The host, as it was written, without the brackets of IPv6.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, with its query; it begins with `/`.
    pub path: String,
}

/// Echoes that are asked for when nobody says how many.
const ECHOES: u32 = 4;
/// Echoes that may be asked for.
const MOST_ECHOES: u64 = 100_000;

/// Frames that are shown when nobody says how many, and that may be.
const FRAMES: u32 = 20;
const MOST_FRAMES: u64 = 10_000;

/// The commands, in the order in which `help` shows them.
pub(crate) const HELP: [CommandHelp; 7] = [
    help(
        "net",
        "",
        "shows addresses, routes, name servers and what was refused",
    ),
    help(
        "ping",
        "HOST [COUNT]",
        "asks a host for echoes, four or so many; Ctrl-C ends it",
    ),
    help(
        "ping6",
        "HOST [COUNT]",
        "the same, at an address of IPv6 alone",
    ),
    help("resolve", "NAME", "gives the addresses of a name"),
    help("fetch", "URL", "gets http://HOST[:PORT]/PATH and shows it"),
    help(
        "listen",
        "PORT",
        "waits for a connection and shows what comes, until it ends or Ctrl-C",
    ),
    help(
        "packets",
        "[COUNT]",
        "shows the next frames, twenty or so many, as a pcap file in hexadecimal; Ctrl-C ends it",
    ),
];

pub(crate) fn parse(arguments: Arguments) -> Result<Command, ParseError> {
    let command = arguments.command;
    match command.name {
        "net" => arguments.none(Command::Show),
        "ping" => ping(arguments, Family::Any),
        "ping6" => ping(arguments, Family::V6),
        "resolve" => arguments.one().map(Command::Resolve),
        "fetch" => {
            let word = arguments.one()?;
            let url = url(&word).ok_or(ParseError::Usage(command, Misuse::Url(word)))?;
            Ok(Command::Fetch(url))
        }
        "listen" => {
            let port = arguments.number(1, u64::from(u16::MAX))?;
            let port = port.and_then(|port| u16::try_from(port).ok());
            let port = port.ok_or(ParseError::Usage(command, Misuse::Missing))?;
            Ok(Command::Listen(port))
        }
        "packets" => {
            let count = arguments.number(1, MOST_FRAMES)?;
            let count = count.and_then(|count| u32::try_from(count).ok());
            Ok(Command::Packets(count.unwrap_or(FRAMES)))
        }
        other => Err(ParseError::Unknown(other.to_string())),
    }
}

fn ping(arguments: Arguments, family: Family) -> Result<Command, ParseError> {
    let command = arguments.command;
    let mut words = arguments.words;
    let target = words.next();
    let target = target.ok_or(ParseError::Usage(command, Misuse::Missing))?;
    let rest = Arguments { command, words };
    let count = rest.number(1, MOST_ECHOES)?;
    Ok(Command::Ping {
        target,
        count: count.map_or(ECHOES, |count| u32::try_from(count).unwrap_or(ECHOES)),
        family,
    })
}

/// Takes an address of the web apart. Nothing that could end a line of a request, or begin another word of it, is taken.
fn url(word: &str) -> Option<Url> {
    let rest = word.strip_prefix("http://")?;
    if !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None if port.is_empty() => 80,
        None => return None,
    };
    if host.is_empty() || host.contains('@') || path.contains('#') {
        return None;
    }
    Some(Url {
        host: host.to_string(),
        port,
        path: if path.is_empty() { "/" } else { path }.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Command, Family, Url, url};
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn parts(word: &str) -> Option<(alloc::string::String, u16, alloc::string::String)> {
        url(word).map(|Url { host, port, path }| (host, port, path))
    }

    #[test]
    fn addresses_of_the_web_are_taken_apart_or_refused() {
        let is = |word, host: &str, port, path: &str| {
            assert_eq!(
                parts(word),
                Some((host.to_string(), port, path.to_string())),
                "{word}"
            );
        };
        is("http://10.0.2.2", "10.0.2.2", 80, "/");
        is("http://10.0.2.2:8000/a/b?c=d", "10.0.2.2", 8000, "/a/b?c=d");
        is("http://[fd00::1]/x", "fd00::1", 80, "/x");
        is("http://[fd00::1]:81", "fd00::1", 81, "/");
        for wrong in [
            "https://a/",
            "a",
            "http://",
            "http:///x",
            "http://a:0/",
            "http://a:x/",
            "http://[::1/",
            "http://[::1]x/",
            "http://a/\u{e9}",
            "http://a/ b",
            "http://u@a/",
            "http://a/#part",
        ] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_words_of_the_network_are_understood() {
        let parse = |line| crate::parse(line).unwrap();
        let network = crate::Command::Network;
        assert_eq!(parse("net"), network(Command::Show));
        assert_eq!(parse("listen 7"), network(Command::Listen(7)));
        let ping = |count, family| {
            network(Command::Ping {
                target: "fe80::1".into(),
                count,
                family,
            })
        };
        assert_eq!(parse("ping fe80::1"), ping(4, Family::Any));
        assert_eq!(parse("ping6 fe80::1 2"), ping(2, Family::V6));
        let message = |line| crate::parse(line).unwrap_err().to_string();
        assert_eq!(
            message("fetch ftp://a"),
            "fetch: \"ftp://a\" is not http://HOST[:PORT]/PATH; usage: fetch URL"
        );
        assert_eq!(
            message("listen"),
            "listen: an argument is missing; usage: listen PORT"
        );
        assert_eq!(
            message("ping"),
            "ping: an argument is missing; usage: ping HOST [COUNT]"
        );
    }

    proptest! {
        #[test]
        fn no_word_becomes_more_than_one_line_of_a_request(word in "http://.{0,40}") {
            if let Some(url) = url(&word) {
                let text = url.host + &url.path;
                prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
