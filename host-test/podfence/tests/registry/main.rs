//! `podfence` with a real registry, Debian's `docker-registry`, on this machine: what goes in comes out, and what
//! goes wrong is told.
//!
//! Without that program nothing of it is tested, and that is said. What a hostile registry does is in `hostile`.

mod hostile;
mod server;

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::thread;

use podfence_support::{Printed, Workplace, module, opa_module, policies, root};
use serde_json::{Value, json};
use server::{Line, Registry};

/// The tag of a policy.
const VERSION: &str = concat!("v", env!("CARGO_PKG_VERSION"));

/// A policy that is small, and one that goes over a line that breaks on the way.
const POLICIES: [&str; 2] = ["privileged", "users"];

/// A directory with the packages of some policies, where Docker's configuration is looked for.
fn workplace() -> Workplace {
    let workplace = Workplace::new(env!("CARGO_BIN_EXE_podfence")).with("COSIGN_PASSWORD", "p");
    let directory = workplace.directory().display().to_string();
    let workplace = workplace.with("DOCKER_CONFIG", &directory);
    for policy in POLICIES {
        workplace.write(&format!("raw/{policy}.wasm"), module(policy));
    }
    let policies = format!("--policies={}", policies().display());
    let modules = POLICIES.map(|policy| format!("raw/{policy}.wasm"));
    workplace.succeeds(&[&["package", "--out=.", &policies][..], &modules.each_ref().map(String::as_str)].concat());
    workplace
}

/// Publishes a policy; its reference with the digest.
fn publish(workplace: &Workplace, registry: &Registry, policy: &str) -> String {
    let pushed = workplace.succeeds(&["push", &format!("{policy}.wasm"), "--registry", &registry.place()]);
    pushed.trim_end().to_owned()
}

/// Makes a key pair; the names of its files.
fn keys(workplace: &Workplace, name: &str) -> [String; 2] {
    workplace.succeeds(&["generate-key-pair", "--output-key-prefix", name]);
    [format!("{name}.key"), format!("{name}.pub")]
}

fn digest(reference: &str) -> &str {
    reference.split_once('@').expect("a reference with a digest").1
}

/// A reference without its tag.
fn by_digest(reference: &str) -> String {
    let (tagged, digest) = reference.split_once('@').expect("a reference with a digest");
    format!("{}@{digest}", tagged.rsplit_once(':').expect("a tag").0)
}

#[test]
fn what_is_pushed_comes_back() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    let place = registry.place();
    let reference = publish(&workplace, &registry, "privileged");
    let tagged = format!("{place}/privileged:{VERSION}");
    assert_eq!(reference, format!("{tagged}@{}", digest(&reference)));

    let with_scheme = format!("registry://{}", by_digest(&reference));
    for name in [&tagged, &reference, &with_scheme] {
        assert_eq!(workplace.succeeds(&["pull", name, "-o", "back.wasm"]), format!("{}\n", by_digest(&reference)));
        assert_eq!(workplace.read("back.wasm"), workplace.read("privileged.wasm"));
    }

    // Kubewarden's layout.
    let manifest = registry.manifest("podfence/privileged", VERSION);
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v1+json");
    assert_eq!(manifest["config"]["size"], 2);
    let [layer] = manifest["layers"].as_array().unwrap().as_slice() else { panic!("one layer: {manifest}") };
    assert_eq!(layer["mediaType"], "application/vnd.wasm.content.layer.v1+wasm");
    assert_eq!(layer.get("annotations"), None);
    let annotations = &manifest["annotations"];
    assert_eq!(annotations["io.kubewarden.policy.title"], "privileged");
    assert_eq!(annotations["org.opencontainers.image.source"], annotations["io.kubewarden.policy.source"]);
    assert_eq!(annotations.get("io.kubewarden.policy.usage"), None, "it has lines");
}

#[test]
fn a_version_is_published_once() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    let reference = publish(&workplace, &registry, "privileged");
    let again = workplace.run(&["push", "privileged.wasm", "--registry", &registry.place()]);
    assert_eq!(
        (again.code, again.out, again.error),
        (
            Some(0),
            format!("{reference}\n"),
            "privileged: there already\nnext: podfence sign --key FILE HOST/PATH@sha256:DIGEST\n".to_owned()
        )
    );

    // The same name and version with other bytes behind them.
    let mut other = workplace.read("privileged.wasm");
    other.extend([0, 2, 1, b'x']);
    workplace.write("other.wasm", other);
    let tagged = format!("{}/privileged:{VERSION}", registry.place());
    assert_eq!(
        workplace.fails(2, &["push", "other.wasm", "--registry", &registry.place()]),
        format!("error: {tagged} already exists with other content, {}; --overwrite replaces it\n", digest(&reference))
    );
    let replaced = workplace.succeeds(&["push", "other.wasm", "--registry", &registry.place(), "--overwrite"]);
    assert_ne!(digest(replaced.trim_end()), digest(&reference));
    assert_eq!(workplace.succeeds(&["pull", &tagged]), format!("{}\n", by_digest(replaced.trim_end())));
    assert_eq!(workplace.succeeds(&["pull", &reference]), format!("{}\n", by_digest(&reference)));
}

#[test]
fn a_signature_is_good_for_its_key_and_its_bytes() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    let reference = publish(&workplace, &registry, "privileged");
    let [key, public] = keys(&workplace, "ours");
    let [other_key, other_public] = keys(&workplace, "other");
    let [_, third_public] = keys(&workplace, "third");
    let verify = |public: &str| ["verify".to_owned(), "--key".to_owned(), public.to_owned(), reference.clone()];
    let by_digest = by_digest(&reference);

    assert_eq!(workplace.fails(1, &verify(&public)), format!("refused: {reference} has no signature\n"));
    assert_eq!(workplace.succeeds(&["sign", "--key", &key, &reference]), format!("{by_digest}\n"));
    assert_eq!(workplace.succeeds(&verify(&public)), format!("{by_digest}\n"));
    let refused = format!("refused: {reference} is signed, but not with this key\n");
    assert_eq!(workplace.fails(1, &verify(&other_public)), refused);

    // A second signature leaves the first one where it is, and the same one is not written again.
    for key in [&other_key, &key, &other_key] {
        workplace.succeeds(&["sign", "--key", key, &reference]);
    }
    for public in [&public, &other_public] {
        assert_eq!(workplace.succeeds(&verify(public)), format!("{by_digest}\n"));
    }

    // The layout for policy-servers.
    let tag = format!("{}.sig", digest(&reference).replace(':', "-"));
    let manifest = registry.manifest("podfence/privileged", &tag);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for layer in layers {
        assert_eq!(layer["mediaType"], "application/vnd.dev.cosign.simplesigning.v1+json");
        assert!(layer["annotations"]["dev.cosignproject.cosign/signature"].is_string());
        let payload: Value = serde_json::from_slice(&registry.blob(layer["digest"].as_str().unwrap())).unwrap();
        assert_eq!(
            payload,
            json!({
                "critical": {
                    "identity": {"docker-reference": format!("{}/privileged", registry.place())},
                    "image": {"docker-manifest-digest": digest(&reference)},
                    "type": "cosign container image signature",
                },
                "optional": null,
            })
        );
    }

    // The layout that cosign writes today, under the tag that stands for a list that this registry does not keep.
    let fallback = digest(&reference).replace(':', "-");
    let index = registry.manifest("podfence/privileged", &fallback);
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{index}");
    for entry in entries {
        assert_eq!(entry["artifactType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
        assert_eq!(
            entry["annotations"],
            json!({
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
            })
        );
        let manifest = registry.manifest("podfence/privileged", entry["digest"].as_str().unwrap());
        assert_eq!(manifest["subject"]["digest"], digest(&reference));
        let layer = &manifest["layers"][0];
        assert_eq!(layer["mediaType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
        let bundle: Value = serde_json::from_slice(&registry.blob(layer["digest"].as_str().unwrap())).unwrap();
        assert_eq!(bundle["mediaType"], "application/vnd.dev.sigstore.bundle.v0.3+json");
        assert!(bundle["verificationMaterial"]["publicKey"]["hint"].is_string(), "{bundle}");
        let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
        let statement = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, payload).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&statement).unwrap(),
            json!({
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [{"digest": {"sha256": digest(&reference).trim_start_matches("sha256:")}}],
                "predicateType": "https://sigstore.dev/cosign/sign/v1",
                "predicate": {},
            })
        );
    }

    // Either layout is enough.
    let nothing =
        json!({"schemaVersion": 2, "mediaType": manifest["mediaType"], "config": manifest["config"], "layers": []});
    registry.put_manifest("podfence/privileged", &tag, &nothing);
    assert_eq!(workplace.succeeds(&verify(&public)), format!("{by_digest}\n"));
    assert_eq!(workplace.fails(1, &verify(&third_public)), refused);
    // cosign lists what it signs with another type, and without annotations.
    let mut listed = index.clone();
    for entry in listed["manifests"].as_array_mut().unwrap() {
        entry["artifactType"] = json!("application/vnd.oci.empty.v1+json");
        entry.as_object_mut().unwrap().remove("annotations");
    }
    registry.put_manifest("podfence/privileged", &fallback, &listed);
    assert_eq!(workplace.succeeds(&verify(&public)), format!("{by_digest}\n"));
    registry.put_manifest("podfence/privileged", &tag, &manifest);
    let mut without = index.clone();
    without["manifests"] = json!([]);
    registry.put_manifest("podfence/privileged", &fallback, &without);
    assert_eq!(workplace.succeeds(&verify(&public)), format!("{by_digest}\n"));
    registry.put_manifest("podfence/privileged", &fallback, &index);

    // Another artifact with the signatures of this one.
    let stolen = publish(&workplace, &registry, "users");
    let hash = |reference: &str| digest(reference).trim_start_matches("sha256:").to_owned();
    for name in [&tag, &fallback] {
        registry.copy_tag(
            "podfence/privileged",
            name,
            "podfence/users",
            &name.replace(&hash(&reference), &hash(&stolen)),
        );
    }
    let error = workplace.fails(1, &["verify", "--key", &public, &stolen]);
    let place = format!("{}/users", registry.place());
    let listed = |number: usize| {
        format!(
            "{place}@{}, which the registry lists for the policy: it refers to {}; expected {}",
            entries[number]["digest"].as_str().unwrap(),
            digest(&reference),
            digest(&stolen)
        )
    };
    let shown = |text: String| text.chars().take(200).chain(['…']).collect::<String>();
    assert_eq!(
        error,
        format!(
            "refused: {stolen} has no good signature: it is about another artifact; {}; {}\n",
            shown(listed(1)),
            shown(listed(0))
        )
    );
}

#[test]
fn what_is_verified_is_what_is_pulled() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    let reference = publish(&workplace, &registry, "privileged");
    let other = publish(&workplace, &registry, "users");
    let [key, public] = keys(&workplace, "ours");
    let tagged = format!("{}/privileged:{VERSION}", registry.place());
    let pull = ["pull", "--key", &public, &tagged, "-o", "back.wasm"];
    assert_eq!(workplace.fails(1, &pull), format!("refused: {tagged} has no signature\n"));
    assert!(!workplace.path("back.wasm").exists());
    workplace.succeeds(&["sign", "--key", &key, &reference, &other]);
    assert_eq!(workplace.succeeds(&pull), format!("{}\n", by_digest(&reference)));
    assert_eq!(workplace.read("back.wasm"), workplace.read("privileged.wasm"));

    // To standard output, which is nothing but the module.
    let printed = workplace.command(&["pull", &tagged, "-o", "-"]).output().unwrap();
    assert_eq!(printed.stdout, workplace.read("privileged.wasm"));
    assert_eq!(String::from_utf8(printed.stderr).unwrap(), format!("{}\n", by_digest(&reference)));

    // A signed policy in the place of another one, and an old version in the place of a new one.
    registry.copy_tag("podfence/users", VERSION, "podfence/privileged", "v9.0.0");
    registry.copy_tag("podfence/privileged", VERSION, "podfence/privileged", "v8.0.0");
    let version = env!("CARGO_PKG_VERSION");
    for (tag, found, expected) in
        [("v9.0.0", "users", "privileged 9.0.0"), ("v8.0.0", "privileged", "privileged 8.0.0")]
    {
        let name = format!("{}/privileged:{tag}", registry.place());
        let problem = format!("{name} is {found} {version}; expected {expected}\n");
        let verify = ["verify", "--key", &public, &name];
        assert_eq!(workplace.fails(1, &verify), format!("refused: {problem}"));
        assert_eq!(workplace.fails(1, &["pull", "--key", &public, &name]), format!("refused: {problem}"));
        assert_eq!(workplace.fails(2, &["pull", &name]), format!("error: {problem}"));
    }

    // Nobody, and a wrong root.
    let nobody = workplace.fails(2, &["verify", &tagged]);
    assert!(nobody.contains("<--key <FILE>|--certificate-identity <IDENTITY>>"), "{nobody}");
    workplace.write("root.json", "{}");
    let identity = ["--certificate-identity", "a@example.com", "--certificate-oidc-issuer", "https://example.com"];
    let root = workplace.fails(2, &[&["verify", "--trusted-root", "root.json", &tagged], &identity[..]].concat());
    assert!(root.starts_with("error: root.json is not a trusted root: "), "{root}");
    let keyless = workplace.fails(1, &[&["verify"], &identity[..], &[&tagged]].concat());
    assert_eq!(keyless, format!("refused: {tagged} has no good signature: it is signed with a key\n"));
}

/// Writes the bill of materials of a policy beside its package.
fn write_bill(workplace: &Workplace, policy: &str) {
    let policies = format!("--policies={}", policies().display());
    workplace.succeeds(&["sbom", &format!("{policy}.wasm"), &policies]);
}

#[test]
fn a_bill_of_materials_is_attached_once_and_comes_back() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    let push = ["push", "privileged.wasm", "--sbom", "--registry", &registry.place()];
    let missing = workplace.fails(2, &push);
    let expected =
        "error: privileged.cdx.json: no such file, which --sbom attaches; `podfence sbom privileged.wasm` writes it\n";
    assert_eq!(missing, expected);
    for place in ["http://registry.example.com/podfence", "registry.example.com/Podfence"] {
        let error = workplace.fails(2, &["push", "privileged.wasm", "--registry", place]);
        let expected = format!(
            "error: invalid value '{place}' for '--registry <HOST/PATH>': expected HOST/PATH without a scheme, a tag and \
             capital letters in the path, such as registry.example.com/podfence\n"
        );
        assert!(error.starts_with(&expected), "{error}");
    }
    let policies = format!("--policies={}", policies().display());
    let printed = workplace.run(&["sbom", "privileged.wasm", &policies]);
    assert_eq!((printed.code, printed.out.as_str()), (Some(0), "privileged.cdx.json\n"));
    assert_eq!(printed.error, "next: podfence push MODULE… --sbom --registry HOST/PATH\n");
    let reference = workplace.succeeds(&push).trim_end().to_owned();
    assert_eq!(workplace.succeeds(&push).trim_end(), reference);

    workplace.succeeds(&["pull", &reference, "-o", "back.wasm", "--sbom", "back.json"]);
    let bill = workplace.read("privileged.cdx.json");
    assert_eq!(workplace.read("back.json"), bill);

    // This registry keeps no list of its own, so the index that stands for it is under a tag.
    let index = registry.manifest("podfence/privileged", &digest(&reference).replace(':', "-"));
    let [entry] = index["manifests"].as_array().unwrap().as_slice() else { panic!("one entry: {index}") };
    assert_eq!(entry["artifactType"], "application/vnd.cyclonedx+json");
    let manifest = registry.manifest("podfence/privileged", entry["digest"].as_str().unwrap());
    assert_eq!(manifest["subject"]["digest"], digest(&reference));
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.cyclonedx+json");

    // Another bill stands beside the first, and the last one counts.
    workplace.write("privileged.cdx.json", [&bill[..], b"\n"].concat());
    workplace.succeeds(&push);
    workplace.succeeds(&["pull", &reference, "--sbom", "back.json"]);
    assert_eq!(workplace.read("back.json"), workplace.read("privileged.cdx.json"));

    // One that is of other bytes is not published.
    write_bill(&workplace, "users");
    workplace.write("privileged.cdx.json", workplace.read("users.cdx.json"));
    let expected = "error: privileged.cdx.json describes another module; `podfence sbom privileged.wasm` writes it\n";
    assert_eq!(workplace.fails(2, &push), expected);

    let without = publish(&workplace, &registry, "users");
    assert_eq!(
        workplace.fails(2, &["pull", &without, "-o", "none.wasm", "--sbom", "none.json"]),
        format!("error: {} has no bill of materials; `podfence push --sbom` attaches it\n", by_digest(&without))
    );
    assert!(!workplace.path("none.wasm").exists() && !workplace.path("none.json").exists());
}

#[test]
fn a_bill_of_materials_is_signed_like_the_module() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    for policy in POLICIES {
        write_bill(&workplace, policy);
    }
    let reference = publish(&workplace, &registry, "privileged");
    let [key, public] = keys(&workplace, "ours");
    let [other_key, _] = keys(&workplace, "other");
    let pull = ["pull", "--key", &public, &reference, "-o", "back.wasm", "--sbom", "back.json"];
    workplace.succeeds(&["sign", "--key", &key, &reference]);
    let name = by_digest(&reference);
    let unsigned = format!("refused: {name} has no signed bill of materials");
    assert_eq!(workplace.fails(1, &pull), format!("{unsigned}; `podfence sign --sbom` signs it\n"));
    workplace.succeeds(&["sign", "--key", &other_key, &reference, "--sbom", "."]);
    assert_eq!(workplace.fails(1, &pull), format!("{unsigned}: it is signed with another key\n"));
    assert!(!workplace.path("back.wasm").exists() && !workplace.path("back.json").exists());
    for _ in 0..2 {
        workplace.succeeds(&["sign", "--key", &key, &reference, "--sbom", "."]);
    }
    assert_eq!(workplace.succeeds(&pull), format!("{name}\n"));
    let parsed = |name: &str| serde_json::from_slice::<Value>(&workplace.read(name)).unwrap();
    assert_eq!(parsed("back.json"), parsed("privileged.cdx.json"));
    let index = registry.manifest("podfence/privileged", &digest(&reference).replace(':', "-"));
    assert_eq!(index["manifests"].as_array().unwrap().len(), 4, "two signatures and two bills: {index}");

    // A bill of other bytes is not signed.
    workplace.write("privileged.cdx.json", workplace.read("users.cdx.json"));
    let error = workplace.fails(2, &["sign", "--key", &key, &reference, "--sbom", "."]);
    assert_eq!(error, format!("error: the bill of materials of {reference} is that of another module\n"));
}

const BUNDLE: &str = "podfence-bundle.tar.gz";

/// Writes a bundle for OPA, and its bill of materials.
fn write_bundle(workplace: &Workplace) {
    for policy in POLICIES {
        workplace.write(&format!("opa/{policy}.wasm"), opa_module(policy));
    }
    let modules = POLICIES.map(|policy| format!("opa/{policy}.wasm"));
    workplace.succeeds(&[&["bundle", "--out", BUNDLE][..], &modules.each_ref().map(String::as_str)].concat());
    let policies = format!("--policies={}", policies().display());
    assert_eq!(workplace.succeeds(&["sbom", BUNDLE, &policies]), "podfence-bundle.cdx.json\n");
}

#[test]
fn a_bundle_for_opa_is_published_and_signed_like_a_policy() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    write_bundle(&workplace);
    let push = ["push", BUNDLE, "--sbom", "--registry", &registry.place()];
    let reference = workplace.succeeds(&push).trim_end().to_owned();
    let tagged = format!("{}/podfence-bundle:{VERSION}", registry.place());
    assert_eq!(reference, format!("{tagged}@{}", digest(&reference)));
    assert_eq!(workplace.succeeds(&push).trim_end(), reference);

    // OPA's layout.
    let manifest = registry.manifest("podfence/podfence-bundle", VERSION);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    let [layer] = manifest["layers"].as_array().unwrap().as_slice() else { panic!("one layer: {manifest}") };
    assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    let annotations = json!({
        "org.opencontainers.image.title": "podfence-bundle",
        "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(manifest["annotations"], annotations);

    let (bundle, bill) = (workplace.read(BUNDLE), workplace.read("podfence-bundle.cdx.json"));
    let parsed: Value = serde_json::from_slice(&bill).unwrap();
    assert_eq!(parsed["metadata"]["component"]["name"], "podfence-bundle");
    let components: Vec<&str> =
        parsed["components"].as_array().unwrap().iter().flat_map(|of| of["name"].as_str()).collect();
    for name in ["podfence-privileged", "podfence-users", "podfence-core", "rust-std"] {
        assert!(components.contains(&name), "{name}: {components:?}");
    }

    let [key, public] = keys(&workplace, "ours");
    let verified = ["pull", "--key", &public, &tagged, "--sbom", "back.json"];
    assert_eq!(workplace.fails(1, &verified), format!("refused: {tagged} has no signature\n"));
    workplace.succeeds(&["sign", "--key", &key, "--sbom", ".", &reference]);
    fs::remove_file(workplace.path(BUNDLE)).unwrap();
    assert_eq!(workplace.succeeds(&verified), format!("{}\n", by_digest(&reference)));
    assert_eq!(workplace.read(BUNDLE), bundle);
    assert_eq!(serde_json::from_slice::<Value>(&workplace.read("back.json")).unwrap(), parsed);

    workplace.write("other.tar.gz", [0x1f, 0x8b, 0, 0]);
    let error = workplace.fails(2, &["push", "other.tar.gz", "--registry", &registry.place()]);
    assert!(error.starts_with("error: other.tar.gz: expected a bundle of `podfence bundle`: "), "{error}");
}

#[test]
fn opa_loads_a_published_bundle() {
    let Some(registry) = Registry::start() else { return };
    let program = root().join("target/tools/bin/opa");
    if !program.exists() {
        return tell("registry: SKIPPED: OPA: it is not there; `make opa-test` builds it with Go");
    }
    let workplace = workplace();
    write_bundle(&workplace);
    workplace.succeeds(&["push", BUNDLE, "--registry", &registry.place()]);
    let address = registry.address();
    workplace.write(
        "opa.yml",
        format!(
            "services: {{registry: {{url: 'http://{address}', type: oci}}}}\n\
             bundles: {{podfence: {{service: registry, resource: '{}/podfence-bundle:{VERSION}'}}}}\n\
             persistence_directory: state\n",
            registry.place()
        ),
    );
    let spec = json!({"containers": [{"name": "a", "image": "b", "securityContext": {"privileged": true}}]});
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let input = json!({"review": {"kind": kind, "object": {"spec": spec}}, "parameters": {}});
    workplace.write("input/pod.json", input.to_string());
    let decision = ["--decision", "podfence/privileged/violation"];
    let mut opa = Command::new(program);
    opa.current_dir(workplace.directory()).args(["exec", "--config-file", "opa.yml"]).args(decision).arg("input");
    let output = opa.output().expect("OPA runs");
    let reply: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let message = "privileged (container \"a\" must not set securityContext.privileged=true)";
    assert_eq!(reply["result"][0]["result"][0]["msg"], message, "{reply}");
}

#[test]
fn keys_that_are_none_are_refused() {
    let workplace = workplace();
    let [key, public] = keys(&workplace, "ours");
    let reference = "localhost:1/a:v1";
    let sign = |key: &str, password: Option<&str>| {
        let mut command = workplace.command(&["sign", "--key", key, reference]);
        match password {
            Some(password) => command.env("COSIGN_PASSWORD", password),
            None => command.env_remove("COSIGN_PASSWORD"),
        };
        let printed = Printed::of(command.output().unwrap());
        (printed.code, printed.error)
    };
    // An unencrypted key, for the tests alone.
    workplace.write("open.key", OPEN_KEY);
    for (key, password, expected) in [
        (key.as_str(), Some("q"), "COSIGN_PASSWORD does not open ours.key"),
        (&key, None, "COSIGN_PASSWORD is not set; it has the password of the private key, and is empty if it has none"),
        (&public, Some("p"), "ours.pub is not a private key in PEM; `podfence generate-key-pair` makes one"),
        ("open.key", Some("p"), "open.key is not encrypted; set COSIGN_PASSWORD to nothing"),
    ] {
        assert_eq!(sign(key, password), (Some(2), format!("error: {expected}\n")));
    }
    let (_, unreachable) = sign("open.key", Some(""));
    assert!(unreachable.starts_with("error: localhost:1 cannot be reached: "), "{unreachable}");
    let no_public_key = format!("error: {key} is not a public key in PEM\n");
    assert_eq!(workplace.fails(2, &["verify", "--key", &key, reference]), no_public_key);

    let generate = ["generate-key-pair", "--output-key-prefix", "ours"];
    let there =
        |name: &str| format!("error: {name} exists and is not overwritten; --output-key-prefix names another\n");
    let (before, public_before) = (workplace.read(&key), workplace.read(&public));
    assert_eq!(workplace.fails(2, &generate), there(&key));
    assert_eq!((workplace.read(&key), workplace.read(&public)), (before, public_before));
    // Both or none.
    fs::remove_file(workplace.path(&key)).unwrap();
    assert_eq!(workplace.fails(2, &generate), there(&public));
    assert!(!workplace.path(&key).exists());
}

#[test]
fn what_was_changed_is_noticed() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    let reference = publish(&workplace, &registry, "privileged");
    let [key, public] = keys(&workplace, "ours");
    workplace.succeeds(&["sign", "--key", &key, &reference]);
    let tagged = reference.split_once('@').unwrap().0;
    let module = workplace.read("privileged.wasm");
    let layer = registry.manifest("podfence/privileged", VERSION)["layers"][0]["digest"].as_str().unwrap().to_owned();
    let changed = |name: &str| format!("{name} was changed in the registry or on the way: expected ");

    let mut flipped = module.clone();
    flipped[4000] ^= 1;
    registry.replace_blob(&layer, &flipped);
    for name in [tagged, &reference] {
        let error = workplace.fails(2, &["pull", name]);
        assert!(error.starts_with(&format!("error: {}{layer}, found sha256:", changed(name))), "{error}");
        let error = workplace.fails(1, &["verify", "--key", &public, name]);
        assert!(error.starts_with(&format!("refused: {}{layer}, found sha256:", changed(name))), "{error}");
    }
    registry.replace_blob(&layer, &module[..module.len() / 2]);
    let error = workplace.fails(2, &["pull", &reference]);
    let (whole, half) = (module.len(), module.len() / 2);
    assert_eq!(error, format!("error: {}{whole} bytes of {layer}, found {half}\n", changed(&reference)));

    registry.replace_blob(&layer, &[&module[..], b"more"].concat());
    let error = workplace.fails(2, &["pull", &reference]);
    assert_eq!(error, format!("error: {}{whole} bytes of {layer}, found more\n", changed(&reference)));

    registry.replace_blob(&layer, &module);
    registry.replace_blob(digest(&reference), &[&registry.blob(digest(&reference))[..], b"\n"].concat());
    let error = workplace.fails(2, &["pull", &reference]);
    assert!(error.starts_with(&format!("error: {}{}, found ", changed(&reference), digest(&reference))), "{error}");
    workplace.fails(1, &["verify", "--key", &public, &reference]);
    // Under the tag, it is another artifact, which nobody signed.
    let error = workplace.fails(1, &["verify", "--key", &public, tagged]);
    assert_eq!(error, format!("refused: {tagged} has no signature\n"));
}

#[test]
fn what_is_no_policy_is_not_pulled() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    let reference = publish(&workplace, &registry, "privileged");
    let tagged = |tag: &str| format!("{}/privileged:{tag}", registry.place());
    assert_eq!(
        workplace.fails(2, &["pull", &tagged("v9")]),
        format!("error: {} is not in the registry\n", tagged("v9"))
    );
    let other = format!("{}/other@{}", registry.place(), digest(&reference));
    assert_eq!(workplace.fails(2, &["pull", &other]), format!("error: {other} is not in the registry\n"));

    let manifest = registry.manifest("podfence/privileged", VERSION);
    let mut image = manifest.clone();
    image["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar");
    let mut two = manifest.clone();
    two["layers"] = json!([manifest["layers"][0], manifest["layers"][0]]);
    let mut huge = manifest.clone();
    huge["layers"][0]["size"] = json!(1u64 << 40);
    for (tag, manifest, problem) in [
        (
            "image",
            image,
            format!(
                "{} is not a policy: its layer is application/vnd.oci.image.layer.v1.tar; expected \
                 application/vnd.wasm.content.layer.v1+wasm or application/vnd.oci.image.layer.v1.tar+gzip",
                tagged("image")
            ),
        ),
        ("two", two, format!("{} is not a policy: it has 2 layers; expected one", tagged("two"))),
        (
            "huge",
            huge,
            format!(
                "{}: {} has 1099511627776 bytes; expected at most 67108864",
                registry.address(),
                manifest["layers"][0]["digest"].as_str().unwrap()
            ),
        ),
    ] {
        registry.put_manifest("podfence/privileged", tag, &manifest);
        assert_eq!(workplace.fails(2, &["pull", &tagged(tag)]), format!("error: {problem}\n"));
    }
}

#[test]
fn who_may_not_is_told_how_to_log_in() {
    let Some(registry) = Registry::start_for("jane") else { return };
    let workplace = workplace();
    let push = ["push".to_owned(), "privileged.wasm".to_owned(), "--registry".to_owned(), registry.place()];
    let address = registry.address();
    let refused = format!(
        "error: {address} refuses access to podfence/privileged; `docker login {address}` stores credentials\n"
    );
    let configure = |credentials: &str| {
        let auth = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, credentials);
        let config = json!({"auths": {address.clone(): {"auth": auth}}});
        workplace.write("config.json", config.to_string());
    };
    assert_eq!(workplace.fails(2, &push), refused);
    configure("jane:wrong");
    assert_eq!(workplace.fails(2, &push), refused);
    configure("jane:secret");
    workplace.succeeds(&push);
    workplace.write("config.json", "{");
    let error = workplace.fails(2, &push);
    assert!(error.contains(&format!("credentials for {address}: ")) && error.contains("config.json"), "{error}");
}

#[test]
fn plain_http_goes_to_other_machines_only_on_request() {
    let workplace = workplace();
    for (more, scheme) in [(&[][..], "https"), (&["--plain-http"][..], "http")] {
        let arguments = [&["pull", "registry.invalid/a:v1"], more].concat();
        let error = workplace.fails(2, &arguments);
        let expected = format!(
            "error: registry.invalid cannot be reached: error sending request for url \
             ({scheme}://registry.invalid/v2/a/manifests/v1)"
        );
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn pushes_at_once_do_not_disturb_each_other() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    let place = registry.place();
    let push = |policy: &str| workplace.succeeds(&["push", &format!("{policy}.wasm"), "--registry", &place]);
    let pushed: Vec<Vec<String>> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|number| scope.spawn(move || (number, push(POLICIES[number % POLICIES.len()])))).collect();
        let mut pushed = vec![Vec::new(); POLICIES.len()];
        for thread in threads {
            let (number, reference) = thread.join().expect("a push");
            pushed[number % POLICIES.len()].push(reference.trim_end().to_owned());
        }
        pushed
    });
    for (policy, references) in POLICIES.iter().zip(&pushed) {
        assert!(references.iter().all(|reference| *reference == references[0]), "{references:?}");
        workplace.succeeds(&["pull", &references[0], "-o", "back.wasm"]);
        let module = fs::read(workplace.path(policy).with_extension("wasm")).unwrap();
        assert_eq!(workplace.read("back.wasm"), module);
    }
}

#[test]
fn a_registry_that_goes_away_leaves_nothing_half_published() {
    let Some(registry) = Registry::start() else { return };
    let workplace = workplace();
    let size = fs::metadata(workplace.path("users.wasm")).unwrap().len();
    // Before anything, amid the module, and behind it.
    for length in [10, size / 2, size + 1000] {
        let line = Line::to(&registry, length);
        let place = format!("{}/podfence", line.address());
        let error = workplace.fails(2, &["push", "users.wasm", "--registry", &place]);
        let expected = format!("error: {}", line.address());
        assert!(error.starts_with(&expected), "{error}");
        let tagged = format!("{}/users:{VERSION}", registry.place());
        assert_eq!(workplace.fails(2, &["pull", &tagged]), format!("error: {tagged} is not in the registry\n"));
    }
    publish(&workplace, &registry, "users");
}

/// An unencrypted private key.
const OPEN_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzUvuu7VGKO+B5kig\n\
oo9WBgZLGUrxh69haTXeayyShi6hRANCAAQFC0rcdms6U8P/lLOZ0a34EGshlVpT\n\
B9WLonIDwwu+jWvrEzPHNoIJ/c5NsIHba8yD5fYkhYAJzsQp/BqZcXYn\n\
-----END PRIVATE KEY-----\n\
";

/// Past the test harness, which hides what passing tests print.
fn tell(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("somebody listens");
}
