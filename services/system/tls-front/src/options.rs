//! What the manifest says.

use sdk::alloc::string::{String, ToString as _};
use sdk::alloc::vec::Vec;
use tls_core::Name;

/// Reads `names=NAME,...`.
///
/// # Errors
/// The argument that is something else, or what is missing.
pub fn names<'a>(arguments: &[&'a str]) -> Result<Vec<Name<'a>>, String> {
    let mut names = Vec::new();
    for argument in arguments {
        let Some(list) = argument.strip_prefix("names=") else {
            return Err((*argument).to_string());
        };
        names.extend(list.split(',').map(name));
    }
    if names.is_empty() {
        return Err("names=NAME,... is needed".to_string());
    }
    Ok(names)
}

fn name(text: &str) -> Name<'_> {
    match text.parse::<core::net::Ipv4Addr>() {
        Ok(address) => Name::Address(address.octets()),
        Err(_) => Name::Host(text),
    }
}

#[cfg(test)]
mod tests {
    use super::names;
    use tls_core::Name;

    #[test]
    fn what_is_wrong_is_named() {
        let both = [Name::Host("localhost"), Name::Address([127, 0, 0, 1])];
        assert_eq!(names(&["names=localhost,127.0.0.1"]).unwrap(), both);
        assert_eq!(names(&["port=1"]).unwrap_err(), "port=1");
        assert!(names(&[]).is_err());
    }
}
