/** Keeps one processor busy until its thread is ended: sums of products, as a model's are. */
const LENGTH = 4096;
const numbers = Float32Array.from({ length: LENGTH }, (_, index) => index / LENGTH);

for (;;) {
  let sum = 0;
  for (let index = 0; index < LENGTH; index += 1)
    sum += (numbers[index] as number) * (numbers[(index * 7) % LENGTH] as number);
  numbers[0] = sum % 1;
}
