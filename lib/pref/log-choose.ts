/** In how many ways some of a few things can be chosen. */

/** ln of the binomial coefficient, for up to 64 things. */
export function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let i = 1; i <= k; i++) sum += Math.log((n - k + i) / i);
  return sum;
}
