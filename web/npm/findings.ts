import type { Edit, Finding, FullFinding, Report } from "./index.js";

export function findings({ help, objects }: Report): FullFinding[] {
  const all = objects.flatMap(({ findings, ...object }) =>
    findings.map(({ edit: own, ...finding }) => {
      const shared = help[finding.policy];
      const edit = editOf(own, shared?.edits?.[finding.control]);
      const fix = finding.fix ?? shared?.fixes[finding.control] ?? "";
      return { ...object, ...finding, fix, docs: finding.docs ?? shared?.docs ?? "", ...(edit && { edit }) };
    }),
  );
  return all.sort((one, other) => one.bytes[0] - other.bytes[0]);
}

/** The edit of a finding, of its own and of what findings share. */
function editOf(own: Finding["edit"], shared: Edit | undefined): Edit | undefined {
  if (own === null) return undefined;
  if (own !== undefined && "op" in own) return own;
  return shared && { ...shared, ...own };
}
