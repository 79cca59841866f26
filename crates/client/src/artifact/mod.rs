//! Artifacts: images, indexes and whatever else a manifest names, from wherever they are to wherever they go.

mod copy;
mod find;
mod origin;
mod plan;
mod pull;
mod referrers;
mod target;

pub use copy::{CopyReport, copy, plan};
pub use find::{find, select};
pub use origin::{Made, Origin};
pub use plan::Plan;
pub use pull::{PullOptions, plan_pull, pull};
pub use target::{CopyOptions, Target};
