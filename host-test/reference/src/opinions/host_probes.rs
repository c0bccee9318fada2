use podfence_host_probes::POLICY;
use serde_json::Value;

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Values, Violation, text, texts, values};

pub static OPINION: Opinion =
    Opinion { policy: &POLICY, values: HOSTS, settings, check, message: None, mutate: None };

const USUAL: &[&str] = &["", "", "", "", "localhost"];
const ODD: &[&str] = &["127.0.0.1", "169.254.169.254", "LOCALHOST", "a\"b", "*"];

/// Values for every field that holds a host.
pub const HOSTS: &[Values] = &[
    values("livenessProbe.httpGet.host", 80, USUAL, ODD),
    values("livenessProbe.tcpSocket.host", 80, USUAL, ODD),
    values("readinessProbe.httpGet.host", 80, USUAL, ODD),
    values("readinessProbe.tcpSocket.host", 80, USUAL, ODD),
    values("startupProbe.httpGet.host", 80, USUAL, ODD),
    values("startupProbe.tcpSocket.host", 80, USUAL, ODD),
    values("lifecycle.postStart.httpGet.host", 80, USUAL, ODD),
    values("lifecycle.postStart.tcpSocket.host", 80, USUAL, ODD),
    values("lifecycle.preStop.httpGet.host", 80, USUAL, ODD),
    values("lifecycle.preStop.tcpSocket.host", 80, USUAL, ODD),
];

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    settings.texts("allowedHosts", &["localhost", "127.0.0.1", "*", ""]);
    settings.done()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let allowed = texts(pod.settings, "allowedHosts");
    let mut found = Vec::new();
    for container in pod.containers() {
        for field in HOSTS {
            let host = text(container.value, field.path);
            if !host.is_empty() && !allowed.contains(&host) {
                found.push(container.violation("hostProbesAndHostLifecycle", field.path));
            }
        }
    }
    found
}
