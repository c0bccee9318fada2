;; settings: internal server error: Guest call failure: cannot decide
;; validate: denied 500: internal server error: Guest call failure: cannot decide
(module
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "cannot decide")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $error (i32.const 0) (i32.const 13))
    (i32.const 1)))
