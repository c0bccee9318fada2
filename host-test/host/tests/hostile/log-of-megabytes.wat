;; Two million bytes of log a thousand times: dropped.
;; settings: valid
;; validate: allowed
(module
  (import "wapc" "__console_log" (func $log (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 32)
  (data (i32.const 0) "{\"valid\":true,\"accepted\":true}")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (local $count i32)
    (loop $again
      (call $log (i32.const 0) (i32.const 2000000))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $count) (i32.const 1000))))
    (call $response (i32.const 0) (i32.const 30))
    (i32.const 1)))
