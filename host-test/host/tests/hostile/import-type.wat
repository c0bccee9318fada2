;; A host function that exists, with another type.
;; load: import of an unexpected type: incompatible import type for `wapc::__guest_response`: types incompatible: expected type `(func (param i64))`, found type `(func (param i32 i32))`
(module
  (import "wapc" "__guest_response" (func (param i64)))
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (i32.const 1)))
