//! Built-in admission requests to measure with: a pod as a busy cluster sends it, compliant with the
//! restricted Pod Security Standard, so that a policy has to read all of it.

use podfence_scan::AdmissionRequest;
use serde_json::{Value, json};

/// How large the sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Size {
    /// Three containers, 9 KB.
    #[default]
    Small,
    /// Fifty containers, 204 KB.
    Large,
}

/// The creation of a pod by the ReplicaSet controller.
pub fn request(size: Size) -> AdmissionRequest {
    let (containers, variables) = match size {
        Size::Small => (3, 3),
        Size::Large => (50, 16),
    };
    serde_json::from_value(json!({
        "uid": "3f5c9f0e-1f0a-4c58-9d47-6a2f0f6c2b11",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "checkout-7c9d8f6b5d-x2x7q",
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {
            "username": "system:serviceaccount:kube-system:replicaset-controller",
            "uid": "0b7c1a34-2b64-4b0e-8f3e-d1f2a4c5b6e7",
            "groups": [
                "system:serviceaccounts", "system:serviceaccounts:kube-system",
                "system:authenticated",
            ],
        },
        "object": pod(containers, variables),
        "dryRun": false,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }))
    .expect("the sample is an AdmissionRequest")
}

fn pod(containers: usize, variables: usize) -> Value {
    let names: Vec<String> = (0..containers).map(container_name).collect();
    let containers: Vec<Value> = names.iter().map(|name| container(name, variables)).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(&names, variables),
        "spec": {
            "containers": containers,
            "volumes": volumes(),
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "checkout",
            "serviceAccount": "checkout",
            "securityContext": {
                "runAsUser": 10001, "runAsGroup": 10001, "runAsNonRoot": true, "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "affinity": {"podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{
                    "weight": 100,
                    "podAffinityTerm": {
                        "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "checkout"}},
                        "topologyKey": "topology.kubernetes.io/zone",
                    },
                }],
            }},
            "schedulerName": "default-scheduler",
            "tolerations": [
                {"key": "node.kubernetes.io/not-ready", "operator": "Exists",
                 "effect": "NoExecute", "tolerationSeconds": 300},
                {"key": "node.kubernetes.io/unreachable", "operator": "Exists",
                 "effect": "NoExecute", "tolerationSeconds": 300},
            ],
            "priority": 0,
            "enableServiceLinks": true,
            "preemptionPolicy": "PreemptLowerPriority",
        },
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    })
}

fn metadata(containers: &[String], variables: usize) -> Value {
    let owner = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-7c9d8f6b5d",
        "uid": "a7d3c0de-8d6e-4f2b-9d25-5f0c3b1f7a42",
        "controller": true, "blockOwnerDeletion": true,
    });
    json!({
        "name": "checkout-7c9d8f6b5d-x2x7q",
        "generateName": "checkout-7c9d8f6b5d-",
        "namespace": "shop",
        "uid": "5b2d9c1e-66b6-4a53-a0a1-2f3f6de0c9aa",
        "creationTimestamp": "2026-03-02T09:41:27Z",
        "labels": {
            "app.kubernetes.io/name": "checkout",
            "app.kubernetes.io/instance": "checkout-production",
            "app.kubernetes.io/version": "4.18.2",
            "app.kubernetes.io/managed-by": "Helm",
            "helm.sh/chart": "checkout-4.18.2",
            "pod-template-hash": "7c9d8f6b5d",
            "team": "payments",
        },
        "annotations": {
            "checksum/config": "5d41402abc4b2a76b9719d911017c592ae2f1c8e5d41402abc4b2a76b9719d91",
            "prometheus.io/scrape": "true",
            "prometheus.io/port": "9102",
            "kubectl.kubernetes.io/restartedAt": "2026-03-01T17:02:11+01:00",
        },
        "ownerReferences": [owner],
        "managedFields": [{
            "manager": "kube-controller-manager",
            "operation": "Update",
            "apiVersion": "v1",
            "time": "2026-03-02T09:41:27Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": managed_fields(containers, variables),
        }],
    })
}

fn managed_fields(containers: &[String], variables: usize) -> Value {
    let managed: serde_json::Map<String, Value> = containers
        .iter()
        .map(|name| {
            let key = format!("k:{{\"name\":\"{name}\"}}");
            (key, managed_container(variables))
        })
        .collect();
    json!({
        "f:metadata": {
            "f:annotations": {".": {}, "f:checksum/config": {}, "f:prometheus.io/scrape": {}},
            "f:generateName": {},
            "f:labels": {".": {}, "f:app.kubernetes.io/name": {}, "f:pod-template-hash": {}},
            "f:ownerReferences": {".": {}},
        },
        "f:spec": {
            "f:containers": managed,
            "f:dnsPolicy": {}, "f:restartPolicy": {}, "f:schedulerName": {},
            "f:securityContext": {".": {}, "f:runAsNonRoot": {}, "f:seccompProfile": {}},
        },
    })
}

fn managed_container(variables: usize) -> Value {
    let env: serde_json::Map<String, Value> = (0..variables)
        .map(|index| {
            let key = format!("k:{{\"name\":\"{}\"}}", variable_name(index));
            (key, json!({".": {}, "f:name": {}}))
        })
        .collect();
    json!({
        ".": {}, "f:env": env, "f:image": {}, "f:livenessProbe": {}, "f:name": {},
        "f:resources": {".": {}, "f:limits": {}, "f:requests": {}},
        "f:securityContext": {".": {}, "f:allowPrivilegeEscalation": {}, "f:capabilities": {}},
    })
}

fn container_name(index: usize) -> String {
    let role = ["web", "cache", "proxy", "worker", "metrics"][index % 5];
    format!("checkout-{role}-{index}")
}

fn variable_name(index: usize) -> String {
    let name = ["DATABASE_HOST", "CACHE_URL", "LOG_LEVEL", "FEATURES", "TIMEOUT_SECONDS"];
    format!("CHECKOUT_{}_{index}", name[index % name.len()])
}

fn container(name: &str, variables: usize) -> Value {
    let env: Vec<Value> = (0..variables).map(variable).collect();
    json!({
        "name": name,
        "image": "registry.example.com/shop/checkout@sha256:9b2f1c7f0d4a6e58c3b1a09f8e7d6c5b4a39281706f5e4d3c2b1a0998877665f",
        "command": ["/usr/local/bin/checkout"],
        "args": ["serve", "--listen=0.0.0.0:8080", "--metrics=0.0.0.0:9102"],
        "ports": [
            {"name": "http", "containerPort": 8080, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9102, "protocol": "TCP"},
        ],
        "env": env,
        "resources": {
            "limits": {"cpu": "500m", "memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "256Mi"},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/checkout", "readOnly": true},
            {"name": "kube-api-access-7ks8d", "readOnly": true,
             "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
        ],
        "livenessProbe": probe("/healthz", 10),
        "readinessProbe": probe("/ready", 5),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": {
            "allowPrivilegeEscalation": false, "privileged": false, "readOnlyRootFilesystem": true,
            "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
        },
    })
}

fn variable(index: usize) -> Value {
    let name = variable_name(index);
    match index % 4 {
        1 => json!({"name": name, "valueFrom": {"secretKeyRef": {
            "name": "checkout-credentials", "key": "url"}}}),
        2 => json!({"name": name, "valueFrom": {"fieldRef": {
            "apiVersion": "v1", "fieldPath": "metadata.name"}}}),
        _ => json!({"name": name, "value": "checkout-db.shop.svc.cluster.local:5432"}),
    }
}

fn probe(path: &str, period: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": period, "successThreshold": 1, "failureThreshold": 3,
    })
}

fn volumes() -> Value {
    json!([
        {"name": "config", "configMap": {"name": "checkout-config", "defaultMode": 420}},
        {"name": "kube-api-access-7ks8d", "projected": {"defaultMode": 420, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {
                "apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
        ]}},
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::validate_payload;

    fn payload_bytes(size: Size) -> usize {
        validate_payload(&request(size), &serde_json::Map::new()).len()
    }

    #[test]
    fn the_samples_have_the_sizes_that_figures_are_quoted_for() {
        let small = payload_bytes(Size::Small);
        assert!((9_000..9_500).contains(&small), "{small}");
        let large = payload_bytes(Size::Large);
        assert!((200_000..208_000).contains(&large), "{large}");
    }
}
