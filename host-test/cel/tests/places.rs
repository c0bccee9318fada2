//! Where in an object it is decided that an expression is not true, and on how small a stack that is found.

use std::thread;

use podfence_cel::{Answer, Budget, Environment, Expression, Inputs, Returns, Written};
use serde_json::{Value, json};

fn object() -> Value {
    json!({
        "metadata": {"name": "web", "labels": {"app.kubernetes.io/name": "web", "team": "a"}},
        "spec": {
            "replicas": 9,
            "hostNetwork": true,
            "initContainers": [{"name": "init", "image": "docker.io/init"}],
            "containers": [
                {"name": "a", "image": "registry.example.com/a", "ports": [{"containerPort": 80}]},
                {"name": "b", "image": "docker.io/b", "ports": [{"containerPort": 80}, {"hostPort": 22}]},
            ],
        },
    })
}

fn environment() -> Environment {
    let mut environment = Environment::admission(Returns::Bool).with_params();
    for (name, text) in [
        ("containers", "object.spec.containers"),
        ("all", "object.spec.?initContainers.orValue([]) + variables.containers"),
        ("bad", "variables.containers.filter(c, !c.image.startsWith('registry'))"),
        ("images", "variables.containers.map(c, c.image)"),
    ] {
        let expression = Expression::compile(text, &environment.returning(Returns::Anything)).expect(text);
        environment = environment.with_variable(name, expression);
    }
    environment
}

#[test]
fn the_longest_part_that_is_read_and_there() {
    let cases = [
        ("object.spec.replicas <= 5", "spec.replicas"),
        ("!has(object.spec.hostNetwork) || object.spec.hostNetwork == false", "spec.hostNetwork"),
        (
            "object.metadata.?labels[?'app.kubernetes.io/name'].orValue('') == 'x'",
            "metadata.labels[\"app.kubernetes.io/name\"]",
        ),
        ("has(object.metadata.labels.owner)", "metadata.labels"),
        ("has(object.metadata.annotations) && 'a' in object.metadata.annotations", "metadata"),
        ("object.spec.containers.all(c, c.image.startsWith('registry'))", "spec.containers[1].image"),
        ("object.spec.containers.all(i, c, c.name != 'b' && i < 9)", "spec.containers[1].name"),
        ("object.spec.containers.all(c, c.ports.all(p, !has(p.hostPort)))", "spec.containers[1].ports[1].hostPort"),
        ("object.spec.containers.all(c, has(c.securityContext))", "spec.containers[0]"),
        ("!object.spec.containers.exists(c, c.image.startsWith('docker'))", "spec.containers[1].image"),
        ("object.spec.containers.exists(c, c.image == 'x')", "spec.containers"),
        ("variables.all.all(c, c.image.startsWith('registry'))", "spec.initContainers[0].image"),
        ("variables.all.all(c, c.name != 'b')", "spec.containers[1].name"),
        ("(variables.containers + object.spec.initContainers).all(c, c.name != 'init')", "spec.initContainers[0].name"),
        ("variables.bad.size() == 0", "spec.containers"),
        ("variables.images.all(i, i.startsWith('registry'))", "spec.containers"),
        ("object.spec.containers[0].image == 'x'", "spec.containers[0].image"),
        ("object.metadata.labels.all(k, k != 'team')", "metadata.labels"),
        ("object.spec.absent == 1", "spec"),
        ("object.spec.containers.all(c, c.resources.limits.memory == '')", "spec.containers[0]"),
        ("object.spec.replicas < params.most && object.metadata.name == ''", "spec.replicas"),
        ("params.x == 1", ""),
        ("[1, 2].all(object, object == 1)", ""),
    ];
    let (environment, object) = (environment(), object());
    let inputs = Inputs::new(&json!({}), Some(&object), None).with_params(&json!({"most": 10}));
    let written = object.to_string();
    let found = cases.map(|(text, expected)| {
        let expression = Expression::compile(text, &environment).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_ne!(expression.evaluate(&inputs), Ok(Answer::Bool(true)), "{text}");
        let place = expression.place(&inputs, &object, &mut Budget::of_binding());
        let of_text = expression.place(&inputs, Written::Text(&written), &mut Budget::of_binding());
        assert_eq!(of_text, place, "{text}");
        (text, place.path, expected)
    });
    let different: Vec<_> = found.iter().filter(|(_, found, expected)| found != expected).collect();
    assert_eq!(different, Vec::<&(&str, String, &str)>::new(), "(expression, found, expected)");
}

/// Expressions of every kind, as deep as one can be that is evaluated on the stack of any thread, and a little deeper.
fn deep(levels: usize) -> [String; 7] {
    let nest = |start: &str, around: fn(String, usize) -> String| (0..levels).fold(start.to_owned(), around);
    [
        nest("1", |inner, _| format!("({inner} + 1)")) + " > 0",
        nest("object", |inner, _| format!("[{inner}]")) + ".size() == 1",
        nest("true", |inner, n| format!("[1].all(x{n}, {inner})")),
        nest("true", |inner, _| format!("(false || {inner})")),
        nest("true", |inner, _| format!("(true ? {inner} : false)")),
        nest("'a'", |inner, _| format!("{inner}.replace('a', 'a')")) + " == 'a'",
        nest("object.?spec", |inner, _| format!("optional.of({inner}).value()")) + ".hasValue()",
    ]
}

#[test]
fn what_is_shallow_needs_little_of_a_stack() {
    let environment = environment();
    for levels in [5, 9, 14, 19, 28, 40, 58] {
        for text in deep(levels) {
            let expression = Expression::compile(&text, &environment).unwrap_or_else(|error| panic!("{text}: {error}"));
            let evaluate = move || {
                let inputs = Inputs::new(&json!({}), Some(&object()), None);
                expression.evaluate(&inputs).unwrap_or_else(|error| panic!("{text}: {error}"))
            };
            let thread = thread::Builder::new().stack_size(512 << 10).spawn(evaluate).expect("a thread");
            assert_eq!(thread.join().expect("no panic"), Answer::Bool(true));
        }
    }
}
