;; The last one counts.
;; settings: valid
;; validate: allowed
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true}")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 1))
    (call $response (i32.const 0) (i32.const 30))
    (i32.const 1)))
