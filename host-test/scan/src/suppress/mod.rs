//! Suppresses findings: by comments in the files and by `ignore` entries of the configuration. The third way is the
//! [baseline](crate::baseline).
//!
//! Reports what suppresses nothing and what has expired, so that no exception is forgotten.

mod comments;
mod entries;
#[cfg(feature = "files")]
mod exceptions;

pub use comments::{
    Comment, CommentOutcome, ContainerLines, DocumentPlace, Source, Target, by_comments, check_name, is_same_control,
};
pub use entries::{ConfigOutcome, by_config};
#[cfg(feature = "files")]
pub use exceptions::exceptions;
