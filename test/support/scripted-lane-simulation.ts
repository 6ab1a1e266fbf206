/**
 * One seeded run of the real local engine and scheduler over scripted lanes: clients come, read slowly, leave and abort;
 * steps are slow or fail, lanes die and come back late, the engine may be closed in the middle. Throws on the first thing
 * that is wrong; the same seed does the same again.
 */
import { getEventListeners } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { type TokenId, tokenId } from "../../engine/core/brand.ts";
import { WeirError } from "../../engine/core/errors.ts";
import type { GenerationEvent } from "../../engine/core/generator.ts";
import type { GenerationRequest } from "../../engine/core/request.ts";
import { violations } from "../../engine/scheduler/invariants.ts";
import { Chance } from "./chance.ts";
import { answerAlone, type Fault, hashed, type LaneScript } from "./scripted-lane.ts";
import { byteCodec, END, textOf } from "./scripted-lane-codec.ts";
import { requestOf, scriptedEngine } from "./scripted-lane-engine.ts";

/** How often what happened, to see that a set of runs reached what it should. */
export interface Tally {
  finished: number;
  stoppedByString: number;
  stoppedByModel: number;
  full: number;
  cancelled: number;
  left: number;
  timedOut: number;
  failed: number;
  refused: number;
  drained: number;
  revived: number;
  reviveFailed: number;
  survivedFault: number;
  echoed: number;
}

export const newTally = (): Tally => ({
  finished: 0,
  stoppedByString: 0,
  stoppedByModel: 0,
  full: 0,
  cancelled: 0,
  left: 0,
  timedOut: 0,
  failed: 0,
  refused: 0,
  drained: 0,
  revived: 0,
  reviveFailed: 0,
  survivedFault: 0,
  echoed: 0,
});

const TURNS_MAX = 20_000;
const CLIENTS_MAX = 10;
const SLOT_TOKENS = 48;

export async function simulate(seed: number, tally: Tally): Promise<void> {
  try {
    await new Simulation(seed, tally).run();
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

/** How a client will behave, drawn before it starts. */
interface Habits {
  readonly request: GenerationRequest;
  readonly arrivesAfter: number;
  /** Event-loop turns between two reads, at most. */
  readonly dawdles: number;
  readonly leavesAfterEvents: number | undefined;
  readonly abortsAfterTurns: number | undefined;
}

type Place = ReturnType<typeof scriptedEngine>;

class Simulation {
  readonly #chance: Chance;
  readonly #tally: Tally;
  readonly #place: Place;
  readonly #faultRate: number;
  readonly #closesAfter: number | undefined;
  readonly #clients: readonly Habits[];
  readonly #breaches: string[] = [];
  #open = 0;

  constructor(seed: number, tally: Tally) {
    const chance = new Chance(seed);
    this.#chance = chance;
    this.#tally = tally;
    this.#faultRate = chance.oneIn(2) ? chance.between(3, 30) : 0;
    this.#closesAfter = chance.oneIn(8) ? chance.between(0, 60) : undefined;
    const rowsMax = chance.between(1, 4);
    const chunkTokensMin = chance.between(1, 4);
    const chunkTokensMax = chunkTokensMin + chance.between(0, 12);
    this.#place = scriptedEngine({
      lanes: Array.from({ length: chance.oneIn(3) ? 2 : 1 }, (_, index) => this.#script(index)),
      limits: {
        ...{ rowsMax, chunkTokensMin, chunkTokensMax, slotTokens: SLOT_TOKENS },
        stepTokensMax: Math.max(rowsMax, chunkTokensMax) + chance.between(0, 8),
        waitingMax: chance.between(1, 8),
        agingMs: chance.between(1, 100),
      },
      sleep: async (ms) => {
        this.#place.clock.advance(ms);
        await this.#idle(3);
      },
    });
    this.#clients = Array.from({ length: chance.between(1, CLIENTS_MAX) }, () => this.#drawHabits());
  }

  async run(): Promise<void> {
    const { engine, lanes, incidents, load, tick } = this.#place;
    const all = Promise.all(this.#clients.map((habits) => this.#client(habits)));
    const closing = this.#closesAfter === undefined ? undefined : this.#closeAfter(this.#closesAfter);
    let ended = false;
    const end = (): void => {
      ended = true;
    };
    const watched = Promise.all([all, closing]).finally(end);
    // Awaited below; a failure that comes earlier must not count as unhandled.
    watched.catch(() => undefined);
    for (let turns = 0; !ended; turns += 1) {
      must(this.#breaches.length === 0, this.#breaches.join("; "));
      must(turns < TURNS_MAX, `the run does not end: ${this.#open} clients still wait, load ${load()}`);
      tick();
      await turn();
    }
    await watched;
    await this.#idle(3);
    must(load() === 0, "sequences are left in a scheduler");
    must(engine.answering === 0, "answers are left in the engine");
    await engine.close();
    must(
      lanes.every((lane) => lane.closed),
      "a lane was not closed",
    );
    for (const incident of incidents) {
      if (incident.kind === "revived") this.#tally.revived += 1;
      if (incident.kind === "revive_failed") this.#tally.reviveFailed += 1;
    }
  }

  #script(index: number): LaneScript {
    return {
      before: async (): Promise<Fault | undefined> => {
        const { clock, engine } = this.#place;
        const [snapshot] = engine.snapshots().slice(index);
        if (snapshot !== undefined) this.#breaches.push(...violations(snapshot));
        clock.advance(this.#chance.oneIn(40) ? 300 : this.#chance.between(1, 8));
        // A slow step: others come and go meanwhile.
        if (this.#chance.oneIn(3)) await this.#idle(this.#chance.between(1, 6));
        if (this.#faultRate === 0 || !this.#chance.oneIn(this.#faultRate)) return undefined;
        return { slotsIntact: this.#chance.oneIn(2), message: "a fault of the test" };
      },
      onRevive: async () => {
        if (this.#chance.oneIn(2)) await this.#idle(this.#chance.between(1, 4));
        if (this.#chance.oneIn(3)) throw new Error("not yet");
      },
    };
  }

  async #idle(turns: number): Promise<void> {
    for (let i = 0; i < turns; i += 1) await turn();
  }

  async #closeAfter(turns: number): Promise<void> {
    await this.#idle(turns);
    await this.#place.engine.close();
  }

  #drawHabits(): Habits {
    const chance = this.#chance;
    const prompt = "abcdefgh ".repeat(5).slice(0, chance.between(0, 40)) + String(chance.between(0, 99));
    const stop = chance.oneIn(3) ? [this.#letters(chance.between(1, 2)), this.#letters(3)] : [];
    return {
      request: requestOf({
        prompt,
        stop,
        maxTokens: chance.oneIn(12) ? 0 : chance.between(1, 24),
        ignoreEos: chance.oneIn(4),
        echo: chance.oneIn(5),
        logprobs: chance.oneIn(4) ? chance.between(0, 2) : undefined,
        priority: chance.between(-1, 1),
        timeoutMs: chance.oneIn(8) ? chance.between(5, 300) : undefined,
      }),
      arrivesAfter: chance.between(0, 40),
      dawdles: chance.oneIn(3) ? chance.between(1, 10) : 0,
      leavesAfterEvents: chance.oneIn(6) ? chance.between(1, 5) : undefined,
      abortsAfterTurns: chance.oneIn(6) ? chance.between(0, 30) : undefined,
    };
  }

  #letters(count: number): string {
    return Array.from(
      { length: count },
      () => " abcdefghijklmnopqrstuvwxyz"[this.#chance.between(0, 26)],
    ).join("");
  }

  async #client(habits: Habits): Promise<void> {
    await this.#idle(habits.arrivesAfter);
    const abort = new AbortController();
    this.#open += 1;
    const { abortsAfterTurns } = habits;
    const aborting =
      abortsAfterTurns === undefined ? undefined : this.#idle(abortsAfterTurns).then(() => abort.abort());
    const reading = new Reading(habits.request, this.#tally, this.#faultRate > 0);
    const iterator = this.#place.engine.generate(habits.request, abort.signal)[Symbol.asyncIterator]();
    try {
      await this.#read(iterator, reading, habits);
    } catch (error) {
      reading.failed(error, { aborted: abort.signal.aborted, closed: this.#closesAfter !== undefined });
      must((await iterator.next()).done === true, "an answer goes on behind its error");
    }
    await aborting;
    must(getEventListeners(abort.signal, "abort").length === 0, "a listener is left on the signal");
    this.#open -= 1;
  }

  async #read(iterator: AsyncIterator<GenerationEvent>, reading: Reading, habits: Habits): Promise<void> {
    for (let events = 0; ; events += 1) {
      if (events === habits.leavesAfterEvents) {
        await iterator.return?.();
        if (!reading.ended) this.#tally.left += 1;
        return;
      }
      if (habits.dawdles > 0) await this.#idle(this.#chance.between(0, habits.dawdles));
      const step = await iterator.next();
      if (step.done === true) return must(reading.ended, "an answer ends without finished");
      reading.event(step.value);
    }
  }
}

/** One answer as its client sees it, judged against what the request would get alone. */
class Reading {
  readonly #request: GenerationRequest;
  readonly #tally: Tally;
  readonly #faulty: boolean;
  readonly #prompt: readonly TokenId[];
  readonly #expected: { readonly text: string; readonly reason: "stop" | "length"; readonly tokens: number };
  #seen: "nothing" | "started" | "prompt" | "text" | "finished" | "error" = "nothing";
  #text = "";
  #tokens = 0;

  constructor(request: GenerationRequest, tally: Tally, faulty: boolean) {
    this.#request = request;
    this.#tally = tally;
    this.#faulty = faulty;
    const { prompt } = request;
    if (prompt.kind !== "text") throw new Error("the simulation sends text");
    this.#prompt = byteCodec.encode(prompt.text, { addSpecial: true }).map(tokenId);
    this.#expected = expectedOf(request, this.#prompt);
  }

  get ended(): boolean {
    return this.#seen === "finished";
  }

  event(event: GenerationEvent): void {
    must(!this.ended, `${event.kind} came behind finished`);
    switch (event.kind) {
      case "started":
        must(this.#seen === "nothing", "started came late");
        must(event.promptTokens === this.#prompt.length, "started counts the prompt wrongly");
        break;
      case "prompt":
        must(this.#seen === "started" && this.#request.echo, "the prompt came at a wrong time");
        must(String(event.tokens) === String(this.#prompt), "the prompt is not the request's");
        must(
          event.logprobs?.length === (this.#request.logprobs === undefined ? undefined : this.#prompt.length),
          "the prompt has a wrong number of log-probabilities",
        );
        this.#tally.echoed += 1;
        break;
      case "text":
        must(this.#seen !== "nothing", "text came before started");
        must(!this.#request.echo || this.#seen !== "started", "text came before the echoed prompt");
        this.#text += event.text;
        this.#tokens += event.tokens.length;
        must(this.#expected.text.startsWith(this.#text), `got ${this.#text}, alone: ${this.#expected.text}`);
        break;
      case "tool_call":
        throw new Error("a model that runs here called a tool");
      case "finished":
        this.#finished(event);
        break;
    }
    this.#seen = event.kind;
  }

  #finished({ reason, usage }: Extract<GenerationEvent, { kind: "finished" }>): void {
    const { text, reason: expected, tokens } = this.#expected;
    must(this.#text === text, `the answer is ${this.#text}, alone: ${text}`);
    must(reason === expected, `it ended with ${reason}, alone: ${expected}`);
    must(usage.completionTokens === tokens, `it counts ${usage.completionTokens} tokens, alone: ${tokens}`);
    must(usage.promptTokens === this.#prompt.length, "it counts the prompt wrongly");
    must(usage.queueMs >= 0 && usage.prefillMs >= 0 && usage.decodeMs >= 0, "a time is negative");
    this.#tally.finished += 1;
    if (this.#faulty) this.#tally.survivedFault += 1;
    if (reason === "length") this.#tally.full += 1;
    else if (this.#request.stop.length > 0) this.#tally.stoppedByString += 1;
    else this.#tally.stoppedByModel += 1;
  }

  failed(error: unknown, happened: { readonly aborted: boolean; readonly closed: boolean }): void {
    must(error instanceof WeirError, `thrown was ${error instanceof Error ? error.stack : error}`);
    must(this.#seen !== "finished" && this.#seen !== "error", `${error.code} came behind the end`);
    switch (error.code) {
      case "cancelled":
        must(happened.aborted, "cancelled, but nobody aborted");
        this.#tally.cancelled += 1;
        break;
      case "draining":
        must(happened.closed, "draining, but nobody closed");
        this.#tally.drained += 1;
        break;
      case "request_timeout":
        must(this.#request.timeoutMs !== undefined, "timed out, but it had time");
        this.#tally.timedOut += 1;
        break;
      case "backend_failed":
        must(this.#faulty, "failed, but nothing failed");
        // A held back start of a stop string is out already, though nobody sees it.
        must(
          this.#tokens > 0 || this.#request.stop.length > 0 || !error.message.includes("was out already"),
          "it was not tried again although nothing was streamed",
        );
        this.#tally.failed += 1;
        break;
      case "overloaded":
        must(this.#seen === "nothing" && error.retryAfterMs !== undefined, "refused after it was admitted");
        this.#tally.refused += 1;
        break;
      default:
        throw new Error(`failed with ${error.code}`, { cause: error });
    }
    this.#seen = "error";
  }
}

/** The answer by the rules alone: no engine, no scheduler. All its text is ASCII, a character a token. */
function expectedOf(request: GenerationRequest, prompt: readonly TokenId[]) {
  const max = Math.min(request.maxTokens ?? SLOT_TOKENS, SLOT_TOKENS - prompt.length);
  const tokens = answerAlone(hashed, prompt, max, !request.ignoreEos);
  for (let count = 1; count <= tokens.length; count += 1) {
    const text = textOf(tokens.slice(0, count));
    const complete = request.stop.filter((stop) => text.endsWith(stop));
    if (complete.length === 0 || tokens[count - 1] === END) continue;
    const longest = Math.max(...complete.map((stop) => stop.length));
    return { text: text.slice(0, text.length - longest), reason: "stop" as const, tokens: count };
  }
  const ended = !request.ignoreEos && tokens.at(-1) === END;
  return {
    text: textOf(tokens),
    reason: ended ? ("stop" as const) : ("length" as const),
    tokens: tokens.length,
  };
}

function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise);
}
