;; A host call whose operation has a name of more than 1 KiB.
;; settings: internal server error: Guest call failure: __host_call: 1025 bytes, more than the limit of 1024
;; validate: denied 500: internal server error: Guest call failure: __host_call: 1025 bytes, more than the limit of 1024
(module
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $host_call
      (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)
      (i32.const 0) (i32.const 1025) (i32.const 0) (i32.const 0))))
