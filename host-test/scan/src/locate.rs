//! From the paths that policies report to places in a file.

use crate::finding::{ObjectName, Span};
use crate::lines::Lines;
use crate::object::Object;
use crate::suppress::{Comment, ContainerLines, DocumentPlace};
use crate::yaml::{Broken, Bytes, Document, Element, Parts};

/// A document whose parts can be found in the text of its file.
pub struct Located<'t> {
    parts: Parts,
    lines: &'t Lines<'t>,
    text: &'t str,
}

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The value; or what stands for one that is missing.
    pub span: Span,
    /// The alias that the value came by.
    pub related: Vec<Span>,
    /// The container or the volume that it is in.
    pub container: Option<ContainerLines>,
}

impl<'t> Located<'t> {
    /// Reads a document again, of the file with this text.
    ///
    /// # Errors
    /// None that reading it had not.
    pub fn new(document: &Document<'_>, text: &'t str, lines: &'t Lines<'t>) -> Result<Self, Broken> {
        Ok(Located { parts: Parts::Tree(document.tree()?), lines, text })
    }

    /// The same without its comments, for which it needs not be read again where its places were taken down.
    ///
    /// # Errors
    /// As [`Located::new`].
    pub fn without_comments(document: &Document<'_>, text: &'t str, lines: &'t Lines<'t>) -> Result<Self, Broken> {
        Ok(Located { parts: document.parts()?, lines, text })
    }

    /// Where a path of an object is: the value; if there is none, the name of its container, else the last key on the
    /// path; for the whole object, its kind.
    pub fn place(&self, object: &Object, path: &str) -> Place {
        let within = |path: &str| self.parts.at(&object.path_in_document(path));
        let element = |list| element_path(path, list).and_then(within).filter(|of| of.is_there)?.element;
        let container = element("ontainers[");
        let whole = || ["kind", "metadata.name", ""].iter().find_map(|path| within(path).filter(|of| of.is_there));
        let found = if path.is_empty() { whole() } else { within(path) };
        let (bytes, alias) = match found {
            Some(found) if found.is_there => (found.span, found.alias),
            Some(found) => {
                let named = container.as_ref().or(found.element.as_ref().filter(|of| is_below(of, &found.span)));
                let name = named.and_then(|element| element.name.clone());
                let has_key = found.key.is_some();
                match (name, has_key) {
                    (Some(name), _) => (name, found.alias),
                    (None, true) => (found.span, found.alias),
                    (None, false) => whole().map_or((0..0, None), |found| (found.span, found.alias)),
                }
            }
            None => (0..0, None),
        };
        Place {
            span: self.span(&bytes),
            related: alias.iter().map(|alias| self.span(alias)).collect(),
            container: container.or_else(|| element("volumes[")).map(|element| ContainerLines {
                item: self.lines.position(element.span.start).line,
                name: element.name.map(|name| self.lines.position(name.start).line),
            }),
        }
    }

    /// Where a path of the document is in the file; the whole document if there is nothing.
    pub fn bytes(&self, path: &str) -> Bytes {
        let found = self.parts.at(path).or_else(|| self.parts.at(""));
        found.map_or(0..0, |found| found.span)
    }

    /// Where the key is of what a path of the document leads to.
    pub fn key(&self, path: &str) -> Option<Span> {
        self.parts.at(path)?.key.map(|key| self.span(&key))
    }

    /// A part of the file, without the blanks at its end.
    pub fn span(&self, bytes: &Bytes) -> Span {
        let text = self.text.get(bytes.clone()).unwrap_or_default();
        let end = bytes.start + text.trim_end().len();
        self.lines.span(&(bytes.start..end.max(bytes.start)))
    }

    /// The comments, of the document with this index.
    pub fn comments(&self, document: usize) -> impl Iterator<Item = Comment> {
        self.parts.comments().iter().map(move |bytes| {
            let span = self.span(bytes);
            let is_alone = self.lines.line(span.start.line).trim_start().starts_with('#');
            let text = self.text[bytes.clone()].trim_start_matches('#').trim().to_owned();
            Comment { text, span, is_alone, document }
        })
    }

    /// Where its first key is, and what it is.
    pub fn document(&self, object: ObjectName) -> DocumentPlace {
        DocumentPlace { first_key: self.parts.first_key(), object }
    }
}

/// Whether an element starts behind a key.
fn is_below(element: &Element, key: &Bytes) -> bool {
    element.span.start > key.start
}

/// The part of a path that leads to an element of such a list: `spec.containers[0]`.
fn element_path<'p>(path: &'p str, list: &str) -> Option<&'p str> {
    let ends = path.match_indices(list).filter_map(|(at, list)| {
        let start = at + list.len();
        let end = start + path[start..].find(']')? + 1;
        path[start..end - 1].bytes().all(|byte| byte.is_ascii_digit()).then_some(end)
    });
    ends.last().map(|end| &path[..end])
}

/// What an object is called.
pub fn name_of(object: &Object, namespace: Option<&str>) -> ObjectName {
    ObjectName {
        api_version: object.api_version(),
        kind: object.kind.kind.clone(),
        namespace: namespace.map(str::to_owned),
        name: object.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{Content, content};
    use crate::yaml;

    const TEXT: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations: {a/b: c}
spec:
  hostPID: true
  securityContext: &s
    runAsUser: 0
  containers:
  - image: x
    name: a
    ports: [{name: http, hostPort: 80}]
  - name: b
    securityContext: *s
";

    #[test]
    fn places_are_values_or_what_stands_for_them() {
        let lines = Lines::new(TEXT);
        let document = yaml::documents(TEXT).next().unwrap().unwrap();
        let located = Located::new(&document, TEXT, &lines).unwrap();
        let Content::One(object) = content(document.json) else { panic!("no object") };
        for (path, expected, related, container) in [
            ("", "2: Pod", None, None),
            ("spec.hostPID", "7: true", None, None),
            ("metadata.annotations[\"a/b\"]", "5: c", None, None),
            ("metadata.labels.x", "3: metadata", None, None),
            ("spec.hostIPC", "6: spec", None, None),
            ("spec.containers[0].ports[0].hostPort", "13: 80", None, Some((11, Some(12)))),
            ("spec.containers[0].securityContext.privileged", "12: a", None, Some((11, Some(12)))),
            ("spec.containers[1].securityContext.runAsUser", "9: 0", Some("15: *s"), Some((14, Some(14)))),
            ("spec.containers[1].securityContext.privileged", "14: b", Some("15: *s"), Some((14, Some(14)))),
            ("spec.containers[0].ports", "13: [{name: http, hostPort: 80}]", None, Some((11, Some(12)))),
            ("status.x", "2: Pod", None, None),
        ] {
            let place = located.place(&object, path);
            let show = |span: &Span| format!("{}: {}", span.start.line, &TEXT[span.start.byte..span.end.byte]);
            assert_eq!(show(&place.span), expected, "{path}");
            assert_eq!(place.related.first().map(show).as_deref(), related, "{path}");
            let lines = place.container.map(|lines| (lines.item, lines.name));
            assert_eq!(lines, container, "{path}");
        }
    }

    #[test]
    fn a_comment_is_alone_or_behind_something() {
        let text = "# one\na: 1 # two\n  ## three\nb: '#'\n";
        let lines = Lines::new(text);
        let document = yaml::documents(text).next().unwrap().unwrap();
        let located = Located::new(&document, text, &lines).unwrap();
        let comments: Vec<_> = located.comments(0).map(|of| (of.text, of.span.start.line, of.is_alone)).collect();
        assert_eq!(
            comments,
            [("one".to_owned(), 1, true), ("two".to_owned(), 2, false), ("three".to_owned(), 3, true)]
        );
    }
}
