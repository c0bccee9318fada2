;; The name of a host call beyond the end.
;; settings: internal server error: Guest call failure: __host_call: 1 bytes at address 65536 are not within the module's memory of 65536 bytes
;; validate: denied 500: internal server error: Guest call failure: __host_call: 1 bytes at address 65536 are not within the module's memory of 65536 bytes
(module
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $host_call
      (i32.const 0) (i32.const 0) (i32.const 65536) (i32.const 1)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))))
