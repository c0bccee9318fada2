//! Profiles of seccomp and AppArmor, which settings and pods spell in two ways.

use alloc::{string::String, vec};

use crate::{
    decode::List,
    place::{Mend, Place},
    pod::{Container, Edits, Pod},
    text::{own, put, quote},
};

/// A profile in a setting or a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile<'s> {
    /// The runtime's own.
    RuntimeDefault,
    /// None at all.
    Unconfined,
    /// A file of the node; empty where only the type is given.
    Localhost(&'s str),
    /// Of a setting: whichever.
    Any,
    /// Nothing that is known.
    Unknown,
}

/// Why settings do not allow a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is a file without a name. Old kubelets ran such a container without a profile.
    MissingFile,
    /// No setting allows its type.
    Type,
    /// The list of files does not have its file.
    File,
    /// The list of profiles has files, and not this one.
    OtherFile,
}

impl<'s> Profile<'s> {
    /// Sets the type of a profile to the runtime's own.
    pub const DEFAULT: &'static Mend = &Self::SET_DEFAULT;

    /// The same at the pod.
    pub const POD_DEFAULT: &'static Mend = &Self::SET_DEFAULT.of_pod();

    const SET_DEFAULT: Mend = crate::mend!(set "\"RuntimeDefault\"", usual);

    /// Reads a setting, in the spelling of the fields or of the old annotations.
    pub fn of_setting(spelled: &'s str) -> Self {
        match spelled {
            "RuntimeDefault" | "runtime/default" | "docker/default" => Self::RuntimeDefault,
            "Unconfined" | "unconfined" => Self::Unconfined,
            "Localhost" | "localhost/*" => Self::Localhost(""),
            "*" => Self::Any,
            _ => match spelled.strip_prefix("localhost/") {
                Some(file) if !file.is_empty() => Self::Localhost(file),
                _ => Self::Unknown,
            },
        }
    }

    /// Whether a list in a setting has types and nothing else, so that the message can list plain types.
    pub fn are_types(allowed: List<'_>) -> bool {
        // Other spellings start in lower case, or are a star.
        let is_type = |spelled: &str| spelled.as_bytes().first().is_some_and(u8::is_ascii_uppercase);
        !allowed.is_empty() && allowed.strings().all(is_type)
    }

    /// Reads the fields `type` and `localhostProfile` of a pod or a container.
    pub fn of_fields(kind: Option<&str>, file: Option<&'s str>) -> Self {
        match kind {
            Some("RuntimeDefault") => Self::RuntimeDefault,
            Some("Unconfined") => Self::Unconfined,
            Some("Localhost") => Self::Localhost(file.unwrap_or_default()),
            _ => Self::Unknown,
        }
    }

    /// Why a list of profiles and one of files in the settings do not allow it.
    pub fn refusal(self, allowed: List<'_>, files: List<'_>) -> Option<Refusal> {
        if self == Profile::Localhost("") {
            return Some(Refusal::MissingFile);
        }
        let mut why = Refusal::Type;
        for allowed in allowed.strings().map(Profile::of_setting) {
            let (is_allowed, otherwise) = match (allowed, self) {
                (Profile::Any | Profile::Localhost(""), Profile::Localhost(file)) => {
                    (files.has("*") || files.has(file), Refusal::File)
                }
                (Profile::Localhost(allowed), Profile::Localhost(file)) => (allowed == file, Refusal::OtherFile),
                (Profile::Any, _) => (true, why),
                (allowed, is) => (allowed == is && is != Profile::Unknown, why),
            };
            if is_allowed {
                return None;
            }
            why = otherwise;
        }
        Some(why)
    }

    /// The place of a profile, which no program mends if the runtime's own is not allowed. Nor one that names a file,
    /// which Kubernetes refuses beside the type `RuntimeDefault`.
    pub fn mended<'v>(place: Place<'v>, has_file: bool, is_default_allowed: bool) -> Place<'v> {
        if has_file || !is_default_allowed { place.mend(Mend::NONE) } else { place }
    }

    /// The object with the fields `type` and `localhostProfile`, as JSON.
    fn to_json(self) -> String {
        let mut json = own("{\"type\":\"");
        match self {
            Self::Localhost(file) => {
                put(&mut json, "Localhost\",\"localhostProfile\":");
                quote(file, &mut json);
                put(&mut json, "}");
                return json;
            }
            Self::Unconfined => put(&mut json, "Unconfined"),
            _ => put(&mut json, "RuntimeDefault"),
        }
        put(&mut json, "\"}");
        json
    }

    /// Sets this profile as a member of `securityContext` for the containers that lack one: at the pod, or at each of
    /// these containers, if the pod's would reach others as well.
    pub fn fill_in<'v>(
        self,
        member: &'static str,
        pod: &Pod<'v>,
        edits: &mut Edits<'v>,
        at_containers: bool,
        lacks: impl Fn(&Container<'v>) -> bool,
    ) {
        let member = || vec![(member, self.to_json())];
        for container in pod.containers().filter(lacks) {
            if !at_containers {
                return edits.pod(pod, "securityContext", member());
            }
            edits.container(&container, "securityContext", member());
        }
    }
}
