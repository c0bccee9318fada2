;; No bytes at the very end are within the memory.
;; settings: invalid settings response from policy: EOF while parsing a value at line 1 column 0
;; validate: denied 500: internal server error: invalid response from policy: EOF while parsing a value at line 1 column 0
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 65536) (i32.const 0))
    (i32.const 1)))
