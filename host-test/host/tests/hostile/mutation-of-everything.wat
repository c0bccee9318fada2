;; The whole object is replaced by a number.
;; settings: valid
;; validate: allowed patch [{"op":"replace","path":"","value":1}]
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true,\"mutated_object\":1}")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 49))
    (i32.const 1)))
