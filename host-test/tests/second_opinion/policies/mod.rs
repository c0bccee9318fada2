//! An opinion on each policy, and its test.

/// One module, and one test of its name, for each policy.
macro_rules! opinions {
    ($($policy:ident),* $(,)?) => {
        $(pub mod $policy;)*

        pub static OPINIONS: &[&crate::opinion::Opinion] = &[$(&$policy::OPINION),*];

        mod agrees {
            $(#[test]
            fn $policy() {
                crate::ask(&super::$policy::OPINION);
            })*
        }
    };
}

opinions! {
    allow_privilege_escalation,
    apparmor,
    capabilities,
    flex_volumes,
    host_namespaces,
    host_path,
    host_ports,
    host_probes,
    host_process,
    pod_security_standards,
    privileged,
    proc_mount,
    read_only_root_filesystem,
    runtime_class,
    seccomp,
    selinux,
    sysctls,
    users,
    volumes,
}
