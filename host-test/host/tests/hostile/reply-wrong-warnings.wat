;; settings: valid
;; validate: denied 500: internal server error: invalid response from policy: invalid type: string "careful", expected a sequence at line 1 column 50
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true,\"warnings\":\"careful\"}")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 51))
    (i32.const 1)))
