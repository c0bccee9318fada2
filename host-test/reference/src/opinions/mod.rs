//! One opinion for each policy, in a file of its name.

use crate::opinion::Opinion;

include!(concat!(env!("OUT_DIR"), "/opinions.rs"));
