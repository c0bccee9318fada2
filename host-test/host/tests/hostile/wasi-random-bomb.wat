;; Wants four gigabytes of randomness.
;; settings: internal server error: Guest call failure: random_get: 4294967295 bytes at address 0 are not within the module's memory of 65536 bytes
;; validate: denied 500: internal server error: Guest call failure: random_get: 4294967295 bytes at address 0 are not within the module's memory of 65536 bytes
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $random (i32.const 0) (i32.const -1))))
