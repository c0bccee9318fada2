//! The policies once more, plain and slow, over the types of Kubernetes: written from what the policies
//! are said to do, not from how they do it.

use k8s_openapi::api::core::v1::{PersistentVolume, SeccompProfile};
use proptest::collection::vec;
use proptest::option::of as maybe;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::objects::{Judged, host_paths, one_of};

/// Settings of every policy.
#[derive(Debug, Clone)]
pub struct Common {
    images: Vec<String>,
    runtime_classes: Vec<String>,
}

impl Common {
    pub fn exempts_image(&self, image: &str) -> bool {
        !image.is_empty()
            && self.images.iter().any(|exempt| match exempt.strip_suffix('*') {
                Some(prefix) => image.starts_with(prefix),
                None => image == exempt,
            })
    }

    pub fn exempts_runtime_class(&self, name: &str) -> bool {
        !name.is_empty() && self.runtime_classes.iter().any(|exempt| exempt == name)
    }
}

#[derive(Debug, Clone)]
pub struct Privileged {
    skip_init: bool,
    skip_ephemeral: bool,
}

impl Privileged {
    fn to_json(&self) -> Value {
        json!({"skipInitContainers": self.skip_init, "skipEphemeralContainers": self.skip_ephemeral})
    }

    fn wrong_in(&self, pod: &Judged) -> Vec<String> {
        let mut wrong = Vec::new();
        for container in &pod.containers {
            let is_skipped = self.skip_init && container.is_init && !container.is_sidecar
                || self.skip_ephemeral && container.is_ephemeral;
            if container.security_context.privileged == Some(true) && !is_skipped {
                wrong.push(format!("{}.securityContext.privileged", container.path));
            }
        }
        wrong
    }
}

#[derive(Debug, Clone)]
pub struct Capabilities {
    allowed: Vec<String>,
    required_drop: Vec<String>,
}

/// A capability has one name, whatever its case and whether `CAP_` is in front.
fn canonical(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

impl Capabilities {
    fn to_json(&self) -> Value {
        json!({"allowedCapabilities": self.allowed, "requiredDropCapabilities": self.required_drop})
    }

    fn wrong_in(&self, pod: &Judged) -> Vec<String> {
        let mut wrong = Vec::new();
        for container in &pod.containers {
            let path = format!("{}.securityContext.capabilities", container.path);
            let capabilities = container.security_context.capabilities.clone().unwrap_or_default();
            let (add, drop) = (capabilities.add.unwrap_or_default(), capabilities.drop.unwrap_or_default());
            // Credit is strict: only the bare name in any case, or `ALL`, drops anything.
            let drops = |name: &str| drop.iter().any(|dropped| dropped.eq_ignore_ascii_case(name));
            let is_missing = |required: &String| !drops("ALL") && !drops(&canonical(required));
            if !pod.is_windows() && self.required_drop.iter().any(is_missing) {
                wrong.push(format!("{path}.drop"));
            }
            for (index, added) in add.iter().enumerate() {
                // Blame is generous: `ALL` adds each of them, and so does any spelling.
                let must_be_dropped = self.required_drop.iter().map(|name| canonical(name)).any(|required| {
                    required != "ALL" && [required.as_str(), "ALL"].contains(&canonical(added).as_str())
                });
                let is_allowed = self.allowed.iter().any(|allowed| allowed == "*" || allowed == added);
                if must_be_dropped || !is_allowed {
                    wrong.push(format!("{path}.add[{index}]"));
                }
            }
        }
        wrong
    }
}

#[derive(Debug, Clone)]
pub struct HostPath {
    /// Prefix, and whether it is for reading only.
    allowed: Vec<(String, Option<bool>)>,
}

#[derive(PartialEq)]
enum Access {
    None,
    Read,
    Write,
}

/// The names on the way to a file of the node; none if the path is not a plain one.
fn components(path: &str) -> Option<Vec<&str>> {
    let components: Vec<&str> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    (path.starts_with('/') && !components.contains(&"..")).then_some(components)
}

impl HostPath {
    pub fn to_json(&self) -> Value {
        let entry = |(prefix, read_only): &(String, Option<bool>)| match read_only {
            Some(read_only) => json!({"pathPrefix": prefix, "readOnly": read_only}),
            None => json!({"pathPrefix": prefix}),
        };
        json!({"allowedHostPaths": self.allowed.iter().map(entry).collect::<Vec<_>>()})
    }

    fn access(&self, path: &str) -> Access {
        let Some(path) = components(path) else { return Access::None };
        let prefixes =
            self.allowed.iter().map(|(prefix, read_only)| (components(prefix).unwrap(), *read_only == Some(true)));
        let covering: Vec<_> = prefixes.filter(|(prefix, _)| path.starts_with(prefix)).collect();
        let longest = covering.iter().map(|(prefix, _)| prefix.len()).max();
        let mut deciding = covering.iter().filter(|(prefix, _)| Some(prefix.len()) == longest).peekable();
        if deciding.peek().is_none() {
            return Access::None;
        }
        if deciding.any(|(_, is_read_only)| *is_read_only) { Access::Read } else { Access::Write }
    }

    fn wrong_in(&self, pod: &Judged) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut for_reading = Vec::new();
        for (index, volume) in pod.spec.volumes.iter().flatten().enumerate() {
            let Some(host_path) = &volume.host_path else { continue };
            match self.access(&host_path.path) {
                Access::None => wrong.push(format!("spec.volumes[{index}].hostPath.path")),
                Access::Read => for_reading.push(volume.name.clone()),
                Access::Write => {}
            }
        }
        for container in &pod.containers {
            for (index, mount) in container.mounts.iter().enumerate() {
                if for_reading.contains(&mount.name) && mount.read_only != Some(true) {
                    wrong.push(format!("{}.volumeMounts[{index}].readOnly", container.path));
                }
            }
        }
        wrong
    }

    pub fn wrong_in_volume(&self, volume: &PersistentVolume) -> Vec<String> {
        let spec = volume.spec.clone().unwrap_or_default();
        let host_path = spec.host_path.map(|source| ("spec.hostPath.path", source.path));
        let local = spec.local.map(|source| ("spec.local.path", source.path));
        let sources = host_path.into_iter().chain(local);
        sources.filter(|(_, path)| self.access(path) != Access::Write).map(|(field, _)| field.to_owned()).collect()
    }
}

#[derive(Debug, Clone)]
pub struct Seccomp {
    allowed: Vec<String>,
    files: Vec<String>,
    required: bool,
}

impl Seccomp {
    fn to_json(&self) -> Value {
        json!({"allowedProfiles": self.allowed, "allowedLocalhostFiles": self.files, "required": self.required})
    }

    fn allows(&self, spellings: &[&str]) -> bool {
        self.allowed.iter().any(|allowed| spellings.contains(&allowed.as_str()))
    }

    /// The field of a profile that is wrong.
    fn wrong_field(&self, profile: &SeccompProfile) -> Option<&'static str> {
        let file = profile.localhost_profile.as_deref().unwrap_or_default();
        match profile.type_.as_str() {
            "RuntimeDefault" if self.allows(&["RuntimeDefault", "runtime/default", "docker/default"]) => None,
            "Unconfined" if self.allows(&["Unconfined", "unconfined"]) => None,
            "Localhost" => {
                let is_listed = !file.is_empty() && self.files.iter().any(|listed| listed == file);
                let any_file = self.files.iter().any(|listed| listed == "*");
                let by_type = self.allows(&["Localhost", "localhost/*", "*"]) && (any_file || is_listed);
                // `localhost/*` stands for any file, not for one of that name.
                let by_name = !["", "*"].contains(&file) && self.allows(&[&format!("localhost/{file}")]);
                let type_is_allowed =
                    self.allows(&["Localhost", "*"]) || self.allowed.iter().any(|a| a.starts_with("localhost/"));
                match (by_type || by_name, type_is_allowed) {
                    (true, _) => None,
                    (false, true) => Some("localhostProfile"),
                    (false, false) => Some("type"),
                }
            }
            _ if self.allows(&["*"]) => None,
            _ => Some("type"),
        }
    }

    fn wrong_in(&self, pod: &Judged) -> Vec<String> {
        let mut wrong = Vec::new();
        let of_pod = pod.spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
        // What the pod sets counts even where every container overrides it.
        if let Some(field) = of_pod.and_then(|profile| self.wrong_field(profile)) {
            wrong.push(format!("spec.securityContext.seccompProfile.{field}"));
        }
        for container in &pod.containers {
            let profile = &container.security_context.seccomp_profile;
            if let Some(field) = profile.as_ref().and_then(|profile| self.wrong_field(profile)) {
                wrong.push(format!("{}.securityContext.seccompProfile.{field}", container.path));
            }
        }
        if wrong.is_empty() && self.required && !pod.is_windows() && of_pod.is_none() {
            for container in pod.containers.iter().filter(|c| c.security_context.seccomp_profile.is_none()) {
                wrong.push(format!("{}.securityContext.seccompProfile.type", container.path));
            }
        }
        wrong
    }
}

/// Settings of all policies.
#[derive(Debug, Clone)]
pub struct Settings {
    pub common: Common,
    privileged: Privileged,
    capabilities: Capabilities,
    pub host_path: HostPath,
    seccomp: Seccomp,
}

/// What a policy must find with these settings: paths below the pod template.
pub struct Expectation {
    pub policy: &'static str,
    pub settings: Value,
    pub paths: Vec<String>,
}

impl Settings {
    pub fn judge(&self, pod: &Judged) -> [Expectation; 4] {
        let expectations = [
            ("privileged", self.privileged.to_json(), self.privileged.wrong_in(pod)),
            ("capabilities", self.capabilities.to_json(), self.capabilities.wrong_in(pod)),
            ("host-path", self.host_path.to_json(), self.host_path.wrong_in(pod)),
            ("seccomp", self.seccomp.to_json(), self.seccomp.wrong_in(pod)),
        ];
        expectations.map(|(policy, mut settings, paths)| {
            let common = &self.common;
            settings["exempt"] = json!({"images": common.images, "runtimeClasses": common.runtime_classes});
            Expectation { policy, settings, paths: if pod.is_exempt { Vec::new() } else { paths } }
        })
    }
}

pub fn settings() -> impl Strategy<Value = Settings> {
    let common = (vec(one_of(&["nginx", "registry.example/*", "", "*"]), 0..2), vec(one_of(&["gvisor", ""]), 0..2));
    let capabilities = (
        vec(one_of(&["NET_BIND_SERVICE", "KILL", "*", "CAP_KILL", "ALL", ""]), 0..3),
        vec(one_of(&["ALL", "all", "KILL", "CAP_NET_RAW", "sys_admin"]), 0..3),
    );
    let prefixes = host_paths().prop_filter("settings refuse it", |path| components(path).is_some());
    let profiles = one_of(&[
        "RuntimeDefault",
        "runtime/default",
        "Localhost",
        "localhost/*",
        "localhost/p.json",
        "Unconfined",
        "unconfined",
        "*",
    ]);
    let seccomp = (vec(profiles, 0..3), vec(one_of(&["*", "p.json", ""]), 0..2), any::<bool>());
    let host_path = vec((prefixes, maybe(any::<bool>())), 0..4);
    (common, any::<(bool, bool)>(), capabilities, host_path, seccomp).prop_map(
        |(
            (images, runtime_classes),
            (skip_init, skip_ephemeral),
            (allowed, required_drop),
            paths,
            (profiles, files, required),
        )| {
            Settings {
                common: Common { images, runtime_classes },
                privileged: Privileged { skip_init, skip_ephemeral },
                capabilities: Capabilities { allowed, required_drop },
                host_path: HostPath { allowed: paths },
                seccomp: Seccomp { allowed: profiles, files, required },
            }
        },
    )
}
