//! `--render`: charts and kustomizations are judged as programs on the PATH render them, and a program that is missing,
//! fails, hangs or never stops printing is a problem.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::thread;
use std::time::{Duration, Instant};

use podfence_support::{Printed, Workplace, root};
use serde_json::Value;

use super::{BAD, findings, problem, shown, text, workplace};

const CHART: &str = "apiVersion: v2\nname: web\nversion: 1.0.0\n";

/// What no reader of YAML takes.
const TEMPLATE: &str =
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\nspec:\n  {{- toYaml .Values }}\n";

/// A script that prints a text.
fn prints(text: &str) -> String {
    format!("cat <<'END'\n{text}\nEND\n")
}

/// A directory with these programs, each of which writes down its arguments, and nothing else on the PATH.
fn with_programs(programs: &[(&str, &str)]) -> Workplace {
    let workplace = workplace();
    workplace.make_directory("bin");
    for (name, script) in programs {
        let program = workplace.path(&format!("bin/{name}"));
        let own = "PATH=/usr/bin:/bin\necho \"$*\" >> \"$0.log\"\n";
        fs::write(&program, format!("#!/bin/sh\n{own}{script}\n")).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("a file");
    }
    let path = workplace.path("bin").to_str().expect("UTF-8").to_owned();
    workplace.with("PATH", &path)
}

/// The findings, the problems and the counts of a scan of `tree`.
fn scan(workplace: &Workplace, arguments: &[&str]) -> (Vec<String>, Vec<String>, Value) {
    let command = [&["scan", "--format", "json", "--enforce", "baseline", "--render"], arguments].concat();
    let mut command = workplace.command(&command);
    let printed = Printed::of(command.current_dir(workplace.path("tree")).output().expect("the program runs"));
    let report: Value = serde_json::from_str(&printed.out).unwrap_or_else(|_| panic!("{}", printed.error));
    let problems: Vec<String> = report["problems"].as_array().into_iter().flatten().map(problem).collect();
    let expected = if !problems.is_empty() { 2 } else { i32::from(!findings(&report).is_empty()) };
    assert_eq!(printed.code, Some(expected), "{}", printed.out);
    (findings(&report).iter().map(shown).collect(), problems, report["summary"].clone())
}

fn log(workplace: &Workplace, program: &str) -> String {
    fs::read_to_string(workplace.path(&format!("bin/{program}.log"))).unwrap_or_default()
}

#[test]
fn a_chart_is_judged_as_it_is_rendered() {
    let rendered = format!("---\n# Source: web/templates/pod.yaml\n{BAD}");
    let workplace = with_programs(&[("helm", &prints(&rendered))]);
    for (file, content) in [
        ("charts/web/Chart.yaml", CHART),
        ("charts/web/templates/pod.yaml", TEMPLATE),
        ("charts/web/templates/plain.yaml", BAD),
        ("charts/web/charts/db/Chart.yaml", CHART),
        ("charts/web/charts/db/templates/pod.yaml", TEMPLATE),
        ("charts/web/charts/db/crds/pod.yaml", BAD),
        ("charts/web/values.yaml", "replicas: 1\n"),
        ("plain.yaml", BAD),
    ] {
        workplace.write(&format!("tree/{file}"), content);
    }
    let (found, problems, summary) = scan(&workplace, &[]);
    let expected = [
        "charts/web:10:35 error privileged via web/templates/pod.yaml",
        "charts/web/charts/db/crds/pod.yaml:8:35 error privileged",
        "plain.yaml:8:35 error privileged",
    ];
    assert_eq!((found, problems), (expected.map(str::to_owned).to_vec(), Vec::new()));
    assert_eq!(
        (&summary["templates"], &summary["judged"], &summary["hints"]),
        (&0.into(), &3.into(), &Value::Array(vec![]))
    );
    assert_eq!(log(&workplace, "helm"), "template ./charts/web\n");

    // People see the line that was rendered.
    let mut command = workplace.command(&["scan", "--render", "--enforce", "baseline"]);
    let out = Printed::of(command.current_dir(workplace.path("tree")).output().expect("the program runs")).out;
    assert!(out.contains("--> charts/web:10:35") && out.contains("securityContext: {privileged: true}"), "{out}");

    // The directory is the chart.
    let mut command = workplace.command(&["scan", "--render", "--enforce", "baseline", "--format", "concise"]);
    let chart = workplace.path("tree/charts/web");
    let out = Printed::of(command.current_dir(chart).output().expect("the program runs")).out;
    assert!(out.starts_with(".:10:35: error[privileged] "), "{out}");
    assert_eq!(log(&workplace, "helm").lines().last(), Some("template ./"));
}

#[test]
fn a_chart_may_render_to_nothing() {
    let workplace = with_programs(&[("helm", "echo ---; echo '# Source: web/templates/none.yaml'")]);
    workplace.write("tree/web/Chart.yaml", CHART);
    let (found, problems, _) = scan(&workplace, &["--allow-empty"]);
    assert_eq!((found, problems), (Vec::new(), Vec::new()));
    let error = |arguments: &[&str]| {
        let mut command = workplace.command(&[&["scan", "--render", "--allow-empty"], arguments].concat());
        Printed::of(command.current_dir(workplace.path("tree")).output().expect("the program runs")).error
    };
    assert_eq!(error(&[]), "note: web renders to no documents, so nothing in it is judged\n");
    workplace.write("tree/a.yaml", BAD);
    assert_eq!(error(&["a.yaml"]), "note: --render found neither a chart nor a kustomization to render\n");
}

/// A file that is named is judged as what owns it is rendered.
#[test]
fn what_owns_a_named_file_is_rendered() {
    let workplace = with_programs(&[("helm", &prints(BAD)), ("kustomize", &prints(BAD))]);
    for (file, content) in [
        ("tree/charts/web/Chart.yaml", CHART),
        ("tree/charts/web/templates/pod.yaml", TEMPLATE),
        ("tree/charts/web/values.yaml", "a: 1\n"),
        ("tree/charts/web/charts/db/Chart.yaml", CHART),
        ("tree/charts/web/charts/db/templates/pod.yaml", TEMPLATE),
        ("tree/app/kustomization.yaml", "resources: [pod.yaml]\npatches: [{path: patch.yaml}]\n"),
        ("tree/app/pod.yaml", BAD),
        ("tree/app/patch.yaml", "spec: {hostNetwork: false}\n"),
        ("tree/mixed/web/Chart.yaml", CHART),
        ("tree/mixed/a.yaml", BAD),
        ("tree/ignored/Chart.yaml", CHART),
        ("tree/ignored/templates/pod.yaml", TEMPLATE),
        ("tree/.podfenceignore", "ignored/\n"),
        ("other/Chart.yaml", CHART),
        ("other/sub/none.yaml", ""),
    ] {
        workplace.write(file, content);
    }
    symlink("../other/sub", workplace.path("tree/link")).expect("a link");
    let other = workplace.path("other").canonicalize().expect("a directory");
    let other = format!("template {}\n", other.to_str().expect("UTF-8"));
    let (web, app) = ("template ./charts/web\n", "build ./app\n");
    let cases: &[(&[&str], &str, &[&str])] = &[
        (&["charts/web/templates/pod.yaml"], web, &["charts/web"]),
        (&["charts/web/templates"], web, &["charts/web"]),
        (&["charts/web/Chart.yaml", "charts/web/values.yaml"], web, &["charts/web"]),
        (&["charts/web/*/pod.yaml"], web, &["charts/web"]),
        (&["mixed/*"], "template ./mixed/web\n", &["mixed/a.yaml", "mixed/web"]),
        (&["--as-walked", "charts/web/templates/pod.yaml"], web, &["charts/web"]),
        (&["--as-walked", "charts/web/Chart.yaml"], web, &["charts/web"]),
        (&["--as-walked", "charts/web/values.yaml"], web, &["charts/web"]),
        (&["--as-walked", "charts/web/charts/db/templates/pod.yaml"], web, &["charts/web"]),
        (&["--as-walked", "app/patch.yaml", "app/pod.yaml"], app, &["app"]),
        (&["--as-walked", "app/kustomization.yaml"], app, &["app"]),
        (&["app/pod.yaml"], app, &["app", "app/pod.yaml"]),
        (&["--as-walked", "ignored/templates/pod.yaml", "--allow-empty"], "", &[]),
        (&["link/.."], &other, &["link/.."]),
    ];
    for (arguments, calls, files) in cases {
        let (found, problems, _) = scan(&workplace, arguments);
        let expected: Vec<String> = files.iter().map(|file| format!("{file}:8:35 error privileged")).collect();
        assert_eq!((found, problems), (expected, Vec::new()), "{arguments:?}");
        let called: String = ["helm", "kustomize"].iter().map(|program| log(&workplace, program)).collect();
        assert_eq!(called, *calls, "{arguments:?}");
        for program in ["helm", "kustomize"] {
            workplace.write(&format!("bin/{program}.log"), "");
        }
    }
}

/// Charts whose names are no UTF-8 are as many as there are.
#[test]
fn charts_that_are_shown_alike_are_rendered() {
    let workplace = with_programs(&[("helm", &prints(BAD))]);
    for name in [b"\xe8", b"\xe9"] {
        let directory = workplace.path("tree").join(OsStr::from_bytes(name));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("Chart.yaml"), CHART).expect("a file");
    }
    let (found, problems, _) = scan(&workplace, &["--jobs", "1"]);
    let expected = ["\\xe8:8:35 error privileged", "\\xe9:8:35 error privileged"];
    assert_eq!((found, problems), (expected.map(str::to_owned).to_vec(), Vec::new()));
    assert_eq!(fs::read(workplace.path("bin/helm.log")).expect("a file"), b"template ./\xe8\ntemplate ./\xe9\n");
}

#[test]
fn a_kustomization_is_judged_as_it_is_built() {
    for (programs, log_of, expected) in [
        (&["kustomize", "kubectl"][..], "kustomize", "build ./overlays/prod\n"),
        (&["kubectl"], "kubectl", "kustomize ./overlays/prod\n"),
    ] {
        let script = prints(BAD);
        let programs: Vec<(&str, &str)> = programs.iter().map(|name| (*name, script.as_str())).collect();
        let workplace = with_programs(&programs);
        let good = BAD.replace("true", "false");
        for (file, content) in [
            ("overlays/prod/kustomization.yaml", "resources: [../../base]\npatches: [{path: patch.yaml}]\n"),
            ("overlays/prod/patch.yaml", BAD),
            ("base/kustomization.yaml", "resources: [pod.yaml]\n"),
            ("base/pod.yaml", BAD),
            ("base/other.yaml", &good),
        ] {
            workplace.write(&format!("tree/{file}"), content);
        }
        let (found, problems, summary) = scan(&workplace, &[]);
        assert_eq!((found, problems), (vec!["overlays/prod:8:35 error privileged".to_owned()], Vec::new()));
        assert_eq!(summary["judged"], 2);
        assert_eq!(log(&workplace, log_of), expected);
    }
}

#[test]
fn what_cannot_be_rendered_is_a_problem() {
    let endless = "x=0123456789abcdef; for i in 1 2 3 4 5 6 7 8; do x=$x$x; done; while :; do echo \"# $x\"; done";
    let words = "echo first >&2\nprintf 'Error: \\033[31mno such template\\n::error::x\\n' >&2\nexit 3";
    let long = "i=0; while [ $i -lt 1000 ]; do echo 0123456789 >&2; i=$((i+1)); done; exit 1";
    for (name, programs, file, arguments, expected) in [
        (
            "fails",
            &[("helm", words)][..],
            "Chart.yaml",
            &[][..],
            "web `helm template` failed (exit status: 3): first\nError: \u{1b}[31mno such template\n::error::x",
        ),
        ("says too much", &[("helm", long)], "Chart.yaml", &[], "web `helm template` failed (exit status: 1): *"),
        (
            "hangs",
            &[("helm", "exec sleep 60")],
            "Chart.yaml",
            &["--render-timeout", "0.3"],
            "web `helm template` took longer than 0.3 s: --render-timeout gives it more",
        ),
        (
            "hangs silently",
            &[("helm", "exec >&- 2>&-; sleep 60")],
            "Chart.yaml",
            &["--render-timeout", "0.3"],
            "web `helm template` took longer than 0.3 s: --render-timeout gives it more",
        ),
        (
            "never stops",
            &[("kubectl", endless)],
            "kustomization.yaml",
            &[],
            "web `kubectl kustomize` printed more than 64 MiB, the limit",
        ),
        (
            "no helm",
            &[("kubectl", "")],
            "Chart.yaml",
            &[],
            "web --render needs helm, and the PATH has none: install it, or leave the directory out",
        ),
        (
            "no kustomize",
            &[("helm", "")],
            "kustomization.yaml",
            &[],
            "web --render needs kustomize or kubectl, and the PATH has none: install it, or leave the directory out",
        ),
        ("no manifests", &[("helm", "echo 'a: ['")], "Chart.yaml", &[], "web:1:4 unclosed bracket '['"),
    ] {
        let workplace = with_programs(programs);
        workplace.write(&format!("tree/web/{file}"), CHART);
        workplace.write("tree/good.yaml", BAD.replace("true", "false"));
        let start = Instant::now();
        let (_, mut problems, _) = scan(&workplace, arguments);
        assert!(start.elapsed() < Duration::from_secs(30), "{name}: {:?}", start.elapsed());
        assert!(problems.iter().all(|problem| problem.len() < 2_200), "{name}: {problems:?}");
        if let Some(start) = expected.strip_suffix('*') {
            problems.retain(|problem| !problem.starts_with(start));
            assert!(problems.is_empty(), "{name}: {problems:?}");
        } else {
            assert_eq!(problems, [expected], "{name}");
        }
    }
    // People see its words on lines that are not commands.
    let workplace = with_programs(&[("helm", words)]);
    workplace.write("tree/Chart.yaml", CHART);
    let out = workplace.run(&["scan", "tree", "--render"]).out;
    assert!(!out.contains('\u{1b}') && !out.lines().any(|line| line.trim_start().starts_with("::")), "{out}");
}

#[test]
fn what_a_renderer_started_ends_with_it() {
    let script = "sleep 60 &\necho $! > \"$0.child\"\nwait";
    let workplace = with_programs(&[("helm", script)]);
    workplace.write("tree/web/Chart.yaml", CHART);
    let (_, problems, _) = scan(&workplace, &["--render-timeout", "0.5"]);
    assert_eq!(problems.len(), 2, "{problems:?}");
    let child = workplace.text("bin/helm.child");
    let status = format!("/proc/{}/stat", child.trim());
    // What nobody waited for yet is a zombie.
    let runs = || fs::read_to_string(&status).is_ok_and(|status| !status.contains(") Z "));
    let start = Instant::now();
    while runs() {
        assert!(start.elapsed() < Duration::from_secs(5), "{child} still runs");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A tree must not bring the program that renders it.
#[test]
fn a_relative_directory_of_the_path_does_not_count() {
    let workplace = with_programs(&[("helm", "")]);
    workplace.write("tree/web/Chart.yaml", CHART);
    symlink(workplace.path("bin/helm"), workplace.path("tree/helm")).expect("a link");
    let mut command = workplace.command(&["scan", "--render", "--format", "concise", "--allow-empty"]);
    command.current_dir(workplace.path("tree")).env("PATH", ".:");
    let out = Printed::of(command.output().expect("the program runs")).out;
    assert!(out.starts_with("web: error[problem] --render needs helm, and the PATH has none"), "{out}");
    assert_eq!(log(&workplace, "helm"), "");
}

#[test]
fn nothing_is_rendered_unasked() {
    let workplace = with_programs(&[("helm", ""), ("kustomize", "")]);
    workplace.write("tree/web/Chart.yaml", CHART);
    workplace.write("tree/web/templates/pod.yaml", TEMPLATE);
    workplace.write("tree/app/kustomization.yaml", "resources: []\n");
    workplace.write("podfence.yaml", "enforce: baseline\nrender: true\n");
    assert!(workplace.fails(2, &["scan", "tree"]).contains("render"));
    let (out, _) = workplace.ends(&["scan", "tree", "--no-config", "--allow-empty", "--format", "json"], 0);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    let hints: Vec<&str> = report["summary"]["hints"].as_array().into_iter().flatten().map(text).collect();
    let expected = [
        "Helm templates are judged as they are rendered: podfence scan --render, or helm template CHART | podfence scan -",
        "kustomizations are judged as they are built: podfence scan --render, or kubectl kustomize DIR | podfence scan -",
    ];
    assert_eq!(hints, expected);
    let error = workplace.fails(2, &["scan", "tree", "--render", "--untrusted"]);
    assert!(error.contains("'--render' cannot be used with '--untrusted'"), "{error}");
    assert_eq!((log(&workplace, "helm"), log(&workplace, "kustomize")), (String::new(), String::new()));
}

/// With the Helm that `make helm` builds.
#[test]
fn helm_renders_a_chart() {
    let tools = root().join("target/tools/bin");
    if !tools.join("helm").is_file() {
        eprintln!("skipped: {} is not there; `make helm` builds it", tools.join("helm").display());
        return;
    }
    let workplace = workplace().with("PATH", tools.to_str().expect("UTF-8"));
    workplace.write("tree/web/Chart.yaml", CHART);
    workplace.write("tree/web/values.yaml", "privileged: true\nname: a\n");
    let pod = BAD.replace("true", "{{ .Values.privileged }}").replace("name: bad", "name: {{ .Values.name }}");
    workplace.write("tree/web/templates/pod.yaml", pod);
    workplace.write("tree/broken/Chart.yaml", CHART);
    workplace.write("tree/broken/templates/pod.yaml", "{{ .Values.a.b }}");
    let (found, problems, _) = scan(&workplace, &[]);
    assert_eq!(found, ["web:10:35 error privileged via web/templates/pod.yaml"]);
    assert!(
        problems.len() == 1 && problems[0].starts_with("broken `helm template` failed (exit status: 1): Error: "),
        "{problems:?}"
    );
}
