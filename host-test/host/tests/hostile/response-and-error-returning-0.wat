;; The error wins.
;; settings: internal server error: Guest call failure: cannot decide
;; validate: denied 500: internal server error: Guest call failure: cannot decide
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true}")
  (data (i32.const 64) "cannot decide")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 30))
    (call $error (i32.const 64) (i32.const 13))
    (i32.const 0)))
