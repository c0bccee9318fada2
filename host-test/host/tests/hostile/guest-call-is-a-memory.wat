;; load: export `__guest_call` is a memory, not (i32, i32) -> i32
(module
  (memory (export "memory") (export "__guest_call") 1))
