;; settings: internal server error: Guest call failure: {m × 1048576}
;; validate: denied 500: internal server error: Guest call failure: {m × 1048576}
(module
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (memory (export "memory") 17)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 109) (i32.const 1048576))
    (call $error (i32.const 0) (i32.const 1048576))
    (i32.const 0)))
