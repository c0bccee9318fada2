;; A bad pointer before there is an instance.
;; settings: internal server error: Guest call failure: __guest_response: 1 bytes at address 65536 are not within the module's memory of 65536 bytes
;; validate: denied 500: internal server error: Guest call failure: __guest_response: 1 bytes at address 65536 are not within the module's memory of 65536 bytes
(module
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  (memory (export "memory") 1)
  (func $early (call $response (i32.const 65536) (i32.const 1)))
  (start $early)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (i32.const 1)))
