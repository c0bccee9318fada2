//! The Helm chart renders what the kustomizations are: by Helm where it is installed, and by what it rendered before.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use podfence_cluster::deploy::{self, Modules, Options, Settings};
use podfence_cluster::published;
use podfence_fixtures::generated::{is_blessing, is_current};
use podfence_host::Mode;
use podfence_scan::{custom_kinds, read};
use podfence_support::root;
use serde_json::{Map, Value, json};

/// The version of the policies.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A chart, values of it, and what it renders with them.
struct Case {
    name: &'static str,
    /// What the chart was written for.
    chart: Options,
    values: Value,
    expected: BTreeMap<String, Value>,
}

fn settings(of: &Value) -> Settings {
    Settings::read(of.as_object().cloned().unwrap_or_default()).expect("settings")
}

/// What `podfence push` prints.
fn printed() -> String {
    let digest = digest();
    published::all().iter().map(|of| format!("localhost:5000/x/{}:v{VERSION}@{digest}\n", of.policy)).collect()
}

fn digest() -> String {
    format!("sha256:{}", "0123456789abcdef".repeat(4))
}

/// Settings of policies, of which some change objects.
fn configured() -> Value {
    json!({
        "allow-privilege-escalation": {"default_allow_privilege_escalation": false},
        "capabilities": {"mutate": true, "defaultAddCapabilities": ["KILL"]},
        "read-only-root-filesystem": {"mutate": false},
        "runtime-class": {"defaultRuntimeClass": "gvisor", "allowedRuntimeClasses": ["gvisor"]},
        "seccomp": {"defaultProfile": "RuntimeDefault", "exempt": {"images": ["a<b>&c:*"]}},
        "sysctls": {"allowedUnsafeSysctls": ["net.core.somaxconn"]},
        "users": {"mutate": true, "runAsUser": {"rule": "MustRunAs", "ranges": [{"min": 1, "max": 4_294_967_295_u32}]}},
    })
}

fn cases() -> Vec<Case> {
    let singles =
        published::all().iter().filter(|of| !["pod-security-standards", "runtime-class"].contains(&of.policy));
    let every: Map<String, Value> = singles.map(|of| (of.policy.to_owned(), json!({}))).collect();
    let mut every_configured = every.clone();
    every_configured.extend(configured().as_object().cloned().unwrap_or_default());
    let digests: BTreeMap<&str, String> = published::all().iter().map(|of| (of.policy, digest())).collect();
    let pinned = Options { kubernetes: Some("1.34".parse().expect("a version")), ..Options::default() };
    let mutating = Options { settings: settings(&configured()), warnings: true, ..pinned.clone() };
    let baseline = Options {
        modules: Modules::published(&printed()).expect("references"),
        exempt_namespaces: vec!["monitoring".to_owned()],
        policy_server: Some("own".to_owned()),
        settings: settings(&json!({"pod-security-standards": {"exclude": ["hostPorts"]}})),
        ..Options::default()
    };
    let rich = Options {
        kinds: custom_kinds::find("argoproj.io", "Rollout").into_iter().collect(),
        settings: settings(&json!({
            "pod-security-standards": {"exclude": ["hostPorts"]},
            "capabilities": {"mutate": true},
            "host-path": {"allowedHostPaths": []},
        })),
        warnings: true,
        kubernetes: pinned.kubernetes,
        ..baseline.clone()
    };
    let mut of_rich = kustomized(&rich, &["monitor/restricted", "monitor/policies"]);
    of_rich.retain(|name, _| ["podfence-restricted", "podfence-capabilities", "podfence-host-path"].contains(&&**name));
    vec![
        Case {
            name: "defaults",
            chart: Options::default(),
            values: json!({}),
            expected: kustomized(&Options::default(), &["monitor/restricted"]),
        },
        Case { name: "options", chart: rich, values: json!({}), expected: of_rich },
        Case {
            name: "baseline",
            chart: Options::default(),
            values: json!({
                "level": "baseline", "mode": "protect", "registry": "localhost:5000/x", "digests": digests,
                "excludedNamespaces": ["monitoring", "kubewarden"], "policyServer": "own",
                "levelSettings": {"exclude": ["hostPorts"]},
            }),
            expected: kustomized(&baseline, &["protect/baseline"]),
        },
        Case {
            name: "policies",
            chart: Options::default(),
            values: json!({"level": "", "policies": every}),
            expected: kustomized(&Options::default(), &["monitor/policies", "monitor/guards"]),
        },
        Case {
            name: "mutating-monitor",
            chart: pinned.clone(),
            values: json!({"policies": every_configured, "warnings": true}),
            expected: kustomized(&mutating, &["monitor/policies", "monitor/guards", "monitor/restricted"]),
        },
        Case {
            name: "mutating-protect",
            chart: pinned,
            values: json!({"policies": every_configured, "warnings": true, "mode": "protect"}),
            expected: kustomized(&mutating, &["protect/policies", "protect/guards", "protect/restricted"]),
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

/// The documents that Helm printed.
fn documents(rendered: &str) -> BTreeMap<String, Value> {
    by_name(read::parse(rendered.as_bytes()).expect("YAML").into_iter().filter(|document| !document.is_null()))
}

/// A number that changes with what the chart renders from.
fn fingerprint(case: &Case) -> String {
    let mut text = case.values.to_string();
    for (path, of) in deploy::tree(&case.chart).into_iter().filter(|(path, _)| path.starts_with("chart")) {
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
        let recording = root().join("host-test/cluster/tests/chart").join(case.name).with_extension("yaml");
        let header =
            format!("# Rendered by Helm from chart {}; `make helm bless` renders it again.\n", fingerprint(&case));
        if let Some(helm) = &helm {
            let rendered =
                render(helm, &written(&case.chart, case.name), &case.values).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(documents(&rendered), case.expected, "{}", case.name);
            // Another version of Helm may print the same documents in another way.
            if is_blessing() {
                is_current(&recording, &(header.clone() + &rendered)).unwrap_or_else(|error| panic!("{error}"));
            }
        }
        let recorded =
            fs::read_to_string(&recording).unwrap_or_else(|error| panic!("{}: {error}", recording.display()));
        assert!(
            recorded.starts_with(&header),
            "{}: the chart has changed since; `make helm bless` renders it again",
            recording.display()
        );
        assert_eq!(documents(&recorded), case.expected, "{}", case.name);
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
