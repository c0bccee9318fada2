;; settings: invalid settings response from policy: duplicate field `valid` at line 1 column 22
;; validate: denied 500: internal server error: invalid response from policy: duplicate field `accepted` at line 1 column 55
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":false,\"valid\":true,\"accepted\":false,\"accepted\":true}")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 61))
    (i32.const 1)))
