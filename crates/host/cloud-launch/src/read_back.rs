//! What the comparing of every provider's policy needs.

use serde_json::Value;

use crate::Compared;

/// A field, what was asked for, what is there.
pub type Field = (&'static str, String, String);

/// A field of an answer as text; one that is not there is empty.
pub fn text(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The fields as they are reported.
pub fn compared(fields: impl Iterator<Item = Field>) -> Vec<Compared> {
    fields
        .map(|(field, wanted, found)| Compared {
            field,
            wanted,
            found,
        })
        .collect()
}
