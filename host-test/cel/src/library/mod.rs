//! The functions of Kubernetes' environment that the crate `cel` lacks, and those that spend before they work.

mod format;
mod lists;
mod network;
mod quantity;
mod semver;
mod spending;
mod strings;
mod url;

use std::any::Any;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use cel::common::functions::Function;
use cel::common::types::{
    BOOL_TYPE, CelBool, CelInt, CelList, CelOptional, CelString, DYN_TYPE, INT_TYPE, LIST_TYPE, STRING_TYPE, Type,
};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::{Env, ExecutionError, extensions};

use crate::macros;
pub(crate) use quantity::{Quantity, canonical as canonical_quantity, rounded as rounded_quantity};
pub(crate) use semver::Version;

type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Kubernetes' environment, for the evaluator.
pub(crate) static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::default().with_stdlib();
    let unique = "each extension is declared once";
    env.add_extension(extensions::strings).expect(unique);
    env.add_extension(extensions::lists).expect(unique);
    // As cel-go: the last one wins.
    env.set_error_on_duplicate_map_keys(false);
    macros::declare(&mut env);
    let mut declare = Declare { env: &mut env, count: 0 };
    spending::declare(&mut declare);
    lists::declare(&mut declare);
    strings::declare(&mut declare);
    quantity::declare(&mut declare);
    semver::declare(&mut declare);
    network::declare(&mut declare);
    url::declare(&mut declare);
    format::declare(&mut declare);
    Arc::new(env)
});

/// Declares functions.
struct Declare<'a> {
    env: &'a mut Env,
    count: usize,
}

impl Declare<'_> {
    /// A function of these types.
    fn global(&mut self, name: &str, types: impl Into<Vec<Type>>, function: Function) {
        self.count += 1;
        let id = format!("kubernetes_{}", self.count);
        self.env.add_overload(name, &id, types.into(), function).expect("each overload is declared once");
    }

    /// A function of the first type, with arguments of the others.
    fn member(&mut self, name: &str, types: impl Into<Vec<Type>>, function: Function) {
        self.count += 1;
        let id = format!("kubernetes_{}", self.count);
        let mut arguments = types.into();
        let receiver = arguments.remove(0);
        let declared = self.env.add_member_overload(name, &id, receiver, arguments, function);
        declared.expect("each overload is declared once");
    }
}

/// A value of a type that CEL itself does not have.
#[derive(Debug, Clone, PartialEq)]
enum Opaque {
    Quantity(Quantity),
    Version(Version),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
    /// Shared, because copies of it are not paid for.
    Url(Arc<url::Url>),
    /// A format of text, by its name.
    Format(&'static str),
}

const QUANTITY: Type = Type::new_unspecified_type("kubernetes.Quantity");
const SEMVER: Type = Type::new_unspecified_type("kubernetes.Semver");
const IP: Type = Type::new_unspecified_type("net.IP");
const CIDR: Type = Type::new_unspecified_type("net.CIDR");
const URL: Type = Type::new_unspecified_type("kubernetes.URL");
const FORMAT: Type = Type::new_unspecified_type("kubernetes.NamedFormat");
static TYPES: [Type; 6] = [QUANTITY, SEMVER, IP, CIDR, FORMAT, URL];

impl Val for Opaque {
    fn get_type(&self) -> &Type {
        match self {
            Opaque::Quantity(_) => &TYPES[0],
            Opaque::Version(_) => &TYPES[1],
            Opaque::Ip(_) => &TYPES[2],
            Opaque::Cidr(..) => &TYPES[3],
            Opaque::Format(_) => &TYPES[4],
            Opaque::Url(_) => &TYPES[5],
        }
    }

    fn cel_type() -> &'static Type {
        &TYPES[0]
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Opaque>().is_some_and(|other| match (self, other) {
            (Opaque::Quantity(one), Opaque::Quantity(other)) => one.compare(other).is_eq(),
            (Opaque::Version(one), Opaque::Version(other)) => one.compare(other).is_eq(),
            (one, other) => one == other,
        })
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Opaque {}

/// A copy of a value of these types.
pub(crate) fn owned(value: &dyn Val) -> Option<Box<dyn Val>> {
    value.downcast_ref::<Opaque>().map(|found| Box::new(found.clone()) as Box<dyn Val>)
}

fn fail<T>(function: &str, message: impl Into<String>) -> Result<T, ExecutionError> {
    Err(ExecutionError::function_error(function, message.into()))
}

fn no_overload(function: &str) -> ExecutionError {
    ExecutionError::no_such_overload(function, Vec::new())
}

/// The argument at a position.
fn at<'a, 'b, 'v>(arguments: &'a [CowVal<'b, 'v>], index: usize) -> Result<&'a CowVal<'b, 'v>, ExecutionError> {
    arguments.get(index).ok_or_else(|| no_overload("argument"))
}

fn text<'a>(arguments: &'a [CowVal<'_, '_>], index: usize) -> Result<&'a str, ExecutionError> {
    let found = at(arguments, index)?.downcast_ref::<CelString>();
    found.map(CelString::inner).ok_or_else(|| no_overload("string"))
}

fn integer(arguments: &[CowVal<'_, '_>], index: usize) -> Result<i64, ExecutionError> {
    let found = at(arguments, index)?.downcast_ref::<CelInt>();
    found.map(|found| *found.inner()).ok_or_else(|| no_overload("int"))
}

fn boolean(arguments: &[CowVal<'_, '_>], index: usize) -> Result<bool, ExecutionError> {
    let found = at(arguments, index)?.downcast_ref::<CelBool>();
    found.map(|found| *found.inner()).ok_or_else(|| no_overload("bool"))
}

fn list<'a, 'v>(arguments: &'a [CowVal<'_, 'v>], index: usize) -> Result<&'a [Box<dyn Val + 'v>], ExecutionError> {
    let found = at(arguments, index)?.downcast_ref::<CelList>();
    found.map(CelList::inner).ok_or_else(|| no_overload("list"))
}

fn yes<'b, 'v>(answer: bool) -> Answer<'b, 'v> {
    Ok(CowVal::owned(CelBool::from(answer)))
}

fn number<'b, 'v>(answer: i64) -> Answer<'b, 'v> {
    Ok(CowVal::owned(CelInt::from(answer)))
}

fn string<'b, 'v>(answer: impl Into<String>) -> Answer<'b, 'v> {
    Ok(CowVal::owned(CelString::from(answer.into())))
}

fn opaque<'b, 'v>(answer: Opaque) -> Answer<'b, 'v> {
    Ok(CowVal::owned(answer))
}

fn strings_list<'b, 'v>(answer: impl Iterator<Item = String>) -> Answer<'b, 'v> {
    let elements: Vec<Box<dyn Val>> = answer.map(|text| Box::new(CelString::from(text)) as Box<dyn Val>).collect();
    Ok(CowVal::owned(CelList::from(elements)))
}
