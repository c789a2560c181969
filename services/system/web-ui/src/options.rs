//! What the manifest says.

use sdk::alloc::string::{String, ToString as _};
use sdk::alloc::vec::Vec;

/// The arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The port to listen at.
    pub port: u16,
    /// The hosts that the page is had under: see `http_head::Site`.
    pub hosts: Vec<String>,
    /// What a person opens, up to the ticket.
    pub open: String,
    /// How browsers reach the page: `http`, or `https` where TLS is in front of it.
    pub scheme: &'static str,
}

impl Options {
    /// Reads `port=N`, `hosts=HOST,...` and `open=ADDRESS`.
    ///
    /// # Errors
    /// The argument that is none of these, or what is missing.
    pub fn read<'a>(arguments: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut options = Self {
            port: 0,
            hosts: Vec::new(),
            open: String::new(),
            scheme: "http",
        };
        for argument in arguments {
            match argument.split_once('=') {
                Some(("port", port)) => {
                    options.port = port.parse().map_err(|_| argument.to_string())?;
                }
                Some(("hosts", hosts)) => {
                    options.hosts = hosts.split(',').map(str::to_string).collect();
                }
                Some(("open", open)) if open.starts_with("http://") => {
                    options.open = open.to_string();
                }
                Some(("open", open)) if open.starts_with("https://") => {
                    (options.open, options.scheme) = (open.to_string(), "https");
                }
                _ => return Err(argument.to_string()),
            }
        }
        if options.port == 0 || options.hosts.is_empty() {
            return Err("port=N and hosts=HOST,... are needed".to_string());
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn what_is_wrong_is_named() {
        let read = |line: &str| Options::read(line.split(' '));
        let options = read("port=80 hosts=localhost:*,127.0.0.1 open=http://localhost/").unwrap();
        assert_eq!((options.port, options.hosts.len()), (80, 2));
        assert_eq!(options.scheme, "http");
        let sealed = read("port=443 hosts=localhost open=https://localhost/").unwrap();
        assert_eq!(sealed.scheme, "https");
        assert_eq!(read("port=x hosts=a").unwrap_err(), "port=x");
        assert_eq!(read("port=80 host=a").unwrap_err(), "host=a");
        assert_eq!(
            read("port=80 open=javascript:1 hosts=a").unwrap_err(),
            "open=javascript:1"
        );
        assert!(read("port=80").is_err() && read("hosts=a").is_err());
    }
}
