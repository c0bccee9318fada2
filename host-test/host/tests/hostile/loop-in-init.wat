;; `wapc_init` never ends. The policy-server itself hangs here.
;; settings: Policy execution interrupted because it exceeded the allowed execution time
;; validate: denied 500: Policy execution interrupted because it exceeded the allowed execution time
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true}")
  (func (export "wapc_init") (loop $again (br $again)))
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const 0) (i32.const 30))
    (i32.const 1)))
