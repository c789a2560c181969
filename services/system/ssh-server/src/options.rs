//! What the manifest says.

use sdk::alloc::format;
use sdk::alloc::string::{String, ToString as _};
use sdk::alloc::vec::Vec;
use ssh_core::{NotAKey, PublicKey};

/// The port of SSH (RFC 4253 section 4.1).
const PORT: u16 = 22;

/// Where it listens, and who may log in.
#[derive(PartialEq, Eq, Debug)]
pub struct Options {
    pub port: u16,
    pub allowed: Vec<PublicKey>,
}

impl Options {
    /// Reads `port=NUMBER` and `key=LINE`.
    ///
    /// # Errors
    /// The argument that is something else, and what is wrong with it.
    pub fn read(arguments: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            port: PORT,
            allowed: Vec::new(),
        };
        for argument in arguments {
            match argument.split_once('=') {
                Some(("port", port)) => {
                    let port = port.parse().ok().filter(|port| *port > 0);
                    options.port =
                        port.ok_or_else(|| format!("{argument}: a port is 1 to 65535"))?;
                }
                Some(("key", line)) => {
                    let key = PublicKey::parse(line);
                    options
                        .allowed
                        .push(key.map_err(|why| wrong(argument, why))?);
                }
                _ => return Err((*argument).to_string()),
            }
        }
        Ok(options)
    }
}

fn wrong(argument: &str, why: NotAKey) -> String {
    let why = match why {
        NotAKey::Algorithm => "only ssh-ed25519 without options is taken: ssh-keygen -t ed25519",
        NotAKey::Damaged => "the key is damaged, or not the whole of it",
    };
    format!("{argument}: {why}")
}

#[cfg(test)]
mod tests {
    use super::Options;
    use sdk::alloc::format;
    use ssh_core::HostKey;

    #[test]
    fn what_is_wrong_is_named() {
        let key = *HostKey::new(&[1; 32]).public();
        let argument = format!("key={} me@here", key.line());
        let options = Options::read(&["port=2222", &argument]).unwrap();
        assert_eq!(
            (options.port, options.allowed.as_slice()),
            (2222, &[key][..])
        );
        assert_eq!(Options::read(&[]).unwrap().port, 22);
        for (argument, why) in [
            ("port=0", "1 to 65535"),
            ("port=x", "1 to 65535"),
            (
                "key=ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB",
                "ssh-keygen -t ed25519",
            ),
            ("key=ssh-ed25519 AAAA", "damaged"),
            ("password=x", "password=x"),
        ] {
            let said = Options::read(&[argument]).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
