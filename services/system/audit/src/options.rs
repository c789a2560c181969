//! What the manifest says.

use audit_format::{INSTALLATION_BYTES, Key, SEGMENT_RECORDS, Secret};
use sdk::Env;
use sdk::alloc::vec::Vec;

/// The arguments.
pub struct Options {
    /// What the key is derived from.
    pub secret: Secret,
    /// Which audit partition is its own.
    pub partition: u32,
    /// Records at least before a segment is sealed, if they come soon.
    pub batch: u32,
    /// Ends after so many segments.
    pub segments: Option<u64>,
    /// Partitions to check.
    pub checks: Vec<u32>,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The one that is wrong, or the name of the one that is missing.
    pub fn read(env: &Env) -> Result<Self, &'static str> {
        let mut secret = None;
        let mut options = Self {
            secret: Secret::new([0; 32]),
            partition: 0,
            batch: 32,
            segments: None,
            checks: Vec::new(),
        };
        for argument in env.arguments() {
            let (name, value) = argument.split_once('=').ok_or(argument)?;
            match name {
                "key" => {
                    let digits = value.strip_prefix("development:").ok_or("key")?;
                    secret = Some(Secret::parse(digits).ok_or("key")?);
                }
                "partition" => options.partition = value.parse().map_err(|_| argument)?,
                "batch" => options.batch = value.parse().map_err(|_| argument)?,
                "segments" => options.segments = Some(value.parse().map_err(|_| argument)?),
                "check" => options.checks.push(value.parse().map_err(|_| argument)?),
                _ => return Err(argument),
            }
        }
        options.secret = secret.ok_or("key is missing")?;
        Ok(options)
    }

    /// The key of an installation.
    pub fn key(&self, installation: &[u8; INSTALLATION_BYTES]) -> Key {
        Key::derive(&self.secret, installation)
    }

    /// Records of one read: a whole segment, or a batch where the service is to make a number of segments.
    pub fn read_at_once(&self) -> u32 {
        match self.segments {
            Some(_) => self.batch.clamp(1, SEGMENT_RECORDS as u32),
            None => SEGMENT_RECORDS as u32,
        }
    }
}
