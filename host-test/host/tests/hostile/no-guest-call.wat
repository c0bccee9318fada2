;; load: no export `__guest_call`
(module
  (memory (export "memory") 1))
