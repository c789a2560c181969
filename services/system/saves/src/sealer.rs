//! Capsules of a facet: the vault behind an export, and the random numbers and the secret that it needs.

use save_capsule::{Dice, Secret};
use save_core::{Scope, Writer};
use save_vault::{Handle, Vault};
use sdk::alloc::format;
use sdk::alloc::string::String;
use sdk::{EntropySource, Refusal};

use crate::disk::Disk;
use crate::near::Near;
use crate::options;
use crate::options::hex;

/// What an export of capsules stands for.
pub struct Sealer {
    options: options::Capsules,
    scope: Scope,
    writer: Writer,
    near: Near,
    /// There once the secret was read or drawn.
    vault: Option<Vault<Near>>,
}

/// Random numbers for one capsule, used for no other.
pub fn dice(entropy: &EntropySource) -> Result<(Dice, Handle), Refusal> {
    let [key, nonce, wrap, handle] = [(); 4].map(|()| sdk::octets(entropy));
    let dice = Dice {
        key: key?,
        nonce: first(nonce?),
        wrap_nonce: first(wrap?),
    };
    Ok((dice, first(handle?)))
}

fn first<const N: usize>(bytes: [u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = from;
    }
    out
}

/// A secret as a key of the volume says it: 64 digits.
fn written(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(text: &str) -> Option<Secret> {
    let (one, two) = text.split_at_checked(32)?;
    let mut bytes = [0; 32];
    let (first, second) = bytes.split_at_mut(16);
    first.copy_from_slice(&hex(one)?);
    second.copy_from_slice(&hex(two)?);
    Some(Secret(bytes))
}

/// The secret that a key of the volume has; drawn and kept there where it has none.
fn secret(disk: &Disk, name: &str, entropy: &EntropySource) -> Option<Secret> {
    let drawn = || sdk::octets(entropy).ok().map(written);
    let text = disk.key_or(name, drawn)?;
    let secret = read(&text);
    if secret.is_none() {
        disk.tell(format!(
            "the volume's file keys/{name} is no secret of 64 digits: no capsule is made or restored until it is"
        ));
    }
    secret
}

impl Sealer {
    /// Of a facet with that scope.
    pub const fn new(options: options::Capsules, scope: Scope, writer: Writer, near: Near) -> Self {
        Self {
            options,
            scope,
            writer,
            near,
            vault: None,
        }
    }

    /// Which export has the saves.
    pub const fn of(&self) -> usize {
        self.options.of
    }

    /// The vault, once there is a secret.
    pub fn vault(&mut self, entropy: &EntropySource) -> Option<&mut Vault<Near>> {
        if self.vault.is_none() {
            let secret = match (&self.options.secret, &self.near) {
                (options::Secret::Is(bytes), _) => Secret(*bytes),
                (options::Secret::Key(name), Near::Disk(disk)) => secret(disk, name, entropy)?,
                (options::Secret::Key(_), Near::Memory(_)) => return None,
            };
            let (near, content) = (self.near.clone(), self.options.content);
            self.vault = Some(Vault::new(near, self.scope, self.writer, content, &secret));
        }
        self.vault.as_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::{first, read, written};
    use sdk::alloc::format;

    #[test]
    fn a_secret_is_read_as_it_was_written() {
        let bytes: [u8; 32] = core::array::from_fn(|at| at as u8 * 7 + 1);
        let text = written(bytes);
        assert_eq!(
            (text.len(), read(&text).map(|secret| secret.0)),
            (64, Some(bytes))
        );
        assert_eq!(first::<24>(bytes), bytes[..24]);
        for wrong in [
            "",
            "5e",
            &text[1..],
            &format!("{text}0"),
            &text.replace('1', "x"),
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
        // A number of which half is zero is no random one.
        assert!(read(&"0".repeat(64)).is_none());
    }
}
