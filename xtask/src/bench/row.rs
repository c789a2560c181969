//! What a row is.

use super::group::Group;

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// Its name, as the guest prints it.
    pub name: &'static str,
    /// How it is measured.
    pub group: Group,
    /// What one operation is.
    pub what: &'static str,
    /// Instructions that one operation may take.
    pub budget: Option<f64>,
    /// What would be very good.
    pub stretch: Option<f64>,
    /// The guest's clock must agree with the count: it never idles between the marks.
    pub is_busy: bool,
}

/// A row with a budget and a stretch.
pub const fn row(name: &'static str, group: Group, what: &'static str, limits: [f64; 2]) -> Row {
    Row {
        name,
        group,
        what,
        budget: limit(limits[0]),
        stretch: limit(limits[1]),
        is_busy: matches!(group, Group::Calls),
    }
}

const fn limit(limit: f64) -> Option<f64> {
    if limit > 0.0 { Some(limit) } else { None }
}

/// The rows that a promise rests on: no stretch is longer than their budget.
pub const HOLD_MAX: &str = "hold_max";
/// With two CPUs.
pub const HOLD_MAX_TWO: &str = "hold_max_two";
/// Below a remapping unit.
pub const HOLD_MAX_DOMAIN: &str = "hold_max_domain";
/// Before the workload begins.
pub const HOLD_START: &str = "hold_start";

/// Neither.
pub const NONE: [f64; 2] = [0.0, 0.0];
