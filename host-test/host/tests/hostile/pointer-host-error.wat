;; Wants the text of a refusal where it does not fit.
;; settings: internal server error: Guest call failure: __host_error: 53 bytes at address 65530 are not within the module's memory of 65536 bytes
;; validate: denied 500: internal server error: Guest call failure: __host_error: 53 bytes at address 65530 are not within the module's memory of 65536 bytes
(module
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (drop (call $host_call
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
    (call $host_error (i32.const 65530))
    (i32.const 1)))
