/** The real local engine over scripted lanes, with a clock that a test moves and requests that name only what matters. */
import { setImmediate as turn } from "node:timers/promises";
import type { GenerationEvent } from "../../engine/core/generator.ts";
import { type LaneMeter, NO_LANE_METER } from "../../engine/core/lane-meter.ts";
import type { LaneLimits } from "../../engine/core/limits.ts";
import type { GenerationRequest } from "../../engine/core/request.ts";
import type { LaneIncident } from "../../engine/local/lane-loop.ts";
import { LocalEngine } from "../../engine/local/local-engine.ts";
import type { TextCodec } from "../../engine/local/text-codec.ts";
import { violations } from "../../engine/scheduler/invariants.ts";
import { FakeClock } from "./fake-clock.ts";
import { newRequest, type RequestChanges } from "./requests.ts";
import { laneLimits } from "./scheduler-build.ts";
import { type LaneScript, ScriptedLane, says } from "./scripted-lane.ts";
import { byteCard, byteCodec } from "./scripted-lane-codec.ts";

/** A greedy request for 8 tokens of the scripted model. */
export const requestOf = (changes: RequestChanges = {}): GenerationRequest =>
  newRequest({ model: byteCard.name, maxTokens: 8, ...changes });

export interface Answered {
  readonly events: readonly GenerationEvent[];
  readonly text: string;
  readonly finished: Extract<GenerationEvent, { readonly kind: "finished" }>;
}

/** Reads an answer to its end; rejects as its iterator does. */
export async function readAll(answer: AsyncIterable<GenerationEvent>): Promise<Answered> {
  const events: GenerationEvent[] = [];
  for await (const event of answer) events.push(event);
  const text = events.map((event) => (event.kind === "text" ? event.text : "")).join("");
  const last = events.at(-1);
  if (last?.kind !== "finished") throw new Error(`the answer ends with ${last?.kind}`);
  return { events, text, finished: last };
}

export interface EngineScript {
  readonly lanes?: readonly LaneScript[];
  readonly limits?: Partial<LaneLimits>;
  readonly codec?: Partial<TextCodec>;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Of every lane. */
  readonly meter?: LaneMeter;
}

export function scriptedEngine({ lanes: scripts = [{}], limits, codec, sleep, meter }: EngineScript = {}) {
  const clock = new FakeClock();
  const lanes = scripts.map((script) => new ScriptedLane(script));
  const incidents: LaneIncident[] = [];
  const repeated = new Set<() => void>();
  const engine = new LocalEngine(
    {
      clock,
      card: byteCard,
      codec: { ...byteCodec, ...codec },
      lanes,
      laneMeter: () => meter ?? NO_LANE_METER,
      report: (incident) => incidents.push(incident),
      sleep: sleep ?? (async () => undefined),
      repeat: (_, work) => {
        repeated.add(work);
        return { [Symbol.dispose]: () => repeated.delete(work) };
      },
    },
    laneLimits(limits),
  );
  const ask = (changes: RequestChanges = {}, signal: AbortSignal = new AbortController().signal) =>
    engine.generate(requestOf(changes), signal);
  const answer = (changes: RequestChanges = {}) => readAll(ask(changes));
  /** Sequences of all lanes that run or wait. */
  const load = (): number =>
    engine.snapshots().reduce((sum, lane) => sum + lane.slotsUsed + lane.waiting.length, 0);
  /** What does not hold of the schedulers now. */
  const breaches = (): readonly string[] => engine.snapshots().flatMap(violations);
  /** What the engine does again and again is done once; returns how many such things there are. */
  const tick = (): number => {
    for (const work of repeated) work();
    return repeated.size;
  };
  const [lane] = lanes as [ScriptedLane];
  return { engine, clock, lane, lanes, incidents, ask, answer, load, breaches, tick };
}

export const STORY = "there was a river that ran to the sea and back again";

/** An engine whose model tells this text, a byte a token, and then ends. */
export const telling = (text: string) => scriptedEngine({ lanes: [{ next: says(text) }] });

export const kinds = (events: readonly GenerationEvent[]): readonly string[] =>
  events.map(({ kind }) => kind);
export const textEvents = (events: readonly GenerationEvent[]) =>
  events.filter((event) => event.kind === "text");

/** Whatever can go on without an outside event has gone on. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 20; turns += 1) await turn();
}
