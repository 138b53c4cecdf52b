import { KEY_BYTES, KEY_SIZE, KEYS, MARKS } from "./layout";

/** The sum of the sizes of the keys whose mark is not 0. */
export function sumSizes(count: i32): f64 {
  let sum: f64 = 0;
  for (let index: usize = 0; index < <usize>count; index++) {
    if (load<u8>(MARKS + index) != 0) sum += load<f64>(KEYS + index * KEY_BYTES, KEY_SIZE);
  }
  return sum;
}
