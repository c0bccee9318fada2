//! Rejects containers that keep standard input open.
//!
//! Say here why that is bad: it becomes the README.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Pod, Rule, Settings, Violations};

podfence_core::fields! {
    STDIN: Bool = Container "stdin", allowed "unset, `false`";
}

podfence_core::settings! {
    /// Whether ephemeral containers, those of `kubectl debug`, may keep it open.
    ALLOW_EPHEMERAL: Bool = "allowEphemeral", default "false";
}

podfence_core::policy! { name: "{{name}}", check: check }

static RULE: Rule = Rule {
    control: "stdin",
    reason: "stdin",
    detail: "{who} must not set stdin=true",
    fix: "remove stdin or set it to false",
    ..Rule::PLAIN
};

/// Looks for containers that keep standard input open.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    for container in pod.containers() {
        let is_allowed = container.role == podfence_core::Role::Ephemeral && settings.is(ALLOW_EPHEMERAL);
        if !is_allowed && container.get(STDIN) == Some(true) {
            found.add(&RULE, container.at(STDIN));
        }
    }
}
