//! What the manifest says.

use sdk::Env;
use volume_core::Access;
use volume_place::Selector;

/// The arguments.
#[derive(Clone, Debug)]
pub struct Options {
    /// The disk and the partition that hold the volume, as far as anything is said of them.
    pub target: Selector,
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
            target: Selector::default(),
            access: Access::Write,
        };
        for argument in env.arguments() {
            match argument {
                "readonly" => options.access = Access::Read,
                other => options.target.take(other).ok_or(argument)?,
            }
        }
        Ok(options)
    }
}
