//! Rejects pods with images from registries that are not allowed, or with tags that are denied.
//!
//! An image is code that runs with all rights of the pod. In a registry that anybody can push to, it may be anybody's,
//! under a name that looks right; and a tag such as `latest` names other code tomorrow. Volumes of type `image` are
//! evaluated like containers, since a container can run what they hold; `exempt.images` exempts them as well.
//!
//! References are read as container runtimes read them: `nginx` is `docker.io/library/nginx` with the tag `latest`, and
//! registries are compared without case. A reference that is empty, that cannot be read, or that is the ID of an image
//! is rejected: an ID runs what is on the node, whoever pulled it. If an update of a Pod changes images, these are
//! evaluated; if one changes a template, all of its images are.
//!
//! Without settings, only `latest` is rejected, since nobody but you knows your registries: set `allowed`. `denied`
//! alone is not a boundary, because a registry can have several names: `registry-1.docker.io` serves `docker.io`, and so
//! does any mirror. A digest is the only reference that always names the same code: set `requireDigest`.
//!
//! The names are evaluated, not the content. Kubewarden's `verify-image-signatures` verifies who built an image, and
//! Trivy finds the known vulnerabilities in it. Templates whose image a webhook replaces need an exemption: Istio's
//! gateways have the image `auto`, which `exempt.images` can name.
#![cfg_attr(not(test), no_std)]

mod reference;

use podfence_core::{
    Field, Pod, Rule, Settings, String, Vec, Violations, common::EXEMPT_IMAGES, concat, problem, types,
};

use reference::{Reference, is_ambiguous, is_tag};

podfence_core::fields! {
    IMAGE: String = Container "image",
        allowed "within `allowed` (any) and not within `denied` (none); with a digest, or, unless `requireDigest` (`false`) \
            is `true`, with a tag that is not in `deniedTags` (`latest`); with a registry if `requireRegistry` (`false`) is \
            `true`; unset only if `allowEmpty` (`false`) is `true`";
    VOLUMES: ObjectList = Pod "volumes";
    VOLUME_NAME: String = Pod "volumes[*].name";
    SOURCE: Object = Pod "volumes[*].image";
    REFERENCE: String = Pod "volumes[*].image.reference",
        allowed "no `image`, or the same as the `image` of containers";
}

podfence_core::settings! {
    /// Allows images that one of these patterns covers; without this setting, any image. `ghcr.io` covers all of a
    /// registry, `ghcr.io/acme/app` one repository, `ghcr.io/acme/*` the repositories one component below `ghcr.io/acme`,
    /// and `ghcr.io/acme/**` all below it. `*` can stand for any component, and for a label of the registry:
    /// `*.dkr.ecr.*.amazonaws.com`. Patterns are normalized as images are: `nginx` is `docker.io/library/nginx`, and
    /// `docker.io/*` is `docker.io/library/*`. With a tag, a pattern covers images with this tag and no digest; with a
    /// digest, those with this digest.
    ALLOWED: StringList = "allowed", alias "allowedImages";
    /// Denies images that one of these patterns covers, even if they are allowed. A registry without a port covers all
    /// of its ports.
    DENIED: StringList = "denied", default "[]";
    /// Denies images with one of these tags and no digest. An image without a tag has the tag `latest`. The list
    /// replaces the default.
    DENIED_TAGS: StringList = "deniedTags", alias "tags", alias "tags.reject", default "[\"latest\"]";
    /// Requires a digest.
    REQUIRE_DIGEST: Bool = "requireDigest", default "false";
    /// Requires references to name their registry. Container runtimes can be configured to look up other names in other
    /// registries than Docker Hub.
    REQUIRE_REGISTRY: Bool = "requireRegistry", default "false";
    /// Accepts containers and volumes without an image, for templates that something else completes. An image of blanks
    /// alone counts as none: OpenShift's templates have `" "`.
    ALLOW_EMPTY: Bool = "allowEmpty", default "false";
    /// The Gatekeeper template's setting, instead of `allowed`: registries and repositories, each with everything below
    /// it. They are compared component by component: `gcr.io/acme` does not cover `gcr.io/acme-evil`.
    REPOS: StringList = "repos", of "Gatekeeper" for "allowed";
    /// The Kubewarden policy's setting, instead of `allowed`: the registries of allowed images. Beside `images.allow`,
    /// both must cover an image.
    ALLOWED_REGISTRIES: StringList = "registries.allow", of "Kubewarden" for "allowed";
    /// The Kubewarden policy's setting, instead of `denied`: the registries of denied images.
    DENIED_REGISTRIES: StringList = "registries.reject", of "Kubewarden" for "denied";
    /// The Kubewarden policy's setting, instead of `allowed`: patterns of allowed images.
    ALLOWED_IMAGES: StringList = "images.allow", of "Kubewarden" for "allowed";
    /// The Kubewarden policy's setting, instead of `denied`: patterns of denied images.
    DENIED_IMAGES: StringList = "images.reject", of "Kubewarden" for "denied";
}

podfence_core::policy! { name: "images", check: check, validate: validate }

/// A rule for containers, and the same for volumes: a text names one or the other.
type Rules = [Rule; 2];

static EMPTY: Rules = [const {
    Rule {
        control: "imageRegistries",
        reason: "image reference",
        detail: "{who} must set an image",
        fix: "set the image, or the reference of the volume's image",
        ..Rule::PLAIN
    }
}; 2];

static UNREADABLE: Rules = [const {
    Rule {
        control: "imageRegistries",
        reason: "image reference",
        detail: "{who} must not use {values}, which cannot be read as {values:an image|images}",
        fix: "write [registry/]repository[:tag][@digest], the repository in lower case",
        ..Rule::PLAIN
    }
}; 2];

static NO_REGISTRY: Rules = [const {
    Rule {
        control: "imageRegistries",
        reason: "image registry",
        detail: "{who} must name the registry of {values:image|images} {values}",
        fix: "write the registry in front of the image: docker.io/library/nginx for nginx",
        ..Rule::PLAIN
    }
}; 2];

/// What an image violates that a setting denies, or does not allow; each has its own.
const NOT_ALLOWED: Rule = Rule {
    control: "imageRegistries",
    reason: "image registry",
    detail: "{who} must not use {values:image|images} {values}",
    fix: "use an image that is allowed",
    ..Rule::PLAIN
};

static DENIED_TAG: Rules = [const {
    Rule {
        control: "imageTags",
        reason: "image tag",
        detail: "{who} must not use the tag of {values:image|images} {values}",
        fix: "use another tag, or a digest",
        setting: Some(DENIED_TAGS.path),
        ..Rule::PLAIN
    }
}; 2];

static NO_TAG: Rules = [const {
    Rule {
        control: "imageTags",
        reason: "image tag",
        detail: "{who} must set a tag or a digest for {values:image|images} {values}",
        fix: "add a tag or a digest: without one, the tag is latest",
        setting: Some(DENIED_TAGS.path),
        ..Rule::PLAIN
    }
}; 2];

static NO_DIGEST: Rules = [const {
    Rule {
        control: "imageDigests",
        reason: "image digest",
        detail: "{who} must set a digest for {values:image|images} {values}",
        fix: "add the digest of the image: nginx:1.29@sha256:…",
        ..Rule::PLAIN
    }
}; 2];

/// A setting that lists images.
struct Listing {
    setting: Field<types::StringList>,
    entries: Entries,
    /// Whether it denies what it lists, and does not allow it.
    denies: bool,
    /// What an image violates that is denied, or not allowed.
    rules: Rules,
}

/// What the entries of a setting are.
#[derive(Clone, Copy, PartialEq)]
enum Entries {
    Patterns,
    /// Registries and repositories, each with everything below it.
    Prefixes,
    Registries,
}

const fn listing(setting: Field<types::StringList>, entries: Entries, denies: bool) -> Listing {
    let rules =
        [Rule { setting: Some(setting.path), ..NOT_ALLOWED }, Rule { setting: Some(setting.path), ..NOT_ALLOWED }];
    Listing { setting, entries, denies, rules }
}

/// Those that deny come first: they win.
static LISTINGS: [Listing; 7] = [
    listing(DENIED, Entries::Patterns, true),
    listing(DENIED_REGISTRIES, Entries::Registries, true),
    listing(DENIED_IMAGES, Entries::Patterns, true),
    listing(ALLOWED, Entries::Patterns, false),
    listing(REPOS, Entries::Prefixes, false),
    listing(ALLOWED_REGISTRIES, Entries::Registries, false),
    listing(ALLOWED_IMAGES, Entries::Patterns, false),
];

impl Listing {
    /// The patterns that an entry stands for.
    fn patterns(&self, entry: &str) -> Vec<String> {
        let mut patterns = Vec::new();
        let stem = entry.strip_suffix('/').unwrap_or(entry);
        if self.entries != Entries::Patterns {
            patterns.push(concat(&[stem, "/**"]));
        }
        let is_whole = self.entries == Entries::Prefixes && stem.len() == entry.len();
        if self.entries == Entries::Patterns || is_whole {
            patterns.push(String::from(entry));
        }
        patterns
    }

    /// What is expected instead of an entry; empty if it is right.
    fn expected(&self, entry: &str) -> &'static str {
        let is_right = |pattern: &String| {
            let pattern = Reference::pattern(pattern);
            pattern.is_some_and(|pattern| self.entries != Entries::Registries || pattern.is_registry())
        };
        match self.entries {
            _ if entry.as_bytes().windows(3).any(|part| part == b"://") => {
                "expected no scheme in front of the registry, such as ghcr.io for https://ghcr.io, found "
            }
            Entries::Patterns if is_ambiguous(entry) => {
                "expected /** behind a registry with a port, or docker.io/library/ in front of an image, found "
            }
            // There, a star is a character like any other, which no image has.
            Entries::Prefixes if entry.bytes().any(|byte| byte == b'*') => "expected no *, found ",
            _ if self.patterns(entry).iter().any(is_right) => "",
            Entries::Patterns if entry.ends_with('/') => {
                "expected no / at the end, but ghcr.io for a registry, or ghcr.io/acme/** for what is below it, found "
            }
            Entries::Patterns => {
                "expected a registry such as ghcr.io or *.example.com:5000, or a repository such as ghcr.io/acme/app, in \
                 which a component may be *, and the last one **, found "
            }
            Entries::Prefixes => "expected a registry or a repository, such as ghcr.io or ghcr.io/acme, found ",
            Entries::Registries => "expected a registry, such as ghcr.io, found ",
        }
    }
}

/// What a setting lists, read once for all images.
type Listed<'t> = (&'static Listing, Vec<Reference<'t>>);

/// Reports images that are not allowed, and references that cannot be read.
pub fn check<'v>(pod: &Pod<'v>, settings: &Settings<'_>, found: &mut Violations<'v>) {
    // What is violated by containers stays with what is violated by volumes.
    let registries = LISTINGS.iter().map(|listing| &listing.rules);
    let rules = [&EMPTY, &UNREADABLE, &NO_REGISTRY].into_iter().chain(registries);
    for [container, volume] in rules.chain([&DENIED_TAG, &NO_TAG, &NO_DIGEST]) {
        found.order(&[container, volume]);
    }
    let given = LISTINGS.iter().filter(|listing| settings.get(listing.setting).is_some());
    let texts: Vec<(&Listing, Vec<String>)> = given
        .map(|listing| {
            let entries = settings.strings(listing.setting);
            (listing, entries.strings().flat_map(|entry| listing.patterns(entry)).collect())
        })
        .collect();
    let listed: Vec<Listed<'_>> = texts
        .iter()
        .map(|(listing, texts)| (*listing, texts.iter().filter_map(|text| Reference::pattern(text)).collect()))
        .collect();
    for container in pod.containers_with_new_images() {
        let place = container.at(IMAGE);
        check_image(container.get(IMAGE), settings, &listed, |[rule, _]| found.add(rule, place));
    }
    // The API server lets nobody change the volumes of a running pod.
    if pod.is_running() {
        return;
    }
    for (index, volume) in pod.list(VOLUMES).enumerate() {
        let Some(source) = volume.get(SOURCE) else { continue };
        if settings.strings(EXEMPT_IMAGES).matches(source.get(REFERENCE).unwrap_or_default()) {
            continue;
        }
        let name = volume.get(VOLUME_NAME).unwrap_or_default();
        let place = pod.at(REFERENCE).element(index, source).value(source.at(REFERENCE)).of_volume(name);
        check_image(source.get(REFERENCE), settings, &listed, |[_, rule]| found.add(rule, place));
    }
}

/// Reports what an image violates.
fn check_image(
    image: Option<&str>,
    settings: &Settings<'_>,
    listed: &[Listed<'_>],
    mut report: impl FnMut(&'static Rules),
) {
    let Some(image) = image.filter(|image| !image.trim_ascii().is_empty()) else {
        if !settings.is(ALLOW_EMPTY) {
            report(&EMPTY);
        }
        return;
    };
    let Some(image) = Reference::image(image) else { return report(&UNREADABLE) };
    if settings.is(REQUIRE_REGISTRY) && image.is_short {
        report(&NO_REGISTRY);
    }
    for (listing, patterns) in listed {
        let is_covered = patterns.iter().any(|pattern| pattern.covers(&image, listing.denies));
        if is_covered == listing.denies {
            report(&listing.rules);
            break;
        }
    }
    if image.digest.is_none() {
        if settings.strings(DENIED_TAGS).has(image.tag()) {
            report(if image.tag.is_some() { &DENIED_TAG } else { &NO_TAG });
        }
        if settings.is(REQUIRE_DIGEST) {
            report(&NO_DIGEST);
        }
    }
}

/// Validates what the types of the settings cannot express.
///
/// # Errors
/// An entry is not a pattern, registry or tag, or a setting is given under two names.
pub fn validate(settings: &Settings<'_>) -> Result<(), String> {
    for listing in &LISTINGS {
        let own = if listing.denies { DENIED } else { ALLOWED };
        let is_other = listing.setting.path != own.path;
        if is_other && settings.is_given(listing.setting) && settings.is_given(own) {
            return Err(problem(listing.setting.path, "the same setting as ", own.path));
        }
        for entry in settings.strings(listing.setting).objects() {
            let expected = listing.expected(entry.string().unwrap_or_default());
            if !expected.is_empty() {
                return Err(problem(listing.setting.path, expected, entry.raw()));
            }
        }
    }
    match settings.strings(DENIED_TAGS).objects().find(|tag| !tag.string().is_some_and(is_tag)) {
        Some(tag) => Err(problem(DENIED_TAGS.path, "expected a tag, found ", tag.raw())),
        None => Ok(()),
    }
}
