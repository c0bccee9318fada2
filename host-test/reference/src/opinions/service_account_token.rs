use podfence_service_account_token::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{
    LISTS, Mutable, Opinion, Pod, Violation, get, is_matched, list, setting_texts, text, texts, values, violation,
};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values(AUTOMOUNT, 60, &["false", "false", "true"], &["true"]),
        values("serviceAccountName", 20, &["web", "web", "web-2", "default"], &["", "*"]),
        values("serviceAccount", 20, &["web", "web", "web-2", "default"], &["", "*"]),
        values("schedulerName", 20, &["default-scheduler"], &[""]),
        values("volumes", 40, &[], &[]),
        values("volumes[*].name", 3, &["a", "a", "kube-api-access-b"], &[""]),
        values("volumes[*].projected.sources[*].serviceAccountToken", 40, &[], &[]),
        values(
            "volumes[*].projected.sources[*].serviceAccountToken.audience",
            50,
            &["vault", "k3s", "https://kubernetes.default.svc"],
            &["", "*", "Vault"],
        ),
        values(
            "volumes[*].projected.sources[*].serviceAccountToken.expirationSeconds",
            20,
            &["3607", "3607", "3600", "600"],
            &["86400", "0", "-1"],
        ),
        values("volumes[*].projected.sources[*].podCertificate", 80, &[], &[]),
        values(
            "volumes[*].projected.sources[*].podCertificate.signerName",
            10,
            &["example.com/a", "example.com/b"],
            &["", "*"],
        ),
        values("volumeMounts", 30, &[], &[]),
        values("volumeMounts[*].name", 3, &["a", "a", "kube-api-access-b"], &[""]),
        values("volumeMounts[*].mountPath", 3, &[PATH, PATH, "/token"], &["/var/run/secrets/kubernetes.io/serviceaccount/"]),
    ],
    settings,
    check,
    message: None,
    mutate: Some(mutate),
};

const AUTOMOUNT: &str = "automountServiceAccountToken";
const PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The controls for an account that is not allowed, if it is `default`.
const DEFAULT: &str = "defaultServiceAccount";

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.texts(
        "allowedServiceAccounts",
        &["default/web", "*/web-2", "kube-*/*", "default/w*", "*/default", "default/d*", "other/web", "*/*"],
    );
    for name in ["allowDefaultServiceAccount", "trustServiceAccount", "mutate"] {
        settings.flag(name);
    }
    settings.texts("apiServerAudiences", &["k3s", "https://kubernetes.default.svc"]);
    settings.texts("allowedAudiences", &["vault", "k3s", "*"]);
    settings.texts("allowedSigners", &["example.com/a", "*"]);
    if settings.draw.percent(40) {
        let most = [600, 3599, 3600, 3607, 86400][settings.draw.below(5)];
        settings.put("maxExpirationSeconds", json!(most));
    }
    settings.done()
}

fn account<'v>(pod: &Pod<'v>) -> &'v str {
    match [text(pod.spec, "serviceAccountName"), text(pod.spec, "serviceAccount")] {
        ["", ""] => "default",
        ["", old] => old,
        [name, _] => name,
    }
}

/// The control that an account violates with a token for the API server, if it may not have one.
fn refused(pod: &Pod<'_>, otherwise: &'static str) -> Option<&'static str> {
    let account = account(pod);
    let is_default = account == "default" && !pod.is("allowDefaultServiceAccount");
    let allowed = texts(pod.settings, "allowedServiceAccounts");
    let is_allowed = allowed.iter().filter_map(|entry| entry.split_once('/')).any(|(namespace, name)| {
        let is_named = if is_default { name == "default" } else { is_matched(name, account) };
        !pod.namespace.is_empty() && is_matched(namespace, pod.namespace) && is_named
    });
    let control = if is_default { DEFAULT } else { otherwise };
    (!is_allowed).then_some(control)
}

/// Whether a Pod shows that the API server has completed it.
fn is_completed(pod: &Pod<'_>) -> bool {
    let [name, old, scheduler] =
        ["serviceAccountName", "serviceAccount", "schedulerName"].map(|field| text(pod.spec, field));
    !pod.is_template && !name.is_empty() && name == old && !scheduler.is_empty()
}

/// Whether a token is the one that the API server adds to a Pod.
fn is_injected(pod: &Pod<'_>, volume: &Value, token: &Value) -> bool {
    let containers = LISTS.iter().flat_map(|name| list(pod.spec, name));
    let mut mounts = containers.flat_map(|container| list(container, "volumeMounts"));
    let is_mounted = mounts.any(|mount| text(mount, "mountPath") == PATH && text(mount, "name") == text(volume, "name"));
    is_completed(pod)
        && get(pod.spec, AUTOMOUNT) != false
        && text(token, "audience").is_empty()
        && get(token, "expirationSeconds") == 3607
        && is_mounted
}

/// Whether nobody knows if the pod gets a token.
fn is_unknown(pod: &Pod<'_>) -> bool {
    get(pod.spec, AUTOMOUNT).is_null() && !is_completed(pod) && !pod.is("trustServiceAccount")
}

fn is_listed(names: &[&str], name: &str) -> bool {
    names.contains(&"*") || names.contains(&name)
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    // A Pod that runs keeps the tokens that it has.
    if pod.containers().is_empty() || pod.old.is_some() {
        return found;
    }
    let of_api =
        setting_texts(pod.settings, "apiServerAudiences", &["https://kubernetes.default.svc.cluster.local", "https://kubernetes.default.svc"]);
    let audiences = setting_texts(pod.settings, "allowedAudiences", &["*"]);
    let signers = texts(pod.settings, "allowedSigners");
    let most = get(pod.settings, "maxExpirationSeconds").as_i64();
    let mut is_mounted = false;
    for (index, volume) in list(pod.spec, "volumes").iter().enumerate() {
        for (part, source) in list(volume, "projected.sources").iter().enumerate() {
            let path = format!("spec.volumes[{index}].projected.sources[{part}]");
            let (token, certificate) = (get(source, "serviceAccountToken"), get(source, "podCertificate"));
            if !certificate.is_null() && !is_listed(&signers, text(certificate, "signerName")) {
                found.push(violation("podCertificates", format!("{path}.podCertificate.signerName")));
            }
            if token.is_null() {
                continue;
            }
            if is_injected(pod, volume, token) {
                is_mounted = true;
                continue;
            }
            let audience = text(token, "audience");
            let is_for_api = audience.is_empty() || of_api.contains(&audience);
            if let Some(control) = refused(pod, "projectedTokens").filter(|&control| is_for_api || control == DEFAULT) {
                found.push(violation(control, format!("{path}.serviceAccountToken")));
            }
            if !is_for_api && !is_listed(&audiences, audience) {
                found.push(violation("tokenAudiences", format!("{path}.serviceAccountToken.audience")));
            }
            let seconds = get(token, "expirationSeconds").as_i64().unwrap_or(3600);
            if most.is_some_and(|most| seconds > most) {
                found.push(violation("tokenExpiration", format!("{path}.serviceAccountToken.expirationSeconds")));
            }
        }
    }
    let automount = get(pod.spec, AUTOMOUNT);
    let has_token = *automount == true || automount.is_null() && is_mounted || is_unknown(pod);
    if let Some(control) = refused(pod, AUTOMOUNT).filter(|_| has_token) {
        found.push(violation(control, format!("spec.{AUTOMOUNT}")));
    }
    found
}

fn mutate(pod: &mut Mutable<'_>) {
    let before = pod.before();
    let before = Pod {
        is_template: pod.is_template,
        namespace: pod.namespace,
        ..Pod::new(&before, pod.settings)
    };
    let is_needed = is_unknown(&before) && !before.containers().is_empty() && refused(&before, AUTOMOUNT).is_some();
    if pod.is("mutate") && is_needed {
        pod.set(AUTOMOUNT, json!(false));
    }
}
