/** Calls the worker; one that takes too long is stopped, and another one takes its place. */

import type { Config, Fixed, Fixes, Policies, Report } from "../../npm/index.js";
import type { Answer, Call } from "./worker.js";

declare const WORKER: string;

/** How long a scan may take, in milliseconds. */
const LONGEST = 15_000;

type Asked = { resolve: (value: unknown) => void; reject: (error: Error) => void; timer: number };
type Without<T> = T extends unknown ? Omit<T, "id"> : never;

let worker: Worker | undefined;
let last = 0;
const asked = new Map<number, Asked>();

function stop(why: string): void {
  worker?.terminate();
  worker = undefined;
  for (const { reject, timer } of asked.values()) {
    clearTimeout(timer);
    reject(new Error(why));
  }
  asked.clear();
}

function start(): Worker {
  const started = new Worker(WORKER, { type: "module" });
  started.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
    const of = asked.get(data.id);
    if (of === undefined) return;
    asked.delete(data.id);
    clearTimeout(of.timer);
    if ("error" in data) of.reject(new Error(data.error));
    else of.resolve(data.value);
  });
  started.addEventListener("error", () => stop("the checks could not be loaded; reload the page"));
  return started;
}

function call(what: Without<Call>): Promise<unknown> {
  worker ??= start();
  const id = ++last;
  const running = worker;
  return new Promise((resolve, reject) => {
    const late = () => stop(`the scan took more than ${LONGEST / 1000} s and was stopped`);
    asked.set(id, { resolve, reject, timer: window.setTimeout(late, LONGEST) });
    running.postMessage({ ...what, id });
  });
}

export const scan = (text: string, config: Config) => call({ call: "scan", text, config }) as Promise<Report>;

export const fix = (text: string, fixes: Fixes, config: Config) =>
  call({ call: "fix", text, fixes, config }) as Promise<Fixed>;

export const policies = () => call({ call: "policies" }) as Promise<Policies>;
