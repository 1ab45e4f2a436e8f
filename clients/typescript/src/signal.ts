/** Something that happens again and again, and that loops wait for. */
export class Signal {
  #count = 0;
  readonly #waiting = new Set<() => void>();

  /** How often it has happened. */
  get count(): number {
    return this.#count;
  }

  happen(): void {
    this.#count += 1;
    for (const release of this.#waiting) release();
  }

  /** Resolves as soon as it has happened more than `count` times, or after `time` milliseconds. */
  after(count: number, time?: number): Promise<void> {
    if (this.#count > count) return Promise.resolve();
    return new Promise((resolve) => {
      const release = () => {
        clearTimeout(timer);
        this.#waiting.delete(release);
        resolve();
      };
      const timer = time === undefined ? undefined : setTimeout(release, time);
      this.#waiting.add(release);
    });
  }
}
