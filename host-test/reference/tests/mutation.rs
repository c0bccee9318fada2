//! Mutation loses nothing: what a policy does not own stays byte for byte, whatever it is and however
//! it is written. It is made once, it passes the policy's own check, and nothing is changed where
//! something is still rejected, or where Kubernetes would not let it be.

#[path = "../../../policies/core/tests/common/mod.rs"]
mod common;

use std::collections::BTreeMap;

use common::spans::{made_at, without};
use common::texts::{self, Json};
use podfence_capabilities::POLICY as CAPABILITIES;
use podfence_core::{Policy, json::pad, workload::WORKLOADS};
use podfence_seccomp::POLICY as SECCOMP;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, max_shrink_iters: 4096, ..ProptestConfig::default() }
}

const LISTS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// An object with these members, and others that nobody knows, in any order and spelling.
fn object(known: Vec<(&'static str, Option<Json>)>) -> impl Strategy<Value = Json> {
    let known: Vec<_> = known.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let known = known.into_iter().map(|(key, value)| (written(key), Just(value))).collect::<Vec<_>>();
    let unknown_keys =
        select(vec![r#""x""#, r#""y\u00e9""#, r#""capabilities ""#, r#""securitycontext""#, r#""\"add""#]);
    let unknown = vec((unknown_keys.prop_map(str::to_owned), texts::valid_values()), 0..3);
    (known, unknown).prop_map(|(known, unknown)| [known, unknown].concat()).prop_shuffle().prop_map(Json::Object)
}

/// A key in quotes, now and then with an escape in it.
fn written(key: &'static str) -> impl Strategy<Value = String> {
    let escaped = format!("\"\\u{:04x}{}\"", u32::from(key.as_bytes()[0]), &key[1..]);
    prop_oneof![5 => Just(format!("\"{key}\"")), 1 => Just(escaped)]
}

/// Not there, null, or there.
fn maybe(value: impl Strategy<Value = Json> + 'static) -> impl Strategy<Value = Option<Json>> {
    prop_oneof![1 => Just(None), 1 => Just(Some(Json::Scalar("null".into()))), 3 => value.prop_map(Some)]
}

fn capability_names() -> impl Strategy<Value = Option<Json>> {
    let names = select(vec![
        r#""ALL""#,
        r#""all""#,
        r#""\u0041LL""#,
        r#""CAP_ALL""#,
        r#""KILL""#,
        r#""CAP_KILL""#,
        r#""kill""#,
        r#""CHOWN""#,
        r#""NET_BIND_SERVICE""#,
        r#""]""#,
        r#""\"],""#,
        r#""""#,
    ]);
    maybe(vec(names.prop_map(|name| Json::Scalar(name.into())), 0..4).prop_map(Json::List))
}

fn seccomp_profiles() -> impl Strategy<Value = Option<Json>> {
    let types = select(vec!["RuntimeDefault", "Unconfined", "Localhost", "Other"]);
    maybe(types.prop_flat_map(|name| {
        object(vec![("type", Some(Json::text(name))), ("localhostProfile", Some(Json::text("p.json")))])
    }))
}

fn containers(list: &'static str, count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Json>> {
    let capabilities = (capability_names(), capability_names())
        .prop_flat_map(|(add, drop)| object(vec![("add", add), ("drop", drop)]));
    let security_context = (maybe(capabilities), seccomp_profiles()).prop_flat_map(|(capabilities, seccomp)| {
        let privileged = Some(Json::Scalar("false".into()));
        object(vec![("capabilities", capabilities), ("seccompProfile", seccomp), ("privileged", privileged)])
    });
    let images = select(vec!["nginx", "trusted/app"]);
    vec((maybe(security_context), images), count).prop_flat_map(move |containers| {
        let containers = containers.into_iter().enumerate().map(|(index, (security_context, image))| {
            let name = Json::text(&format!("{list}-{index}"));
            object(vec![
                ("name", Some(name)),
                ("image", Some(Json::text(image))),
                ("securityContext", security_context),
            ])
        });
        containers.collect::<Vec<_>>()
    })
}

/// A pod: of its three lists, what stands in each.
#[derive(Debug, Clone)]
struct Pod {
    lists: [Vec<Json>; 3],
    spec: Json,
    spaces: Vec<String>,
}

fn pods() -> impl Strategy<Value = Pod> {
    let context = maybe(seccomp_profiles().prop_flat_map(|seccomp| object(vec![("seccompProfile", seccomp)])));
    let os = prop_oneof![
        6 => Just(None),
        1 => object(vec![("name", Some(Json::text("linux")))]).prop_map(Some),
        1 => object(vec![("name", Some(Json::text("windows")))]).prop_map(Some),
    ];
    let spec = (context, os).prop_flat_map(|(context, os)| object(vec![("securityContext", context), ("os", os)]));
    let lists = (containers(LISTS[0], 0..3), containers(LISTS[1], 0..3), containers(LISTS[2], 0..3));
    (lists, spec, texts::spaces()).prop_map(|((a, b, c), spec, spaces)| Pod { lists: [a, b, c], spec, spaces })
}

impl Pod {
    /// The object of a kind that holds this pod at a dotted path.
    fn in_object(&self, template: &str) -> String {
        let mut spec = self.spec.clone();
        if let Json::Object(members) = &mut spec {
            for (at, (list, containers)) in LISTS.iter().zip(&self.lists).enumerate() {
                let at = at * members.len() / 3;
                members.insert(at, (format!("\"{list}\""), Json::List(containers.clone())));
            }
        }
        let mut object =
            Json::object([("kind", Json::text("Any")), ("spec", spec), ("z", Json::Scalar("1.50".into()))]);
        for key in template.split('.').rev().filter(|key| !key.is_empty()) {
            object = Json::object([("a", Json::Scalar("-0e0".into())), (key, object), ("spec ", Json::List(vec![]))]);
        }
        // What is around the object is not part of it.
        object.print(&self.spaces).trim().to_owned()
    }
}

/// What came back: the verdict, and the object as text if it was changed.
#[derive(Debug)]
struct Reply {
    is_accepted: bool,
    mutated: Option<String>,
    shown: String,
}

fn judge(policy: &Policy, settings: &Value, group: &str, kind: &str, object: &str, old: Option<&str>) -> Reply {
    let old_object = old.map(|old| format!(r#","oldObject":{old}"#)).unwrap_or_default();
    let operation = if old.is_some() { "UPDATE" } else { "CREATE" };
    let payload = format!(
        r#"{{"request":{{"kind":{{"group":"{group}","kind":"{kind}"}},"operation":"{operation}","object":{object}{old_object}}},"settings":{settings}}}"#
    );
    let shown = podfence_core::validate(policy, &pad(payload.as_bytes()));
    let reply: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&shown).expect("a reply is JSON");
    Reply {
        is_accepted: reply["accepted"].get() == "true",
        mutated: reply.get("mutated_object").map(|object| object.get().to_owned()),
        shown,
    }
}

/// Compares a change with the one that was expected; `fields` are the policy's own, as paths.
fn check(
    policy: &Policy,
    settings: &Settings,
    place: (&str, &str),
    object: &str,
    expected: &Value,
    fields: &[Vec<String>],
    old: Option<&str>,
) -> Result<(), TestCaseError> {
    let (group, kind) = place;
    let before: Value = serde_json::from_str(object).expect("an object is JSON");
    let reply = judge(policy, &settings.mutating, group, kind, object, old);
    // Whether anything was left to reject, the policy itself knows best.
    let passes = judge(policy, &settings.checking, group, kind, &expected.to_string(), old).is_accepted;
    prop_assert_eq!(reply.is_accepted, passes, "{} on {}: {}", settings.mutating, object, reply.shown);
    let Some(mutated) = reply.mutated else {
        prop_assert!(!passes || before == *expected, "{} does not change {object}: {}", settings.mutating, reply.shown);
        return Ok(());
    };
    prop_assert!(passes, "{} changes what it rejects: {object}", settings.mutating);
    prop_assert_ne!(&before, expected, "{} changes {} to {}", settings.mutating, object, mutated);
    let after: Value = serde_json::from_str(&mutated).expect("the changed object is JSON");
    prop_assert_eq!(&after, expected, "{} on {}", settings.mutating, object);

    let own: Vec<Vec<String>> = fields.iter().map(|path| made_at(&before, path)).collect();
    prop_assert_eq!(without(&mutated, &own), without(object, &own), "outside of {:?}", own);

    let again = judge(policy, &settings.mutating, group, kind, &mutated, old);
    prop_assert!(again.is_accepted && again.mutated.is_none(), "twice is not once: {mutated}, then {}", again.shown);
    let checked = judge(policy, &settings.checking, group, kind, &mutated, old);
    prop_assert!(checked.is_accepted && checked.mutated.is_none(), "fails its own check: {mutated}, {}", checked.shown);
    Ok(())
}

/// The same settings with and without what they ask to change.
#[derive(Debug, Clone)]
struct Settings {
    mutating: Value,
    checking: Value,
}

fn exempt() -> impl Strategy<Value = Value> {
    select(vec![json!({}), json!({"images": ["trusted/*"]})])
}

fn capability_settings() -> impl Strategy<Value = Settings> {
    let names = |names: &'static [&'static str], count| vec(select(names), 0..count);
    let lists = (
        names(&["NET_BIND_SERVICE", "CHOWN", "*"], 3),
        names(&["ALL", "KILL", "CAP_NET_RAW", "all"], 3),
        names(&["NET_BIND_SERVICE", "kill", "CHOWN", "CAP_CHOWN", "a\"\\b"], 3),
    );
    let is_valid = |settings: &Settings| is_valid(&CAPABILITIES, &settings.mutating);
    let settings = (lists, exempt()).prop_map(|((allowed, required, add), exempt)| {
        let settings = |mutate| {
            json!({
                "allowedCapabilities": allowed, "requiredDropCapabilities": required,
                "defaultAddCapabilities": add, "mutate": mutate, "exempt": exempt,
            })
        };
        Settings { mutating: settings(true), checking: settings(false) }
    });
    settings.prop_filter("added and dropped at once", is_valid)
}

fn seccomp_settings() -> impl Strategy<Value = Settings> {
    let profiles = select(vec![
        ("RuntimeDefault", json!(["RuntimeDefault", "Localhost"])),
        ("runtime/default", json!(["*"])),
        ("localhost/p.json", json!(["RuntimeDefault", "localhost/p.json"])),
        ("localhost/a\"b/é", json!(["*"])),
        ("Unconfined", json!(["Unconfined", "RuntimeDefault"])),
    ]);
    (profiles, any::<bool>(), exempt()).prop_map(|((default, allowed), required, exempt)| {
        let checking = json!({"allowedProfiles": allowed, "required": required, "exempt": exempt});
        let mut mutating = checking.clone();
        mutating["defaultProfile"] = json!(default);
        Settings { mutating, checking }
    })
}

fn is_valid(policy: &Policy, settings: &Value) -> bool {
    podfence_core::validate_settings(policy, &pad(settings.to_string().as_bytes())) == r#"{"valid":true}"#
}

fn texts_of(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// A capability without `CAP_`, in capitals.
fn canonical(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

/// What a container's list becomes when these are added to it.
fn extended(list: &Value, more: Vec<String>) -> Value {
    if more.is_empty() { list.clone() } else { json!([texts_of(list), more].concat()) }
}

/// `capabilities` of a container after mutation: add, drop.
fn capabilities_after(capabilities: &Value, settings: &Value) -> (Value, Value) {
    let (add, drop) = (&capabilities["add"], &capabilities["drop"]);
    let (added, dropped) = (texts_of(add), texts_of(drop));
    let adds = |name: &str| added.iter().any(|added| ["ALL".to_owned(), canonical(name)].contains(&canonical(added)));
    let drops = |name: &str| dropped.iter().any(|dropped| dropped.eq_ignore_ascii_case(name));
    let mut more = texts_of(&settings["defaultAddCapabilities"]);
    more.retain(|name| !adds(name));
    let mut required = texts_of(&settings["requiredDropCapabilities"]);
    if required.iter().any(|name| canonical(name) == "ALL") {
        required.retain(|name| canonical(name) == "ALL");
    }
    required.retain(|name| !drops("ALL") && !drops(&canonical(name)));
    // What is added to the list is spelled as everyone knows it.
    let spelled = |name: &String| match name.strip_prefix("CAP_").unwrap_or(name) {
        all if all.eq_ignore_ascii_case("ALL") => "ALL".to_owned(),
        name => name.to_owned(),
    };
    let required = required.iter().map(spelled).collect();
    (extended(add, more), extended(drop, required))
}

/// Steps from the object to the pod.
fn steps(template: &str) -> Vec<String> {
    template.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

fn at<'v>(object: &'v mut Value, path: &[String]) -> &'v mut Value {
    path.iter().fold(object, |value, step| match value {
        Value::Array(elements) => &mut elements[step.parse::<usize>().expect("a number")],
        value => &mut value[step.as_str()],
    })
}

fn is_exempt(container: &Value, settings: &Value) -> bool {
    !settings["exempt"]["images"].is_null() && container["image"].as_str().unwrap().starts_with("trusted/")
}

/// The object with its capabilities changed in these containers, and the paths of the policy's fields.
fn with_capabilities(
    object: &str,
    template: &str,
    settings: &Value,
    may_change: impl Fn(&str, &Value) -> bool,
) -> (Value, Vec<Vec<String>>) {
    let mut object: Value = serde_json::from_str(object).expect("an object is JSON");
    let spec_path = [steps(template), vec!["spec".to_owned()]].concat();
    let spec = at(&mut object, &spec_path);
    let mut fields = Vec::new();
    if spec["os"]["name"] == "windows" {
        return (object, fields);
    }
    for list in LISTS {
        for (index, container) in spec[list].as_array_mut().unwrap().iter_mut().enumerate() {
            if is_exempt(container, settings) || !may_change(list, container) {
                continue;
            }
            let path = [&spec_path[..], &[list.to_owned(), index.to_string()]].concat();
            let (add, drop) = capabilities_after(&container["securityContext"]["capabilities"], settings);
            for (name, after) in [("add", add), ("drop", drop)] {
                if container["securityContext"]["capabilities"][name] != after {
                    container["securityContext"]["capabilities"][name] = after;
                }
                fields.push([&path[..], &["securityContext", "capabilities", name].map(str::to_owned)].concat());
            }
        }
    }
    (object, fields)
}

/// The object with its seccomp profile changed, if it may be, and the path of the policy's field.
fn with_seccomp_profile(object: &str, template: &str, settings: &Value, may_change: bool) -> (Value, Vec<Vec<String>>) {
    let mut object: Value = serde_json::from_str(object).expect("an object is JSON");
    let spec_path = [steps(template), vec!["spec".to_owned()]].concat();
    let spec = at(&mut object, &spec_path);
    let lacks_one = LISTS
        .iter()
        .flat_map(|list| spec[list].as_array().unwrap())
        .any(|container| container["securityContext"]["seccompProfile"].is_null() && !is_exempt(container, settings));
    let has_one = !spec["securityContext"]["seccompProfile"].is_null();
    if may_change && lacks_one && !has_one && spec["os"]["name"] != "windows" {
        spec["securityContext"]["seccompProfile"] = match settings["defaultProfile"].as_str().unwrap() {
            "Unconfined" => json!({"type": "Unconfined"}),
            default => match default.strip_prefix("localhost/") {
                Some(file) => json!({"type": "Localhost", "localhostProfile": file}),
                None => json!({"type": "RuntimeDefault"}),
            },
        };
    }
    let field = [&spec_path[..], &["securityContext", "seccompProfile"].map(str::to_owned)].concat();
    (object, vec![field])
}

/// What an update replaces: the same pod without some of its ephemeral containers, and perhaps with one
/// container more.
fn before(pod: &Pod, is_old: &[bool], has_another: bool) -> Pod {
    let mut old = pod.clone();
    old.lists[2] = pod.lists[2].iter().zip(is_old).filter(|(_, is_old)| **is_old).map(|(c, _)| c.clone()).collect();
    if has_another {
        old.lists[1].push(Json::object([("name", Json::text("another")), ("image", Json::text("nginx"))]));
    }
    old
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn capabilities_are_added_and_nothing_is_lost(
        pod in pods(), settings in capability_settings(), kind in 0..WORKLOADS.len(), is_update in any::<bool>(),
    ) {
        let workload = &WORKLOADS[kind];
        let object = pod.in_object(workload.template);
        // Templates may change at any time.
        let old = (is_update && !workload.template.is_empty()).then_some(object.as_str());
        let (expected, fields) = with_capabilities(&object, workload.template, &settings.mutating, |_, _| true);
        check(&CAPABILITIES, &settings, (workload.group, workload.kind), &object, &expected, &fields, old)?;
    }

    #[test]
    fn a_seccomp_profile_is_filled_in_and_nothing_is_lost(
        pod in pods(), settings in seccomp_settings(), kind in 0..WORKLOADS.len(), is_update in any::<bool>(),
    ) {
        let workload = &WORKLOADS[kind];
        let object = pod.in_object(workload.template);
        let old = (is_update && !workload.template.is_empty()).then_some(object.as_str());
        let (expected, fields) = with_seccomp_profile(&object, workload.template, &settings.mutating, true);
        check(&SECCOMP, &settings, (workload.group, workload.kind), &object, &expected, &fields, old)?;
    }

    #[test]
    fn of_a_running_pod_only_new_ephemeral_containers_change(
        pod in pods(), capabilities in capability_settings(), seccomp in seccomp_settings(),
        is_old in vec(any::<bool>(), 3), has_another in any::<bool>(),
    ) {
        let (object, old) = (pod.in_object(""), before(&pod, &is_old, has_another).in_object(""));
        let old_value: Value = serde_json::from_str(&old).unwrap();
        let was_there = |container: &Value| {
            let mut containers = old_value["spec"]["ephemeralContainers"].as_array().unwrap().iter();
            containers.any(|old| old["name"] == container["name"])
        };
        let is_new = |list: &str, container: &Value| list == "ephemeralContainers" && !was_there(container);
        let (expected, fields) = with_capabilities(&object, "", &capabilities.mutating, is_new);
        check(&CAPABILITIES, &capabilities, ("", "Pod"), &object, &expected, &fields, Some(&old))?;

        // A pod's own profile cannot change any more, and nothing else is ever changed.
        let (expected, fields) = with_seccomp_profile(&object, "", &seccomp.mutating, false);
        check(&SECCOMP, &seccomp, ("", "Pod"), &object, &expected, &fields, Some(&old))?;
    }

    #[test]
    fn nothing_changes_unless_it_is_asked_for(pod in pods(), settings in capability_settings(), seccomp in seccomp_settings()) {
        let object = pod.in_object("");
        for (policy, settings) in [(&CAPABILITIES, settings.checking), (&SECCOMP, seccomp.checking)] {
            prop_assert!(judge(policy, &settings, "", "Pod", &object, None).mutated.is_none());
        }
    }
}

#[test]
fn random_pods_meet_every_outcome() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let strategy = (pods(), capability_settings(), seccomp_settings());
    let (mut mutated, mut accepted, mut rejected) = (0, 0, 0);
    for _ in 0..200 {
        let (pod, capabilities, seccomp) = strategy.new_tree(&mut runner).unwrap().current();
        let object = pod.in_object("");
        for (policy, settings) in [(&CAPABILITIES, &capabilities), (&SECCOMP, &seccomp)] {
            let reply = judge(policy, &settings.mutating, "", "Pod", &object, None);
            assert!(reply.is_accepted || reply.shown.contains("\"code\":403"), "{} on {object}", reply.shown);
            match (reply.is_accepted, reply.mutated) {
                (true, Some(_)) => mutated += 1,
                (true, None) => accepted += 1,
                (false, _) => rejected += 1,
            }
        }
    }
    assert!(mutated > 40 && accepted > 40 && rejected > 40, "{mutated} {accepted} {rejected}");
}

#[test]
fn the_parts_that_are_cut_out_are_the_members() {
    let cut = |text: &str, path: &str| without(text, &[path.split('.').map(str::to_owned).collect()]);
    assert_eq!(cut(r#"{ "a" : 1 , "b":2}"#, "a"), r#"{  "b":2}"#);
    assert_eq!(cut(r#"{"b":2 , "a" : {"c":1} }"#, "a"), r#"{"b":2  }"#);
    assert_eq!(cut(r#"{ "\u0061":[1, 2]}"#, "a"), "{ }");
    assert_eq!(cut(r#"[0,{"a":1,"b":[{"c":3}]}]"#, "1.b.0.c"), r#"[0,{"a":1,"b":[{}]}]"#);
    assert_eq!(cut(r#"{"a":1}"#, "b"), r#"{"a":1}"#);
}
