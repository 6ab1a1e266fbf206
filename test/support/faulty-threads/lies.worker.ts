/** A screening thread whose answers have the wrong shape. */
export default function handle(): unknown {
  return { class: "open", evidence: "none", confidence: 2 };
}
