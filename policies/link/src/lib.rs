//! The last step of building a module: its static data is copied by each call, instead of being an image of its memory.
//!
//! A policy-server makes a new instance for each request. For active data segments wasmtime maps an image into the
//! instance's memory, and unmaps it afterwards, which takes more time than the check. So the data becomes one passive
//! segment, and the exported `__guest_call` is a function that copies it with `memory.init` and calls the real one.
//! A start function could copy it too, but a policy-server sets a deadline for calls alone, and runs out of time there.
#![forbid(unsafe_code)]

use std::ops::Range;

use wasm_encoder::{
    CodeSection, DataSection, DataSegment, DataSegmentMode, ExportKind, ExportSection, Function, FunctionSection,
    Module, TypeSection, ValType,
    reencode::{self, Reencode},
};
use wasmparser::{
    BinaryReaderError, CodeSectionReader, Data, DataKind, DataSectionReader, Export, ExternalKind,
    FunctionSectionReader, Operator, Parser, Payload, TypeRef, TypeSectionReader,
};

/// The function by which a host calls a waPC module.
const CALL: &str = "__guest_call";

/// Why a module cannot be linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// It is not WebAssembly.
    #[error("{0}")]
    Unreadable(#[from] BinaryReaderError),
    /// It has something that cannot be written again.
    #[error("cannot be written again: {0}")]
    Unwritable(#[from] reencode::Error),
    /// There is nothing to call.
    #[error("exports no function {CALL}, by which hosts call a module")]
    NoCall,
    /// A policy-server would interrupt it.
    #[error("has a start function, for which a policy-server sets no deadline")]
    Start,
    /// `memory.init` is valid only in a module that counts its segments first.
    #[error("has data and no data count section, which compilers write with the feature bulk-memory")]
    NoDataCount,
    /// Its place is not known here.
    #[error("data segment {0} is not active at a constant address of the first memory")]
    Place(usize),
    /// Segments are joined by address.
    #[error("data segment {0} begins before the end of the one before it")]
    Order(usize),
}

/// Writes a module again, with its data as one passive segment that each call copies. A module without data stays as
/// it is.
///
/// # Errors
/// The module is invalid, has a start function or no `__guest_call`, or has data whose place or order is not known.
pub fn copy_data_in_calls(module: &[u8]) -> Result<Vec<u8>, LinkError> {
    let Some(mut link) = Link::new(module)? else { return Ok(module.to_vec()) };
    let mut linked = Module::new();
    link.parse_core_module(&mut linked, Parser::new(0), module)?;
    Ok(linked.finish())
}

/// What is added to a module.
struct Link {
    /// Where the data begins in memory.
    address: i32,
    data: Vec<u8>,
    /// The index of the function that is exported as [`CALL`].
    call: u32,
    /// How many types there are: the index of the new function's type.
    types: u32,
    /// How many functions there are, imported ones included: the index of the new function.
    functions: u32,
}

impl Link {
    /// None for a module without data.
    fn new(module: &[u8]) -> Result<Option<Self>, LinkError> {
        let (mut call, mut is_counted) = (None, false);
        let mut link = Link { address: 0, data: Vec::new(), call: 0, types: 0, functions: 0 };
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(types) => {
                    for group in types {
                        link.types += u32::try_from(group?.types().len()).unwrap_or(u32::MAX);
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        link.functions += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::FunctionSection(functions) => link.functions += functions.count(),
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if is_call(&export) {
                            call = Some(export.index);
                        }
                    }
                }
                Payload::StartSection { .. } => return Err(LinkError::Start),
                Payload::DataCountSection { .. } => is_counted = true,
                Payload::DataSection(segments) => link.add_data(segments)?,
                _ => {}
            }
        }
        link.call = call.ok_or(LinkError::NoCall)?;
        match (link.data.is_empty(), is_counted) {
            (true, _) => Ok(None),
            (false, true) => Ok(Some(link)),
            (false, false) => Err(LinkError::NoDataCount),
        }
    }

    /// Joins the segments, with zeros between them: a new memory has zeros there, and what the linker leaves out of a
    /// segment is zeros.
    fn add_data(&mut self, segments: DataSectionReader<'_>) -> Result<(), LinkError> {
        for (index, segment) in segments.into_iter().enumerate() {
            let segment = segment?;
            let Range { start, end } = address(&segment)?.ok_or(LinkError::Place(index))?;
            if self.data.is_empty() {
                self.address = i32::try_from(start).map_err(|_| LinkError::Place(index))?;
            }
            let at = start.checked_sub(i64::from(self.address)).and_then(|at| usize::try_from(at).ok());
            let at = at.filter(|&at| at >= self.data.len()).ok_or(LinkError::Order(index))?;
            if end > MOST_DATA {
                return Err(LinkError::Place(index));
            }
            self.data.resize(at, 0);
            self.data.extend_from_slice(segment.data);
        }
        Ok(())
    }

    /// Copies the data and calls.
    fn function(&self) -> Function {
        let length = i32::try_from(self.data.len()).expect("less than the most");
        let mut function = Function::new([]);
        let mut code = function.instructions();
        code.i32_const(self.address).i32_const(0).i32_const(length).memory_init(0, 0);
        code.local_get(0).local_get(1).call(self.call).end();
        function
    }
}

/// Where the static data of a module ends at most: far above that of a policy, and little enough to be joined here.
const MOST_DATA: i64 = 16 << 20;

/// Where in memory a segment is; none if that is not constant.
fn address(segment: &Data<'_>) -> Result<Option<Range<i64>>, LinkError> {
    let DataKind::Active { memory_index: 0, offset_expr } = &segment.kind else { return Ok(None) };
    let mut operators = offset_expr.get_operators_reader();
    let (Operator::I32Const { value }, Operator::End) = (operators.read()?, operators.read()?) else {
        return Ok(None);
    };
    let start = i64::from(value);
    let length = i64::try_from(segment.data.len()).unwrap_or(i64::MAX);
    Ok((start >= 0).then(|| start..start.saturating_add(length)))
}

fn is_call(export: &Export<'_>) -> bool {
    export.name == CALL && export.kind == ExternalKind::Func
}

type Rewritten = Result<(), reencode::Error>;

impl Reencode for Link {
    type Error = std::convert::Infallible;

    fn parse_type_section(&mut self, types: &mut TypeSection, section: TypeSectionReader<'_>) -> Rewritten {
        reencode::utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32, ValType::I32], [ValType::I32]);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Rewritten {
        reencode::utils::parse_function_section(self, functions, section)?;
        functions.function(self.types);
        Ok(())
    }

    fn parse_export(&mut self, exports: &mut ExportSection, export: Export<'_>) -> Rewritten {
        if is_call(&export) {
            exports.export(CALL, ExportKind::Func, self.functions);
            return Ok(());
        }
        reencode::utils::parse_export(self, exports, export)
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: CodeSectionReader<'_>) -> Rewritten {
        reencode::utils::parse_code_section(self, code, section)?;
        code.function(&self.function());
        Ok(())
    }

    fn data_count(&mut self, _: u32) -> Result<u32, reencode::Error> {
        Ok(1)
    }

    fn parse_data_section(&mut self, data: &mut DataSection, _: DataSectionReader<'_>) -> Rewritten {
        data.segment(DataSegment { mode: DataSegmentMode::Passive, data: self.data.iter().copied() });
        Ok(())
    }
}
