;; Asks for the request beyond the end of its memory.
;; settings: internal server error: Guest call failure: __guest_request: 17 bytes at address 65530 are not within the module's memory of 65536 bytes
;; validate: denied 500: internal server error: Guest call failure: __guest_request: 8 bytes at address 65530 are not within the module's memory of 65536 bytes
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $request (i32.const 65530) (i32.const 0))
    (i32.const 1)))
