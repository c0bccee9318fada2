//! The Helm chart renders what the kustomizations are: by Helm where it is installed, and by what it rendered before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use podfence_cluster::deploy::{self, Modules, Options, Settings};
use podfence_cluster::published;
use podfence_fixtures::generated::is_current;
use podfence_host::Mode;
use podfence_scan::read;
use podfence_support::root;
use serde_json::{Value, json};

/// Values of the chart, and the options and the directories that they are equal to.
struct Case {
    name: &'static str,
    values: Value,
    options: Options,
    directories: &'static [&'static str],
}

fn settings(of: &Value) -> Settings {
    Settings::read(of.as_object().cloned().unwrap_or_default()).expect("settings")
}

fn cases() -> Vec<Case> {
    let every: Vec<(String, Value)> = published::all()
        .iter()
        .filter(|of| !["pod-security-standards", "runtime-class"].contains(&of.policy))
        .map(|of| (of.policy.to_owned(), json!({})))
        .collect();
    let every = Value::from_iter(every);
    let configured = json!({
        "allow-privilege-escalation": {"default_allow_privilege_escalation": false},
        "capabilities": {"mutate": true, "defaultAddCapabilities": ["KILL"]},
        "read-only-root-filesystem": {"mutate": false},
        "runtime-class": {"defaultRuntimeClass": "gvisor", "allowedRuntimeClasses": ["gvisor"]},
        "seccomp": {"defaultProfile": "RuntimeDefault", "exempt": {"images": ["a<b>&c:*"]}},
        "sysctls": {"allowedUnsafeSysctls": ["net.core.somaxconn"]},
        "users": {"mutate": true, "runAsUser": {"rule": "MustRunAs", "ranges": [{"min": 1, "max": 4_294_967_295_u32}]}},
    });
    let all_configured = {
        let mut all = every.as_object().cloned().unwrap_or_default();
        all.extend(configured.as_object().cloned().unwrap_or_default());
        Value::Object(all)
    };
    let digests: Vec<(String, String)> = published::all()
        .iter()
        .map(|of| (of.policy.to_owned(), format!("sha256:{}", "0123456789abcdef".repeat(4))))
        .collect();
    let printed: String =
        digests.iter().map(|(policy, digest)| format!("localhost:5000/x/{policy}@{digest}\n")).collect();
    let digests: BTreeMap<String, String> = digests.into_iter().collect();
    let pinned = Options { kubernetes: Some("1.34".parse().expect("a version")), ..Options::default() };
    vec![
        Case { name: "defaults", values: json!({}), options: Options::default(), directories: &["monitor/restricted"] },
        Case {
            name: "baseline",
            values: json!({
                "level": "baseline", "mode": "protect", "registry": "localhost:5000/x", "digests": digests,
                "excludedNamespaces": ["monitoring", "kubewarden"], "policyServer": "own",
                "levelSettings": {"exclude": ["hostPorts"]},
            }),
            options: Options {
                modules: Modules::published(&printed).expect("references"),
                exempt_namespaces: vec!["monitoring".to_owned()],
                policy_server: Some("own".to_owned()),
                settings: settings(&json!({"pod-security-standards": {"exclude": ["hostPorts"]}})),
                ..Options::default()
            },
            directories: &["protect/baseline"],
        },
        Case {
            name: "policies",
            values: json!({"level": "", "policies": every}),
            options: Options::default(),
            directories: &["monitor/policies"],
        },
        Case {
            name: "mutating-monitor",
            values: json!({"policies": all_configured, "warnings": true}),
            options: Options { settings: settings(&configured), warnings: true, ..pinned.clone() },
            directories: &["monitor/policies", "monitor/restricted"],
        },
        Case {
            name: "mutating-protect",
            values: json!({"policies": all_configured, "warnings": true, "mode": "protect"}),
            options: Options { settings: settings(&configured), warnings: true, ..pinned },
            directories: &["protect/policies", "protect/restricted"],
        },
    ]
}

/// The documents of directories, by name.
fn kustomized(options: &Options, directories: &[&str]) -> BTreeMap<String, Value> {
    let of = |directory: &&str| match directory.split_once('/').expect("a mode and a choice") {
        ("monitor", choice) => deploy::documents(options, choice, Mode::Monitor),
        (_, choice) => deploy::documents(options, choice, Mode::Protect),
    };
    by_name(directories.iter().flat_map(of))
}

fn by_name(documents: impl IntoIterator<Item = Value>) -> BTreeMap<String, Value> {
    let named = |of: Value| (of["metadata"]["name"].as_str().expect("a name").to_owned(), of);
    documents.into_iter().map(named).collect()
}

/// A Helm that is installed, or that `make helm` built.
fn helm() -> Option<PathBuf> {
    let built = root().join("target/tools/bin/helm");
    let found = [built, PathBuf::from("helm")]
        .into_iter()
        .find(|helm| Command::new(helm).arg("version").output().is_ok_and(|output| output.status.success()));
    if found.is_none() {
        eprintln!("skipped: no helm renders the chart; `make helm` builds one with Go");
    }
    found
}

/// What Helm prints of a chart.
fn render(helm: &Path, chart: &Path, values: &Value) -> Result<String, String> {
    let path = chart.with_extension("values.json");
    fs::write(&path, values.to_string()).expect("it can be written");
    let output = Command::new(helm).args(["template", "podfence"]).arg(chart).arg("--values").arg(&path).output();
    let output = output.expect("helm runs");
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).expect("UTF-8")),
        false => Err(String::from_utf8(output.stderr).expect("UTF-8")),
    }
}

/// Writes the chart of some options.
fn written(options: &Options, name: &str) -> PathBuf {
    let chart = Path::new(env!("CARGO_TARGET_TMPDIR")).join("chart").join(name);
    let _ = fs::remove_dir_all(&chart);
    for (path, text) in deploy::tree(options) {
        let Ok(path) = path.strip_prefix("chart") else { continue };
        let path = chart.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, text).expect("it can be written");
    }
    chart
}

/// The chart of a case: what its values say, it does not know.
fn chart_of(case: &Case) -> PathBuf {
    written(&Options { kubernetes: case.options.kubernetes, ..Options::default() }, case.name)
}

/// The documents that Helm printed.
fn documents(rendered: &str) -> BTreeMap<String, Value> {
    by_name(read::parse(rendered.as_bytes()).expect("YAML").into_iter().filter(|document| !document.is_null()))
}

/// A number that changes with what the chart renders from.
fn fingerprint(case: &Case) -> String {
    let options = Options { kubernetes: case.options.kubernetes, ..Options::default() };
    let mut text = case.values.to_string();
    for (path, of) in deploy::tree(&options).into_iter().filter(|(path, _)| path.starts_with("chart")) {
        text += &format!("{}\n{of}", path.display());
    }
    // FNV-1a.
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

#[test]
fn the_chart_renders_what_the_kustomizations_are() {
    let helm = helm();
    for case in cases() {
        let expected = kustomized(&case.options, case.directories);
        let recording = root().join("host-test/cluster/tests/chart").join(case.name).with_extension("yaml");
        let header =
            format!("# Rendered by Helm from chart {}; `make helm bless` renders it again.\n", fingerprint(&case));
        if let Some(helm) = &helm {
            let rendered = render(helm, &chart_of(&case), &case.values).unwrap_or_else(|error| panic!("{error}"));
            is_current(&recording, &(header.clone() + &rendered)).unwrap_or_else(|error| panic!("{error}"));
        }
        let recorded =
            fs::read_to_string(&recording).unwrap_or_else(|error| panic!("{}: {error}", recording.display()));
        assert!(
            recorded.starts_with(&header),
            "{}: the chart has changed since; `make helm bless` renders it again",
            recording.display()
        );
        assert_eq!(documents(&recorded), expected, "{}", case.name);
    }
}

#[test]
fn helm_refuses_values_that_enforce_nothing() {
    let Some(helm) = helm() else { return };
    let chart = written(&Options::default(), "refused");
    for (values, expected) in [
        (json!({"mode": "audit"}), "mode"),
        (json!({"level": "privileged"}), "level"),
        (json!({"policies": {"capability": {}}}), "capability"),
        (json!({"policies": {"runtime-class": {}}}), "rejects every pod without settings: set allowedRuntimeClasses"),
        (json!({"levelSettings": {"level": "baseline"}}), "levelSettings"),
        (json!({"excluded": ["a"]}), "excluded"),
        (json!({"digests": {"users": "latest"}}), "digests"),
    ] {
        let error = render(&helm, &chart, &values).expect_err("it is refused");
        assert!(error.contains(expected), "{values}: {error}");
    }
}
