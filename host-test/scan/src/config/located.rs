//! YAML with the place of each key and value, so that an error in what it means has a place as well.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};
use serde_saphyr::{Location, Spanned};

/// A value, and where it is.
pub(super) struct Node {
    location: Location,
    content: Content,
}

enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Node {
    /// Returns what it is, without places.
    pub(super) fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => items.iter().map(Self::value).collect(),
            Content::Map(members) => {
                members.iter().map(|(key, value)| (key.value.clone(), value.value())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// Returns the place of the node at a path, or of the last one on the way that exists.
    pub(super) fn at(&self, path: &Path) -> Location {
        self.walk(path).1.location
    }

    /// Returns the place of the key at the end of a path, or of the last node on the way that exists.
    pub(super) fn key_at(&self, path: &Path) -> Location {
        let (key, node) = self.walk(path);
        key.map_or(node.location, |key| key.referenced)
    }

    /// Follows a path as far as it exists. Returns the last node with its key, if it has one.
    fn walk(&self, path: &Path) -> (Option<&Spanned<String>>, &Self) {
        let mut reached = (None, self);
        for segment in path {
            let next = match (segment, &reached.1.content) {
                (Segment::Seq { index }, Content::List(items)) => items.get(*index).map(|item| (None, item)),
                (Segment::Map { key }, Content::Map(members)) => {
                    members.iter().find(|(name, _)| name.value == *key).map(|(name, value)| (Some(name), value))
                }
                _ => None,
            };
            let Some(next) = next else { break };
            reached = next;
        }
        reached
    }

    /// Returns the nodes of the list or map under a key, each with its path.
    pub(super) fn under(&self, key: &str) -> Vec<(String, &Self)> {
        match self.members().iter().find(|(name, _)| name.value == key).map(|(_, value)| &value.content) {
            Some(Content::List(items)) => {
                items.iter().enumerate().map(|(index, item)| (format!("{key}[{index}]"), item)).collect()
            }
            Some(Content::Map(members)) => {
                members.iter().map(|(name, member)| (format!("{key}.{}", name.value), member)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether it is a list.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.content, Content::List(_))
    }

    /// Returns where it is.
    pub(super) fn location(&self) -> Location {
        self.location
    }

    fn members(&self) -> &[(Spanned<String>, Self)] {
        match &self.content {
            Content::Map(members) => members,
            _ => &[],
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value: content, referenced: location, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self { location, content })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a scalar, a list or a map")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Content, E> {
        self.visit_unit()
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Content::Map(members))
    }
}
