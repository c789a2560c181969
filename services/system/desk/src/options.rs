//! What the manifest says.

use sdk::alloc::string::{String, ToString as _};
use sdk::alloc::vec::Vec;
use sdk::saving::save_store::Kind;

/// The arguments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The port to listen at.
    pub port: u16,
    /// The hosts that the desk is had under: see `http_head::Site`.
    pub hosts: Vec<String>,
    /// What a person opens, up to the key.
    pub open: String,
    /// The record whose capsules are carried.
    pub record: (Kind, String),
}

impl Options {
    /// Reads `port=N`, `hosts=HOST,...`, `record=KIND:NAME` and `open=ADDRESS`.
    ///
    /// # Errors
    /// The argument that is none of these, or what is missing.
    pub fn read<'a>(arguments: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let (mut port, mut hosts, mut open, mut record) = (0, Vec::new(), "#".to_string(), None);
        for argument in arguments {
            match argument.split_once('=') {
                Some(("port", value)) => port = value.parse().map_err(|_| argument.to_string())?,
                Some(("hosts", value)) => hosts = value.split(',').map(str::to_string).collect(),
                Some(("record", value)) => {
                    record = Some(named(value).ok_or_else(|| argument.to_string())?);
                }
                Some(("open", value)) if is_open(value) => open = value.to_string(),
                _ => return Err(argument.to_string()),
            }
        }
        match record {
            Some(record) if port != 0 && !hosts.is_empty() => Ok(Self {
                port,
                hosts,
                open,
                record,
            }),
            _ => Err("port=N, hosts=HOST,... and record=KIND:NAME are needed".to_string()),
        }
    }
}

/// An address to whose end `key=` can be added, behind the `#` that no server is sent.
fn is_open(address: &str) -> bool {
    address.starts_with("http://") && address.contains('#') && address.ends_with(['#', '&'])
}

fn named(value: &str) -> Option<(Kind, String)> {
    let (kind, name) = value.split_once(':')?;
    let kind = match kind {
        "checkpoint" => Kind::Checkpoint,
        "profile" => Kind::Profile,
        _ => return None,
    };
    (!name.is_empty()).then(|| (kind, name.to_string()))
}

#[cfg(test)]
mod tests {
    use super::Options;
    use sdk::saving::save_store::Kind;

    #[test]
    fn what_is_wrong_is_named() {
        let read = |line: &str| Options::read(line.split(' '));
        let good = "port=81 hosts=localhost:*,127.0.0.1:* record=checkpoint:slot-1 open=http://127.0.0.1:8081/#provider=drive&";
        let options = read(good).unwrap();
        assert_eq!((options.port, options.hosts.len()), (81, 2));
        assert_eq!(options.record, (Kind::Checkpoint, "slot-1".into()));
        for wrong in [
            "port=x",
            "record=slot-1",
            "record=ledger:trades",
            "record=profile:",
            "open=javascript:1#",
            "open=http://127.0.0.1/",
            "open=http://127.0.0.1/#provider=drive",
            "hots=a",
        ] {
            assert_eq!(read(&[good, wrong].join(" ")).unwrap_err(), wrong);
        }
        for missing in [
            "port=81 hosts=a",
            "port=81 record=profile:a",
            "hosts=a record=profile:a",
        ] {
            assert!(
                read(missing).unwrap_err().contains("are needed"),
                "{missing}"
            );
        }
    }
}
