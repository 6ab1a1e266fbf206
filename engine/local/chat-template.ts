/**
 * Messages -> prompt text by the model's own Jinja template, compiled once. Templates come with model files, so what one
 * may do is bounded: its time, the lists that it makes, and the text that it writes.
 */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { WeirError } from "../core/errors.ts";
import type { ChatMessage } from "../core/request.ts";
import { templateMessages } from "./chat-messages.ts";
import { strftime } from "./strftime.ts";
import { type TemplateValue, TemplateWeights } from "./template-weight.ts";

export interface ChatTemplateOptions {
  /** Jinja; undefined where the model has none: ChatML where its vocabulary has the marks for it, else plain text. */
  readonly source: string | undefined;
  /** As text; a template decides itself whether to write them. */
  readonly bosToken: string | undefined;
  readonly eosToken: string | undefined;
  readonly hasToken: (text: string) => boolean;
  /** Milliseconds since 1970, for templates that name the day (`Clock.wall`). */
  readonly wall: () => number;
  /** UTF-16 units of prompt text at most. Default 16 Mi. */
  readonly charsMax?: number;
}

const CHARS_MAX = 16 * 1024 * 1024;
/** Rendering holds up everything else on its thread: a long conversation takes some ms. */
const RENDER_MS_MAX = 2_000;
/** Items in any list that a template makes, and numbers in one range(). */
const LIST_MAX = 100_000;
const RANGE_MAX = 10_000;
/** Characters that any value would take if it were written out: more than the longest conversation has. */
const WEIGHT_MAX = 4 * CHARS_MAX;
/** The clock is read once in so many expressions. */
const STEPS_PER_LOOK = 16;

const CHATML = `{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;
const PLAIN = `{{ bos_token }}{% for message in messages %}{% if message.role == 'system' %}{{ message.content + '\\n\\n' }}{% else %}{{ message.role | capitalize + ': ' + message.content + '\\n\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}`;

/** What raise_exception throws: the template refuses the messages, in its own words. */
class TemplateRefusal extends Error {
  override readonly name = "TemplateRefusal";
}

export class ChatTemplate {
  readonly #options: ChatTemplateOptions;
  readonly #program: ReturnType<typeof parse>;
  readonly #knowsDeveloper: boolean;

  /** Throws WeirError `model_load_failed` where the template is not Jinja. */
  constructor(options: ChatTemplateOptions) {
    const source = options.source ?? fallbackFor(options.hasToken);
    this.#options = options;
    this.#knowsDeveloper = source.includes("developer");
    try {
      this.#program = parse(tokenize(source, { trim_blocks: true, lstrip_blocks: true }));
    } catch (error) {
      throw new WeirError(
        "model_load_failed",
        `The model's chat template cannot be read: ${shown(error)}. Import the model again with a template that works.`,
        { cause: error },
      );
    }
  }

  /**
   * The prompt up to where the answer begins. Throws WeirError `invalid_request` naming `messages` where the template
   * refuses them, fails on them, or writes more than `charsMax`.
   */
  render(messages: readonly ChatMessage[], tools: readonly unknown[] | undefined): string {
    const charsMax = this.#options.charsMax ?? CHARS_MAX;
    try {
      const environment = this.#environment(messages, tools);
      const { value } = new BoundedInterpreter(environment, this.#options.wall, charsMax).run(this.#program);
      const text = typeof value === "string" ? value : "";
      if (text.length > charsMax) throw new TemplateRefusal(tooLong(charsMax));
      return text;
    } catch (error) {
      const verb = error instanceof TemplateRefusal ? "refuses" : "fails on";
      throw new WeirError(
        "invalid_request",
        `The model's chat template ${verb} these messages: ${shown(error)}`,
        {
          param: "messages",
          cause: error,
        },
      );
    }
  }

  #environment(messages: readonly ChatMessage[], tools: readonly unknown[] | undefined): Environment {
    const { bosToken, eosToken, wall } = this.#options;
    const environment = new Environment();
    const variables = {
      ...CONSTANTS,
      raise_exception: (message: unknown) => {
        throw new TemplateRefusal(String(message));
      },
      range: boundedRange,
      strftime_now: (format: string) => strftime(new Date(wall()), format),
      messages: templateMessages(messages, this.#knowsDeveloper),
      tools: tools === undefined || tools.length === 0 ? null : tools,
      documents: null,
      add_generation_prompt: true,
      bos_token: bosToken ?? "",
      eos_token: eosToken ?? "",
    };
    for (const [name, value] of Object.entries(variables)) environment.set(name, value);
    return environment;
  }
}

const CONSTANTS = { true: true, True: true, false: false, False: false, none: null, None: null };

const fallbackFor = (hasToken: (text: string) => boolean): string =>
  hasToken("<|im_start|>") && hasToken("<|im_end|>") ? CHATML : PLAIN;

/** The library's own declarations do not resolve under nodenext: this is what is used of them. */
interface JinjaInterpreter {
  run(program: unknown): TemplateValue;
  evaluate(node: unknown, environment: unknown): TemplateValue;
}
const JinjaBase = Interpreter as unknown as new (environment: unknown) => JinjaInterpreter;

class BoundedInterpreter extends JinjaBase {
  readonly #wall: () => number;
  readonly #charsMax: number;
  readonly #deadline: number;
  readonly #weights = new TemplateWeights();
  #steps = 0;

  constructor(environment: unknown, wall: () => number, charsMax: number) {
    super(environment);
    this.#wall = wall;
    this.#charsMax = charsMax;
    this.#deadline = wall() + RENDER_MS_MAX;
  }

  /** Called for every expression and statement, from the inside of each other. */
  override evaluate(node: unknown, environment: unknown): TemplateValue {
    this.#steps += 1;
    if (this.#steps % STEPS_PER_LOOK === 0 && this.#wall() > this.#deadline) {
      throw new TemplateRefusal(`they take it more than ${RENDER_MS_MAX} ms`);
    }
    const result = super.evaluate(node, environment);
    const { value } = result;
    if (typeof value === "string" && value.length > this.#charsMax)
      throw new TemplateRefusal(tooLong(this.#charsMax));
    if (Array.isArray(value) && value.length > LIST_MAX) {
      throw new TemplateRefusal(`they make a list of more than ${LIST_MAX} items`);
    }
    if (this.#weights.of(result) > WEIGHT_MAX) {
      throw new TemplateRefusal("they make a list of lists that would never be written out");
    }
    return result;
  }
}

const tooLong = (charsMax: number): string => `they make a prompt of more than ${charsMax} characters`;

/** Python's range(), with an end. */
function boundedRange(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (!(count <= RANGE_MAX))
    throw new Error(`range(${start}, ${stop}, ${step}) is not within ${RANGE_MAX} numbers`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

/** A template's words for its reader, on one line and short. */
function shown(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const line = text.replace(/[\p{Cc}\p{Cf}\s]+/gu, " ").trim();
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
