//! Sends random requests to the built modules and to the native policies, which must reply the same bytes.
//!
//! The test `second_opinion` of `podfence-reference` checks the native replies, on the same requests. It documents the
//! variables `PODFENCE_PODS` and `PODFENCE_SEED`.
#![forbid(unsafe_code)]

use podfence_host::{Host, Limits};
use podfence_reference::compare::{Oracle, reply};
use podfence_reference::opinion::Opinion;

mod modules {
    podfence_reference::test_policies!(super::replies_as_the_native_policy);
}

fn replies_as_the_native_policy(opinion: &'static Opinion) {
    let host = Host::new(Limits::default()).expect("an engine");
    let module = host.load(&podfence_support::module(opinion.policy.name)).expect("a policy");
    Oracle::new(opinion).check_many(|case| {
        let payload = case.payload();
        let native = reply(opinion.policy, &payload);
        let of_module = module.call("validate", payload.as_bytes());
        let of_module = of_module.map_err(|error| format!("the module fails: {error}\nthe native policy: {native}"))?;
        if of_module == native.as_bytes() {
            return Ok(());
        }
        Err(format!("the module: {}\nthe native policy: {native}", String::from_utf8_lossy(&of_module)))
    });
}
