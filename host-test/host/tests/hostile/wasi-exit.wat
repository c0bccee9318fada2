;; Exits in the middle of a call, even successfully: there is no reply.
;; settings: internal server error: Guest call failure: the module exited with code 0
;; validate: denied 500: internal server error: Guest call failure: the module exited with code 0
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $exit (i32.const 0))
    (i32.const 1)))
