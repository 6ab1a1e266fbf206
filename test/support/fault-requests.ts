/** What is asked in runs of the router under faults: texts that hold a canary, and the places of a body that they stand in. */

/** Private in several ways; the canary is a part that has to stay, whatever rule speaks. */
export const TEXTS: readonly ((canary: string) => string)[] = [
  (canary) =>
    `Employee ${canary}, resident id 11010519491231002X, was dismissed for misconduct after two written warnings.`,
  (canary) => `Write to ${canary}@firma.example about her salary of 18,000 yuan a month.`,
  (canary) => `请总结：员工${canary}，身份证号11010519491231002X，月薪18000元，本月绩效为C。`,
  (canary) =>
    `10:01 Anna: did you see what ${canary} wrote?\n10:02 Ben: yes, keep it between us\n10:03 Anna: sure`,
  (canary) => `aws_secret_access_key = ${canary}wJalrXUtnFEMI/K7MDENG/bPxRfiCYz93kd`,
  (canary) => `Ｃａｒｄ ４１１１ １１１１ １１１１ １１１１ belongs to ${canary}`,
];

/** Meant for the house but about nobody: they may leave once the value that holds the canary is replaced. */
export const INTERNAL_TEXTS: readonly ((canary: string) => string)[] = [
  (canary) => `Write a polite mail to support@${canary}.example and ask when the shop opens.`,
  (canary) => `Translate into French: our new address for orders is orders@${canary}.example.`,
  (canary) => `把这句话翻译成英文：有问题请发邮件到 info@${canary}.example。`,
];

/** Where in a body the text stands. */
export const SHAPES: readonly ((text: string) => {
  readonly path: string;
  readonly body: Record<string, unknown>;
})[] = [
  (text) => chat([{ role: "user", content: text }]),
  (text) =>
    chat([
      { role: "system", content: text },
      { role: "user", content: "Summarise it." },
    ]),
  (text) =>
    chat([
      {
        role: "user",
        content: [
          { type: "text", text: "Read this." },
          { type: "text", text },
        ],
      },
    ]),
  (text) =>
    chat([
      { role: "user", content: "Go on." },
      {
        role: "assistant",
        content: null,
        tool_calls: [
          {
            id: "c",
            type: "function",
            function: { name: "f", arguments: JSON.stringify({ note: JSON.stringify({ text }) }) },
          },
        ],
      },
      { role: "tool", tool_call_id: "c", content: "done" },
    ]),
  (text) =>
    chat([
      { role: "user", content: "Go on." },
      { role: "tool", tool_call_id: "c", content: text },
    ]),
  (text) => chat([{ role: "user", content: "Go on." }], { metadata: { note: text } }),
  (text) => chat([{ role: "user", content: "Go on." }], { hint: { deeper: [text] } }),
  (text) =>
    chat([{ role: "user", content: "Go on." }], {
      tools: [
        { type: "function", function: { name: "f", description: text, parameters: { type: "object" } } },
      ],
    }),
  (text) => ({ path: "/v1/completions", body: { prompt: text } }),
  (text) => ({ path: "/v1/completions", body: { prompt: ["What is a river?", text] } }),
  (text) => ({ path: "/v1/completions", body: { prompt: Buffer.from(text).toString("base64") } }),
];

const chat = (messages: readonly object[], more: object = {}) => ({
  path: "/v1/chat/completions",
  body: { messages, ...more },
});

/** The shapes that a text may leave in: a message by itself, its parts, a completion, a description. */
export const INTERNAL_SHAPES = [0, 1, 2, 8].map((index) => SHAPES[index] as (typeof SHAPES)[number]);
