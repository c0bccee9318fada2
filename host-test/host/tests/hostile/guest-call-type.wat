;; load: export `__guest_call` is (i32, i64) -> i32, not (i32, i32) -> i32
(module
  (memory (export "memory") 1)
  (func (export "__guest_call") (param i32 i64) (result i32) (i32.const 1)))
