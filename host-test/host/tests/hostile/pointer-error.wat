;; An error text beyond the end.
;; settings: internal server error: Guest call failure: __guest_error: 1 bytes at address 131072 are not within the module's memory of 65536 bytes
;; validate: denied 500: internal server error: Guest call failure: __guest_error: 1 bytes at address 131072 are not within the module's memory of 65536 bytes
(module
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $error (i32.const 131072) (i32.const 1))
    (i32.const 0)))
