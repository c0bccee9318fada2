;; Grows its memory page by page for ever.
;; settings: internal server error: Guest call failure: the module needs 16842752 bytes of memory, more than the limit of 16777216
;; validate: denied 500: internal server error: Guest call failure: the module needs 16842752 bytes of memory, more than the limit of 16777216
(module
  (memory (export "memory") 1)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (loop $again
      (drop (memory.grow (i32.const 1)))
      (br $again))
    (unreachable)))
