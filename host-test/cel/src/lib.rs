//! Kubernetes' CEL expressions, evaluated as the API server evaluates them, over the crate `cel`.
//!
//! `cel` parses and evaluates. What makes it Kubernetes' is here: the check of names, fields and types when an expression
//! is read (`check`, over `declarations.txt`), the functions that Kubernetes adds (`library`), RE2's regular expressions
//! (`re2`), limits on what an evaluation costs (`budget`), and objects as the API server shows them (`decode`).
//!
//! What cannot be evaluated as the API server does is refused when it is read, by its name: no expression is ever true
//! here that is false there.
#![forbid(unsafe_code)]

mod budget;
mod check;
mod conditions;
mod constants;
mod declarations;
mod decode;
mod defaults;
mod environment;
mod error;
mod expression;
mod held;
mod inputs;
mod library;
mod limits;
mod macros;
mod re2;
mod reading;
mod rewrite;
mod stack;
mod structs;
mod tree;
mod types;
mod unsupported;
mod values;

pub use conditions::{Conditions, ConditionsError, Outcome};
pub use decode::{Decoded, Decoder, decoded};
pub use environment::{Environment, Returns};
pub use error::{CompileError, EvaluationError, Problem};
pub use expression::{Answer, Budget, Expression};
pub use inputs::{Inputs, Shared};
pub use limits::TEXT as LONGEST_EXPRESSION;
pub use reading::{Place, Written};
