//! The key: kept on a volume of its own where the manifest grants one, else drawn at each start.

pub use kept_secret::Origin;
use kept_secret::SECRET_BYTES;
use sdk::{EntropySource, Env, Error, Refusal, octets};
use tls_core::{Identity, Name};

/// The file with the secret.
const FILE: &str = "tls.key";
/// A secret that is no key comes once in 2^32; so many in a row do not.
const TRIES: u32 = 4;

/// A key that nobody had before.
///
/// # Errors
/// The entropy's.
pub fn draw(entropy: &EntropySource, names: &[Name<'_>]) -> Result<Identity, Refusal> {
    drawn(entropy, names).map(|(identity, _)| identity)
}

fn drawn(
    entropy: &EntropySource,
    names: &[Name<'_>],
) -> Result<(Identity, [u8; SECRET_BYTES]), Refusal> {
    for _ in 0..TRIES {
        let secret = octets(entropy)?;
        if let Some(identity) = Identity::new(&secret, names) {
            return Ok((identity, secret));
        }
    }
    Err(Refusal::Failed)
}

/// The key of this system.
///
/// # Errors
/// Those of [`kept_secret::obtain`].
pub fn identity(
    env: &Env,
    entropy: &EntropySource,
    names: &[Name<'_>],
) -> Result<(Identity, Origin), Error> {
    if sabotage::sabotage!(TLS_FORGET_KEY) {
        let _ = kept_secret::forget(env, FILE);
    }
    kept_secret::obtain(
        env,
        FILE,
        || drawn(entropy, names),
        |secret| Identity::new(secret, names),
    )
}
