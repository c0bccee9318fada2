;; A log line beyond the end.
;; settings: internal server error: Guest call failure: __console_log: 65537 bytes at address 0 are not within the module's memory of 65536 bytes
;; validate: denied 500: internal server error: Guest call failure: __console_log: 65537 bytes at address 0 are not within the module's memory of 65536 bytes
(module
  (import "wapc" "__console_log" (func $log (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $log (i32.const 0) (i32.const 65537))
    (i32.const 0)))
