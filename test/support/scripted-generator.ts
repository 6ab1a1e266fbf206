/**
 * A Generator and ModelDirectory without a model: its answers follow from the request alone. It can be slow, queue, or
 * fail before or in the middle of an answer, and it records what it was asked and how each generation ended.
 *
 * Tokens 0 to 255 are single bytes (prompts are tokenized so); 256 and up are the words below.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type TokenId, tokenId } from "../../engine/core/brand.ts";
import { WeirError } from "../../engine/core/errors.ts";
import type {
  FinishReason,
  GenerationEvent,
  Generator,
  ModelDirectory,
  TokenAlternative,
  TokenLogprob,
} from "../../engine/core/generator.ts";
import type { ModelCard } from "../../engine/core/model.ts";
import { uniform } from "../../engine/core/random.ts";
import type { GenerationRequest, Prompt } from "../../engine/core/request.ts";

const BYTES = 256;
const END = tokenId(BYTES);
const WORDS = [
  "<end>",
  " river",
  " gate",
  " water",
  " café",
  ".",
  ' "quoted"',
  "\n",
  " \u2028",
  " the",
  " of",
];
/** Sent as four tokens of a byte each, so that three events have no text. */
const WAVE = [...Buffer.from("🌊")].map((byte) => tokenId(byte));
const VOCABULARY = BYTES + WORDS.length;

export const scriptedCard = (name: string, changes: Partial<ModelCard> = {}): ModelCard => ({
  name,
  geometry: { layers: 2, hidden: 64, heads: 4, kvHeads: 2, headDim: 16, vocabSize: VOCABULARY },
  weights: "f32",
  kv: "f32",
  contextLength: 2048,
  bosToken: undefined,
  endTokens: [END],
  createdAt: 1_700_000_000,
  hasChatTemplate: true,
  weightBytes: 1000,
  ...changes,
});

export interface Behaviour {
  /** Before `started`: thrown after `admissionMs`. */
  readonly failAdmission?: Error;
  /** Wait before `started`, in ms. */
  readonly admissionMs?: number;
  /** Wait between `started` and the first token, in ms: the queue. */
  readonly queueMs?: number;
  /** Wait before each token, in ms. */
  readonly tokenMs?: number;
  readonly failAfter?: { readonly tokens: number; readonly error: Error };
  /** Each token's text, instead of the words. */
  readonly text?: string;
  readonly neverEnds?: boolean;
  /** After the text; each call's arguments come in these parts. */
  readonly toolCalls?: readonly {
    readonly id: string;
    readonly name: string;
    readonly arguments: readonly string[];
  }[];
}

export interface Call {
  readonly request: GenerationRequest;
  ended: "running" | "finished" | "failed" | "aborted" | "left";
  tokens: number;
}

export class ScriptedGenerator implements Generator, ModelDirectory {
  readonly calls: Call[] = [];
  readonly #cards: readonly ModelCard[];
  /** Called once a generation; `call` counts from 0. */
  behave: (request: GenerationRequest, call: number) => Behaviour = () => ({});

  constructor(cards: readonly ModelCard[] = [scriptedCard("scripted")]) {
    this.#cards = cards;
  }

  list(): readonly ModelCard[] {
    return this.#cards;
  }

  find(name: string): ModelCard | undefined {
    return this.#cards.find((card) => card.name === name);
  }

  async tokenize(_model: string, text: string): Promise<readonly TokenId[]> {
    return bytesOf(text);
  }

  async detokenize(_model: string, tokens: readonly TokenId[]): Promise<string> {
    return Buffer.concat(tokens.map(bytes)).toString("utf8");
  }

  async *generate(request: GenerationRequest, signal: AbortSignal): AsyncGenerator<GenerationEvent> {
    const behaviour = this.behave(request, this.calls.length);
    const call: Call = { request, ended: "running", tokens: 0 };
    this.calls.push(call);
    try {
      for await (const event of this.#answer(request, behaviour, call, signal)) yield event;
      call.ended = "finished";
    } catch (error) {
      call.ended = signal.aborted ? "aborted" : "failed";
      throw signal.aborted ? new WeirError("cancelled", "cancelled") : error;
    } finally {
      if (call.ended === "running") call.ended = signal.aborted ? "aborted" : "left";
    }
  }

  async *#answer(
    request: GenerationRequest,
    behaviour: Behaviour,
    call: Call,
    signal: AbortSignal,
  ): AsyncGenerator<GenerationEvent> {
    const wait = async (ms: number | undefined) => {
      if (ms !== undefined) await sleep(ms, undefined, { signal });
      signal.throwIfAborted();
    };
    await wait(behaviour.admissionMs);
    if (behaviour.failAdmission !== undefined) throw behaviour.failAdmission;
    const prompt = promptTokens(request.prompt);
    const room = this.#roomFor(request, prompt);
    const toolsIgnored = request.prompt.kind === "chat" && request.prompt.tools !== undefined;
    yield { kind: "started", promptTokens: prompt.length, ...(toolsIgnored ? { toolsIgnored } : {}) };
    await wait(behaviour.queueMs);
    if (request.echo) yield echo(prompt, request.logprobs);
    const script = new Script(request, prompt, behaviour);
    let reason: FinishReason = "length";
    while (call.tokens < room) {
      if (behaviour.failAfter?.tokens === call.tokens) throw behaviour.failAfter.error;
      await wait(behaviour.tokenMs);
      const event = script.next();
      if (event === undefined) {
        reason = "stop";
        break;
      }
      call.tokens += 1;
      yield event;
      if (script.stopped) {
        reason = "stop";
        break;
      }
    }
    for (const [index, { id, name, arguments: parts }] of (behaviour.toolCalls ?? []).entries()) {
      yield { kind: "tool_call", index, opening: { id, name }, arguments: "" };
      for (const part of parts) yield { kind: "tool_call", index, opening: undefined, arguments: part };
      reason = "tool_calls";
    }
    const usage = { promptTokens: prompt.length, cachedTokens: 1, completionTokens: call.tokens };
    yield { kind: "finished", reason, usage: { ...usage, queueMs: 1, prefillMs: 2, decodeMs: 3 } };
  }

  #roomFor(request: GenerationRequest, prompt: readonly TokenId[]): number {
    const card = this.find(request.model);
    if (card === undefined) throw new WeirError("model_not_found", "no such model");
    if (prompt.length >= card.contextLength) {
      const message = `The prompt has ${prompt.length} tokens, the model's context length is ${card.contextLength}.`;
      throw new WeirError("context_length_exceeded", message, { param: "prompt" });
    }
    return Math.min(request.maxTokens ?? Number.MAX_SAFE_INTEGER, card.contextLength - prompt.length);
  }
}

/** The answer's tokens one after the other, with stop strings and tokens. */
class Script {
  readonly #request: GenerationRequest;
  readonly #behaviour: Behaviour;
  readonly #start: number;
  readonly #queue: TokenId[] = [];
  #position = 0;
  #text = "";
  #partial: Buffer = Buffer.alloc(0);
  stopped = false;

  constructor(request: GenerationRequest, prompt: readonly TokenId[], behaviour: Behaviour) {
    this.#request = request;
    this.#behaviour = behaviour;
    this.#start = prompt.reduce((sum, token) => (sum * 31 + token) % 9973, 7);
  }

  next(): GenerationEvent | undefined {
    const token = this.#draw();
    this.#position += 1;
    const card = this.#request;
    if (card.stopTokenIds.includes(token)) return undefined;
    const ended = token === END && !card.ignoreEos && this.#behaviour.neverEnds !== true;
    if (ended && this.#position > card.minTokens) return undefined;
    const text = this.#behaviour.text ?? this.#take(token);
    const before = this.#text;
    const kept = this.#cut(text);
    const logprobs = card.logprobs === undefined ? [] : [logprob(token, card.logprobs, [...before].length)];
    return { kind: "text", text: kept, tokens: [token], logprobs };
  }

  #draw(): TokenId {
    const queued = this.#queue.shift();
    if (queued !== undefined) return queued;
    const { temperature, seed } = this.#request.sampling;
    const index =
      temperature === 0
        ? (this.#start + this.#position) % (WORDS.length + 1)
        : Math.floor(uniform(seed, this.#position) * (WORDS.length + 1));
    if (index < WORDS.length) return tokenId(BYTES + index);
    this.#queue.push(...WAVE.slice(1));
    return WAVE[0] as TokenId;
  }

  /** The text that this token completes. */
  #take(token: TokenId): string {
    const all = Buffer.concat([this.#partial, bytes(token)]);
    const text = all.toString("utf8");
    const whole = !text.includes("\uFFFD");
    this.#partial = whole ? Buffer.alloc(0) : all;
    return whole ? text : "";
  }

  #cut(text: string): string {
    const before = this.#text;
    this.#text += text;
    for (const stop of this.#request.stop) {
      const at = this.#text.indexOf(stop);
      if (at < 0) continue;
      this.stopped = true;
      return this.#text.slice(before.length, Math.max(at, before.length));
    }
    return text;
  }
}

function promptTokens(prompt: Prompt): readonly TokenId[] {
  switch (prompt.kind) {
    case "text":
      return bytesOf(prompt.text);
    case "tokens":
      return prompt.tokens;
    case "chat":
      return bytesOf(prompt.messages.map((message) => `${message.role}: ${message.content}\n`).join(""));
  }
}

function echo(prompt: readonly TokenId[], logprobs: number | undefined): GenerationEvent {
  const text = Buffer.concat(prompt.map(bytes)).toString("utf8");
  const scored = prompt.map((token, index) =>
    index === 0 ? null : logprob(token, logprobs ?? 0, begunBefore(prompt, index)),
  );
  return { kind: "prompt", text, tokens: prompt, logprobs: logprobs === undefined ? undefined : scored };
}

/** Characters before the one that this token begins, or goes on with. */
function begunBefore(prompt: readonly TokenId[], index: number): number {
  const goesOn = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;
  const begun = Buffer.concat(prompt.slice(0, index).map(bytes)).filter((byte) => !goesOn(byte)).length;
  return goesOn(bytes(prompt[index] as TokenId)[0]) ? begun - 1 : begun;
}

function logprob(token: TokenId, top: number, offset: number): TokenLogprob {
  const near = Array.from({ length: top }, (_, i) =>
    alternative(tokenId((token + i) % VOCABULARY), -0.25 - i),
  );
  return { ...alternative(token, -0.25), offset, top: near };
}

const alternative = (token: TokenId, value: number): TokenAlternative => ({
  token,
  text: bytes(token).toString("utf8"),
  bytes: [...bytes(token)],
  logprob: value,
});

const bytes = (token: TokenId): Buffer =>
  token < BYTES ? Buffer.from([token]) : Buffer.from(WORDS[token - BYTES] ?? "", "utf8");

const bytesOf = (text: string): readonly TokenId[] =>
  [...Buffer.from(text, "utf8")].map((byte) => tokenId(byte));
