//! An object of a file as a policy would get to see it: with the defaults of the API server that decide a verdict, and
//! without what only a controller may say.

use std::borrow::Cow;

use crate::object::Object;
use crate::request::GroupVersionKind;
use podfence_core::workload::WORKLOADS;
use serde_json::Value;

/// The object as JSON.
///
/// - In a Pod in the host network, each container port is a host port. In a template it is not yet one, but in each pod
///   that is made of it: what refuses that pod is found in the template.
/// - The copies that a controller makes of its template are judged with it. In a file nobody vouches for it, so that
///   `controller` is taken out of what owns a ReplicaSet or a ReplicationController.
///
/// Policies know the other defaults themselves. Few objects are changed; the others cost a search for a word.
pub fn as_stored(object: &Object) -> Cow<'_, str> {
    let json = object.json.as_str();
    let GroupVersionKind { group, kind, .. } = &object.kind;
    let workload = WORKLOADS.iter().find(|of| of.group == group && of.kind == kind);
    let workload = workload.filter(|_| json.contains(r#""hostNetwork":true"#) && json.contains(r#""containerPort":"#));
    let is_copy = matches!(kind.as_str(), "ReplicaSet" | "ReplicationController");
    let is_owned = is_copy && json.contains(r#""controller":true"#);
    if workload.is_none() && !is_owned {
        return Cow::Borrowed(json);
    }
    // What is nested too deeply, the policies refuse themselves.
    let Ok(mut value) = serde_json::from_str::<Value>(json) else { return Cow::Borrowed(json) };
    if let Some(workload) = workload {
        let mut template = workload.template.split('.').filter(|key| !key.is_empty());
        let pod = template.try_fold(&mut value, |of, key| of.get_mut(key));
        pod.into_iter().for_each(add_host_ports);
    }
    if is_owned {
        remove_controller(&mut value);
    }
    Cow::Owned(value.to_string())
}

/// Sets the host ports of a Pod as the API server does: in the host network, each container port is one.
pub(crate) fn add_host_ports(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec").filter(|spec| spec["hostNetwork"] == true) else { return };
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        let ports = containers.filter_map(|container| container.get_mut("ports")?.as_array_mut()).flatten();
        for port in ports.filter_map(Value::as_object_mut) {
            let is_unset = port.get("hostPort").is_none_or(|of| of.is_null() || *of == 0);
            if let Some(number) = port.get("containerPort").cloned().filter(|_| is_unset) {
                port.insert("hostPort".to_owned(), number);
            }
        }
    }
}

fn remove_controller(copy: &mut Value) {
    let owners = copy.pointer_mut("/metadata/ownerReferences").and_then(Value::as_array_mut);
    for owner in owners.into_iter().flatten().filter_map(Value::as_object_mut) {
        owner.remove("controller");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(api_version: &str, kind: &str, json: &str) -> String {
        let kind = GroupVersionKind::new(api_version, kind);
        let object = Object { json: json.to_owned(), ..Object::new(kind) };
        as_stored(&object).into_owned()
    }

    #[test]
    fn a_pod_in_the_host_network_has_host_ports() {
        let spec = r#"{"hostNetwork":true,"containers":[{"ports":[{"containerPort":80},{"containerPort":81,"hostPort":8081},{"hostPort":0,"containerPort":82}]}]}"#;
        let pod = format!(r#"{{"spec":{spec}}}"#);
        let expected = r#"{"spec":{"hostNetwork":true,"containers":[{"ports":[{"containerPort":80,"hostPort":80},{"containerPort":81,"hostPort":8081},{"hostPort":82,"containerPort":82}]}]}}"#;
        assert_eq!(stored("v1", "Pod", &pod), expected);
        let template = |pod: &str| format!(r#"{{"spec":{{"template":{pod}}}}}"#);
        assert_eq!(stored("apps/v1", "Deployment", &template(&pod)), template(expected));
        assert_eq!(stored("example.com/v1", "Deployment", &template(&pod)), template(&pod));
        let elsewhere = r#"{"metadata":{"hostNetwork":true},"spec":{"containers":[{"ports":[{"containerPort":80}]}]}}"#;
        assert_eq!(stored("v1", "Pod", elsewhere), elsewhere);
    }

    #[test]
    fn nobody_vouches_for_a_copy() {
        let json = r#"{"metadata":{"ownerReferences":[{"name":"a","controller":true},{"name":"b"}]}}"#;
        let expected = r#"{"metadata":{"ownerReferences":[{"name":"a"},{"name":"b"}]}}"#;
        assert_eq!(stored("apps/v1", "ReplicaSet", json), expected);
        assert_eq!(stored("v1", "ReplicationController", json), expected);
        assert_eq!(stored("batch/v1", "Job", json), json);
    }
}
