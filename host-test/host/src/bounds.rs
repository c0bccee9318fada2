//! What a module may be made of, so that compiling it ends soon and in a bounded memory.
//!
//! The compiler takes up to 6 KB of memory for an empty function, 1 KB for a byte of a large one, and more than twice
//! the time for a function twice as large. Real policies stay far below all of this.

use wasmparser::{ElementItems, FunctionBody, KnownCustom, Name, NameSectionReader, Parser, Payload};

use crate::engine::LoadError;
use crate::inspect::METADATA_SECTION;

/// The functions, whose bodies the compiler keeps until the last one.
const FUNCTIONS: usize = 40_000;
const TYPES: usize = 10_000;
const IMPORTS: usize = 1_000;
const EXPORTS: usize = 1_000;
const TABLES: usize = 16;
const GLOBALS: usize = 10_000;
/// Of all element segments together.
const ELEMENTS: usize = 1_000_000;
/// Of all functions together; a function may have 50,000.
const LOCALS: usize = 10_000_000;
/// In bytes.
const FUNCTION: usize = 512 << 10;
/// Of all functions together, in bytes.
const CODE: usize = 16 << 20;
/// Of all data segments together, in bytes.
const DATA: usize = 32 << 20;
/// Of an import or an export, in bytes.
const NAME: usize = 1 << 10;
/// Of a function, as backtraces show it, in bytes. Names of generic functions are long.
const FUNCTION_NAME: usize = 64 << 10;
/// In bytes.
const METADATA: usize = 1 << 20;

/// Counts what a module is made of.
///
/// # Errors
/// There is too much of something. What is not a valid module is left to the compiler to explain.
pub(crate) fn check(bytes: &[u8]) -> Result<(), LoadError> {
    let mut sums = Sums::default();
    for payload in Parser::new(0).parse_all(bytes) {
        let Ok(payload) = payload else { return Ok(()) };
        sums.add(payload)?;
    }
    Ok(())
}

#[derive(Default)]
struct Sums {
    elements: usize,
    locals: usize,
    code: usize,
    data: usize,
}

fn limit(what: &'static str, found: usize, most: usize) -> Result<(), LoadError> {
    if found > most { Err(LoadError::TooMuch { what, found, most }) } else { Ok(()) }
}

impl Sums {
    fn add(&mut self, payload: Payload<'_>) -> Result<(), LoadError> {
        match payload {
            Payload::TypeSection(types) => {
                let groups = types.into_iter().map_while(Result::ok);
                limit("types", groups.map(|group| group.into_types().len()).sum(), TYPES)
            }
            Payload::ImportSection(imports) => {
                let mut count = 0;
                for import in imports.into_imports().map_while(Result::ok) {
                    count += 1;
                    limit("imports", count, IMPORTS)?;
                    limit("bytes in the name of an import", import.module.len().max(import.name.len()), NAME)?;
                }
                Ok(())
            }
            Payload::FunctionSection(functions) => limit("functions", functions.count() as usize, FUNCTIONS),
            Payload::TableSection(tables) => limit("tables", tables.count() as usize, TABLES),
            Payload::GlobalSection(globals) => limit("globals", globals.count() as usize, GLOBALS),
            Payload::ExportSection(exports) => {
                limit("exports", exports.count() as usize, EXPORTS)?;
                let mut exports = exports.into_iter().map_while(Result::ok);
                exports.try_for_each(|export| limit("bytes in the name of an export", export.name.len(), NAME))
            }
            Payload::ElementSection(segments) => {
                let counts = segments.into_iter().map_while(Result::ok).map(|segment| match segment.items {
                    ElementItems::Functions(items) => items.count() as usize,
                    ElementItems::Expressions(_, items) => items.count() as usize,
                });
                self.elements += counts.sum::<usize>();
                limit("elements of tables", self.elements, ELEMENTS)
            }
            Payload::CodeSectionEntry(body) => self.add_function(&body),
            Payload::DataSection(segments) => {
                let lengths = segments.into_iter().map_while(Result::ok).map(|segment| segment.data.len());
                self.data += lengths.sum::<usize>();
                limit("bytes of data", self.data, DATA)
            }
            Payload::CustomSection(section) if section.name() == METADATA_SECTION => {
                limit("bytes of metadata", section.data().len(), METADATA)
            }
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::Name(names) => check_function_names(names),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn add_function(&mut self, body: &FunctionBody<'_>) -> Result<(), LoadError> {
        self.code += body.as_bytes().len();
        limit("bytes of code in a function", body.as_bytes().len(), FUNCTION)?;
        limit("bytes of code", self.code, CODE)?;
        let Ok(locals) = body.get_locals_reader() else { return Ok(()) };
        let counts = locals.into_iter().map_while(Result::ok).map(|(count, _)| count as usize);
        self.locals = counts.fold(self.locals, usize::saturating_add);
        limit("local variables", self.locals, LOCALS)
    }
}

fn check_function_names(names: NameSectionReader<'_>) -> Result<(), LoadError> {
    for name in names.into_iter().map_while(Result::ok) {
        let Name::Function(functions) = name else { continue };
        let mut functions = functions.into_iter().map_while(Result::ok);
        functions
            .try_for_each(|function| limit("bytes in the name of a function", function.name.len(), FUNCTION_NAME))?;
    }
    Ok(())
}
