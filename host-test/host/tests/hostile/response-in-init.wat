;; A response from an initialiser belongs to no call.
;; settings: internal server error: Guest call failure: No error message OR response set for call success
;; validate: denied 500: internal server error: Guest call failure: No error message OR response set for call success
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true}")
  (func (export "wapc_init") (call $response (i32.const 0) (i32.const 30)))
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (i32.const 1)))
