;; Growing a table beyond the limit fails, without a trap.
;; settings: valid
;; validate: allowed
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (table $table 1 funcref)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true}")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (if (i32.ne (table.grow $table (ref.null func) (i32.const 2000000)) (i32.const -1)) (then (unreachable)))
    (call $response (i32.const 0) (i32.const 30))
    (i32.const 1)))
