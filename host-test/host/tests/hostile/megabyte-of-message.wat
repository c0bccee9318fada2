;; A denial with a message of 1 MiB: whole, as the server sends it.
;; settings: valid
;; validate: denied 403: {m × 1048576}
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 17)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":false,\"code\":403,\"message\":\"")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (memory.fill (i32.const 53) (i32.const 109) (i32.const 1048576))
    (i32.store16 (i32.const 1048629) (i32.const 0x7d22))
    (call $response (i32.const 0) (i32.const 1048631))
    (i32.const 1)))
