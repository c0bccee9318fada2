//! Rejects volumes whose type is not allowed.
//!
//! A `hostPath` volume is the node's own files, and the node mounts most types of network storage as root, with
//! options from the pod. What a pod needs is behind a claim or a CSI driver, or made for it alone.
#![cfg_attr(not(test), no_std)]

use podfence_core::{Field, Object, Pod, Rule, Settings, String, Violations, problem, types};

podfence_core::fields! {
    VOLUMES: ObjectList = Pod "volumes",
        allowed "each of a type within `allowedTypes` (the types of the restricted Pod Security Standard)";
    VOLUME_NAME: String = Pod "volumes[*].name";
    // Every other member of a volume is a source.
    SOURCE: Object = Pod "volumes[*].*";
    CLAIMS: ObjectList = Workload "spec.volumeClaimTemplates",
        allowed "none, unless `allowedTypes` has `persistentVolumeClaim`, as by default";
    CLAIM_NAME: String = Workload "spec.volumeClaimTemplates[*].metadata.name";
    // What tells an injected volume from other projected ones; see `INJECTED`.
    PROJECTED: Object = Pod "volumes[*].projected";
    PROJECTED_MEMBER: Any = Pod "volumes[*].projected.*";
    PARTS: ObjectList = Pod "volumes[*].projected.sources";
    PART: Object = Pod "volumes[*].projected.sources[*].*";
    PART_MEMBER: Any = Pod "volumes[*].projected.sources[*].*.*";
    ITEMS: ObjectList = Pod "volumes[*].projected.sources[*].*.items";
    ITEM_MEMBER: Any = Pod "volumes[*].projected.sources[*].*.items[*].*";
    FIELD_REF: Object = Pod "volumes[*].projected.sources[*].*.items[*].fieldRef";
    FIELD_REF_MEMBER: Any = Pod "volumes[*].projected.sources[*].*.items[*].fieldRef.*";
}

podfence_core::settings! {
    /// Allows these types of volumes, named like their fields; `"*"` stands for any, even for types that this policy
    /// does not know. The `volumeClaimTemplates` of a StatefulSet are of type `persistentVolumeClaim`. The volume that
    /// the API server adds to Pods for the token of their service account is allowed by `projected` or `secret`.
    ALLOWED: StringList = "allowedTypes", alias "volumes",
        one_of ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
            "secret", "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs",
            "rbd", "flexVolume", "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte",
            "azureDisk", "photonPersistentDisk", "portworxVolume", "scaleIO", "storageos", "*"],
        default "[\"configMap\",\"csi\",\"downwardAPI\",\"emptyDir\",\"ephemeral\",\"image\",\"persistentVolumeClaim\",\"projected\",\"secret\"]";
    /// The Kubewarden policy's setting; only `false` is accepted. Volumes of init containers cannot be ignored, since
    /// an ephemeral container that is added later can mount any volume of the pod.
    IGNORE_INIT: Bool = "ignoreInitContainersVolumes", default "false", of "Kubewarden";
}

podfence_core::policy! { name: "volumes", check: check, validate: validate }

/// The known types, in the order in which the built-in admission looks for them, followed by the star.
const TYPES: &[&str] = SETTINGS[0].options;

static RESTRICTED: Rule = Rule {
    control: "restrictedVolumes",
    reason: "restricted volume types",
    detail: "{who} {who:uses|use} restricted volume {values:type|types} {values}",
    fix: "use a type of volume that is allowed, such as persistentVolumeClaim",
    setting: Some(ALLOWED.path),
    ..Rule::PLAIN
};

/// Reports volumes whose type is not allowed, and claims from which volumes of that type will be made.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    let allowed = settings.strings(ALLOWED);
    if allowed.has("*") {
        return;
    }
    check_volumes(pod, found, |is, volume| {
        // PodSecurityPolicy did the same: before there were such volumes, the token was in a secret.
        allowed.has(is) || is == "projected" && allowed.has("secret") && is_injected(volume)
    });
    if !allowed.has(CLAIM) {
        for (index, claim) in pod.workload(CLAIMS).unwrap_or_default().objects().enumerate() {
            let place = pod.at_workload(CLAIMS).element(index, claim).named(CLAIM).hint(CLAIMED);
            found.add(&RESTRICTED, place.of_volume(claim.get(CLAIM_NAME).unwrap_or_default()));
        }
    }
}

const CLAIM: &str = "persistentVolumeClaim";

/// Why a claim is reported.
const CLAIMED: &str = "each of volumeClaimTemplates becomes a persistentVolumeClaim of the pods";

/// Checks the restricted control of the Pod Security Standards.
pub fn check_restricted<'v>(pod: &Pod<'v>, found: &mut Violations<'v>) {
    let allowed = TYPES.get(..9).unwrap_or_default();
    check_volumes(pod, found, |is, _| allowed.contains(&is));
}

fn check_volumes<'v>(pod: &Pod<'v>, found: &mut Violations<'v>, is_allowed: impl Fn(&str, Object<'v>) -> bool) {
    for (index, volume) in pod.list(VOLUMES).enumerate() {
        if let Some(restricted) = restricted_type(volume, |is| is_allowed(is, volume)) {
            let place = pod.at(VOLUMES).element(index, volume).named(restricted);
            found.add(&RESTRICTED, place.of_volume(volume.get(VOLUME_NAME).unwrap_or_default()));
        }
    }
}

/// Returns the type of a volume; `None` if it is allowed.
fn restricted_type(volume: Object<'_>, is_allowed: impl Fn(&str) -> bool) -> Option<&'static str> {
    let (mut first, mut has_source) = (None, false);
    // Where more of it is read, it is not an entry.
    let projected = volume.get(PROJECTED).map(|_| "projected");
    for source in volume.entries(SOURCE).map(|(source, _)| source).chain(projected) {
        has_source = true;
        let Some(known) = TYPES.iter().position(|known| *known == source && source != "*") else { continue };
        // The built-in admission stops here as well, and the API server refuses volumes with two sources.
        if is_allowed(source) {
            return None;
        }
        first = Some(first.map_or(known, |first: usize| first.min(known)));
    }
    let restricted = match first {
        Some(first) => *TYPES.get(first)?,
        None if has_source => "unknown",
        // The API server makes a volume without a source an emptyDir.
        None => "emptyDir",
    };
    if is_allowed(restricted) { None } else { Some(restricted) }
}

/// A source of an injected volume: its type, and the members of three objects, with their values as they stand in the
/// text; without a value, any will do.
struct Part {
    source: &'static str,
    has: &'static [Member],
    /// Those of its only item; it has no item if there are none.
    item: &'static [Member],
    /// Those of the item's `fieldRef`.
    field_ref: &'static [Member],
}

type Member = (&'static str, &'static str);

/// What the API server puts into the volume for the token of a service account: one of each, and nothing else.
static INJECTED: [Part; 3] = [
    Part {
        source: "serviceAccountToken",
        has: &[("expirationSeconds", ""), ("path", "\"token\"")],
        item: &[],
        field_ref: &[],
    },
    Part {
        source: "configMap",
        has: &[("name", "\"kube-root-ca.crt\"")],
        item: &[("key", "\"ca.crt\""), ("path", "\"ca.crt\"")],
        field_ref: &[],
    },
    Part {
        source: "downwardAPI",
        has: &[],
        item: &[("path", "\"namespace\"")],
        field_ref: &[("apiVersion", "\"v1\""), ("fieldPath", "\"metadata.namespace\"")],
    },
];

/// What its name starts with; random letters follow.
const PREFIX: &str = "kube-api-access-";

/// Whether a volume is what the API server adds to Pods for the token of their service account, and nothing more.
#[inline(never)]
fn is_injected(volume: Object<'_>) -> bool {
    let name = volume.get(VOLUME_NAME).unwrap_or_default();
    let projected = volume.get(PROJECTED).unwrap_or_default();
    let parts = || projected.get(PARTS).unwrap_or_default().objects();
    name.len() > PREFIX.len()
        && name.get(..PREFIX.len()) == Some(PREFIX)
        && has_just(projected, PROJECTED_MEMBER, &[("defaultMode", "")])
        && parts().count() == INJECTED.len()
        && INJECTED.iter().all(|injected| parts().any(|part| is_part(part, injected)))
}

#[inline(never)]
fn is_part(part: Object<'_>, injected: &Part) -> bool {
    let mut is = false;
    for (kind, source) in part.entries(PART) {
        if kind != injected.source {
            return false;
        }
        let items = || source.get(ITEMS).unwrap_or_default().objects();
        is = has_just(source, PART_MEMBER, injected.has)
            && items().count() == usize::from(!injected.item.is_empty())
            && items().all(|item| {
                let field_ref = item.get(FIELD_REF).unwrap_or_default();
                has_just(item, ITEM_MEMBER, injected.item) && has_just(field_ref, FIELD_REF_MEMBER, injected.field_ref)
            });
    }
    is
}

/// Whether an object has these members and no others.
#[inline(never)]
fn has_just(object: Object<'_>, field: Field<types::Any>, members: &[Member]) -> bool {
    let mut missing = members.len();
    object.entries(field).all(|(key, value)| {
        missing = missing.wrapping_sub(1);
        members.iter().any(|member| member.0 == key && (member.1.is_empty() || member.1 == value.raw()))
    }) && missing == 0
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// `ignoreInitContainersVolumes` is `true`.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    if settings.is(IGNORE_INIT) {
        return Err(problem(IGNORE_INIT.path, "expected false, since any container can mount a volume later", ""));
    }
    Ok(())
}
