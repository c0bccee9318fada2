//! The tests of the Pod Security Standards, of the Gatekeeper library and of Kyverno, put to the built
//! modules: for the controls that our policies cover, each gets the verdict that it has there, or is in
//! the table of [`DIFFERENCES`] with the reason.
//!
//! The corpus is not part of this repository. Without it nothing is tested, and that is said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use host_test::gatekeeper;
use host_test::{AdmissionRequest, Host, Limits, Mode, Module, Policy, input};
use serde_json::Value;

/// Cases in which we decide otherwise on purpose.
struct Difference {
    corpus: &'static str,
    cases: &'static [&'static str],
    reason: &'static str,
}

/// Everything here is stricter than there. A case that is no difference any more fails.
const DIFFERENCES: [Difference; 4] = [
    Difference {
        corpus: GATEKEEPER,
        cases: &[
            "allow-privilege-escalation/allow-privilege-escalation/update",
            "capabilities/capabilities-baseline/update",
            "capabilities/capabilities-restricted/update",
            "flexvolume-drivers/flexvolume-drivers/update",
            "forbidden-sysctls/forbidden-sysctls-wildcard/update",
            "forbidden-sysctls/forbidden-sysctls/update",
            "forbidden-sysctls/forbidden-sysctls3/update",
            "forbidden-sysctls/forbidden-sysctls4-empty-allowedSysctls/update",
            "forbidden-sysctls/forbidden-sysctls5-unspecified-allowedSysctls/update",
            "fsgroup/fsgroup/update",
            "host-filesystem/host-filesystem/update",
            "host-namespaces/host-namespace/update",
            "host-network-ports/port-range-with-host-network-allowed/update",
            "host-network-ports/port-range-with-host-network-forbidden/update",
            "host-probes-lifecycle/host-probes-lifecycle-disallowed/update",
            "host-process/host-process-disallowed/update",
            "privileged-containers/privileged-containers-disallowed/update",
            "proc-mount/default-proc-mount-required/update",
            "read-only-root-filesystem/require-read-only-root-filesystem/update",
            "selinux/require-matching-selinux-options/update",
            "users/users-and-groups-together/update",
            "volumes/host-path-disallowed/update",
        ],
        reason: "Gatekeeper lets every update of a pod pass. We judge those that change what is judged, among them \
            new ephemeral containers; without the old object, nobody can tell",
    },
    Difference {
        corpus: GATEKEEPER,
        cases: &[
            "seccomp/default-seccomp-required/example-allowed-container",
            "seccomp/default-seccomp-required/example-allowed-global",
        ],
        reason: "seccomp annotations have no effect since Kubernetes 1.27: what they say protects nothing",
    },
    Difference {
        corpus: GATEKEEPER,
        cases: &["apparmor/apparmor/example-allowed-override"],
        reason: "what is forbidden counts at the pod, too, where containers override it: a later one inherits it",
    },
    Difference {
        corpus: GATEKEEPER,
        cases: &["fsgroup/fsgroup-empty-ranges/update"],
        reason: "a rule that demands one of no ranges is an error in the settings, not a policy that rejects everything",
    },
];

const STANDARDS: &str = "pod-security-standards";
const GATEKEEPER: &str = "gatekeeper-suites";
const KYVERNO: &str = "kyverno-pod-security";

/// What containers start with, and may add at the baseline level.
const BASELINE_CAPABILITIES: &str = r#"{"requiredDropCapabilities": [], "allowedCapabilities": [
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT"]}"#;

/// What a corpus asks of policies that stand for one of its own together.
struct Question {
    policies: Vec<(&'static str, Value)>,
    is_allowed: bool,
}

/// One line of a corpus.
struct Case {
    name: String,
    request: AdmissionRequest,
    /// All of them have to be answered as here.
    questions: Vec<Question>,
    /// Whether it is about what one of our policies decides. If not, none of them may mind it.
    is_covered: bool,
}

#[test]
fn pod_security_standards() {
    Conformance::run(STANDARDS, standards::case);
}

#[test]
fn gatekeeper_library() {
    Conformance::run(GATEKEEPER, gatekeeper_case);
}

#[test]
fn kyverno() {
    Conformance::run(KYVERNO, kyverno::case);
}

mod standards {
    use super::*;

    /// The newest version, which `latest` stands for.
    const NEWEST: u32 = u32::MAX;

    /// With which settings a policy decides as the controls of a level do, from one version to another.
    struct Row {
        level: &'static str,
        versions: (u32, u32),
        policy: &'static str,
        controls: &'static [&'static str],
        /// None where the policy cannot stand for the control.
        settings: Option<&'static str>,
    }

    const OPTIONAL: &str = r#"{"required": false}"#;
    const DEFAULTS: &str = "{}";

    const fn row(
        level: &'static str,
        versions: (u32, u32),
        policy: &'static str,
        controls: &'static [&'static str],
        settings: Option<&'static str>,
    ) -> Row {
        Row { level, versions, policy, controls, settings }
    }

    const BASELINE: &str = "baseline";
    const RESTRICTED: &str = "restricted";

    const ROWS: [Row; 11] = [
        row(BASELINE, (0, NEWEST), "privileged", &["privileged"], Some(DEFAULTS)),
        row(RESTRICTED, (0, NEWEST), "privileged", &["privileged"], Some(DEFAULTS)),
        row(BASELINE, (0, NEWEST), "host-path", &["hostPathVolumes"], Some(DEFAULTS)),
        // There, restrictedVolumes stands for hostPathVolumes, which forbids no less.
        row(RESTRICTED, (0, NEWEST), "host-path", &["hostPathVolumes"], Some(DEFAULTS)),
        row(BASELINE, (0, NEWEST), "capabilities", &["capabilities_baseline"], Some(BASELINE_CAPABILITIES)),
        // Before 1.22 the level has no control of its own for them.
        row(RESTRICTED, (0, 21), "capabilities", &["capabilities_baseline"], Some(BASELINE_CAPABILITIES)),
        row(
            RESTRICTED,
            (22, NEWEST),
            "capabilities",
            &["capabilities_baseline", "capabilities_restricted"],
            Some(DEFAULTS),
        ),
        // Before 1.19 the control looks at annotations only, which we do not read.
        row(BASELINE, (0, 18), "seccomp", &["seccompProfile_baseline"], None),
        row(RESTRICTED, (0, 18), "seccomp", &["seccompProfile_baseline"], None),
        row(BASELINE, (19, NEWEST), "seccomp", &["seccompProfile_baseline"], Some(OPTIONAL)),
        row(
            RESTRICTED,
            (19, NEWEST),
            "seccomp",
            &["seccompProfile_baseline", "seccompProfile_restricted"],
            Some(DEFAULTS),
        ),
    ];

    /// The control of ours because of which a fixture fails, and whether it is the fixture's own.
    ///
    /// Two kinds of fixtures fail because of one beside their own: of the volume types that the restricted
    /// level forbids, hostPath is covered already; and this fixture leaves out the whole security context.
    fn control(line: &Value) -> (&str, bool) {
        let is_host_path = |volume: &Value| volume.get("hostPath").is_some();
        match (line["checkID"].as_str().unwrap_or_default(), text(line, "check")) {
            ("restrictedVolumes", _) if volumes(line).iter().any(is_host_path) => ("hostPathVolumes", true),
            ("allowPrivilegeEscalation", "allowprivilegeescalation3") => ("capabilities_restricted", false),
            (control, _) => (control, true),
        }
    }

    fn volumes(line: &Value) -> &[Value] {
        line["pod"]["spec"]["volumes"].as_array().map_or(&[], Vec::as_slice)
    }

    /// A fixture fails because of one control: the policy that covers it has to reject it in every
    /// version, and the others must not. One that passes, all policies have to accept.
    pub(super) fn case(line: &Value) -> Case {
        let level = text(line, "level");
        let is_pass = text(line, "expect") == "pass";
        let (control, is_its_own) = control(line);
        let mut questions: BTreeMap<String, Question> = BTreeMap::new();
        let mut is_covered = is_pass;
        for version in line["versions"].as_array().expect("versions") {
            let version: u32 = version.as_str().and_then(|v| v.strip_prefix("v1.")?.parse().ok()).expect("a version");
            let rows =
                ROWS.iter().filter(|row| row.level == level && (row.versions.0..=row.versions.1).contains(&version));
            for row in rows {
                let Some(settings) = row.settings else { continue };
                let is_about_it = row.controls.contains(&control);
                is_covered |= is_about_it && is_its_own;
                let key = format!("{} {settings}", row.policy);
                let question = Question {
                    policies: vec![(row.policy, serde_json::from_str(settings).expect("settings are JSON"))],
                    is_allowed: is_pass || !is_about_it,
                };
                questions.insert(key, question);
            }
        }
        Case {
            name: format!("{}/{}", text(line, "id"), text(line, "check")),
            request: create(&line["pod"]),
            questions: questions.into_values().collect(),
            is_covered,
        }
    }
}

fn gatekeeper_case(line: &Value) -> Case {
    let parameters = line["constraint_params"].as_object().expect("parameters");
    let is_allowed = line["expect_violations"] == false;
    let equivalents = gatekeeper::equivalents(text(line, "template_kind"), parameters).expect("a known constraint");
    let policies = equivalents.into_iter().map(|one| (one.policy, Value::Object(one.settings))).collect();
    let mut request = create(&line["object"]);
    if let Some(operation) = line["review_operation"].as_str() {
        request.operation = operation.to_owned();
    }
    Case {
        name: format!("{}/{}/{}", text(line, "template"), text(line, "suite_test"), text(line, "case")),
        request,
        questions: vec![Question { policies, is_allowed }],
        is_covered: true,
    }
}

mod kyverno {
    use super::*;

    /// A Kyverno policy and what stands for it here; `bad` objects are rejected by one of these.
    struct Row {
        policy: &'static str,
        ours: &'static [(&'static str, &'static str)],
        /// For a policy of many controls: which of the bad objects are bad because of a control of ours.
        causes: Option<&'static [(&'static str, &'static str)]>,
    }

    const fn row(policy: &'static str, ours: &'static [(&'static str, &'static str)]) -> Row {
        Row { policy, ours, causes: None }
    }

    const ROWS: [Row; 12] = [
        row("baseline/disallow-privileged-containers", &[("privileged", "{}")]),
        row("baseline/disallow-host-path", &[("host-path", "{}")]),
        row("baseline/disallow-capabilities", &[("capabilities", BASELINE_CAPABILITIES)]),
        row("baseline/restrict-seccomp", &[("seccomp", r#"{"required": false}"#)]),
        row("restricted/disallow-capabilities-strict", &[("capabilities", "{}")]),
        row(
            // One rule of the policy; the other asks for the drop.
            "restricted/disallow-capabilities-strict#adding-capabilities-strict",
            &[("capabilities", r#"{"requiredDropCapabilities": []}"#)],
        ),
        row("restricted/restrict-seccomp-strict", &[("seccomp", "{}")]),
        row(
            // The name with `CAP_` is in that policy as it is here, and compared so.
            "psp-migration/restrict-adding-capabilities",
            &[(
                "capabilities",
                r#"{"requiredDropCapabilities": [], "allowedCapabilities": ["NET_BIND_SERVICE", "CAP_CHOWN"]}"#,
            )],
        ),
        Row {
            policy: "subrule/podsecurity-subrule-baseline",
            ours: &[
                ("privileged", "{}"),
                ("host-path", "{}"),
                ("capabilities", BASELINE_CAPABILITIES),
                ("seccomp", r#"{"required": false}"#),
            ],
            causes: Some(&[]),
        },
        Row {
            policy: "subrule/restricted/restricted-latest",
            ours: &[("privileged", "{}"), ("host-path", "{}"), ("capabilities", "{}"), ("seccomp", "{}")],
            causes: Some(&[
                ("restricted/bad01", "capabilities"),
                ("bad03", "seccomp"),
                ("bad06", "capabilities"),
                ("bad14", "host-path"),
            ]),
        },
        Row {
            policy: "subrule/restricted/restricted-exclude-capabilities",
            ours: &[
                ("privileged", "{}"),
                ("host-path", "{}"),
                ("capabilities", r#"{"exempt": {"images": ["ghcr.io/kyverno/test-nginx*", "nginx*", "redis*"]}}"#),
                ("seccomp", "{}"),
            ],
            causes: Some(&[("bad03", "seccomp"), ("bad04", "capabilities")]),
        },
        Row {
            policy: "subrule/restricted/restricted-exclude-seccomp",
            ours: &[("privileged", "{}"), ("host-path", "{}"), ("capabilities", "{}")],
            causes: Some(&[("bad04", "capabilities")]),
        },
    ];

    /// `badpod03`, `baddeployment03` and `badcronjob03` are one object in three kinds. Where a rule is
    /// named, the object is of another suite, which counts anew.
    fn short(line: &Value) -> String {
        let name = text(line, "name").to_lowercase();
        let number: String = name.chars().filter(char::is_ascii_digit).collect();
        let rule = line["rules"][0].as_str().map(|rule| format!("{rule}/")).unwrap_or_default();
        format!("{rule}{}{number}", text(line, "expect"))
    }

    pub(super) fn case(line: &Value) -> Case {
        let policy = text(line, "policy");
        let row = ROWS.iter().find(|row| row.policy == policy);
        let is_good = text(line, "expect") == "good";
        let short = short(line);
        let cause = |ours: &str| match row.and_then(|row| row.causes) {
            None => !is_good,
            Some(causes) => causes.contains(&(short.as_str(), ours)),
        };
        let questions: Vec<Question> = row
            .map_or(&[][..], |row| row.ours)
            .iter()
            .map(|(ours, settings)| Question {
                policies: vec![(ours, serde_json::from_str(settings).expect("settings are JSON"))],
                is_allowed: is_good || !cause(ours),
            })
            .collect();
        let is_covered = !questions.is_empty() && (is_good || questions.iter().any(|question| !question.is_allowed));
        // One suite repeats names of another.
        let rules = line["rules"].as_array().map_or(0, Vec::len);
        let name = format!("{policy}/{}{}", text(line, "name"), if rules > 0 { "#" } else { "" });
        Case { name, request: create(&line["object"]), questions, is_covered }
    }
}

fn text<'v>(line: &'v Value, key: &str) -> &'v str {
    line[key].as_str().unwrap_or_else(|| panic!("no {key} in {line}"))
}

/// The request that would create an object.
fn create(object: &Value) -> AdmissionRequest {
    let requests = input::requests(object.to_string().as_bytes()).expect("a manifest");
    let [request] = <[AdmissionRequest; 1]>::try_from(requests).expect("one object");
    request
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Past the test harness, which hides what passing tests print.
fn tell(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("somebody listens");
}

/// The modules as built, each loaded once, each with settings that it was found to accept.
struct Modules {
    host: Host,
    modules: BTreeMap<&'static str, Module>,
    policies: BTreeMap<String, Result<Policy, String>>,
}

impl Modules {
    fn load() -> Modules {
        let host = Host::new(Limits::default()).expect("an engine");
        Modules { host, modules: BTreeMap::new(), policies: BTreeMap::new() }
    }

    /// The policy with these settings, or why it refuses them.
    fn policy(&mut self, name: &'static str, settings: &Value) -> &Result<Policy, String> {
        let (host, modules) = (&self.host, &mut self.modules);
        self.policies.entry(format!("{name} {settings}")).or_insert_with(|| {
            let policy = Policy {
                name: name.to_owned(),
                module: modules.entry(name).or_insert_with(|| load(host, name)).clone(),
                settings: settings.as_object().expect("settings are an object").clone(),
                mode: Mode::Protect,
                allowed_to_mutate: false,
                message: None,
            };
            match policy.validate_settings() {
                Ok(()) => Ok(policy),
                Err(error) => Err(format!("{name} refuses {settings}: {error}")),
            }
        })
    }

    /// Whether all policies allow the request. What one cannot judge is no rejection; settings that it refuses
    /// are one, because a server that goes on without them rejects everything.
    fn allow(&mut self, question: &Question, request: &AdmissionRequest) -> Result<(), String> {
        question.policies.iter().try_for_each(|(name, settings)| {
            let evaluation = self.policy(name, settings).as_ref().map_err(String::clone)?.evaluate(request);
            let (code, message) = match (&evaluation.failure, &evaluation.response.status) {
                (Some(failure), _) => panic!("{name} cannot judge {request:?}: {failure}"),
                (None, None) => (None, String::new()),
                (None, Some(status)) => (status.code, status.message.clone().unwrap_or_default()),
            };
            if evaluation.response.allowed {
                return Ok(());
            }
            assert_eq!(code, Some(403), "{name} cannot read {request:?}: {message}");
            Err(message)
        })
    }
}

fn load(host: &Host, name: &str) -> Module {
    let path = root().join("target/policies").join(name).with_extension("wasm");
    let bytes =
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; `make all` builds it", path.display()));
    host.load(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What became of a corpus.
#[derive(Default)]
struct Conformance {
    lines: usize,
    as_expected: usize,
    different: BTreeSet<String>,
    not_covered: usize,
    questions: usize,
    /// What is neither as expected nor a known difference.
    wrong: Vec<String>,
}

impl Conformance {
    fn run(corpus: &'static str, case: fn(&Value) -> Case) {
        let path = root().join("../shared/corpus").join(corpus).with_extension("jsonl.gz");
        if !path.exists() {
            tell(&format!("conformance: SKIPPED {corpus}: there is no {}", path.display()));
            return;
        }
        let mut conformance = Conformance::default();
        let mut modules = Modules::load();
        for line in lines(&path) {
            conformance.ask(corpus, &case(&line), &mut modules);
        }
        conformance.report(corpus);
    }

    fn ask(&mut self, corpus: &str, case: &Case, modules: &mut Modules) {
        let (mut is_right, mut is_different) = (true, false);
        for question in &case.questions {
            self.questions += 1;
            let verdict = modules.allow(question, &case.request);
            if verdict.is_ok() == question.is_allowed {
                continue;
            }
            // We may be stricter, never laxer.
            if question.is_allowed && is_listed(corpus, &case.name) {
                is_different = true;
                continue;
            }
            is_right = false;
            let expected = if question.is_allowed { "allowed" } else { "rejected" };
            let found = verdict.err().unwrap_or_else(|| "allowed".to_owned());
            let policies = &question.policies;
            self.wrong.push(format!("{corpus} {}: {policies:?}: expected {expected}, got: {found}", case.name));
        }
        self.lines += 1;
        self.not_covered += usize::from(!case.is_covered);
        self.as_expected += usize::from(case.is_covered && is_right && !is_different);
        if is_different {
            self.different.insert(case.name.clone());
        }
    }

    fn report(mut self, corpus: &str) {
        let Conformance { lines, as_expected, not_covered, questions, .. } = self;
        let differences = DIFFERENCES.iter().filter(|difference| difference.corpus == corpus);
        for Difference { cases, reason, .. } in differences.clone() {
            for case in cases.iter().filter(|case| !self.different.contains(**case)) {
                self.wrong.push(format!("{corpus} {case}: no difference any more, or no such case ({reason})"));
            }
        }
        let different = self.different.len();
        tell(&format!(
            "conformance: {corpus}: {lines} cases: {as_expected} as expected, {different} stricter on purpose, \
             {not_covered} of controls, or versions of them, that no policy covers ({questions} verdicts)"
        ));
        for Difference { cases, reason, .. } in differences {
            tell(&format!("conformance: {corpus}: {}: {reason}", cases.join(", ")));
        }
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        assert_eq!(as_expected + different + not_covered, lines);
        assert!(as_expected > 0, "{corpus} has nothing that is covered");
    }
}

fn is_listed(corpus: &str, case: &str) -> bool {
    DIFFERENCES.iter().any(|difference| difference.corpus == corpus && difference.cases.contains(&case))
}

fn lines(path: &Path) -> Vec<Value> {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(GzDecoder::new(file)).lines();
    lines
        .map(|line| line.expect("a line of text"))
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display())))
        .collect()
}

#[test]
fn every_difference_has_a_reason_and_one_row() {
    let mut known = BTreeSet::new();
    for Difference { corpus, cases, reason } in &DIFFERENCES {
        for case in *cases {
            assert!(known.insert((corpus, case)), "{case} is there twice");
        }
        assert!(!cases.is_empty() && !reason.is_empty());
    }
}
