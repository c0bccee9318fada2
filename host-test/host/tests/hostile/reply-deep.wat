;; Nested 30000 times: a parser without a limit overflows the host's stack.
;; settings: invalid settings response from policy: EOF while parsing a list at line 1 column 30047
;; validate: denied 500: internal server error: invalid response from policy: recursion limit exceeded at line 1 column 174
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true,\"mutated_object\":")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (memory.fill (i32.const 47) (i32.const 91) (i32.const 30000))
    (call $response (i32.const 0) (i32.const 30047))
    (i32.const 1)))
