;; Four memories, each below the limit.
;; settings: internal server error: Guest call failure: the module needs 25165824 bytes of memory, more than the limit of 16777216
;; validate: denied 500: internal server error: Guest call failure: the module needs 25165824 bytes of memory, more than the limit of 16777216
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 128)
  (memory 128)
  (memory 128)
  (memory 128)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true}")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 30))
    (i32.const 1)))
