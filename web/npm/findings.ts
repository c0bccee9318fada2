import type { FullFinding, Report } from "./index.js";

export function findings({ help, objects }: Report): FullFinding[] {
  const all = objects.flatMap(({ findings, ...object }) =>
    findings.map((finding) => {
      const shared = help[finding.policy];
      return { ...object, ...finding, fix: finding.fix ?? shared?.fixes[finding.control] ?? "", docs: finding.docs ?? shared?.docs ?? "" };
    }),
  );
  return all.sort((one, other) => one.bytes[0] - other.bytes[0]);
}
