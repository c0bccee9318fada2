//! Rejects pods with a token of their service account that they are not allowed to have.
//!
//! Unless the pod or its service account sets `automountServiceAccountToken: false`, Kubernetes gives every container a
//! token for the API server. Whoever controls the container has the permissions of that account. `default` is the account
//! of all pods that do not name another one, and often has more permissions than any of them needs.
//!
//! A Pod in an admission request has passed the API server, which adds a volume with the token if the pod is to have one.
//! So a Pod that neither sets the field nor has that volume is accepted: its service account sets `false`. For templates
//! and manifests of Pods this is not known yet, so they must set `false` themselves. A Pod counts as a manifest unless
//! `serviceAccountName`, `serviceAccount` (with the same name) and `schedulerName` are set, as the API server sets them.
//!
//! Of a Pod that runs, nobody can change the token: its updates, such as `kubectl debug`, are accepted.
//!
//! The policy does not find tokens in Secrets of the type `kubernetes.io/service-account-token`, since a pod mounts them
//! like every other Secret, nor tokens that a CSI driver requests.
#![cfg_attr(not(test), no_std)]

use podfence_core::{
    Edits, LISTS, List, Mend, Object, Place, Pod, Rule, Settings, String, Violations, mend, problem, split, vec,
};

podfence_core::fields! {
    AUTOMOUNT: Bool = Pod "automountServiceAccountToken",
        allowed "`false`; any for accounts within `allowedServiceAccounts` (none); unset in a Pod without a token in an \
            admission request, and elsewhere if `trustServiceAccount` (`false`) is `true`; any if every container is exempt";
    ACCOUNT: String = Pod "serviceAccountName";
    OLD_ACCOUNT: String = Pod "serviceAccount";
    SCHEDULER: String = Pod "schedulerName";
    VOLUMES: ObjectList = Pod "volumes";
    VOLUME_NAME: String = Pod "volumes[*].name";
    SOURCES: ObjectList = Pod "volumes[*].projected.sources";
    TOKEN: Object = Pod "volumes[*].projected.sources[*].serviceAccountToken",
        allowed "unset; a token for the API server for accounts within `allowedServiceAccounts` (none); any other token \
            for all accounts except `default`, for which `allowDefaultServiceAccount` (`false`) is `true`, or an entry of \
            `allowedServiceAccounts` names `default`";
    AUDIENCE: String = Pod "volumes[*].projected.sources[*].serviceAccountToken.audience",
        allowed "within `allowedAudiences` (any); unset or within `apiServerAudiences` if a token for the API server is \
            allowed";
    EXPIRATION: Integer = Pod "volumes[*].projected.sources[*].serviceAccountToken.expirationSeconds",
        allowed "at most `maxExpirationSeconds` (any); unset is 3600";
    CERTIFICATE: Object = Pod "volumes[*].projected.sources[*].podCertificate";
    SIGNER: String = Pod "volumes[*].projected.sources[*].podCertificate.signerName",
        allowed "within `allowedSigners` (none)";
    MOUNTS: ObjectList = Container "volumeMounts";
    MOUNTED: String = Container "volumeMounts[*].name";
    MOUNT_PATH: String = Container "volumeMounts[*].mountPath";
}

podfence_core::settings! {
    /// Allows these service accounts to have tokens for the API server. An entry is `namespace/name`, in which both are a
    /// name, or a prefix with a `*` at its end: `monitoring/prometheus`, `*/operator`, `ci-*/*`. It allows the account
    /// `default` only if it names it: `ci/default`, `*/default`. The namespace is that of the request.
    ALLOWED: StringList = "allowedServiceAccounts", default "[]";
    /// Treats the service account `default` like every other account. Otherwise its pods must not have any token, also
    /// not one for another audience, unless an entry of `allowedServiceAccounts` names `default`.
    ALLOW_DEFAULT: Bool = "allowDefaultServiceAccount", default "false";
    /// Accepts templates and manifests that do not set `automountServiceAccountToken`: their service account may say no.
    /// If it does not, their Pods are rejected.
    TRUST: Bool = "trustServiceAccount", default "false";
    /// The audiences of the API server: its flag `--api-audiences`, or its `--service-account-issuer`, which
    /// `kubectl get --raw /.well-known/openid-configuration` prints. A token that `kubectl create token default` prints has
    /// them in the claim `aud`: on k3s, `k3s` is one of them, and hosted clusters may have a URL of their own. A projected
    /// token for one of them counts as one without an audience. The list replaces the default.
    API_AUDIENCES: StringList = "apiServerAudiences",
        default "[\"https://kubernetes.default.svc.cluster.local\",\"https://kubernetes.default.svc\"]";
    /// Allows projected tokens for these other audiences; `"*"` stands for any. Audiences are compared exactly.
    ALLOWED_AUDIENCES: StringList = "allowedAudiences", default "[\"*\"]";
    /// Limits `expirationSeconds` of projected tokens, whatever their audience and account. Kubernetes allows no less
    /// than 600. The token that the API server adds itself is not limited.
    MAX_EXPIRATION: Integer = "maxExpirationSeconds";
    /// Allows projected certificates (`podCertificate`) of these signers; `"*"` stands for any.
    ALLOWED_SIGNERS: StringList = "allowedSigners", default "[]";
    /// Sets `automountServiceAccountToken: false` in templates and manifests that do not set it and would be rejected for
    /// that. `true` is never replaced. A Pod in an admission request is not changed but rejected: the API server has added
    /// the volume with the token before it calls policies.
    MUTATE: Bool = "mutate", default "false", mutates if true;
}

podfence_core::policy! { name: "service-account-token", check: check, mutate: mutate, validate: validate }

/// What `automountServiceAccountToken` must be, as JSON.
const NO: &str = "false";

/// The account of pods that name none.
const DEFAULT: &str = "default";

/// A rule for accounts that are not allowed, and the same for `default`.
const fn rules(rule: Rule) -> [Rule; 2] {
    let of_default = Rule { control: "defaultServiceAccount", setting: Some(ALLOW_DEFAULT.path), ..rule };
    [Rule { setting: Some(ALLOWED.path), ..rule }, of_default]
}

const AUTOMOUNTED: Rule = Rule {
    control: "automountServiceAccountToken",
    reason: "automountServiceAccountToken != false",
    fix: "set automountServiceAccountToken to false, unless the pod needs the API server",
    mend: &mend!(set NO),
    ..Rule::PLAIN
};

static UNSET: [Rule; 2] = rules(Rule {
    detail: "{who} with service {values:account|accounts} {values} must set automountServiceAccountToken=false",
    ..AUTOMOUNTED
});

static SET: [Rule; 2] = rules(Rule {
    detail: "{who} with service {values:account|accounts} {values} must not set automountServiceAccountToken=true",
    ..AUTOMOUNTED
});

static MOUNTED_ALREADY: [Rule; 2] = rules(Rule {
    detail: "{who} with service {values:account|accounts} {values} must set automountServiceAccountToken=false: the API \
             server added the token before it called this policy, which cannot remove it",
    fix: "set automountServiceAccountToken to false in the manifest or the template, or in the service account",
    mend: Mend::NONE,
    ..AUTOMOUNTED
});

static PROJECTED: [Rule; 2] = [
    Rule {
        control: "projectedTokens",
        reason: "service account tokens",
        detail: "{who} must not hold a token of service {values:account|accounts} {values} for the API server",
        fix: "remove the serviceAccountToken from the volume, or set its audience to who reads the token",
        setting: Some(ALLOWED.path),
        ..Rule::PLAIN
    },
    Rule {
        control: "defaultServiceAccount",
        reason: "service account tokens",
        detail: "{who} must not hold a token of service {values:account|accounts} {values}",
        fix: "set serviceAccountName to an account for this pod alone, or remove the serviceAccountToken from the volume",
        setting: Some(ALLOW_DEFAULT.path),
        ..Rule::PLAIN
    },
];

static WRONG_AUDIENCE: Rule = Rule {
    control: "tokenAudiences",
    reason: "token audiences",
    detail: "{who} must not hold a token for {values:audience|audiences} {values}",
    fix: "set audience to one that is allowed, or remove the serviceAccountToken from the volume",
    setting: Some(ALLOWED_AUDIENCES.path),
    ..Rule::PLAIN
};

static TOO_LONG: Rule = Rule {
    control: "tokenExpiration",
    reason: "token expiration",
    detail: "{who} must not set expirationSeconds to {numbers}",
    fix: "set expirationSeconds to what maxExpirationSeconds allows",
    setting: Some(MAX_EXPIRATION.path),
    ..Rule::PLAIN
};

static TOO_LONG_UNSET: Rule = Rule { detail: "{who} must set expirationSeconds, which is 3600 if unset", ..TOO_LONG };

static WRONG_SIGNER: Rule = Rule {
    control: "podCertificates",
    reason: "pod certificates",
    detail: "{who} must not hold a certificate of {values:signer|signers} {values}",
    fix: "set signerName to one that is allowed, or remove the podCertificate from the volume",
    setting: Some(ALLOWED_SIGNERS.path),
    ..Rule::PLAIN
};

/// Reports every token that the pod gets from the API server, or holds in a volume, without being allowed to.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    // The API server lets nobody change any of this once the pod is there.
    if is_exempt(pod) || pod.is_running() {
        return;
    }
    let account = account(pod);
    let refusal = refusal(pod, settings);
    let mut is_mounted = false;
    for (index, volume) in pod.list(VOLUMES).enumerate() {
        for (part, source) in volume.get(SOURCES).unwrap_or_default().objects().enumerate() {
            let at = |place: Place<'v>, value| {
                let place = place.element(index, volume).element(part, source).value(value);
                place.of_volume(volume.get(VOLUME_NAME).unwrap_or_default())
            };
            check_certificate(source, settings, |rule, value| found.add(rule, at(pod.at(SIGNER), value)));
            let Some(token) = source.get(TOKEN) else { continue };
            if is_injected(pod, volume, token) {
                is_mounted = true;
                continue;
            }
            let audience = token.get(AUDIENCE).unwrap_or_default();
            let is_for_api = audience.is_empty() || settings.strings(API_AUDIENCES).has(audience);
            if let Some(of) = refusal.filter(|&of| is_for_api || of == Refusal::Default) {
                found.add(&PROJECTED[of as usize], at(pod.at(TOKEN), source.at(TOKEN)).named(account));
            }
            if !is_for_api && !lists(settings.strings(ALLOWED_AUDIENCES), audience) {
                found.add(&WRONG_AUDIENCE, at(pod.at(AUDIENCE), token.at(AUDIENCE)));
            }
            if let Some(rule) = expiration_rule(token, settings) {
                found.add(rule, at(pod.at(EXPIRATION), token.at(EXPIRATION)));
            }
        }
    }
    if let (Some(of), Some(rules)) = (refusal, automount_rules(pod, settings, is_mounted)) {
        found.add(&rules[of as usize], pod.at(AUTOMOUNT).named(account));
    }
}

/// Sets the field to `false` where nobody knows whether the pod would get a token.
pub fn mutate<'v>(pod: &Pod<'v>, settings: &Settings<'_>, edits: &mut Edits<'v>) {
    let is_missing = is_unknown(pod, settings) && !is_exempt(pod) && refusal(pod, settings).is_some();
    if settings.is(MUTATE) && is_missing {
        edits.pod(pod, "", vec![("automountServiceAccountToken", String::from(NO))]);
    }
}

/// Whether all containers are exempt.
fn is_exempt(pod: &Pod<'_>) -> bool {
    pod.containers().next().is_none()
}

/// The name of the pod's service account.
fn account<'v>(pod: &Pod<'v>) -> &'v str {
    let names = [pod.get(ACCOUNT), pod.get(OLD_ACCOUNT)];
    names.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or(DEFAULT)
}

/// Why a service account must not have a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// No entry allows it.
    NotAllowed,
    /// It is `default`, and no entry names it.
    Default,
}

/// Returns why the service account of a pod must not have a token for the API server; `None` if it may.
fn refusal(pod: &Pod<'_>, settings: &Settings<'_>) -> Option<Refusal> {
    let account = account(pod);
    let is_named_only = account == DEFAULT && !settings.is(ALLOW_DEFAULT);
    let is_allowed = settings.strings(ALLOWED).strings().any(|entry| {
        let (namespace, name) = split(entry, b'/');
        let matches_name = if is_named_only { name == DEFAULT } else { matches(name, account) };
        matches_name && matches(namespace, settings.namespace())
    });
    if is_allowed {
        None
    } else if is_named_only {
        Some(Refusal::Default)
    } else {
        Some(Refusal::NotAllowed)
    }
}

/// Whether a name, or a prefix of it with a trailing `*`, matches this one. Nothing matches an empty one.
#[inline(never)]
fn matches(pattern: &str, name: &str) -> bool {
    !name.is_empty()
        && match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        }
}

/// Whether a list has a string, or the star for any.
fn lists(list: List<'_>, string: &str) -> bool {
    list.has("*") || list.has(string)
}

/// Returns the rules about `automountServiceAccountToken` that a pod violates if its account is refused a token.
fn automount_rules(pod: &Pod<'_>, settings: &Settings<'_>, is_mounted: bool) -> Option<&'static [Rule; 2]> {
    match pod.get(AUTOMOUNT) {
        Some(true) => Some(&SET),
        None if is_mounted => Some(&MOUNTED_ALREADY),
        None if is_unknown(pod, settings) => Some(&UNSET),
        _ => None,
    }
}

/// Whether the pod leaves the token to its service account, whose answer is neither visible nor trusted.
fn is_unknown(pod: &Pod<'_>, settings: &Settings<'_>) -> bool {
    pod.get(AUTOMOUNT).is_none() && !is_completed(pod) && !settings.is(TRUST)
}

/// Whether a Pod has passed the API server. A manifest may have a `serviceAccountName` as well, and a few have the old
/// name beside it, but hardly any has all three.
fn is_completed(pod: &Pod<'_>) -> bool {
    let account = pod.get(ACCOUNT).unwrap_or_default();
    let has_names = !account.is_empty() && pod.get(OLD_ACCOUNT) == Some(account);
    !pod.is_template() && has_names && !pod.get(SCHEDULER).unwrap_or_default().is_empty()
}

/// Where the API server mounts its token.
const PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How long that token is valid, in seconds.
const INJECTED_EXPIRATION: i64 = 3607;

/// Whether the API server has added a token. Names do not count: anybody can give their own volume one that starts like
/// the API server's, and the API server then adds nothing.
fn is_injected(pod: &Pod<'_>, volume: Object<'_>, token: Object<'_>) -> bool {
    let name = volume.get(VOLUME_NAME).unwrap_or_default();
    let is_mount =
        |mount: Object<'_>| mount.get(MOUNT_PATH) == Some(PATH) && mount.get(MOUNTED).unwrap_or_default() == name;
    let is_mounted = |container: Object<'_>| container.get(MOUNTS).unwrap_or_default().objects().any(is_mount);
    is_completed(pod)
        && pod.get(AUTOMOUNT) != Some(false)
        && token.get(AUDIENCE).unwrap_or_default().is_empty()
        && token.get(EXPIRATION) == Some(INJECTED_EXPIRATION)
        && LISTS.into_iter().any(|list| pod.list(list).any(is_mounted))
}

/// What the API server fills in for `expirationSeconds`.
const DEFAULT_EXPIRATION: i64 = 3600;

/// Returns the rule that a token violates which is valid for too long.
fn expiration_rule(token: Object<'_>, settings: &Settings<'_>) -> Option<&'static Rule> {
    let most = settings.get(MAX_EXPIRATION)?;
    match token.get(EXPIRATION) {
        Some(seconds) => (seconds > most).then_some(&TOO_LONG),
        None => (DEFAULT_EXPIRATION > most).then_some(&TOO_LONG_UNSET),
    }
}

/// Reports a certificate of a signer that is not allowed.
fn check_certificate<'v>(
    source: Object<'v>,
    settings: &Settings<'_>,
    mut report: impl FnMut(&'static Rule, Option<Object<'v>>),
) {
    if let Some(certificate) = source.get(CERTIFICATE) {
        let signer = certificate.get(SIGNER).unwrap_or_default();
        if !lists(settings.strings(ALLOWED_SIGNERS), signer) {
            report(&WRONG_SIGNER, certificate.at(SIGNER));
        }
    }
}

/// The shortest `expirationSeconds` that Kubernetes allows.
const LEAST_EXPIRATION: i64 = 600;

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// An allowed account would never match, or no token could be short enough.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    for entry in settings.strings(ALLOWED).objects() {
        let (namespace, name) = split(entry.string().unwrap_or_default(), b'/');
        if !is_pattern(namespace) || !is_pattern(name) || name.contains('/') {
            let expected = "expected namespace/name, each a name or a prefix with one * at its end, found ";
            return Err(problem(ALLOWED.path, expected, entry.raw()));
        }
    }
    match settings.get(MAX_EXPIRATION) {
        Some(most) if most < LEAST_EXPIRATION => {
            Err(problem(MAX_EXPIRATION.path, "expected at least 600, since Kubernetes allows no less", ""))
        }
        _ => Ok(()),
    }
}

/// Whether it is a name, or a prefix with one trailing `*`.
fn is_pattern(text: &str) -> bool {
    let (before, behind) = split(text, b'*');
    !text.is_empty() && behind.is_empty() && before.len() + 1 >= text.len()
}
