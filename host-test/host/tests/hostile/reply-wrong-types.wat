;; settings: invalid settings response from policy: invalid type: integer `1`, expected a boolean at line 1 column 10
;; validate: denied 500: internal server error: invalid response from policy: invalid type: string "yes", expected a boolean at line 1 column 27
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":1,\"accepted\":\"yes\"}")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 28))
    (i32.const 1)))
