//! What the manifest says.

use sdk::Env;
use volume_core::Access;

/// The arguments.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The partition that holds the volume, where there are several.
    pub partition: Option<u32>,
    /// [`Access::Read`] never writes.
    pub access: Access,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// The one that is wrong.
    pub fn read(env: &Env) -> Result<Self, &'static str> {
        let mut options = Self {
            partition: None,
            access: Access::Write,
        };
        for argument in env.arguments() {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            match name {
                "partition" => options.partition = Some(value.parse().map_err(|_| argument)?),
                "readonly" => options.access = Access::Read,
                #[cfg(sabotage)]
                "sabotage" => sabotage::choose(sabotage::Point::named(value).ok_or(argument)?),
                _ => return Err(argument),
            }
        }
        Ok(options)
    }
}
