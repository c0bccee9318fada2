//! Whatever a registry answers, it is read or refused; what was read is safe to use.
#![no_main]

#[path = "../../src/oci/answer.rs"]
#[allow(dead_code)]
mod answer;

use answer::{Challenge, Index, Manifest};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::read(bytes) {
        let described = manifest.layers.iter().chain([&manifest.config]).chain(&manifest.subject);
        assert!(described.into_iter().all(|described| answer::is_digest(&described.digest)));
        assert_eq!(Manifest::read(&manifest.write()), Ok(manifest));
    }
    if let Ok(index) = Index::read(bytes) {
        assert!(index.manifests.iter().all(|described| answer::is_digest(&described.digest)));
        assert_eq!(Index::read(&index.write()), Ok(index));
    }
    if let Ok(token) = answer::token(bytes) {
        assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let problems = answer::problems(bytes);
    assert!(problems.len() <= 3 && problems.iter().all(|problem| problem.shown().chars().count() <= 201));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(address) = answer::next_page(text) {
        assert!(text.contains(address));
    }
    if let Some(Challenge::Bearer { realm, .. }) = answer::challenge(text) {
        assert!(realm.len() <= text.len());
    }
});
