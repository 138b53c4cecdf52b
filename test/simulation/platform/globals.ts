import { createHash } from "node:crypto";
import { currentInvocation, type Kernel } from "./kernel.ts";

/**
 * Gives the code under test the time, the random numbers and the network of its simulated world. Code outside of a
 * simulated invocation, such as the test runner's, uses the real ones.
 *
 * @returns a function that restores the real ones
 */
export function installGlobals(): () => void {
  const undo = [
    replace(globalThis, "Date", virtualDate(Date)),
    replace(
      performance,
      "now",
      withWorld(
        performance.now.bind(performance),
        ({ now }) =>
          () =>
            now,
      ),
    ),
    ...timers(),
    replace(
      AbortSignal,
      "timeout",
      withWorld(AbortSignal.timeout.bind(AbortSignal), () => abortAfter),
    ),
    replace(crypto, "getRandomValues", withWorld(crypto.getRandomValues.bind(crypto), fillFrom)),
    replace(crypto, "randomUUID", withWorld(crypto.randomUUID.bind(crypto), uuidFrom)),
    ...threads(),
    replace(
      crypto.subtle,
      "digest",
      withWorld(crypto.subtle.digest.bind(crypto.subtle), () => digest),
    ),
    replace(globalThis, "fetch", withWorld(fetch, fetchFrom)),
    ...(["log", "warn", "error"] as const).map((level) =>
      replace(console, level, withWorld(console[level].bind(console), noteTo)),
    ),
  ];
  return () => {
    for (const restore of undo.reverse()) restore();
  };
}

/** The `fetch` of each world. */
export const internet = new WeakMap<Kernel, (request: Request) => Promise<Response>>();

/** The random numbers of the code under test in each world. */
const draws = new WeakMap<Kernel, () => number>();

function drawFrom(kernel: Kernel): () => number {
  let draw = draws.get(kernel);
  if (!draw) {
    const random = kernel.random.fork("crypto");
    draw = () => random.next();
    draws.set(kernel, draw);
  }
  return draw;
}

// biome-ignore lint/suspicious/noExplicitAny: functions of any kind are wrapped
type AnyFunction = (...parameters: any[]) => any;

/** Calls the function of the current world, or the real one if there is no world. */
function withWorld<F extends AnyFunction>(real: F, simulated: (kernel: Kernel) => F): F {
  return ((...parameters: Parameters<F>) => {
    const kernel = currentInvocation()?.kernel;
    return kernel ? simulated(kernel)(...parameters) : real(...parameters);
  }) as F;
}

/** Replaces a property. @returns a function that restores it */
export function replace<Owner extends object>(owner: Owner, name: string, value: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(owner, name);
  Object.defineProperty(owner, name, { value, writable: true, configurable: true });
  return () => {
    if (before) Object.defineProperty(owner, name, before);
    else Reflect.deleteProperty(owner, name);
  };
}

function virtualDate(Real: DateConstructor): DateConstructor {
  const now = () => currentInvocation()?.kernel.now ?? Real.now();
  return new Proxy(Real, {
    construct: (target, parameters: [], newTarget) =>
      Reflect.construct(target, parameters.length === 0 ? [now()] : parameters, newTarget),
    get: (target, name) => (name === "now" ? now : Reflect.get(target, name)),
  });
}

function timers(): (() => void)[] {
  const cancelled = new Set<number>();
  let last = 0;
  const set = (repeats: boolean) => (kernel: Kernel) =>
    ((run: (...parameters: unknown[]) => void, ms = 0, ...parameters: unknown[]) => {
      const invocation = currentInvocation();
      last += 1;
      const id = last;
      const wait = () =>
        invocation &&
        kernel.wake(kernel.now + Math.max(0, Math.ceil(Number(ms) || 0)), invocation, () => {
          if (cancelled.delete(id)) return;
          if (repeats) wait();
          run(...parameters);
        });
      wait();
      return id;
    }) as never;
  const clear = () => ((id: number) => cancelled.add(id)) as never;
  const scheduler = {
    wait: (ms: number, { signal }: { signal?: AbortSignal } = {}) =>
      new Promise<void>((resolve, reject) => {
        signal?.throwIfAborted();
        setTimeout(resolve, ms);
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
  };
  return [
    replace(globalThis, "setTimeout", withWorld(setTimeout as AnyFunction, set(false))),
    replace(globalThis, "setInterval", withWorld(setInterval as AnyFunction, set(true))),
    replace(globalThis, "clearTimeout", withWorld(clearTimeout as AnyFunction, clear)),
    replace(globalThis, "clearInterval", withWorld(clearInterval as AnyFunction, clear)),
    replace(globalThis, "scheduler", scheduler),
  ];
}

function abortAfter(ms: number): AbortSignal {
  const controller = new AbortController();
  const abort = () =>
    controller.abort(new DOMException("The operation was aborted due to timeout", "TimeoutError"));
  setTimeout(abort, ms);
  return controller.signal;
}

function fillFrom(kernel: Kernel) {
  const draw = drawFrom(kernel);
  return <T extends ArrayBufferView>(array: T): T => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    for (let index = 0; index < bytes.length; index++) bytes[index] = Math.floor(draw() * 256);
    return array;
  };
}

function uuidFrom(kernel: Kernel) {
  return () => {
    const hex = Buffer.from(fillFrom(kernel)(new Uint8Array(16))).toString("hex");
    return [
      hex.slice(0, 8),
      hex.slice(8, 12),
      `4${hex.slice(13, 16)}`,
      `a${hex.slice(17, 20)}`,
      hex.slice(20),
    ].join("-") as `${string}-${string}-${string}-${string}-${string}`;
  };
}

/** Hashes synchronously, because starting a thread takes longer than hashing. */
async function digest(
  algorithm: string | { name: string },
  data: ArrayBuffer | ArrayBufferView,
): Promise<ArrayBuffer> {
  const name = typeof algorithm === "string" ? algorithm : algorithm.name;
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  return new Uint8Array(createHash(name.replace("-", "").toLowerCase()).update(bytes).digest()).buffer;
}

/** The simulation waits for work in real threads, so that it takes no simulated time. */
function threads(): (() => void)[] {
  const names = ["sign", "verify", "encrypt", "decrypt", "importKey", "deriveBits"] as const;
  return names.map((name) => {
    const real = crypto.subtle[name].bind(crypto.subtle) as AnyFunction;
    return replace(
      crypto.subtle,
      name,
      withWorld(real, (kernel) => (...parameters) => {
        kernel.realOperations += 1;
        return real(...parameters).finally(() => {
          kernel.realOperations -= 1;
        });
      }),
    );
  });
}

function fetchFrom(kernel: Kernel): typeof fetch {
  return async (input, { signal, ...init } = {}) => {
    // The request is created without the signal. Otherwise Node would keep the request, and with it the whole world, in
    // memory permanently.
    const request = new Request(input as Request, init as RequestInit);
    const fetchInWorld = internet.get(kernel);
    if (!fetchInWorld) throw new TypeError("fetch failed");
    return new Promise<Response>((resolve, reject) => {
      signal?.throwIfAborted();
      signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      fetchInWorld(request).then(resolve, reject);
    });
  };
}

function noteTo(kernel: Kernel) {
  return (...parameters: unknown[]) => {
    const invocation = currentInvocation();
    const line = parameters.map(String).join(" ");
    invocation?.log.push(line);
    kernel.note(`${invocation?.name}: ${line}`);
  };
}
