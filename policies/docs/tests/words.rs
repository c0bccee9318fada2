//! The words of messages, help, comments and pages: plain English, as CONTRIBUTING asks for; and the links of pages.
//!
//! `make messages` prints all texts of the command and of the modules, to be read in one list.

use std::{
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A phrase that reads like a riddle, what to write instead, and where the phrase is plain.
const PHRASES: &[(&str, &str, &[&str])] = &[
    ("is no ", "is not a", &["here is no ", "is no longer", "is no loss", "is no more", "is no other", "is no reason"]),
    ("are no ", "are not", &["here are no ", "are no longer", "are no more"]),
    ("is none of", "is not one of", &[]),
    ("it is none", "it is not a …", &[]),
    ("which is none", "which is not a …", &[]),
    ("stands twice", "is defined twice", &[]),
    ("of which nothing", "about which nothing", &[]),
    ("tells what", "shows", &[]),
    ("tells whether", "returns whether", &[]),
    ("what comes of it", "its output", &[]),
    ("what is given", "the argument", &[]),
    ("be it ", "whether", &["maybe it "]),
];

/// Directories whose files are not read: what is built, and what is fetched.
const LEFT_OUT: [&str; 4] = ["target", "node_modules", ".git", "fuzz"];

/// A text, and where it is.
struct Text {
    file: PathBuf,
    line: usize,
    text: String,
    /// It is a doc comment.
    is_doc: bool,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// The files below a directory whose names end like this, sorted.
fn files(directory: &Path, end: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !LEFT_OUT.contains(&name) {
                files(&path, end, found);
            }
        } else if name.ends_with(end) {
            found.push(path);
        }
    }
}

/// The texts of a source file: literals, and doc comments, which the compiler reads as literals.
fn literals(tokens: TokenStream, file: &Path, found: &mut Vec<Text>) {
    let (mut is_test, mut is_doc) = (false, false);
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let is_attribute = group.delimiter() == Delimiter::Bracket;
                let of_test = is_attribute && group.stream().to_string().replace(' ', "") == "cfg(test)";
                if !(is_test && group.delimiter() == Delimiter::Brace) {
                    literals(group.stream(), file, found);
                }
                is_test = of_test || (is_test && group.delimiter() != Delimiter::Brace);
            }
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                if text.starts_with(['"', 'r']) {
                    // A backslash at the end of a line joins it with the next one.
                    let lines: Vec<&str> = text.split("\\\n").collect();
                    let joined: String = lines
                        .iter()
                        .enumerate()
                        .map(|(n, line)| if n == 0 { line } else { line.trim_start() })
                        .collect();
                    let line = literal.span().start().line;
                    found.push(Text { file: file.to_owned(), line, text: joined, is_doc });
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => is_test = false,
            TokenTree::Ident(ident) => is_doc = ident == "doc",
            TokenTree::Punct(_) => {}
        }
    }
}

/// Every text of the sources, without tests.
fn texts() -> Vec<Text> {
    let root = root();
    let mut sources = Vec::new();
    for directory in ["policies", "host-test", "web"] {
        files(&root.join(directory), ".rs", &mut sources);
    }
    let mut found = Vec::new();
    for file in sources {
        let short = file.strip_prefix(&root).expect("below the root");
        if short.components().any(|part| part.as_os_str() == "tests") || short.ends_with("tests.rs") {
            continue;
        }
        let source = fs::read_to_string(&file).expect("a source file");
        literals(source.parse().expect("tokens"), short, &mut found);
    }
    found
}

/// The lines of the pages for users and developers; not of the change log, which holds what was.
fn lines() -> Vec<Text> {
    let root = root();
    let mut pages = Vec::new();
    files(&root, ".md", &mut pages);
    let mut found = Vec::new();
    for file in pages.iter().filter(|file| !file.ends_with("CHANGELOG.md")) {
        let page = fs::read_to_string(file).expect("a page");
        let short = file.strip_prefix(&root).expect("below the root");
        let of = |(number, line): (usize, &str)| Text {
            file: short.to_owned(),
            line: number + 1,
            text: line.to_owned(),
            is_doc: true,
        };
        found.extend(page.lines().enumerate().map(of));
    }
    found
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|&letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The targets of the links in a line of Markdown.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// Why a link of a page leads nowhere; `None` if it leads somewhere, or out of the repository.
fn broken(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") {
        return None;
    }
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() { page.to_owned() } else { page.with_file_name("").join(path) };
    if !file.exists() {
        return Some(format!("{target}: no such file"));
    }
    if fragment.is_empty() {
        return None;
    }
    let text = fs::read_to_string(&file).expect("a page");
    let mut headings =
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let is_there = headings.any(|heading| anchor(heading) == fragment);
    (!is_there).then(|| format!("{target}: no such heading"))
}

#[test]
fn links_lead_somewhere() {
    let (root, lines) = (root(), lines());
    let links: Vec<(&Text, &str)> =
        lines.iter().flat_map(|line| targets(&line.text).map(move |target| (line, target))).collect();
    assert!(links.len() > 100, "found {} links", links.len());
    let broken: Vec<String> = links
        .iter()
        .filter_map(|(Text { file, line, .. }, target)| {
            Some(format!("{}:{line}: {}", file.display(), broken(&root.join(file), target)?))
        })
        .collect();
    assert!(broken.is_empty(), "{} links lead nowhere:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn broken_links_are_found() {
    let page = root().join("README.md");
    let cases = [
        ("LICENSE", ""),
        ("#install", ""),
        ("policies/ALIASES.md", ""),
        ("https://example.com/nowhere", ""),
        ("policies/NOWHERE.md", "policies/NOWHERE.md: no such file"),
        ("#nowhere", "#nowhere: no such heading"),
    ];
    for (target, expected) in cases {
        assert_eq!(broken(&page, target).unwrap_or_default(), expected, "{target}");
    }
    assert_eq!(targets("[a](b) and [c](d#e), f(g)").collect::<Vec<_>>(), ["b", "d#e"]);
}

/// Why a text is not plain; `None` if it is.
fn riddle(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    PHRASES.iter().find_map(|(phrase, instead, plain)| {
        let left = plain.iter().fold(text.clone(), |text, plain| text.replace(plain, ""));
        left.contains(phrase).then(|| format!("`{phrase}`: write `{instead}`"))
    })
}

#[test]
fn texts_are_plain() {
    let (texts, lines) = (texts(), lines());
    assert!(texts.len() > 5000 && lines.len() > 2000, "found {} texts and {} lines", texts.len(), lines.len());
    let riddles: Vec<String> = texts
        .iter()
        // CONTRIBUTING quotes them.
        .chain(lines.iter().filter(|line| !line.file.ends_with("CONTRIBUTING.md")))
        .filter_map(|Text { file, line, text, .. }| Some(format!("{}:{line}: {}", file.display(), riddle(text)?)))
        .collect();
    assert!(riddles.is_empty(), "{} texts are not plain:\n{}", riddles.len(), riddles.join("\n"));
}

#[test]
fn riddles_are_found() {
    let cases: [(&str, &str); 6] = [
        ("Service is no pod", "`is no `: write `is not a`"),
        ("There is no Service", ""),
        ("it is no longer there", ""),
        ("The key stands twice", "`stands twice`: write `is defined twice`"),
        ("a variable of which nothing is known", "`of which nothing`: write `about which nothing`"),
        ("It is none, or is too long", "`it is none`: write `it is not a …`"),
    ];
    for (text, expected) in cases {
        assert_eq!(riddle(text).unwrap_or_default(), expected, "{text}");
    }
}

/// Prints what users read of the command and the modules: literals, and the doc comments that become the help.
#[test]
#[ignore = "prints a list"]
fn messages() {
    const FOR_DEVELOPERS: [&str; 5] =
        ["policies/fixtures", "policies/docs", "host-test/reference", "host-test/support", "host-test/control-plane"];
    for Text { file, line, text, is_doc } in texts() {
        let is_help = file.starts_with("host-test/podfence/src/commands");
        let is_for_users = !FOR_DEVELOPERS.iter().any(|directory| file.starts_with(directory));
        if is_for_users && (is_help || !is_doc) && text.matches(' ').count() > 1 {
            println!("{}:{line}: {}", file.display(), text.replace('\n', "\\n"));
        }
    }
}
