//! The order of start.

use alloc::{string::String, vec, vec::Vec};

use crate::{Error, Service};

/// Orders services so that each provider comes before its users, else as they stand.
///
/// # Errors
/// [`Error::Cycle`] where no such order exists.
pub(crate) fn start_order(services: &[Service]) -> Result<Vec<usize>, Error> {
    let mut started = vec![false; services.len()];
    let mut order = Vec::with_capacity(services.len());
    while order.len() < services.len() {
        let next = services.iter().enumerate().position(|(idx, service)| {
            !is_set(&started, idx)
                && service
                    .providers()
                    .all(|(_, r)| is_set(&started, r.service_idx))
        });
        let Some(next) = next else {
            return Err(Error::Cycle {
                path: cycle(services, &started),
            });
        };
        if let Some(flag) = started.get_mut(next) {
            *flag = true;
        }
        order.push(next);
    }
    Ok(order)
}

fn is_set(flags: &[bool], idx: usize) -> bool {
    flags.get(idx).copied().unwrap_or(false)
}

/// Names one circle among the services that could not be started. Every one of them waits for another of them, so
/// following the first such provider from any of them must come back.
fn cycle(services: &[Service], started: &[bool]) -> Vec<String> {
    let mut path: Vec<usize> = Vec::new();
    let mut at = started.iter().position(|s| !s).unwrap_or(0);
    while !path.contains(&at) {
        path.push(at);
        let waits_for = services.get(at).and_then(|s| {
            s.providers()
                .map(|(_, r)| r.service_idx)
                .find(|idx| !is_set(started, *idx))
        });
        match waits_for {
            Some(idx) => at = idx,
            None => break,
        }
    }
    let from = path.iter().position(|idx| *idx == at).unwrap_or(0);
    let mut circle = path.split_off(from);
    let first = circle
        .iter()
        .enumerate()
        .min_by_key(|(_, idx)| **idx)
        .map_or(0, |(at, _)| at);
    circle.rotate_left(first);
    circle
        .iter()
        .filter_map(|idx| services.get(*idx))
        .map(|s| s.name.clone())
        .collect()
}
