//! Functions that no expression can name: `rewrite` puts them around what costs something.

use std::collections::HashMap;

use cel::common::types::{CelBytes, CelDouble, CelMap, CelMapKey, CelNull, CelUInt, Kind, MAP_TYPE};

use super::*;
use crate::budget::{bytes, narrowed, spend, weight};
use crate::macros::INSERT;
use crate::values::{owned as copied, owned_key, show};

pub(super) fn declare(declare: &mut Declare<'_>) {
    declare.global("@has", [DYN_TYPE, STRING_TYPE], has);
    declare.global("@select", [DYN_TYPE, STRING_TYPE], select);
    declare.global("@get", [DYN_TYPE, STRING_TYPE], get);
    declare.global("@equal", [DYN_TYPE, DYN_TYPE], |arguments| yes(equal(&arguments)?));
    declare.global("@unequal", [DYN_TYPE, DYN_TYPE], |arguments| yes(!equal(&arguments)?));
    declare.global("@element", [DYN_TYPE, DYN_TYPE], element);
    declare.global("@given", [DYN_TYPE], |_| yes(true));
    declare.global("@walk", [DYN_TYPE], walk);
    declare.global("@keep", [DYN_TYPE], keep);
    declare.global("@index", [DYN_TYPE], index);
    declare.global("@parts", [DYN_TYPE], parts);
    declare.global("@pairwise", [DYN_TYPE], pairwise);
    declare.global("@loop", [DYN_TYPE, INT_TYPE, INT_TYPE], each);
    declare.global("@pairs", [DYN_TYPE], pairs);
    declare.global("@add", [DYN_TYPE, DYN_TYPE], add);
    declare.global(INSERT, [DYN_TYPE, DYN_TYPE, DYN_TYPE], insert);
    declare.global(INSERT, [DYN_TYPE, DYN_TYPE], insert_all);
}

fn first<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    arguments.into_iter().next().ok_or_else(|| no_overload("argument"))
}

/// `has(a.b)`: false for `null` and for scalars, where the crate has an error.
fn has<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    yes(field(at(&arguments, 0)?.as_ref(), text(&arguments, 1)?)?.is_some())
}

/// `a.?b`: as `has`, absent for `null` and for scalars, and an error for lists.
fn select<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let Some(found) = field(at(&arguments, 0)?.as_ref(), text(&arguments, 1)?)? else {
        return Ok(CowVal::owned(CelOptional::none()));
    };
    spend(2 * weight(found))?;
    Ok(CowVal::owned(CelOptional::of(found.clone_as_boxed())))
}

/// `a[?b]`: absent where there is no such element, and an error where there can be none.
fn element<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let Some(value) = held(at(&arguments, 0)?.as_ref()) else { return Ok(CowVal::owned(CelOptional::none())) };
    let key = at(&arguments, 1)?.as_ref();
    if !is_index(key) {
        return Err(no_overload("_[?_]"));
    }
    let Some(indexer) = value.as_indexer() else { return Ok(CowVal::owned(CelOptional::none())) };
    match indexer.get(key) {
        Ok(found) => {
            spend(2 * weight(found.as_ref()))?;
            Ok(CowVal::owned(CelOptional::of(found.into_owned())))
        }
        Err(ExecutionError::NoSuchKey(_) | ExecutionError::IndexOutOfBounds(_)) => {
            Ok(CowVal::owned(CelOptional::none()))
        }
        Err(_) => Err(no_overload("_[?_]")),
    }
}

/// `a.b` of what may be optional: then the field is as well.
fn get<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    if at(&arguments, 0)?.downcast_ref::<CelOptional>().is_some() {
        return select(arguments);
    }
    let key = CelString::from(text(&arguments, 1)?);
    let value = at(&arguments, 0)?;
    let overload = || no_overload("_._");
    let found = match value {
        CowVal::Borrowed(value) => value.as_indexer().ok_or_else(overload)?.get(&key)?,
        CowVal::Owned(value) => CowVal::Owned(value.as_indexer().ok_or_else(overload)?.get(&key)?.into_owned()),
    };
    spend(2 * weight(found.as_ref()))?;
    Ok(found)
}

/// `a == b`: an error where the left is of a type of Kubernetes and the right of another, as there.
fn equal(arguments: &Arguments<'_, '_>) -> Result<bool, ExecutionError> {
    let (left, right) = (at(arguments, 0)?.as_ref(), at(arguments, 1)?.as_ref());
    spend(weight(left).min(weight(right)))?;
    let of_kubernetes = left.downcast_ref::<Opaque>().is_some();
    if of_kubernetes && right.get_type() != left.get_type() && right.downcast_ref::<CelNull>().is_none() {
        return Err(no_overload("_==_"));
    }
    Ok(left.equals(right))
}

/// The value, or what it holds if it is optional.
fn held<'a, 'v>(value: &'a (dyn Val + 'v)) -> Option<&'a (dyn Val + 'v)> {
    match value.downcast_ref::<CelOptional>() {
        Some(optional) => optional.option(),
        None => Some(value),
    }
}

/// The field of a value, or of what an optional holds.
fn field<'a, 'v>(value: &'a (dyn Val + 'v), name: &str) -> Result<Option<&'a (dyn Val + 'v)>, ExecutionError> {
    let Some(value) = held(value) else { return Ok(None) };
    if value.downcast_ref::<CelList>().is_some() {
        return fail("_?._", "unsupported index type 'string' in list");
    }
    let Some(map) = value.downcast_ref::<CelMap>() else { return Ok(None) };
    Ok(map.inner().get(&CelMapKey::from(name.to_owned())).map(AsRef::as_ref))
}

/// Spends for a value that is walked once.
fn walk<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    spend(weight(at(&arguments, 0)?.as_ref()))?;
    first(arguments)
}

/// Spends for a value that is copied and held.
fn keep<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    spend(2 * weight(at(&arguments, 0)?.as_ref()))?;
    first(arguments)
}

/// An index: a scalar. A fraction is not an index, and the crate would copy the list into its error.
fn index<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let index = at(&arguments, 0)?;
    let fraction = index.downcast_ref::<CelDouble>().is_some_and(|number| number.inner().fract() != 0.0);
    if fraction || !is_index(index.as_ref()) {
        return Err(no_overload("_[_]"));
    }
    spend(weight(index.as_ref()))?;
    first(arguments)
}

/// Whether a value is of a type that indexes lists or maps.
fn is_index(value: &dyn Val) -> bool {
    matches!(value.get_type().kind(), Kind::Boolean | Kind::Int | Kind::UInt | Kind::Double | Kind::String)
}

/// Spends for text that may be taken apart into its characters.
fn parts<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let length = at(&arguments, 0)?.downcast_ref::<CelString>().map_or(0, |text| text.inner().len());
    spend(2 * length as u64 + 1)?;
    first(arguments)
}

/// Spends for elements that are compared with each other.
fn pairwise<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let value = at(&arguments, 0)?.as_ref();
    let elements = value.as_sizer().map_or(1, |sized| (*sized.size().inner()).max(1) as u64);
    spend(weight(value).saturating_mul(elements) / 2 + 1)?;
    first(arguments)
}

/// The elements of a loop, with its cost spent: each is copied into its variable, and its body has so many nodes. The
/// keys of a map are in their order, so that every evaluation is the same; the API server's are in none. A loop that is
/// narrowed has one element.
fn each<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let range = at(&arguments, 0)?.as_ref();
    let nodes = integer(&arguments, 1)?.max(0) as u64;
    let elements = range.as_sizer().map_or(0, |sized| (*sized.size().inner()).max(0) as u64);
    spend(weight(range).saturating_add(elements.saturating_mul(1 + nodes / 4)))?;
    if let Some(map) = range.downcast_ref::<CelMap>() {
        let keys = sorted(map).into_iter().map(|(key, _)| key.inner().clone_as_boxed());
        return Ok(CowVal::owned(CelList::from(keys.collect::<Vec<_>>())));
    }
    if let Some(index) = narrowed(integer(&arguments, 2)?, elements) {
        let one = list(&arguments, 0)?.get(index).map(|element| element.clone_as_boxed());
        return Ok(CowVal::owned(CelList::from(one.into_iter().collect::<Vec<_>>())));
    }
    first(arguments)
}

/// The entries of a map in the order of their keys.
fn sorted<'a, 'v>(map: &'a CelMap<'v>) -> Vec<(&'a CelMapKey<'v>, &'a (dyn Val + 'v))> {
    let mut entries: Vec<_> = map.inner().iter().map(|(key, value)| (key, value.as_ref())).collect();
    entries.sort_by(|(one, _), (other, _)| place(one).cmp(&place(other)));
    entries
}

/// The place of a key among keys.
fn place<'a>(key: &'a CelMapKey<'_>) -> (u8, i128, &'a str) {
    match key {
        CelMapKey::Bool(key) => (0, i128::from(*key.inner()), ""),
        CelMapKey::Int(key) => (1, i128::from(*key.inner()), ""),
        CelMapKey::UInt(key) => (1, i128::from(*key.inner()), ""),
        CelMapKey::String(key) => (2, 0, key.inner()),
    }
}

/// The keys and values of a map, or the indexes and elements of a list, for loops with two variables.
fn pairs<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let range = at(&arguments, 0)?.as_ref();
    spend(weight(range).saturating_mul(2))?;
    let pair = |key: Box<dyn Val + 'v>, value: &(dyn Val + 'v)| -> Box<dyn Val + 'v> {
        Box::new(CelList::from(vec![key, value.clone_as_boxed()]))
    };
    let pairs: Vec<Box<dyn Val + 'v>> = match range.downcast_ref::<CelMap>() {
        Some(map) => sorted(map).into_iter().map(|(key, value)| pair(key.inner().clone_as_boxed(), value)).collect(),
        None => {
            let elements = list(&arguments, 0)?.iter().enumerate();
            elements.map(|(index, element)| pair(Box::new(CelInt::from(index as i64)), element.as_ref())).collect()
        }
    };
    spend(4 * pairs.len() as u64)?;
    Ok(CowVal::owned(CelList::from(pairs)))
}

/// `a + b`: spends for the result before it is made.
fn add<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (left, right) = (at(&arguments, 0)?.as_ref(), at(&arguments, 1)?.as_ref());
    let lists = LIST_TYPE.is_assignable(left);
    if lists != LIST_TYPE.is_assignable(right) || MAP_TYPE.is_assignable(left) || MAP_TYPE.is_assignable(right) {
        return Err(no_overload("_+_"));
    }
    let length = |value: &dyn Val| {
        let text = value.downcast_ref::<CelString>().map(|text| text.inner().len());
        text.or_else(|| value.downcast_ref::<CelBytes>().map(|data| data.inner().len())).unwrap_or(0)
    };
    spend(if lists { 2 * (weight(left) + weight(right)) } else { 1 + bytes(length(left)) + bytes(length(right)) })?;
    let adder = left.as_adder().ok_or_else(|| no_overload("_+_"))?;
    Ok(CowVal::Owned(adder.add(right)?.into_owned()))
}

/// A map with one more entry.
fn insert<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let key = key_of(at(&arguments, 1)?.as_ref()).ok_or_else(|| no_overload(INSERT))?;
    inserted(&arguments, std::iter::once((key, copied(at(&arguments, 2)?.as_ref()))))
}

/// A map with the entries of another one.
fn insert_all<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let more = at(&arguments, 1)?.downcast_ref::<CelMap>().ok_or_else(|| no_overload(INSERT))?;
    let more = more.inner().iter().map(|(key, value)| (owned_key(key), copied(value.as_ref())));
    inserted(&arguments, more)
}

/// The map that is the first argument, with more entries, whose keys it must not have.
fn inserted<'b, 'v>(
    arguments: &[CowVal<'b, 'v>],
    more: impl Iterator<Item = (CelMapKey<'static>, Box<dyn Val>)>,
) -> Answer<'b, 'v> {
    let map = at(arguments, 0)?.downcast_ref::<CelMap>().ok_or_else(|| no_overload(INSERT))?;
    let known = map.inner().iter().map(|(key, value)| (owned_key(key), copied(value.as_ref())));
    let mut entries: HashMap<CelMapKey<'static>, Box<dyn Val>> = known.collect();
    for (key, value) in more {
        let shown = show(key.inner());
        if entries.insert(key, value).is_some() {
            return fail(INSERT, format!("insert failed: key {shown} already exists"));
        }
    }
    Ok(CowVal::owned(CelMap::from(entries)))
}

/// A value as the key of a map, if it can be one.
fn key_of(value: &dyn Val) -> Option<CelMapKey<'static>> {
    let of_text = value.downcast_ref::<CelString>().map(|key| CelMapKey::from(key.inner().to_owned()));
    let of_integer = || value.downcast_ref::<CelInt>().map(|key| CelMapKey::from(*key.inner()));
    let of_natural = || value.downcast_ref::<CelUInt>().map(|key| CelMapKey::from(*key.inner()));
    let of_boolean = || value.downcast_ref::<CelBool>().map(|key| CelMapKey::from(*key.inner()));
    of_text.or_else(of_integer).or_else(of_natural).or_else(of_boolean)
}
