;; Success, and nothing set.
;; settings: internal server error: Guest call failure: No error message OR response set for call success
;; validate: denied 500: internal server error: Guest call failure: No error message OR response set for call success
(module
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (i32.const 1)))
