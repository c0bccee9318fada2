;; settings: internal server error: Guest call failure: the module exited with code 3
;; validate: denied 500: internal server error: Guest call failure: the module exited with code 3
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true}")
  (func (export "_start") (call $exit (i32.const 3)))
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 30))
    (i32.const 1)))
