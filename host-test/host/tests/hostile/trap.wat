;; Divides by zero.
;; settings: internal server error: Guest call failure: error while executing at wasm backtrace: …
;; validate: denied 500: internal server error: Guest call failure: error while executing at wasm backtrace: …
(module
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (i32.div_u (local.get $operation) (i32.const 0))))
