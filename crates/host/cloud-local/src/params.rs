//! Parameters of a request in EC2's query form, and which of them were understood. A document in JSON is read as the same: each of its
//! values by its path (`disks.1.boot`).
//!
//! Source: Amazon EC2 API Reference, "Query requests": lists are numbered from 1 (`Filter.1.Value.2`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Why a request is refused: the provider's code, and a sentence.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// The provider's word.
    pub code: &'static str,
    /// What a person reads.
    pub message: String,
}

impl Refusal {
    /// A refusal of what was asked.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code,
            message: message.into(),
        }
    }
}

/// The longest list that is looked at.
const LONGEST: usize = 200;

/// The parameters. Each that nobody asked for is one that was not understood.
#[derive(Debug)]
pub struct Params {
    values: BTreeMap<String, String>,
    used: RefCell<BTreeSet<String>>,
}

impl Params {
    /// Those of a body.
    pub fn read(body: &[u8]) -> Self {
        Self {
            values: form_urlencoded::parse(body).into_owned().collect(),
            used: RefCell::default(),
        }
    }

    /// Those of a document.
    pub fn of(document: &Value) -> Self {
        let mut values = BTreeMap::new();
        flatten(document, "", &mut values);
        Self {
            values,
            used: RefCell::default(),
        }
    }

    /// All whose names begin so, by what follows in them.
    pub fn under(&self, prefix: &str) -> BTreeMap<&str, &str> {
        let following = self.values.range(prefix.to_owned()..);
        following
            .map_while(|(name, value)| {
                let rest = name.strip_prefix(prefix)?;
                self.used.borrow_mut().insert(name.clone());
                Some((rest, value.as_str()))
            })
            .collect()
    }

    /// One that may be there.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name)?;
        self.used.borrow_mut().insert(name.to_owned());
        Some(value)
    }

    /// One that must be there.
    pub fn need(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| {
            Refusal::new(
                "MissingParameter",
                format!("The request must contain the parameter {name}"),
            )
        })
    }

    /// One that can only have this value: the server does nothing else.
    pub fn only(&self, name: &str, value: &str) -> Result<(), Refusal> {
        match self.get(name) {
            Some(found) if found != value => Err(Refusal::new(
                "InvalidParameterValue",
                format!("{name} is {found}; this server knows {value} alone"),
            )),
            _ => Ok(()),
        }
    }

    /// The simple values of a numbered list.
    pub fn list(&self, name: &str) -> Vec<String> {
        (1..=LONGEST)
            .map_while(|number| self.get(&format!("{name}.{number}")))
            .map(str::to_owned)
            .collect()
    }

    /// The prefixes of a numbered list whose entries have fields.
    pub fn entries(&self, name: &str) -> Vec<String> {
        let starts = |prefix: &str| {
            self.values
                .range(prefix.to_owned()..)
                .next()
                .is_some_and(|(key, _)| key.starts_with(prefix))
        };
        (1..=LONGEST)
            .map(|number| format!("{name}.{number}."))
            .take_while(|prefix| starts(prefix))
            .collect()
    }

    /// Refuses the request where something in it was not understood.
    pub fn finish(&self) -> Result<(), Refusal> {
        let used = self.used.borrow();
        match self.values.keys().find(|name| !used.contains(*name)) {
            Some(name) => Err(Refusal::new(
                "UnknownParameter",
                format!("The parameter {name} is not recognized"),
            )),
            None => Ok(()),
        }
    }
}

/// The values of a document by their paths; it is as deep as the reader of JSON lets it be.
fn flatten(value: &Value, path: &str, values: &mut BTreeMap<String, String>) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, field) in fields {
                flatten(field, &below(name), values);
            }
        }
        Value::Array(entries) => {
            for (entry, number) in entries.iter().zip(1_usize..) {
                flatten(entry, &below(&number.to_string()), values);
            }
        }
        Value::String(text) => drop(values.insert(path.to_owned(), text.clone())),
        other => drop(values.insert(path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::Params;
    use serde_json::json;

    #[test]
    fn a_document_is_read_by_its_paths() {
        let params = Params::of(&json!({"a": [{"b": true}, {"b": 2}], "l": {"x": "y"}, "n": null}));
        assert_eq!(params.get("a.1.b"), Some("true"));
        assert_eq!(params.entries("a"), ["a.1.", "a.2."]);
        assert_eq!(params.under("l.").into_iter().next(), Some(("x", "y")));
        assert!(
            params
                .finish()
                .is_err_and(|refusal| refusal.message.contains("a.2.b"))
        );
    }

    #[test]
    fn lists_are_read_and_what_nobody_asked_for_is_refused() {
        let params = Params::read(b"A=1&L.1=x&L.2=y&F.1.Name=n&F.1.Value.1=v%20w&Z=0");
        assert_eq!(params.get("A"), Some("1"));
        assert_eq!(params.list("L"), ["x", "y"]);
        let entries = params.entries("F");
        assert_eq!(entries, ["F.1."]);
        assert_eq!(params.get("F.1.Name"), Some("n"));
        assert_eq!(params.list("F.1.Value"), ["v w"]);
        assert_eq!(params.finish().map_err(|r| r.code), Err("UnknownParameter"));
        assert_eq!(params.get("Z"), Some("0"));
        assert_eq!(params.finish(), Ok(()));
        assert!(params.need("B").is_err());
        assert!(params.only("A", "2").is_err());
    }
}
