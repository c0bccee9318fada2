;; Asks for a capability and reports the refusal as its error.
;; settings: internal server error: Guest call failure: host call kubewarden/oci/v1/verify is denied: no host capability is granted
;; validate: denied 500: internal server error: Guest call failure: host call kubewarden/oci/v1/verify is denied: no host capability is granted
(module
  (import "wapc" "__host_call" (func $host_call (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wapc" "__host_error_len" (func $host_error_len (result i32)))
  (import "wapc" "__host_error" (func $host_error (param i32)))
  (import "wapc" "__guest_error" (func $error (param i32 i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "kubewardenociv1/verify")
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (if (call $host_call
          (i32.const 0) (i32.const 10) (i32.const 10) (i32.const 3)
          (i32.const 13) (i32.const 9) (i32.const 0) (i32.const 0))
      (then (unreachable)))
    (call $host_error (i32.const 1024))
    (call $error (i32.const 1024) (call $host_error_len))
    (i32.const 0)))
