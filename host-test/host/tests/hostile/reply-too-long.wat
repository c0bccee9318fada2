;; A reply of more than 4 MiB.
;; settings: internal server error: Guest call failure: __guest_response: 4194305 bytes, more than the limit of 4194304
;; validate: denied 500: internal server error: Guest call failure: __guest_response: 4194305 bytes, more than the limit of 4194304
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 65)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 4194305))
    (i32.const 1)))
