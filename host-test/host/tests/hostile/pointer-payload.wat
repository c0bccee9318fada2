;; The payload does not fit where it is asked for: two bytes of settings do, a request does not.
;; settings: internal server error: Guest call failure: No error message OR response set for call success
;; validate: denied 500: internal server error: Guest call failure: __guest_request: 504 bytes at address 65500 are not within the module's memory of 65536 bytes
(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (call $request (i32.const 0) (i32.const 65500))
    (i32.const 1)))
