;; settings: internal server error: Guest call failure: shared memory support is disabled for this engine -- see `Config::shared_memory`
;; validate: denied 500: internal server error: Guest call failure: shared memory support is disabled for this engine -- see `Config::shared_memory`
(module
  (memory (export "memory") 1 1 shared)
  (func (export "__guest_call") (param $operation i32) (param $payload i32) (result i32)
    (i32.const 1)))
