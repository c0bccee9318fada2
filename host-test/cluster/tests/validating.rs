//! ValidatingAdmissionPolicies: what is refused, what judges nothing, and what they decide.

use podfence_cluster::matching::Namespaces;
use podfence_cluster::validating::{Answer, Denied, ReadError, Unbound, Validating};
use podfence_scan::AdmissionRequest;
use podfence_scan::request::{Sender, requests};
use serde_json::{Value, json};

/// A policy for pods with this spec beside its rules.
fn policy(name: &str, spec: Value) -> Value {
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let mut policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name}, "spec": {"matchConstraints": {"resourceRules": [rule]}},
    });
    policy["spec"].as_object_mut().expect("a spec").extend(spec.as_object().expect("a spec").clone());
    policy
}

fn binding(name: &str, of: &str, spec: Value) -> Value {
    let mut binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name}, "spec": {"policyName": of, "validationActions": ["Deny"]},
    });
    binding["spec"].as_object_mut().expect("a spec").extend(spec.as_object().expect("a spec").clone());
    binding
}

fn validations(expression: &str) -> Value {
    json!({"validations": [{"expression": expression}]})
}

fn read(documents: &[Value], unbound: Unbound) -> (Validating, Vec<String>) {
    let mut validating = Validating::default();
    for document in documents {
        validating.add(document).unwrap_or_else(|error| panic!("{error}"));
    }
    let notes = validating.bind(unbound);
    (validating, notes)
}

#[test]
fn what_is_refused() {
    let with = |spec: Value| policy("p", spec);
    let reference = |of: Value| binding("b", "p", json!({"paramRef": of}));
    let old = json!({
        "apiVersion": "admissionregistration.k8s.io/v1beta1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
    });
    let mutating = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": "m"},
    });
    let cases = [
        (
            mutating,
            "unsupported MutatingAdmissionPolicy/m: changes objects, which only the API server does with such a policy",
        ),
        (
            old,
            "ValidatingAdmissionPolicy/p: apiVersion: expected admissionregistration.k8s.io/v1, found \"admissionregistration.k8s.io/v1beta1\"",
        ),
        (
            with(json!({})),
            "ValidatingAdmissionPolicy/p: spec.validations: expected at least one, or an auditAnnotation",
        ),
        (with(json!({"validatons": []})), "ValidatingAdmissionPolicy/p: spec.validatons: unknown field"),
        (
            with(json!({"matchConstraints": {}})),
            "ValidatingAdmissionPolicy/p: spec.matchConstraints.resourceRules: expected at least one",
        ),
        (
            with(
                json!({"matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["Pods"]}]}}),
            ),
            "ValidatingAdmissionPolicy/p: spec.matchConstraints.resourceRules[0].resources: expected the plural of a kind in lower case, such as pods or pods/ephemeralcontainers, found \"Pods\"",
        ),
        (
            with(validations("object.spec.x")),
            "ValidatingAdmissionPolicy/p: spec.validations[0].expression: line 1, column 12: the expression must evaluate to bool, found dyn; compare the value, as in … == true",
        ),
        (with(validations(" ")), "ValidatingAdmissionPolicy/p: spec.validations[0].expression: expected an expression"),
        (
            with(validations("params.x == 1")),
            "ValidatingAdmissionPolicy/p: spec.validations[0].expression: line 1, column 1: undeclared reference to \"params\"; declared are object, oldObject, request, namespaceObject",
        ),
        (
            with(validations("authorizer.group('').resource('pods').check('get').allowed()")),
            "unsupported ValidatingAdmissionPolicy/p: spec.validations[0].expression: line 1, column 17: authorizer cannot be evaluated here; the API server evaluates it",
        ),
        (
            with(json!({"validations": [{"expression": "true", "message": "a\nb"}]})),
            "ValidatingAdmissionPolicy/p: spec.validations[0].message: expected no line breaks",
        ),
        (
            with(json!({"validations": [{"expression": "true", "messageExpression": "1"}]})),
            "ValidatingAdmissionPolicy/p: spec.validations[0].messageExpression: line 1, column 1: the expression must evaluate to string, found int",
        ),
        (
            with(json!({"validations": [{"expression": "true", "reason": "No"}]})),
            "ValidatingAdmissionPolicy/p: spec.validations[0].reason: expected Forbidden, Invalid, RequestEntityTooLarge, found \"No\"",
        ),
        (
            with(json!({"variables": [{"name": "in", "expression": "1"}], "validations": [{"expression": "true"}]})),
            "ValidatingAdmissionPolicy/p: spec.variables[0].name: expected a name as in a CEL expression, found \"in\"",
        ),
        (
            with(
                json!({"variables": [{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}], "validations": [{"expression": "true"}]}),
            ),
            "unsupported ValidatingAdmissionPolicy/p: spec.variables[0].expression (a): line 1, column 1: variables without the name of one cannot be evaluated here; the API server evaluates it",
        ),
        (
            with(json!({"failurePolicy": "fail", "validations": [{"expression": "true"}]})),
            "ValidatingAdmissionPolicy/p: spec.failurePolicy: expected Fail or Ignore, found \"fail\"",
        ),
        (
            with(json!({"paramKind": {"kind": "X"}, "validations": [{"expression": "true"}]})),
            "ValidatingAdmissionPolicy/p: spec.paramKind: expected an apiVersion and a kind",
        ),
        (
            binding("b", "p", json!({"validationActions": ["Deny", "Warn"]})),
            "ValidatingAdmissionPolicyBinding/b: spec.validationActions: expected Deny or Warn, found both",
        ),
        (
            binding("b", "p", json!({"validationActions": []})),
            "ValidatingAdmissionPolicyBinding/b: spec.validationActions: expected at least one of Deny, Warn and Audit",
        ),
        (
            binding("b", "", json!({})),
            "ValidatingAdmissionPolicyBinding/b: spec.policyName: expected the name of a policy",
        ),
        (
            reference(json!({"parameterNotFoundAction": "Deny"})),
            "ValidatingAdmissionPolicyBinding/b: spec.paramRef: expected a name or a selector",
        ),
        (
            reference(json!({"name": "a"})),
            "ValidatingAdmissionPolicyBinding/b: spec.paramRef.parameterNotFoundAction: expected Allow or Deny",
        ),
    ];
    for (document, expected) in cases {
        let found = match Validating::default().add(&document) {
            Ok(()) => "read".to_owned(),
            Err(ReadError::Refused(problem)) => problem,
            Err(ReadError::Unsupported(problem)) => format!("unsupported {problem}"),
        };
        assert_eq!(found, expected, "{document}");
    }
}

#[test]
fn what_judges_nothing_is_told() {
    let with_params =
        json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "validations": [{"expression": "true"}]});
    let documents = [policy("a", validations("true")), policy("b", with_params), binding("c", "other", json!({}))];
    let other =
        "ValidatingAdmissionPolicyBinding/c: its policy \"other\" is not among the documents: it judges nothing";
    let (validating, notes) = read(&documents, Unbound::Ignored);
    assert_eq!(validating.judging_creations().count(), 0);
    assert_eq!(
        notes,
        [
            other,
            "ValidatingAdmissionPolicy/a: without a binding, it judges nothing; add a ValidatingAdmissionPolicyBinding, or use --unbound deny",
            "ValidatingAdmissionPolicy/b: without a binding, it judges nothing; add a ValidatingAdmissionPolicyBinding, or use --unbound deny",
        ]
    );
    let (validating, notes) = read(&documents, Unbound::Denies);
    assert_eq!(validating.judging_creations().count(), 1);
    assert_eq!(
        notes,
        [
            other,
            "ValidatingAdmissionPolicy/b: takes a ConfigMap as parameter, which only a binding names: it judges nothing; add a ValidatingAdmissionPolicyBinding",
        ]
    );
    let rule =
        json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE", "DELETE"], "resources": ["pods"]});
    let mut updates = policy("u", validations("true"));
    updates["spec"]["matchConstraints"]["resourceRules"] = json!([rule]);
    let (validating, _) = read(&[updates, binding("u", "u", json!({}))], Unbound::Ignored);
    assert_eq!(validating.judging_creations().count(), 0);
    assert_eq!(
        validating.notes_of_creations().collect::<Vec<_>>(),
        [
            "ValidatingAdmissionPolicy/u: its rules name DELETE, UPDATE and not CREATE, and files are created: it judges nothing"
        ]
    );
}

const POD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {"containers": [{"name": "a", "image": "registry.example.com/a"}, {"name": "b", "image": "b"}]}}"#;

fn request() -> AdmissionRequest {
    let sender = Sender { namespace: Some("shop".to_owned()), ..Sender::default() };
    requests(POD.as_bytes(), &sender).expect("a pod").remove(0)
}

/// What each binding answers: `policy/binding: control [actions] path: message`.
fn outcome(validating: &Validating, namespaces: &Namespaces) -> Vec<String> {
    validating.review(&request(), namespaces).iter().flat_map(lines).collect()
}

fn lines(answer: &Answer<'_>) -> Vec<String> {
    let title = format!("{}/{}", answer.policy, answer.binding.unwrap_or("none"));
    let decisions = answer.decisions.iter().map(|of| {
        let denied = match of.denied {
            Denied::As(actions) => actions.names().join(","),
            Denied::Ignored => "ignored".to_owned(),
        };
        format!("{title}: {} [{denied}] {}: {}", of.control, of.place.path, of.message)
    });
    let annotations = answer.annotations.iter().map(|(key, value)| format!("{title}: {key}={value}"));
    let skipped = answer.skipped.iter().map(|why| format!("{title}: skipped: {why}"));
    let failure = answer.failure.iter().map(|why| format!("{title}: failed: {why}"));
    let lines: Vec<String> = decisions.chain(annotations).chain(skipped).chain(failure).collect();
    if lines.is_empty() { vec![format!("{title}: passed")] } else { lines }
}

#[test]
fn what_they_decide() {
    let registry = json!({
        "variables": [{"name": "all", "expression": "object.spec.containers"}],
        "validations": [{
            "expression": "variables.all.all(c, c.image.startsWith('registry.example.com/'))",
            "messageExpression": "'found ' + variables.all.map(c, c.image).join(' and ')",
            "message": "not ours", "reason": "Forbidden",
        }],
        "auditAnnotations": [{"key": "images", "valueExpression": "string(size(variables.all))"}],
    });
    let everything = json!({"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]});
    let with = |mut policy: Value, key: &str, value: Value| {
        policy["spec"][key] = value;
        policy
    };
    let of_namespace = |labels: Value| json!({"matchResources": {"namespaceSelector": {"matchLabels": labels}}});
    let failing = validations("object.spec.absent == 1");
    let error = "expression 'object.spec.absent == 1' resulted in error: no such key: absent";
    let cases: Vec<(&str, Vec<Value>, Vec<String>)> = vec![
        (
            "a message is made, and the element that fails is found",
            vec![policy("p", registry.clone()), binding("b", "p", json!({}))],
            vec![
                "p/b: validations[0] [Deny] spec.containers[1].image: found registry.example.com/a and b".into(),
                "p/b: images=2".into(),
            ],
        ),
        (
            "a message that cannot be made, or has a line break, is the text; else the expression",
            vec![
                policy(
                    "p",
                    json!({"validations": [
                        {"expression": "false", "messageExpression": "string(object.spec.absent)", "message": " text "},
                        {"expression": "false", "messageExpression": "'a\\nb'", "message": "text"},
                        {"expression": " 1 == 2 ", "messageExpression": "' '"},
                    ]}),
                ),
                binding("b", "p", json!({"validationActions": ["Warn", "Audit"]})),
            ],
            vec![
                "p/b: validations[0] [Warn,Audit] : text".into(),
                "p/b: validations[1] [Warn,Audit] : text".into(),
                "p/b: validations[2] [Warn,Audit] : failed expression: 1 == 2".into(),
            ],
        ),
        (
            "an error denies, or is ignored",
            vec![
                policy("p", failing.clone()),
                with(policy("q", failing.clone()), "failurePolicy", json!("Ignore")),
                binding("b", "p", json!({})),
                binding("c", "q", json!({})),
            ],
            vec![format!("p/b: validations[0] [Deny] spec: {error}"), format!("q/c: validations[0] [ignored] spec: {error}")],
        ),
        (
            "an error in a variable shows where it is used",
            vec![
                policy(
                    "p",
                    json!({
                        "variables": [{"name": "x", "expression": "object.spec.absent"}],
                        "validations": [{"expression": "true || variables.x == 1"}, {"expression": "variables.x == 1"}],
                    }),
                ),
                binding("b", "p", json!({})),
            ],
            vec!["p/b: validations[1] [Deny] spec: expression 'variables.x == 1' resulted in error: composited variable \"x\" fails to evaluate: no such key: absent".into()],
        ),
        (
            "a condition that is false leaves it out, one without a value decides by the failurePolicy",
            vec![
                with(policy("p", validations("false")), "matchConditions", json!([{"name": "c", "expression": "object.metadata.name == 'x'"}])),
                with(policy("q", validations("false")), "matchConditions", json!([{"name": "c", "expression": "object.spec.absent == 1"}])),
                binding("b", "p", json!({})),
                binding("c", "q", json!({"validationActions": ["Warn"]})),
            ],
            vec![format!("q/c: matchConditions [Warn] : {error}")],
        ),
        (
            "rules, names and exclusions of policy and binding",
            vec![
                with(policy("p", validations("false")), "matchConstraints", json!({"resourceRules": [everything], "excludeResourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]})),
                with(policy("q", validations("false")), "matchConstraints", json!({"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "resourceNames": ["web"]}]})),
                binding("a", "p", json!({})),
                binding("b", "q", json!({"matchResources": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"], "resourceNames": ["other"]}]}})),
                binding("c", "q", json!({"matchResources": {"objectSelector": {"matchLabels": {"app": "web"}}}})),
            ],
            vec!["q/c: validations[0] [Deny] : failed expression: false".into()],
        ),
        (
            "labels of the namespace",
            vec![
                policy("p", validations("namespaceObject.metadata.labels.team == 'b' && namespaceObject.status.phase == 'Active'")),
                binding("a", "p", of_namespace(json!({"team": "b"}))),
                binding("b", "p", of_namespace(json!({"team": "a", "kubernetes.io/metadata.name": "shop"}))),
            ],
            vec!["p/b: validations[0] [Deny] : failed expression: namespaceObject.metadata.labels.team == 'b' && namespaceObject.status.phase == 'Active'".into()],
        ),
        (
            "the object is as it is about to be stored",
            vec![
                policy(
                    "p",
                    validations(
                        "object.metadata.namespace == 'shop' && has(object.metadata.uid) && object.metadata.generation == 1 \
                         && object.status.phase == 'Pending' && object.spec.restartPolicy == 'Always' \
                         && has(object.metadata.creationTimestamp) && oldObject == null && request.operation == 'CREATE'",
                    ),
                ),
                binding("b", "p", json!({})),
            ],
            vec!["p/b: passed".into()],
        ),
        (
            "a rule of another version needs a conversion",
            vec![
                with(policy("p", validations("false")), "matchConstraints", json!({"resourceRules": [{"apiGroups": [""], "apiVersions": ["v2"], "operations": ["CREATE"], "resources": ["pods"]}]})),
                binding("b", "p", json!({})),
            ],
            vec!["p/none: failed: its rules name version v2 of pods, to which only the API server converts the Pod of version v1".into()],
        ),
    ];
    let mut namespaces = Namespaces::default();
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "a"}}});
    namespaces.add_manifests([&shop]).expect("a namespace");
    for (case, documents, expected) in cases {
        let (validating, notes) = read(&documents, Unbound::Ignored);
        assert_eq!(notes, Vec::<String>::new(), "{case}");
        assert_eq!(outcome(&validating, &namespaces), expected, "{case}");
    }
}

#[test]
fn of_a_namespace_that_is_not_known_nothing_is_guessed() {
    let (validating, _) = read(
        &[
            policy("p", validations("namespaceObject.metadata.name == 'shop'")),
            policy("q", validations("true")),
            binding("a", "p", json!({})),
            binding("b", "q", json!({"matchResources": {"namespaceSelector": {"matchLabels": {"team": "a"}}}})),
        ],
        Unbound::Ignored,
    );
    assert_eq!(
        outcome(&validating, &Namespaces::default()),
        [
            "p/a: failed: it reads namespaceObject, and the namespace \"shop\" is not known",
            "q/b: failed: namespaceSelector: the label \"team\" of namespace \"shop\" is not known",
        ]
    );
}

#[test]
fn parameters_are_objects_that_a_binding_names() {
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{
            "expression": "object.spec.containers.all(c, c.image.startsWith(params.data.registry))",
            "messageExpression": "'expected images of ' + params.data.registry",
        }],
    });
    let map = |name: &str, namespace: &str, registry: &str, team: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace, "labels": {"team": team}}, "data": {"registry": registry},
        })
    };
    let reference = |of: Value| json!({"paramRef": of});
    let denied = |of: &str| format!("p/b: validations[0] [Deny] spec.containers[0].image: expected images of {of}");
    let cases = [
        (reference(json!({"name": "one", "namespace": "policies", "parameterNotFoundAction": "Deny"})), vec![denied("one.example.com")]),
        // Without a namespace, it is that of the object.
        (reference(json!({"name": "one", "parameterNotFoundAction": "Deny"})), vec![denied("shop.example.com")]),
        (
            reference(json!({"selector": {"matchLabels": {"team": "a"}}, "namespace": "policies", "parameterNotFoundAction": "Deny"})),
            vec![denied("one.example.com"), denied("two.example.com")],
        ),
        (
            reference(json!({"name": "three", "parameterNotFoundAction": "Deny"})),
            vec!["p/b: paramRef [Deny] : failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction".to_owned()],
        ),
        (
            reference(json!({"name": "three", "parameterNotFoundAction": "Allow"})),
            vec!["p/b: skipped: no params found, and `Allow` parameterNotFoundAction lets the request pass".to_owned()],
        ),
        (
            json!({}),
            vec!["p/b: validations[0] [Deny] spec.containers[0].image: expression 'object.spec.containers.all(c, c.image.startsWith(params.data.registry))' resulted in error: found no matching overload for '_._' applied to '(null_type, string)'".to_owned()],
        ),
    ];
    for (of, expected) in cases {
        let (mut validating, _) = read(&[policy("p", spec.clone()), binding("b", "p", of.clone())], Unbound::Ignored);
        for object in [
            map("one", "policies", "one.example.com", "a"),
            map("two", "policies", "two.example.com", "a"),
            map("one", "shop", "shop.example.com", "b"),
        ] {
            assert!(validating.takes_as_param(&object) && !validating.params_mut().add(&object));
        }
        assert!(
            validating.params_mut().add(&map("one", "shop", "other", "b")),
            "it is defined twice, with different content"
        );
        assert_eq!(outcome(&validating, &Namespaces::default()), expected, "{of}");
    }
}

#[test]
fn an_answer_is_the_api_servers() {
    let spec = json!({
        "validations": [{"expression": "false", "message": "one", "reason": "Forbidden"}, {"expression": "false", "message": "two"}],
        "auditAnnotations": [{"key": "name", "valueExpression": "string(object.metadata.name)"}],
    });
    let documents = [
        policy("p", spec),
        binding("deny", "p", json!({"validationActions": ["Deny", "Audit"]})),
        binding("warn", "p", json!({"validationActions": ["Warn"]})),
    ];
    let (validating, _) = read(&documents, Unbound::Ignored);
    let request = request();
    let responses: Vec<Value> = validating
        .review(&request, &Namespaces::default())
        .iter()
        .map(|answer| json!(answer.evaluation(&request).response))
        .collect();
    let failure = |index: usize, message: &str| json!({"message": message, "policy": "p", "binding": "deny", "expressionIndex": index, "validationActions": ["Deny", "Audit"]});
    let failures = json!([failure(0, "one"), failure(1, "two")]).to_string();
    assert_eq!(
        responses,
        [
            json!({
                "uid": request.uid, "allowed": false,
                "status": {
                    "message": "ValidatingAdmissionPolicy 'p' with binding 'deny' denied request: one", "code": 403,
                    "details": {"causes": [{"message": "two"}]},
                },
                "auditAnnotations": {"p/name": "web", "validation.policy.admission.k8s.io/validation_failure": failures},
            }),
            json!({
                "uid": request.uid, "allowed": true,
                "auditAnnotations": {"p/name": "web"},
                "warnings": [
                    "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'warn': one",
                    "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'warn': two",
                ],
            }),
        ]
    );
}
