//! What was asked for and what is there, field by field.

/// One field of what a provider says of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The field, by a plain name.
    pub field: &'static str,
    /// What was asked for.
    pub wanted: String,
    /// What is there; a field that is not there is empty.
    pub found: String,
}

impl Compared {
    /// Whether it is as it was asked for.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.wanted == self.found
    }

    /// The sentence for one that is not.
    #[must_use]
    pub fn complaint(&self) -> String {
        format!(
            "policy: {} is {:?} instead of {:?}",
            self.field, self.found, self.wanted
        )
    }
}
