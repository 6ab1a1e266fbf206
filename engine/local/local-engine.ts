/**
 * Generator number one: a model on this machine's own lanes. Text becomes tokens, a lane's scheduler takes the sequence,
 * and what the scheduler reports becomes text again.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { type SequenceId, type TokenId, tokenId } from "../core/brand.ts";
import type { Clock } from "../core/clock.ts";
import { WeirError } from "../core/errors.ts";
import type { GenerationEvent, Generator } from "../core/generator.ts";
import type { Lane } from "../core/lane.ts";
import type { LaneMeter } from "../core/lane-meter.ts";
import type { LaneLimits } from "../core/limits.ts";
import type { ModelCard } from "../core/model.ts";
import { CHARACTERS_PER_TOKEN_MAX, type GenerationRequest, type Prompt } from "../core/request.ts";
import type { NewSequence, SchedulerEvent } from "../core/sequence.ts";
import type { SchedulerSnapshot } from "../scheduler/invariants.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import { Answer } from "./answer.ts";
import { type LaneIncident, LaneLoop } from "./lane-loop.ts";
import type { TextCodec } from "./text-codec.ts";

export interface LocalEnginePorts {
  readonly clock: Clock;
  readonly card: ModelCard;
  readonly codec: TextCodec;
  /** Replicas of the model; a sequence stays on the lane that took it. */
  readonly lanes: readonly Lane[];
  /** One for each lane, asked for once. */
  readonly laneMeter: () => LaneMeter;
  readonly report: (incident: LaneIncident) => void;
  /** Ends early, in either way, when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Calls `work` again and again, until the result is disposed. */
  readonly repeat: (everyMs: number, work: () => void) => Disposable;
}

interface Encoded {
  readonly tokens: readonly TokenId[];
  readonly toolsIgnored: boolean;
}

interface Pending {
  readonly answer: Answer;
  /** From arrival to the last token, in ms. */
  readonly timeoutMs: number;
  /** Clock.now() from which it is too late. */
  readonly deadline: number;
}

interface Replica {
  readonly lane: Lane;
  readonly scheduler: Scheduler;
  readonly loop: LaneLoop;
  readonly meter: LaneMeter;
  readonly answers: Map<SequenceId, Pending>;
}

/** Texts of more characters than this are encoded one a turn of the event loop, so that streams go on between them. */
const LONG_TEXT = 4_096;
/** Characters a token in English prose: only to tell about how long a text is that is not encoded. */
const TYPICAL_CHARACTERS = 4;
/** How often time-outs are looked after while a lane is being started again. */
const EXPIRE_EVERY_MS = 100;

export class LocalEngine implements Generator {
  readonly #ports: LocalEnginePorts;
  readonly #limits: LaneLimits;
  readonly #replicas: readonly Replica[];
  /** Kept as long as the prompt itself. */
  readonly #encoded = new WeakMap<Prompt, Promise<Encoded>>();
  /** Resolves when the next long text may be encoded. */
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(ports: LocalEnginePorts, limits: LaneLimits) {
    this.#ports = ports;
    this.#limits = limits;
    this.#replicas = ports.lanes.map((lane) => this.#start(lane));
  }

  /** Slots, queue and cache of each lane, for metrics. */
  snapshots(): readonly SchedulerSnapshot[] {
    return this.#replicas.map(({ scheduler }) => scheduler.snapshot());
  }

  /** Requests that run or wait, on all lanes. */
  get answering(): number {
    return this.#replicas.reduce((sum, { answers }) => sum + answers.size, 0);
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncIterable<GenerationEvent> {
    this.#checkOpen(signal);
    const { tokens: prompt, toolsIgnored } = await this.#encodedOnce(request.prompt, signal);
    this.#checkOpen(signal);
    const replica = this.#leastLoaded();
    const { requestTimeoutMs } = this.#limits;
    const timeoutMs = Math.min(request.timeoutMs ?? requestTimeoutMs, requestTimeoutMs);
    const deadline = this.#ports.clock.now() + timeoutMs;
    const sequence = this.#sequenceOf(request, prompt);
    const admission = replica.scheduler.add(sequence);
    if (admission.kind === "full") {
      throw new WeirError(
        "overloaded",
        "The queue is full; wait as long as retry-after-ms says and try again.",
        {
          retryAfterMs: admission.retryAfterMs,
        },
      );
    }
    const { id } = admission;
    const answer = new Answer(request, prompt, this.#ports.codec, {
      signal,
      toolsIgnored,
      endings: new Set([...sequence.endTokens, ...sequence.stopTokens]),
      cancel: () => this.#end(replica, id, () => replica.scheduler.cancel(id)),
      stop: () => replica.scheduler.stop(id),
    });
    replica.answers.set(id, { answer, timeoutMs, deadline });
    replica.meter.open(id, request);
    replica.loop.wake();
    yield* answer.events();
  }

  tokenize(text: string, addSpecial: boolean): readonly TokenId[] {
    return this.#ports.codec.encode(text, { addSpecial }).map(tokenId);
  }

  detokenize(tokens: readonly TokenId[]): string {
    return this.#ports.codec.decode(tokens);
  }

  /** Running answers fail with `draining`; the lanes are closed. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const replica of this.#replicas) this.#failAll(replica, unloaded());
    await Promise.all(
      this.#replicas.map(async ({ loop, lane }) => {
        await loop.close();
        await lane.close();
      }),
    );
  }

  #start(lane: Lane): Replica {
    const scheduler = new Scheduler(this.#ports.clock, this.#limits);
    const answers = new Map<SequenceId, Pending>();
    const meter = this.#ports.laneMeter();
    const loop = new LaneLoop({
      lane,
      scheduler,
      meter,
      publish: (event) => publish(answers, meter, event),
      report: this.#ports.report,
      giveUp: () =>
        this.#failAll(
          replica,
          new WeirError("backend_failed", "The model's worker could not be started again."),
        ),
      watch: () => this.#ports.repeat(EXPIRE_EVERY_MS, () => this.#expire(replica)),
      sleep: this.#ports.sleep,
    });
    const replica: Replica = { lane, scheduler, answers, loop, meter };
    return replica;
  }

  #checkOpen(signal: AbortSignal): void {
    if (signal.aborted) throw new WeirError("cancelled", "The client went away before the request started.");
    if (this.#closed) throw unloaded();
  }

  /** The same for all choices of a request, a refusal too: rendered, encoded and checked by the first of them. */
  #encodedOnce(prompt: Prompt, signal: AbortSignal): Promise<Encoded> {
    const known = this.#encoded.get(prompt);
    if (known !== undefined) return known;
    const encoded = this.#encode(prompt, signal);
    this.#encoded.set(prompt, encoded);
    encoded.catch(() => this.#encoded.delete(prompt));
    return encoded;
  }

  async #encode(prompt: Prompt, signal: AbortSignal): Promise<Encoded> {
    const { codec } = this.#ports;
    const param = prompt.kind === "chat" ? "messages" : "prompt";
    const encode = async (text: string, addSpecial: boolean): Promise<readonly TokenId[]> => {
      await this.#beforeEncoding(text, param, signal);
      return this.#checked(codec.encode(text, { addSpecial }).map(tokenId), param);
    };
    switch (prompt.kind) {
      case "tokens":
        return { tokens: this.#checked(prompt.tokens, param), toolsIgnored: false };
      case "text":
        return { tokens: await encode(prompt.text, true), toolsIgnored: false };
      case "chat": {
        const text = codec.renderChat(prompt.messages, prompt.tools);
        // The template writes the special tokens that it wants itself.
        return { tokens: await encode(text, false), toolsIgnored: toolsIgnored(codec, prompt, text) };
      }
    }
  }

  /** All streams share this thread, and wait while a text is encoded: refuses one that is far beyond the context. */
  async #beforeEncoding(text: string, param: string, signal: AbortSignal): Promise<void> {
    const { slotTokens } = this.#limits;
    const charactersMax = CHARACTERS_PER_TOKEN_MAX * slotTokens;
    if (text.length > charactersMax) {
      const tokens = Math.round(text.length / TYPICAL_CHARACTERS);
      const why = `about ${tokens} tokens (${text.length} characters, of at most ${charactersMax})`;
      throw tooLong(why, slotTokens, param);
    }
    if (text.length <= LONG_TEXT) return;
    const turn = this.#turn;
    this.#turn = turn.then(() => nextTurn());
    await turn;
    this.#checkOpen(signal);
  }

  #checked(prompt: readonly TokenId[], param: string): readonly TokenId[] {
    const { slotTokens } = this.#limits;
    const { vocabSize } = this.#ports.card.geometry;
    if (prompt.length === 0) {
      throw new WeirError("invalid_request", "The prompt is empty: it needs at least one token.", { param });
    }
    if (prompt.length >= slotTokens) throw tooLong(`${prompt.length} tokens`, slotTokens, param);
    const outside = prompt.find((token) => token >= vocabSize);
    if (outside !== undefined) {
      const message = `Token ${outside} is not in the vocabulary of ${vocabSize} tokens.`;
      throw new WeirError("invalid_request", message, { param });
    }
    return prompt;
  }

  #sequenceOf(request: GenerationRequest, prompt: readonly TokenId[]): NewSequence {
    const { card } = this.#ports;
    return {
      prompt,
      maxTokens: request.maxTokens ?? this.#limits.slotTokens,
      minTokens: request.minTokens,
      sampling: request.sampling,
      endTokens: request.ignoreEos ? [] : card.endTokens,
      stopTokens: request.stopTokenIds,
      priority: request.priority,
      timeoutMs: request.timeoutMs,
      logprobs: request.logprobs,
      promptLogprobs: request.echo ? request.logprobs : undefined,
    };
  }

  #leastLoaded(): Replica {
    const load = ({ scheduler }: Replica): number => scheduler.waitingCount + scheduler.runningCount;
    return this.#replicas.reduce((best, other) => (load(other) < load(best) ? other : best));
  }

  #end(replica: Replica, id: SequenceId, tell: () => void): void {
    if (!replica.answers.delete(id)) return;
    replica.meter.close(id);
    tell();
  }

  #failAll(replica: Replica, error: WeirError): void {
    for (const [id, pending] of [...replica.answers]) this.#fail(replica, id, pending, error);
  }

  /** Those who wait for a lane that is being started again; the scheduler ends the others. */
  #expire(replica: Replica): void {
    const now = this.#ports.clock.now();
    for (const [id, pending] of [...replica.answers]) {
      if (pending.deadline <= now) this.#fail(replica, id, pending, late(pending.timeoutMs));
    }
  }

  #fail(replica: Replica, id: SequenceId, { answer }: Pending, error: WeirError): void {
    this.#end(replica, id, () => replica.scheduler.cancel(id));
    answer.fail(error);
  }
}

/** `text`: the prompt that was rendered with the tools. */
function toolsIgnored(
  codec: TextCodec,
  { messages, tools }: Extract<Prompt, { kind: "chat" }>,
  text: string,
): boolean {
  if (tools === undefined || tools.length === 0) return false;
  try {
    return codec.renderChat(messages, undefined) === text;
  } catch {
    return false; // a template that refuses these messages without tools does look at them
  }
}

const unloaded = (): WeirError =>
  new WeirError("draining", "The model was unloaded while it answered; send the request again.");

const late = (timeoutMs: number): WeirError =>
  new WeirError(
    "request_timeout",
    `The request was not done after its ${timeoutMs / 1_000} s: the model's worker was still being started again. Try later, or allow it more time.`,
  );

const tooLong = (length: string, slotTokens: number, param: string): WeirError =>
  new WeirError(
    "context_length_exceeded",
    `The prompt has ${length}; this model's context is ${slotTokens} tokens, with room for at least one of the answer. Shorten the prompt.`,
    { param },
  );

function publish(answers: Map<SequenceId, Pending>, meter: LaneMeter, event: SchedulerEvent): void {
  const pending = answers.get(event.sequence);
  if (pending === undefined) return; // the reader left between the step and now
  if (event.kind === "finished" || event.kind === "failed") {
    answers.delete(event.sequence);
    meter.close(event.sequence);
  }
  pending.answer.take(event);
}
