use std::sync::LazyLock;

use podfence_images::POLICY;
use regex::Regex;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, is_matched, list, setting_texts, text, texts, values, violation};

const IMAGES: &[&str] = &[
    "nginx:1.29",
    "nginx",
    "ghcr.io/acme/app:1.2",
    "ghcr.io/acme/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "GHCR.io/acme/team/app:1.2",
    "acme/app:dev",
    "registry:5000/nginx",
    "123.dkr.ecr.eu-west-1.amazonaws.com/app:1",
];
const ODD_IMAGES: &[&str] = &[
    "",
    " ",
    "nginx:latest",
    "docker.io/nginx:1.29",
    "index.docker.io/library/nginx:1.29",
    "Docker.IO/acme/app:1",
    "ghcr.io:443/acme/app:1",
    "ghcr.io/acme-evil/app:1",
    "ghcr.io/acme",
    "ghcr.io/acme/app:1.2@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "ghcr.io/acme/app@sha256:0123456789abcdef",
    "ghcr.io/acme/app@md5:0123456789abcdef0123456789abcdef",
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "Nginx",
    "Acme/app",
    "ghcr.io/Acme/app",
    "ghcr.io/acme//app",
    "ghcr.io/",
    "localhost/app",
    "localhost:5000/app",
    "[::1]:5000/app:1",
    "a..b/app",
    "-a.b/app",
    "ghcr.io/acme/*",
    "nginx:",
    "nginx@",
    "nginx:-1",
    "é",
];

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("image", 3, IMAGES, ODD_IMAGES),
        values("volumes[*].name", 5, &["v", "w"], &["", "v\""]),
        values("volumes[*].image", 70, &[], &[]),
        values("volumes[*].image.reference", 5, IMAGES, ODD_IMAGES),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

/// Patterns to try in settings.
pub const PATTERNS: &[&str] = &[
    "nginx",
    "nginx:1.29",
    "docker.io",
    "docker.io/*",
    "docker.io/**",
    "docker.io/*/app",
    "acme/*",
    "ghcr.io",
    "Ghcr.IO/acme",
    "ghcr.io/acme/*",
    "ghcr.io/acme/**",
    "ghcr.io/*/app",
    "ghcr.io/acme/app:1.2",
    "ghcr.io/acme/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "registry:5000/**",
    "localhost:5000",
    "*.dkr.ecr.*.amazonaws.com",
    "*.io/acme/**",
    "*.*",
];
const REGISTRIES: &[&str] = &["docker.io", "ghcr.io", "GHCR.io", "registry:5000", "localhost", "*.io"];
const PREFIXES: &[&str] = &["nginx", "acme", "acme/", "ghcr.io", "ghcr.io/acme", "ghcr.io/acme/", "registry:5000"];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    match settings.draw.below(6) {
        0 | 1 => settings.texts("allowed", PATTERNS),
        2 => settings.texts("repos", PREFIXES),
        3 => {
            for list in ["registries", "images"] {
                let mut lists = Members::new(settings.draw);
                for name in ["allow", "reject"] {
                    lists.texts(name, if list == "images" { PATTERNS } else { REGISTRIES });
                }
                let lists = lists.done();
                settings.put(list, lists);
            }
        }
        _ => {}
    }
    if settings.draw.percent(30) {
        settings.texts("denied", PATTERNS);
    }
    if settings.draw.percent(50) {
        settings.texts("deniedTags", &["latest", "1.29", "dev", "1.2"]);
    }
    for name in ["requireDigest", "requireRegistry", "allowEmpty"] {
        if settings.draw.percent(20) {
            settings.flag(name);
        }
    }
    settings.done()
}

/// A reference, as container runtimes read it.
struct Image {
    names_registry: bool,
    /// In lower case.
    host: String,
    port: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// A regular expression for a whole text.
fn whole(expression: &str) -> Regex {
    Regex::new(&format!(r"\A(?:{expression})\z")).expect("a regular expression")
}

static HOST: LazyLock<Regex> = LazyLock::new(|| {
    let label = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])";
    whole(&format!(r"(?<name>{label}(?:\.{label})*|\[[a-fA-F0-9:]+\])(?::(?<port>[1-9][0-9]{{0,4}}))?"))
});

static REPOSITORY: LazyLock<Regex> = LazyLock::new(|| {
    let component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
    let tag = "[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}";
    let digest = "sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128}";
    whole(&format!(r"(?<path>{component}(?:/{component})*)(?::(?<tag>{tag}))?(?:@(?<digest>{digest}))?"))
});

static ID: LazyLock<Regex> =
    LazyLock::new(|| whole("[a-f0-9]{64}|sha(?:256|384|512):[a-f0-9]*"));

impl Image {
    fn read(text: &str) -> Option<Self> {
        if text.len() > 4096 || ID.is_match(text) {
            return None;
        }
        let (registry, rest) = match text.split_once('/') {
            Some((first, rest)) if first.contains(['.', ':']) || first.eq_ignore_ascii_case("localhost") => {
                (Some(first), rest)
            }
            _ => (None, text),
        };
        let host = HOST.captures(registry.unwrap_or("docker.io"))?;
        let is_odd_hub = ["docker.io", "index.docker.io"].iter().any(|hub| host[0].eq_ignore_ascii_case(hub) && host[0] != **hub);
        if is_odd_hub || host.name("port").is_some_and(|port| port.as_str().parse::<u16>().is_err()) {
            return None;
        }
        let repository = REPOSITORY.captures(rest)?;
        let part = |name: &str| repository.name(name).map(|part| part.as_str().to_owned());
        let mut image = Self {
            names_registry: registry.is_some(),
            host: host["name"].to_ascii_lowercase(),
            port: host.name("port").map_or("", |port| port.as_str()).to_owned(),
            path: part("path")?,
            tag: part("tag"),
            digest: part("digest"),
        };
        (image.host, image.path) = of_hub(image.host, &image.port, image.path);
        Some(image)
    }

    fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or("latest")
    }

    /// Whether a pattern covers this image; a registry without a port may cover each of its ports.
    fn is_covered(&self, pattern: &str, any_port: bool) -> bool {
        let (pattern, digest) = pattern.split_once('@').map_or((pattern, None), |(name, digest)| (name, Some(digest)));
        let is_registry = |first: &str| {
            let host = first.split(':').next().unwrap_or_default();
            host.contains('.') || host.eq_ignore_ascii_case("localhost")
        };
        let (registry, rest) = match pattern.split_once('/') {
            Some((first, rest)) if is_registry(first) || first.contains(':') => (first, rest),
            None if is_registry(pattern) => (pattern, "**"),
            _ => ("docker.io", pattern),
        };
        // The colons of an IPv6 address are in brackets.
        let (host, port) = registry.rsplit_once(':').filter(|_| !registry.ends_with(']')).unwrap_or((registry, ""));
        let (path, tag) = rest.split_once(':').map_or((rest, None), |(path, tag)| (path, Some(tag)));
        let (host, path) = of_hub(host.to_ascii_lowercase(), port, path.to_owned());
        let is_version = match (digest, tag) {
            (Some(_), _) => self.digest.as_deref() == digest,
            (None, Some(tag)) => self.digest.is_none() && self.tag() == tag,
            (None, None) => true,
        };
        let like = |pattern: &str, separator: char| {
            let parts = pattern.split(separator).map(|part| match part {
                "*" => format!("[^{separator}]+"),
                "**" => ".+".to_owned(),
                part => regex::escape(part),
            });
            whole(&parts.collect::<Vec<_>>().join(&regex::escape(&separator.to_string())))
        };
        is_version
            && like(&host, '.').is_match(&self.host)
            && like(&path, '/').is_match(&self.path)
            && (port == self.port || any_port && port.is_empty())
    }
}

/// The host and the path of a repository, of which Docker Hub has several names.
fn of_hub(host: String, port: &str, path: String) -> (String, String) {
    if !["docker.io", "index.docker.io"].contains(&&*host) || !port.is_empty() {
        return (host, path);
    }
    let is_official = !path.contains('/') && path != "**";
    ("docker.io".to_owned(), if is_official { format!("library/{path}") } else { path })
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for container in pod.containers() {
        let is_same = |other: &Value| {
            ["name", "image"].iter().all(|field| text(other, field) == text(container.value, field))
        };
        let before = pod.old.map_or(&[][..], |old| list(old, &format!("spec.{}", container.list)));
        if !before.iter().any(is_same) {
            for control in controls(pod.settings, text(container.value, "image")) {
                found.push(container.violation(control, "image"));
            }
        }
    }
    // Those of a Pod cannot change.
    let volumes = if pod.old.is_some() { &[] } else { list(pod.spec, "volumes") };
    for (index, volume) in volumes.iter().enumerate().filter(|(_, volume)| !get(volume, "image").is_null()) {
        let reference = text(volume, "image.reference");
        let is_exempt = texts(pod.settings, "exempt.images").iter().any(|entry| is_matched(entry, reference));
        if is_exempt && !reference.is_empty() {
            continue;
        }
        for control in controls(pod.settings, reference) {
            found.push(violation(control, format!("spec.volumes[{index}].image.reference")));
        }
    }
    found
}

/// The controls that an image violates, once for each violation.
fn controls(settings: &Value, text: &str) -> Vec<&'static str> {
    if text.trim_matches([' ', '\t', '\n', '\r', '\x0c']).is_empty() {
        return if get(settings, "allowEmpty") == true { Vec::new() } else { vec!["imageRegistries"] };
    }
    let Some(image) = Image::read(text) else { return vec!["imageRegistries"] };
    let mut controls = Vec::new();
    if get(settings, "requireRegistry") == true && !image.names_registry {
        controls.push("imageRegistries");
    }
    let any = |setting: &str, is_like: &dyn Fn(&str) -> bool| texts(settings, setting).into_iter().any(is_like);
    let below = |entry: &str| format!("{}/**", entry.trim_end_matches('/'));
    let denied = any("denied", &|entry| image.is_covered(entry, true))
        || any("images.reject", &|entry| image.is_covered(entry, true))
        || any("registries.reject", &|entry| image.is_covered(&below(entry), true));
    let allows = |setting: &str, is_like: &dyn Fn(&str) -> bool| get(settings, setting).is_null() || any(setting, is_like);
    let allowed = allows("allowed", &|entry| image.is_covered(entry, false))
        && allows("images.allow", &|entry| image.is_covered(entry, false))
        && allows("registries.allow", &|entry| image.is_covered(&below(entry), false))
        && allows("repos", &|entry| {
            image.is_covered(&below(entry), false) || !entry.ends_with('/') && image.is_covered(entry, false)
        });
    if denied || !allowed {
        controls.push("imageRegistries");
    }
    if image.digest.is_none() {
        if setting_texts(settings, "deniedTags", &["latest"]).contains(&image.tag()) {
            controls.push("imageTags");
        }
        if get(settings, "requireDigest") == true {
            controls.push("imageDigests");
        }
    }
    controls
}
