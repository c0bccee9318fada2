//! What becomes of a module.

use podfence_link::copy_data_in_calls;

/// A module with `extra` fields; `(data)` needs a count, which only `memory.init` and `data.drop` make the assembler
/// write.
fn linked(extra: &str) -> Result<String, String> {
    let text = format!(
        r#"(module
            (import "wapc" "__guest_response" (func (param i32 i32)))
            (memory (export "memory") 1)
            (func (export "__guest_call") (param i32 i32) (result i32) i32.const 1)
            {extra})"#
    );
    let module = wat::parse_str(text).expect("a module");
    let linked = copy_data_in_calls(&module).map_err(|error| error.to_string())?;
    Ok(wasmprinter::print_bytes(linked).expect("a module"))
}

/// Makes the assembler count the data segments.
const COUNTED: &str = "(func data.drop 0)";

#[test]
fn data_is_copied_by_the_call() {
    let linked = linked(&format!(r#"{COUNTED} (data (i32.const 16) "ab") (data (i32.const 20) "c")"#));
    let expected = r#"(module
  (type (;0;) (func (param i32 i32)))
  (type (;1;) (func (param i32 i32) (result i32)))
  (type (;2;) (func))
  (type (;3;) (func (param i32 i32) (result i32)))
  (import "wapc" "__guest_response" (func (;0;) (type 0)))
  (memory (;0;) 1)
  (export "memory" (memory 0))
  (export "__guest_call" (func 3))
  (func (;1;) (type 1) (param i32 i32) (result i32)
    i32.const 1
  )
  (func (;2;) (type 2)
    data.drop 0
  )
  (func (;3;) (type 3) (param i32 i32) (result i32)
    i32.const 16
    i32.const 0
    i32.const 5
    memory.init 0
    local.get 0
    local.get 1
    call 1
  )
  (data (;0;) "ab\00\00c")
)
"#;
    assert_eq!(linked.as_deref(), Ok(expected));
}

#[test]
fn a_module_without_data_stays_as_it_is() {
    assert!(!linked("").expect("a module").contains("memory.init"));
}

#[test]
fn what_cannot_be_linked_says_why() {
    let rows = [
        (
            r#"(data (i32.const 0) "a")"#,
            "has data and no data count section, which compilers write with the feature bulk-memory",
        ),
        (r#"(func data.drop 0) (data "a")"#, "data segment 0 is not active at a constant address of the first memory"),
        (
            r#"(global $at i32 (i32.const 8)) (func data.drop 0) (data (global.get $at) "a")"#,
            "data segment 0 is not active at a constant address of the first memory",
        ),
        (
            r#"(func data.drop 0) (data (i32.const -1) "a")"#,
            "data segment 0 is not active at a constant address of the first memory",
        ),
        (
            r#"(func data.drop 0) (data (i32.const 0) "a") (data (i32.const 0x7fffffff) "a")"#,
            "data segment 1 is not active at a constant address of the first memory",
        ),
        (
            r#"(func data.drop 0) (data (i32.const 8) "ab") (data (i32.const 9) "c")"#,
            "data segment 1 begins before the end of the one before it",
        ),
        (
            r#"(func data.drop 0) (data (i32.const 8) "ab") (data (i32.const 4) "c")"#,
            "data segment 1 begins before the end of the one before it",
        ),
        ("(func $start) (start $start)", "has a start function, for which a policy-server sets no deadline"),
    ];
    for (extra, expected) in rows {
        assert_eq!(linked(extra), Err(expected.to_owned()), "{extra}");
    }
}

#[test]
fn what_is_no_module_says_why() {
    for (module, expected) in [
        (&b"(module)"[..], "magic header not detected: bad magic number - expected=[\n"),
        (b"\0asm\x01\0\0\0", "exports no function __guest_call, by which hosts call a module"),
    ] {
        let error = copy_data_in_calls(module).expect_err("no module").to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
