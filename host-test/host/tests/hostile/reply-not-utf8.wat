;; settings: invalid settings response from policy: invalid unicode code point at line 1 column 42
;; validate: denied 500: internal server error: invalid response from policy: invalid unicode code point at line 1 column 42
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true,\"message\":\"\ff\"}")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 44))
    (i32.const 1)))
