use podfence_flex_volumes::POLICY;
use serde_json::{Value, json};

use crate::draw::{Draw, Members};
use crate::opinion::{Opinion, Pod, Violation, get, list, values, violation};

pub static OPINION: Opinion = Opinion {
    policy: &POLICY,
    values: &[
        values("volumes[*].name", 5, &["v", "w"], &["", "v\""]),
        values("volumes[*].flexVolume.driver", 5, &["example.com/lvm", "example.com/cifs"], &["", "example.com/lvm2", "*"]),
    ],
    settings,
    check,
    message: None,
    mutate: None,
};

fn settings(draw: &mut Draw) -> Value {
    let mut settings = Members::new(draw);
    if settings.draw.percent(90) {
        let drivers = settings.draw.some(&["example.com/lvm", "example.com/cifs", "*"], 0, 4);
        let entries: Vec<Value> = drivers.iter().map(|driver| json!({"driver": driver})).collect();
        settings.put("allowedFlexVolumes", json!(entries));
    }
    if settings.draw.percent(10) {
        settings.put("ignoreInitContainersVolumes", json!(false));
    }
    settings.done()
}

fn check(pod: &Pod<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, volume) in list(pod.spec, "volumes").iter().enumerate() {
        let (source, driver) = (get(volume, "flexVolume"), get(volume, "flexVolume.driver"));
        let is_allowed = list(pod.settings, "allowedFlexVolumes").iter().any(|allowed| get(allowed, "driver") == driver);
        if !source.is_null() && !is_allowed {
            found.push(violation("flexVolumes", format!("spec.volumes[{index}].flexVolume.driver")));
        }
    }
    found
}
