/** How much a finding counts. */
export type Severity = "error" | "warning";

/** What to scan with: the fields of a `podfence.yaml` that need no other files. */
export interface Config {
  /** The Pod Security Standard that objects must meet, with a version where it is not the latest: `baseline:v1.36`. */
  enforce?: string;
  /** The Pod Security Standard whose violations are warnings. */
  warn?: string;
  /** Single policies, by name. */
  policy?: Record<string, { settings?: Record<string, unknown>; severity?: Severity }>;
  /** Evaluates the policies of kinds without pods as well: of roles, their bindings, network policies and services. */
  guards?: boolean;
  /** Reports what looks like a pod and cannot be judged as an error. */
  strict?: boolean;
  /** Findings that are accepted. A finding must match every field that is set. */
  ignore?: Ignore[];
}

/** Accepts findings; `policy` or `control` must be set. */
export interface Ignore {
  policy?: string;
  control?: string;
  path?: string;
  kind?: string;
  namespace?: string;
  name?: string;
  container?: string;
  /** Why the findings are accepted. */
  reason: string;
  /** The last day on which they are: `YYYY-MM-DD`. */
  until?: string;
}

export interface Options {
  /** How findings name the text; `<stdin>` by default. */
  file?: string;
  /** Whether comments of the text and owners in it do not count, as with `podfence scan --untrusted`. */
  untrusted?: boolean;
  /** The day on which exceptions may have ended; today by default. */
  now?: Date;
}

/** A place in the text. */
export interface Position {
  /** From 1. */
  line: number;
  /** From 1, in Unicode scalar values. */
  col: number;
  /** From 0, in bytes of the text as UTF-8. */
  byte: number;
}

/** A part of the text: where it starts, line and column behind its last character, and the bytes from and to. */
export interface Place {
  /** From 1. */
  line: number;
  /** From 1, in Unicode scalar values. */
  col: number;
  end: [line: number, col: number];
  bytes: [from: number, to: number];
}

/** Something that a policy rejects, or that is wrong with a document itself. */
export interface Finding extends Place {
  /** The policy, or `scan` for what no policy finds, such as a duplicate key. */
  policy: string;
  control: string;
  severity: Severity;
  /** The level of the Pod Security Standards that it is of. */
  level?: string;
  container?: string;
  /** Where in the object: `spec.containers[0].securityContext.privileged`. */
  path: string;
  /** What stands there; absent where nothing does. */
  value?: unknown;
  message: string;
  /** The setting of the policy that decides, such as what is allowed. */
  setting?: { name: string; value: unknown };
  /** How to fix it, where that is not in `help`. */
  fix?: string;
  /** How `fix` mends it, where that is not the edit in `help` at `path`; null where it does not. With a path alone, it is the
   * one in `help` at that path. */
  edit?: Edit | Pick<Edit, "path"> | null;
  /** A page about the policy, where it is not that in `help`. */
  docs?: string;
  /** Other places that matter: an alias of an anchor, the first of two equal keys. */
  related?: Place[];
  /** Identifies the finding across scans, whatever the name of the file and the line. */
  fingerprint: string;
  /** Why it does not count. */
  suppressed?: { kind: "comment" | "config" | "baseline"; reason: string };
}

/** An edit of an object. */
export interface Edit {
  op: "set" | "add" | "remove";
  /** Where in the object, where it is not the path of the finding. */
  path?: string;
  /** What is set, or added to the list there. */
  value?: unknown;
  /** Whether hardly a container needs what this takes away from it. */
  usual: boolean;
}

/** Which findings are mended: those with a usual edit, all with an edit, or those with these controls, policies or
 * fingerprints. */
export type Fixes = "usual" | "all" | string[];

/** A text after edits. */
export interface Fixed {
  text: string;
  /** How many findings were mended. */
  count: number;
  /** What was to be mended and is not, with the reason. */
  refused: { policy: string; control: string; message: string; line: number; fingerprint: string; why: string }[];
}

/** An object with its findings. */
export interface Reported {
  file: string;
  /** The template that a renderer made it of. */
  via?: string;
  /** Absent for what is about no object. */
  object?: { apiVersion: string; kind: string; namespace: string | null; name: string };
  findings: Finding[];
}

/** A finding with what it shares with others. */
export interface FullFinding extends Omit<Finding, "edit"> {
  file: string;
  via?: string;
  object?: Reported["object"];
  fix: string;
  edit?: Edit;
  docs: string;
}

/** What could not be read, judged or understood. A text with a problem is not clean. */
export interface Problem {
  file: string;
  position?: Position;
  message: string;
}

/** Counts. Each document is in exactly one of those from `judged` to `unreadable`. */
export interface Summary {
  files: number;
  documents: number;
  judged: number;
  withoutPods: number;
  noObjects: number;
  notJudged: number;
  notSelected: number;
  owned: number;
  exempt: number;
  unreadable: number;
  templates: number;
  errors: number;
  warnings: number;
  suppressed: number;
  hints: string[];
  notes: string[];
}

/** What `podfence scan --format json` prints. */
export interface Report {
  version: "podfence/scan/v1";
  tool: { name: string; version: string };
  /** The policies that judged; a digest is empty where the policy is linked in. */
  policies: { name: string; digest: string; settings: Record<string, unknown> }[];
  /** What findings share, by policy: a page about it, and by control the usual fix and the usual edit, at the path of the
   * finding. */
  help: Record<string, { docs: string; fixes: Record<string, string>; edits?: Record<string, Edit> }>;
  /** The objects with findings. */
  objects: Reported[];
  problems: Problem[];
  summary: Summary;
}

/** A setting of a policy, as forms need it. */
export interface Setting {
  /** Dotted; of a setting in a list of objects, from the element on. */
  path: string;
  type: "boolean" | "integer" | "string" | "strings" | "objects" | "any";
  /** What it does, in Markdown. */
  docs: string;
  default?: unknown;
  /** The only strings that it may be. */
  options?: string[];
  /** The setting and its values for which this one has an effect. */
  shownIf?: { path: string; values: string[] };
  /** The settings of each element of a list of objects. */
  elements?: Setting[];
}

export interface Policy {
  name: string;
  title: string;
  /** What it rejects, in one sentence. */
  description: string;
  severity: string;
  controls: string[];
  docs: string;
  /** A manifest that it rejects. */
  example: string;
  settings: Setting[];
  /** The paths of those of `Policies.settings` that it has. */
  common: string[];
}

/** Everything there is to select. */
export interface Policies {
  version: string;
  /** The levels of the Pod Security Standards, the strictest last. */
  levels: string[];
  policies: Policy[];
  /** Settings that policies have in common; `Policy.common` says which. */
  settings: Setting[];
}

/** The configuration cannot be used; the message names the field. */
export class ConfigError extends Error {}

/**
 * Scans manifests, YAML or JSON. Without a configuration, what baseline rejects is an error and what restricted rejects
 * is a warning.
 *
 * @throws {ConfigError} The configuration cannot be used.
 */
export function scan(text: string, config?: Config, options?: Options): Report;

/**
 * Mends findings in the text, as `podfence scan --fix` does in a file: comments and layout stay, and each edit is proven by
 * scanning again.
 *
 * @throws {ConfigError} The configuration cannot be used.
 */
export function fix(text: string, fixes?: Fixes, config?: Config, options?: Options): Fixed;

/** Returns the findings of a report in one list, in the order of the text, each with its fix, its edit and its page. */
export function findings(report: Report): FullFinding[];

/** Returns the levels and the policies with their settings. */
export function policies(): Policies;
