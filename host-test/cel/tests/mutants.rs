//! Random changes to valid expressions: none panics, and each that compiles evaluates to a value or an error.

use podfence_cel::{Environment, Expression, Inputs, Returns};
use podfence_support::Random;
use serde_json::json;

const SEEDS: [&str; 14] = [
    "object.spec.containers.all(c, c.image.startsWith('registry.example.com/') && !c.image.endsWith(':latest'))",
    "has(object.metadata.labels) && 'app' in object.metadata.labels && object.metadata.labels['app'] == 'web'",
    "object.spec.?replicas.orValue(1) <= 5 ? request.operation == \"CREATE\" : false",
    "[1, 2, 3].exists(i, v, i + v > 4) || {'a': 1}.all(k, v, v in [1, 2, 3])",
    "quantity(object.spec.memory).isLessThan(quantity('2Gi')) && quantity('1').add(1).asInteger() == 2",
    "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP(object.spec.ip)",
    "semver('1.2.3-a.1').compareTo(semver('v1.2', true)) == -1",
    "object.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$') && 'abab'.findAll('(a)b', 1).size() == 1",
    "timestamp('2026-01-02T03:04:05Z').getHours('Europe/Berlin') == 4 && duration('1h') > duration('30m')",
    "['b', 'a'].sort().map(x, x != 'a', x + '!').join(',').replace('!', '?').split('?', -1).size() > 1",
    "'%s is %d'.format([object.metadata.name, size(object.spec.containers)]).lowerAscii() != ''",
    "optional.of(object).optMap(o, o.kind).orValue('') == 'Pod' && [optional.none()].unwrapOpt() == []",
    "sets.contains([1, 2], [1]) && [[1], [2, 3]].flatten().sum() == 6 && lists.range(3).reverse()[0] == 2",
    "request.userInfo.groups.exists_one(g, g == 'system:masters') && b'\\x01' + b'2' == bytes('a') || r'\\d' == \"\"\"x\"\"\"",
];

/// What is put into an expression.
const PIECES: [&str; 40] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    "?",
    ":",
    "'",
    "\"",
    "\\",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "==",
    "<",
    "in",
    "null",
    "true",
    "1",
    "0.5",
    "9223372036854775807",
    "object",
    "x",
    "has(",
    ".all(x,",
    ".map(x,",
    "[?",
    ".?a",
    "`a`",
    "é",
    "\n",
    "b'",
    "u",
    "type(",
    "dyn(",
];

fn mutant(random: &mut Random) -> String {
    let mut characters: Vec<char> = random.of(&SEEDS).chars().collect();
    for _ in 0..=random.below(3) {
        let at = random.below(characters.len() + 1);
        let end = (at + random.below(6)).min(characters.len());
        match random.below(4) {
            0 => drop(characters.drain(at..end)),
            1 => drop(characters.splice(at..end, random.of(&PIECES).chars())),
            2 => drop(characters.splice(at..at, random.of(&PIECES).chars())),
            _ => {
                let other: Vec<char> = random.of(&SEEDS).chars().collect();
                let from = random.below(other.len());
                let to = (from + random.below(20)).min(other.len());
                drop(characters.splice(at..at, other[from..to].iter().copied()));
            }
        }
    }
    characters.into_iter().collect()
}

#[test]
fn no_mutant_panics() {
    let environment = Environment::admission(Returns::Anything);
    let request = json!({"operation": "CREATE", "userInfo": {"groups": ["g"]}});
    let object = json!({
        "kind": "Pod",
        "metadata": {"name": "a", "labels": {"app": "web"}},
        "spec": {"containers": [{"image": "x"}], "memory": "1Gi", "ip": "10.0.0.1", "f": 1.5},
    });
    let inputs = Inputs::new(&request, Some(&object), None);
    for seed in SEEDS {
        Expression::compile(seed, &environment).unwrap_or_else(|error| panic!("{seed}: {error}"));
    }
    let mut random = Random::new(4711);
    let mut compiled = 0;
    for _ in 0..3_000 {
        let mutant = mutant(&mut random);
        let outcome = Expression::compile(&mutant, &environment).map(|expression| expression.evaluate(&inputs));
        compiled += usize::from(outcome.is_ok());
        let words = match outcome {
            Ok(Ok(_)) => continue,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        assert!(!words.contains("the evaluator failed"), "{mutant}: {words}");
        assert!(words.len() < 1_000, "{mutant}: {words}");
    }
    assert!(compiled > 200, "{compiled} mutants compile");
}
