//! Lists: Kubernetes' own functions, and those that build before the crate would spend.

use std::cmp::Ordering;

use cel::common::types::Kind;

use super::*;
use crate::budget::{bytes, spend, weight};

/// The most that `lists.range` makes, as cel-go.
const RANGE: i64 = 1_000_000;

pub(super) fn declare(declare: &mut Declare<'_>) {
    declare.member("sum", [LIST_TYPE], sum);
    declare.member("min", [LIST_TYPE], |arguments| extreme(&arguments, Ordering::Less, "min"));
    declare.member("max", [LIST_TYPE], |arguments| extreme(&arguments, Ordering::Greater, "max"));
    declare.member("isSorted", [LIST_TYPE], is_sorted);
    declare.member("@indexOf", [LIST_TYPE, DYN_TYPE], |arguments| {
        number(position(list(&arguments, 0)?.iter().position(|element| element.equals(arguments[1].as_ref()))))
    });
    declare.member("@lastIndexOf", [LIST_TYPE, DYN_TYPE], |arguments| {
        number(position(list(&arguments, 0)?.iter().rposition(|element| element.equals(arguments[1].as_ref()))))
    });
    declare.member("includes", [DYN_TYPE, DYN_TYPE], includes);
    declare.member("first", [LIST_TYPE], |arguments| optional(list(&arguments, 0)?.first().map(AsRef::as_ref)));
    declare.member("last", [LIST_TYPE], |arguments| optional(list(&arguments, 0)?.last().map(AsRef::as_ref)));
    declare.member("unwrapOpt", [LIST_TYPE], unwrap);
    declare.global("optional.unwrap", [LIST_TYPE], unwrap);
    declare.global("sets.contains", [LIST_TYPE, LIST_TYPE], |arguments| {
        yes(contains(list(&arguments, 0)?, list(&arguments, 1)?)?)
    });
    declare.global("sets.equivalent", [LIST_TYPE, LIST_TYPE], |arguments| {
        let (one, other) = (list(&arguments, 0)?, list(&arguments, 1)?);
        yes(contains(one, other)? && contains(other, one)?)
    });
    declare.global("sets.intersects", [LIST_TYPE, LIST_TYPE], intersects);
    declare.member("@reverse", [LIST_TYPE], |arguments| {
        let elements = list(&arguments, 0)?.iter().rev().map(|element| element.clone_as_boxed());
        Ok(CowVal::owned(CelList::from(elements.collect::<Vec<_>>())))
    });
    declare.global("@range", [INT_TYPE], range);
    declare.member("@join", [LIST_TYPE], |arguments| join(list(&arguments, 0)?, ""));
    declare.member("@join", [LIST_TYPE, STRING_TYPE], |arguments| join(list(&arguments, 0)?, text(&arguments, 1)?));
}

fn position(found: Option<usize>) -> i64 {
    found.map_or(-1, |index| index as i64)
}

fn optional<'b, 'v>(element: Option<&(dyn Val + 'v)>) -> Answer<'b, 'v> {
    Ok(CowVal::owned(element.map_or_else(CelOptional::none, |element| CelOptional::of(element.clone_as_boxed()))))
}

fn sum<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let mut elements = list(&arguments, 0)?.iter();
    let Some(first) = elements.next() else { return number(0) };
    if !matches!(first.get_type().kind(), Kind::Int | Kind::UInt | Kind::Double | Kind::Duration) {
        return Err(no_overload("sum"));
    }
    let mut sum = first.clone_as_boxed();
    for element in elements {
        let adder = sum.as_adder().ok_or_else(|| no_overload("sum"))?;
        sum = adder.add(element.as_ref())?.into_owned();
    }
    Ok(CowVal::Owned(sum))
}

fn compare(one: &dyn Val, other: &dyn Val, function: &str) -> Result<Ordering, ExecutionError> {
    one.as_comparer().ok_or_else(|| no_overload(function))?.compare(other)
}

/// The first of the least or greatest elements.
fn extreme<'b, 'v>(arguments: &Arguments<'b, 'v>, wanted: Ordering, function: &str) -> Answer<'b, 'v> {
    let mut elements = list(arguments, 0)?.iter();
    let Some(mut best) = elements.next() else { return fail(function, format!("{function} called on empty list")) };
    best.as_comparer().ok_or_else(|| no_overload(function))?;
    for element in elements {
        if compare(element.as_ref(), best.as_ref(), function)? == wanted {
            best = element;
        }
    }
    Ok(CowVal::Owned(best.clone_as_boxed()))
}

fn is_sorted<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let elements = list(&arguments, 0)?;
    elements.first().map_or(Ok(()), |first| first.as_comparer().map(drop).ok_or_else(|| no_overload("isSorted")))?;
    for pair in elements.windows(2) {
        if compare(pair[0].as_ref(), pair[1].as_ref(), "isSorted")?.is_gt() {
            return yes(false);
        }
    }
    yes(true)
}

/// Whether a list has an element, or a value is another.
fn includes<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let wanted = at(&arguments, 1)?.as_ref();
    match at(&arguments, 0)?.downcast_ref::<CelList>() {
        Some(list) => yes(list.inner().iter().any(|element| element.equals(wanted))),
        None => yes(at(&arguments, 0)?.equals(wanted)),
    }
}

/// What the optionals of a list hold.
fn unwrap<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let mut held = Vec::new();
    for element in list(&arguments, 0)? {
        let optional = element.downcast_ref::<CelOptional>().ok_or_else(|| no_overload("unwrapOpt"))?;
        held.extend(optional.option().map(|value| value.clone_as_boxed()));
    }
    Ok(CowVal::owned(CelList::from(held)))
}

type Elements<'a, 'v> = &'a [Box<dyn Val + 'v>];

/// Whether the first list has all elements of the second.
fn contains(all: Elements<'_, '_>, some: Elements<'_, '_>) -> Result<bool, ExecutionError> {
    spend_product(all, some)?;
    Ok(some.iter().all(|wanted| all.iter().any(|element| element.equals(wanted.as_ref()))))
}

fn intersects<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let (one, other) = (list(&arguments, 0)?, list(&arguments, 1)?);
    spend_product(one, other)?;
    yes(one.iter().any(|element| other.iter().any(|other| element.equals(other.as_ref()))))
}

fn spend_product(one: Elements<'_, '_>, other: Elements<'_, '_>) -> Result<(), ExecutionError> {
    spend((one.len() as u64).saturating_mul(other.len() as u64))
}

/// `lists.range(n)`.
fn range<'b, 'v>(arguments: Arguments<'b, 'v>) -> Answer<'b, 'v> {
    let count = integer(&arguments, 0)?;
    if !(0..=RANGE).contains(&count) {
        return fail("lists.range", format!("the size must be from 0 to {RANGE}, found {count}"));
    }
    spend(2 * count as u64)?;
    let elements: Vec<Box<dyn Val>> = (0..count).map(|index| Box::new(CelInt::from(index)) as Box<dyn Val>).collect();
    Ok(CowVal::owned(CelList::from(elements)))
}

fn join<'b, 'v>(elements: Elements<'_, '_>, separator: &str) -> Answer<'b, 'v> {
    let mut parts = Vec::new();
    for element in elements {
        let part = element.downcast_ref::<CelString>().ok_or_else(|| no_overload("join"))?;
        spend(weight(element.as_ref()) + bytes(part.inner().len() + separator.len()))?;
        parts.push(part.inner());
    }
    string(parts.join(separator))
}
