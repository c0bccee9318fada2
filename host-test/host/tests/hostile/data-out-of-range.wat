;; A data segment beyond the memory: the instance cannot be made.
;; settings: internal server error: Guest call failure: wasm trap: out of bounds memory access
;; validate: denied 500: internal server error: Guest call failure: wasm trap: out of bounds memory access
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 70000) "x")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 30))
    (i32.const 1)))
