;; A bad pointer in the list of buffers.
;; settings: internal server error: Guest call failure: fd_write: 8 bytes at address 65532 are not within the module's memory of 65536 bytes
;; validate: denied 500: internal server error: Guest call failure: fd_write: 8 bytes at address 65532 are not within the module's memory of 65536 bytes
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $write (i32.const 1) (i32.const 65532) (i32.const 1) (i32.const 0))))
