//! What an export's arguments make of it.

use save_core::{Remote, SaveStore};
use sdk::Refusal;
use sdk::alloc::boxed::Box;

use super::{Ended, Not, Store, Stores};
use crate::kept::{Kept, near};
use crate::near::Near;
use crate::options;
use crate::options::Whose;
use crate::sealer::Sealer;

/// What is brought to a bridge from the volume.
pub(super) fn kept(facet: &options::Facet, stores: &Stores) -> Option<Store> {
    let Stores::Here { near, way, .. } = stores else {
        return None;
    };
    match (&facet.whose, near) {
        (Whose::Key(scope, key), Near::Disk(disk)) => {
            let kept = Kept::new(disk, way.as_ref()?, *scope, key, facet.writer);
            Some(Store::Kept(Box::new(kept)))
        }
        _ => None,
    }
}

/// Capsules of a facet that lies here.
pub(super) fn sealer(
    capsules: &options::Capsules,
    exports: &[options::Export],
    stores: &Stores,
) -> Option<Sealer> {
    let (options::Export::Facet(facet), Stores::Here { near, .. }) =
        (exports.get(capsules.of)?, stores)
    else {
        return None;
    };
    let scope = match &facet.whose {
        Whose::Scope(scope) | Whose::Key(scope, _) => *scope,
        Whose::Token(_) => return None,
    };
    Some(Sealer::new(
        capsules.clone(),
        scope,
        facet.writer,
        near.clone(),
    ))
}

pub(super) fn opened(facet: &options::Facet, stores: &Stores) -> Ended<Box<dyn SaveStore>> {
    Ok(match (&facet.whose, stores) {
        (Whose::Token(token), Stores::Bridge(way)) => {
            Box::new(Remote::connect(way.of(token), facet.writer)?) as Box<dyn SaveStore>
        }
        (Whose::Scope(scope), Stores::Here { near: store, .. }) => {
            Box::new(near(store.clone(), *scope, facet.writer))
        }
        _ => return Err(Not::Asked(Refusal::NotSupported)),
    })
}
