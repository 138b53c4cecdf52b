/** A moment that stays known when the clock is set or the machine sleeps. */
export class Moment {
  readonly #clock = Date.now();
  readonly #uptime = performance.now();

  /** How long ago it was. The clock stops for whoever sets it back, the uptime for a laptop that sleeps. */
  secondsAgo(): number {
    return Math.max(Date.now() - this.#clock, performance.now() - this.#uptime) / 1000;
  }
}
