;; A table of four thousand million entries.
;; settings: internal server error: Guest call failure: table minimum size of 4000000000 elements exceeds table limits
;; validate: denied 500: internal server error: Guest call failure: table minimum size of 4000000000 elements exceeds table limits
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (table 4000000000 funcref)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true}")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 30))
    (i32.const 1)))
