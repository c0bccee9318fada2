;; Spends its time in the host instead of in wasm.
;; settings: Policy execution interrupted because it exceeded the allowed execution time
;; validate: denied 500: Policy execution interrupted because it exceeded the allowed execution time
(module
  (import "wapc" "__console_log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (loop $again
      (call $log (i32.const 0) (i32.const 65536))
      (br $again))
    (unreachable)))
