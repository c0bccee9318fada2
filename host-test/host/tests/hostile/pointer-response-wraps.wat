;; Address plus length exceeds 32 bits.
;; settings: internal server error: Guest call failure: __guest_response: 4294967295 bytes at address 4294967295 are not within the module's memory of 65536 bytes
;; validate: denied 500: internal server error: Guest call failure: __guest_response: 4294967295 bytes at address 4294967295 are not within the module's memory of 65536 bytes
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $response (i32.const -1) (i32.const -1))
    (i32.const 1)))
