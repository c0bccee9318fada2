//! How podfence comes to laptops and pipelines.
#![cfg(unix)]

mod generated;
