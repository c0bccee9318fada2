//! Random objects in the types of `k8s-openapi`: the fields that are read with the values that matter,
//! among others that must not matter.

use std::collections::BTreeMap;
use std::fmt::{Debug, Formatter};

use k8s_openapi::api::{
    apps::v1::{
        DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec, StatefulSet, StatefulSetSpec,
    },
    batch::v1::{CronJob, CronJobSpec, Job, JobSpec, JobTemplateSpec},
    core::v1::*,
};
use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::ObjectMeta, util::intstr::IntOrString};
use k8s_openapi::serde::Serialize;
use proptest::collection::vec;
use proptest::option::{of as maybe, weighted};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::evaluation::Common;

type Texts = Option<Vec<String>>;

/// An object that is shown as JSON: in Rust it fills the screen with `None`.
pub struct Shown<T>(pub T);

impl<T: Serialize> Debug for Shown<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&json!(self.0).to_string())
    }
}

pub fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(texts).prop_map(str::to_owned)
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    let names = || {
        maybe(vec(
            one_of(&[
                "ALL",
                "all",
                "CAP_ALL",
                "cap_all",
                "NET_BIND_SERVICE",
                "net_bind_service",
                "CAP_NET_BIND_SERVICE",
                "KILL",
                "kill",
                "CAP_KILL",
                "cap_Kill",
                "SYS_ADMIN",
                "NET_RAW",
                "",
                "CAP_",
                "*",
                "é€",
                "a\"\\\n",
            ]),
            0..4,
        ))
    };
    (names(), names()).prop_map(|(add, drop): (Texts, Texts)| Capabilities { add, drop })
}

fn seccomp_profiles() -> impl Strategy<Value = SeccompProfile> {
    let types = one_of(&["RuntimeDefault", "Localhost", "Localhost", "Unconfined", "", "runtime/default", "*"]);
    let files = one_of(&["p.json", "x/p.json", "", "*", "a\"b"]);
    (types, maybe(files)).prop_map(|(type_, localhost_profile)| SeccompProfile { type_, localhost_profile })
}

fn windows_options() -> impl Strategy<Value = WindowsSecurityContextOptions> {
    maybe(any::<bool>()).prop_map(|host_process| WindowsSecurityContextOptions { host_process, ..Default::default() })
}

fn security_contexts() -> impl Strategy<Value = SecurityContext> {
    let read = (maybe(capabilities()), maybe(any::<bool>()), maybe(seccomp_profiles()));
    let others =
        (maybe(any::<bool>()), maybe(any::<i64>()), maybe(one_of(&["Default", "Unmasked"])), maybe(windows_options()));
    (read, others).prop_map(
        |(
            (capabilities, privileged, seccomp_profile),
            (allow_privilege_escalation, run_as_user, proc_mount, windows_options),
        )| {
            SecurityContext {
                capabilities,
                privileged,
                seccomp_profile,
                allow_privilege_escalation,
                run_as_user,
                proc_mount,
                windows_options,
                ..Default::default()
            }
        },
    )
}

fn volume_names() -> impl Strategy<Value = String> {
    one_of(&["v", "w", "data", ""])
}

fn mounts() -> impl Strategy<Value = VolumeMount> {
    (volume_names(), maybe(any::<bool>()), "/[a-z]{0,4}", maybe(one_of(&["Enabled", "Disabled"]))).prop_map(
        |(name, read_only, mount_path, recursive_read_only)| VolumeMount {
            name,
            read_only,
            mount_path,
            recursive_read_only,
            ..Default::default()
        },
    )
}

/// What every container may have and nobody reads; parts of it look like what is read.
fn unread() -> impl Strategy<Value = Container> {
    let text = "[a-z\"\\\\é{}:,]{0,8}";
    (vec((text, maybe(text)), 0..3), maybe(vec(text, 0..3)), maybe((0..70_000i32, text)), maybe(text)).prop_map(
        |(env, args, probe, working_dir)| Container {
            env: Some(env.into_iter().map(|(name, value)| EnvVar { name, value, ..Default::default() }).collect()),
            args,
            liveness_probe: probe.map(|(port, host)| Probe {
                http_get: Some(HTTPGetAction { host: Some(host), port: IntOrString::Int(port), ..Default::default() }),
                ..Default::default()
            }),
            working_dir,
            resources: Some(ResourceRequirements {
                limits: Some(BTreeMap::from([("cpu".to_owned(), Quantity("1.5".to_owned()))])),
                ..Default::default()
            }),
            ..Default::default()
        },
    )
}

fn containers() -> impl Strategy<Value = Container> {
    let images = one_of(&["nginx", "registry.example/app:1", "registry.example/", ""]);
    let read = (
        one_of(&["a", "b", "c", "", "a\"b"]),
        weighted(0.9, images),
        maybe(one_of(&["Always", "OnFailure", ""])),
        weighted(0.7, security_contexts()),
        maybe(vec(mounts(), 0..3)),
    );
    (unread(), read).prop_map(|(unread, (name, image, restart_policy, security_context, volume_mounts))| Container {
        name,
        image,
        restart_policy,
        security_context,
        volume_mounts,
        ..unread
    })
}

fn ephemeral(container: Container) -> EphemeralContainer {
    EphemeralContainer {
        name: container.name,
        image: container.image,
        restart_policy: container.restart_policy,
        security_context: container.security_context,
        volume_mounts: container.volume_mounts,
        env: container.env,
        target_container_name: container.working_dir,
        ..Default::default()
    }
}

pub fn host_paths() -> impl Strategy<Value = String> {
    one_of(&[
        "/",
        "/foo",
        "/foo/",
        "//foo/./bar",
        "/foo/bar/baz",
        "/foobar",
        "/foo/../etc",
        "/foo/..",
        "/..",
        "/...",
        "foo",
        "./foo",
        "",
        "/foo//bar/",
        "/var/log",
        "/é",
    ])
}

fn volumes() -> impl Strategy<Value = Volume> {
    let sources = prop_oneof![
        3 => (host_paths(), maybe(one_of(&["Directory", ""]))).prop_map(|(path, type_)| Volume {
            host_path: Some(HostPathVolumeSource { path, type_ }),
            ..Default::default()
        }),
        1 => Just(Volume { empty_dir: Some(EmptyDirVolumeSource::default()), ..Default::default() }),
        1 => Just(Volume { config_map: Some(ConfigMapVolumeSource::default()), ..Default::default() }),
        1 => Just(Volume::default()),
    ];
    (volume_names(), sources).prop_map(|(name, source)| Volume { name, ..source })
}

fn metadata() -> impl Strategy<Value = ObjectMeta> {
    let pairs = || {
        let keys = one_of(&["app", "container.seccomp.security.alpha.kubernetes.io/a", "spec", "k\"\\"]);
        maybe(proptest::collection::btree_map(keys, "[a-z/\"]{0,8}", 0..3))
    };
    (maybe("[a-z]{1,5}"), pairs(), pairs()).prop_map(|(name, labels, annotations)| ObjectMeta {
        name,
        labels,
        annotations,
        ..Default::default()
    })
}

pub fn templates() -> impl Strategy<Value = Shown<PodTemplateSpec>> {
    let lists =
        (vec(containers(), 0..4), maybe(vec(containers(), 0..3)), maybe(vec(containers().prop_map(ephemeral), 0..3)));
    let read = (
        lists,
        maybe(maybe(seccomp_profiles())),
        maybe(vec(volumes(), 0..4)),
        maybe(one_of(&["linux", "windows", "Windows", ""])),
        maybe(one_of(&["gvisor", "kata", ""])),
    );
    let others = (maybe(any::<bool>()), maybe(any::<i64>()), maybe("[a-z]{0,5}"), maybe(any::<i64>()));
    (metadata(), read, others).prop_map(|(metadata, (lists, seccomp, volumes, os, runtime_class_name), others)| {
        let (containers, init_containers, ephemeral_containers) = lists;
        let (host_network, termination_grace_period_seconds, node_name, run_as_user) = others;
        let spec = PodSpec {
            containers,
            init_containers,
            ephemeral_containers,
            security_context: seccomp.map(|seccomp_profile| PodSecurityContext {
                seccomp_profile,
                run_as_user,
                ..Default::default()
            }),
            volumes,
            os: os.map(|name| PodOS { name }),
            runtime_class_name,
            host_network,
            termination_grace_period_seconds,
            node_name,
            ..Default::default()
        };
        Shown(PodTemplateSpec { metadata: Some(metadata), spec: Some(spec) })
    })
}

pub fn persistent_volumes() -> impl Strategy<Value = Shown<PersistentVolume>> {
    (maybe(host_paths()), maybe(host_paths()), metadata(), maybe(any::<bool>())).prop_map(
        |(host_path, local, metadata, nfs)| {
            Shown(PersistentVolume {
                metadata,
                spec: Some(PersistentVolumeSpec {
                    host_path: host_path.map(|path| HostPathVolumeSource { path, type_: None }),
                    local: local.map(|path| LocalVolumeSource { path, fs_type: None }),
                    nfs: nfs.map(|read_only| NFSVolumeSource { read_only: Some(read_only), ..Default::default() }),
                    ..Default::default()
                }),
                status: None,
            })
        },
    )
}

/// An object of a kind, made of the types of Kubernetes.
pub fn wrap(kind: &str, template: &PodTemplateSpec) -> Value {
    let template = template.clone();
    let job = |template| JobSpec { template, ..Default::default() };
    match kind {
        "Pod" => {
            let metadata = template.metadata.unwrap_or_default();
            json!(Pod { metadata, spec: template.spec, status: None })
        }
        "PodTemplate" => json!(PodTemplate { template: Some(template), ..Default::default() }),
        "ReplicationController" => {
            let spec = ReplicationControllerSpec { template: Some(template), ..Default::default() };
            json!(ReplicationController { spec: Some(spec), ..Default::default() })
        }
        "ReplicaSet" => {
            let spec = ReplicaSetSpec { template: Some(template), ..Default::default() };
            json!(ReplicaSet { spec, ..Default::default() })
        }
        "Deployment" => {
            let spec = DeploymentSpec { template, ..Default::default() };
            json!(Deployment { spec, ..Default::default() })
        }
        "StatefulSet" => {
            let spec = StatefulSetSpec { template, ..Default::default() };
            json!(StatefulSet { spec, ..Default::default() })
        }
        "DaemonSet" => {
            let spec = DaemonSetSpec { template, ..Default::default() };
            json!(DaemonSet { spec, ..Default::default() })
        }
        "Job" => json!(Job { spec: Some(job(template)), ..Default::default() }),
        "CronJob" => {
            let job_template = JobTemplateSpec { spec: Some(job(template)), ..Default::default() };
            json!(CronJob { spec: CronJobSpec { job_template, ..Default::default() }, ..Default::default() })
        }
        other => panic!("how does {other} hold a pod?"),
    }
}

/// A container of any list.
pub struct Seen {
    /// `spec.initContainers[0]`
    pub path: String,
    pub is_init: bool,
    pub is_ephemeral: bool,
    pub is_sidecar: bool,
    pub security_context: SecurityContext,
    pub mounts: Vec<VolumeMount>,
}

/// What is left of a pod when what is exempt is taken away.
pub struct Judged {
    pub spec: PodSpec,
    pub containers: Vec<Seen>,
    /// All of it is exempt.
    pub is_exempt: bool,
}

impl Judged {
    pub fn new(template: &PodTemplateSpec, common: &Common) -> Judged {
        let spec = template.spec.clone().unwrap_or_default();
        let mut containers = Vec::new();
        for (list, these) in [("initContainers", &spec.init_containers), ("containers", &Some(spec.containers.clone()))]
        {
            for (index, container) in these.iter().flatten().enumerate() {
                containers.push((list, index, container.clone()));
            }
        }
        for (index, container) in spec.ephemeral_containers.iter().flatten().enumerate() {
            let container = Container {
                image: container.image.clone(),
                security_context: container.security_context.clone(),
                volume_mounts: container.volume_mounts.clone(),
                ..Default::default()
            };
            containers.push(("ephemeralContainers", index, container));
        }
        containers.retain(|(_, _, container)| !common.exempts_image(container.image.as_deref().unwrap_or_default()));
        let seen = |(list, index, container): (&str, usize, Container)| Seen {
            path: format!("spec.{list}[{index}]"),
            is_init: list == "initContainers",
            is_ephemeral: list == "ephemeralContainers",
            is_sidecar: list == "initContainers" && container.restart_policy.as_deref() == Some("Always"),
            security_context: container.security_context.unwrap_or_default(),
            mounts: container.volume_mounts.unwrap_or_default(),
        };
        let is_exempt = common.exempts_runtime_class(spec.runtime_class_name.as_deref().unwrap_or_default());
        Judged { containers: containers.into_iter().map(seen).collect(), spec, is_exempt }
    }

    pub fn is_windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }
}
