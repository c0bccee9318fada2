;; Endless recursion.
;; settings: internal server error: Guest call failure: error while executing at wasm backtrace: …
;; validate: denied 500: internal server error: Guest call failure: error while executing at wasm backtrace: …
(module
  (memory (export "memory") 1)
  (func $deeper (param i32) (result i32)
    (i32.add (call $deeper (local.get 0)) (i32.const 1)))
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $deeper (i32.const 0))))
