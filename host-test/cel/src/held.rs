//! Lists and maps that many hold: a copy of one copies nothing, and what it weighs is counted once.
//!
//! Those of objects are made of JSON when they are first read, without what is in their elements: an object is much larger
//! than what expressions read of it.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cel::ExecutionError;
use cel::common::traits::{Adder, Container, Indexer, Iterable, Sizer, Zeroer};
use cel::common::types::{CelList, CelMap, CelMapKey, Type};
use cel::common::value::{Builtin, BuiltinRef, CowVal, StaticVal, Val};
use serde_json::{Map, Value};

use crate::budget;
use crate::values::from_json;

/// A list or a map of the crate, which it passes for wherever it is read.
#[derive(Debug)]
pub(crate) struct Held<T: Holder>(Arc<Kept<T>>);

pub(crate) type HeldList = Held<CelList<'static>>;
pub(crate) type HeldMap = Held<CelMap<'static>>;

#[derive(Debug)]
struct Kept<T: Holder> {
    /// What it is made of, until it is made.
    json: Mutex<Option<T::Json>>,
    made: OnceLock<T>,
    weight: OnceLock<u64>,
}

/// What holds other values.
pub(crate) trait Holder: Val + Clone + 'static {
    /// What it is made of.
    type Json: Debug + Send;

    fn make(json: Self::Json) -> Self;

    /// See [`budget::weight`].
    fn weight(&self) -> u64;

    /// The weight of what is made of it.
    fn weight_of(json: &Self::Json) -> u64;
}

impl Holder for CelList<'static> {
    type Json = Vec<Value>;

    fn make(json: Vec<Value>) -> Self {
        CelList::from(json.into_iter().map(from_json).collect::<Vec<_>>())
    }

    fn weight(&self) -> u64 {
        budget::whole_weight(self)
    }

    fn weight_of(json: &Vec<Value>) -> u64 {
        1 + json.iter().map(weight_of).sum::<u64>()
    }
}

impl Holder for CelMap<'static> {
    type Json = Map<String, Value>;

    fn make(json: Map<String, Value>) -> Self {
        let entries = json.into_iter().map(|(key, value)| (CelMapKey::from(key), from_json(value)));
        CelMap::from(entries.collect::<HashMap<_, _>>())
    }

    fn weight(&self) -> u64 {
        budget::whole_weight(self)
    }

    fn weight_of(json: &Map<String, Value>) -> u64 {
        1 + json.iter().map(|(key, value)| budget::weight_of_text(key) + weight_of(value)).sum::<u64>()
    }
}

fn weight_of(json: &Value) -> u64 {
    match json {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => budget::weight_of_text(text),
        Value::Array(elements) => CelList::weight_of(elements),
        Value::Object(members) => CelMap::weight_of(members),
    }
}

impl<T: Holder> Held<T> {
    /// Holds what is there.
    pub(crate) fn new(value: T) -> Held<T> {
        Held(Arc::new(Kept { json: Mutex::default(), made: OnceLock::from(value), weight: OnceLock::new() }))
    }

    /// Holds what is made when it is read.
    pub(crate) fn of(json: T::Json) -> Held<T> {
        Held(Arc::new(Kept { json: Mutex::new(Some(json)), made: OnceLock::new(), weight: OnceLock::new() }))
    }

    fn get(&self) -> &T {
        let Kept { json, made, .. } = &*self.0;
        made.get_or_init(|| {
            let json = json.lock().unwrap_or_else(PoisonError::into_inner).take();
            T::make(json.expect("it is made once"))
        })
    }

    /// See [`budget::weight`].
    pub(crate) fn weight(&self) -> u64 {
        let Kept { json, weight, .. } = &*self.0;
        *weight.get_or_init(|| {
            let of_json = json.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(T::weight_of);
            of_json.unwrap_or_else(|| self.get().weight())
        })
    }
}

impl<T: Holder> StaticVal for Held<T> {}

impl<T: Holder> Val for Held<T> {
    fn get_type(&self) -> &Type {
        T::cel_type()
    }

    fn cel_type() -> &'static Type {
        T::cel_type()
    }

    fn as_adder<'b, 'v>(&'b self) -> Option<&'b (dyn Adder + 'v)>
    where
        Self: 'v,
    {
        self.get().as_adder()
    }

    fn as_container(&self) -> Option<&dyn Container> {
        self.get().as_container()
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        self.get().as_indexer()
    }

    fn into_indexer<'v>(self: Box<Self>) -> Option<Box<dyn Indexer + 'v>>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        self.get().as_iterable()
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.get().as_sizer()
    }

    fn as_zeroer(&self) -> Option<&dyn Zeroer> {
        self.get().as_zeroer()
    }

    fn equals(&self, other: &dyn Val) -> bool {
        self.get().equals(other)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Held(Arc::clone(&self.0)))
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }

    fn as_builtin<'b, 'v>(&'b self) -> BuiltinRef<'b, 'v>
    where
        Self: 'v,
    {
        self.get().as_builtin()
    }

    fn into_builtin<'v>(self: Box<Self>) -> Option<Builtin<'v>>
    where
        Self: 'v,
    {
        Box::new(self.get().clone()).into_builtin()
    }
}

impl<T: Holder> Indexer for Held<T> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let indexer = self.get().as_indexer().ok_or_else(|| ExecutionError::no_such_overload("_[_]", Vec::new()))?;
        indexer.get(index)
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        Indexer::get(&*self, index).map(CowVal::into_owned)
    }
}
