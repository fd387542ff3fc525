/**
 * Plays items in the order they come and counts them, sample by sample. There is no browser in here, so that the
 * worklet can run it, and a test too.
 *
 * `take` and `render` return the messages for the bridge: `position` and `flushed`. A position counts from the item's
 * first sample sent in its generation, which is how many flushes came before it.
 */
export class Playout {
  #counts = new Map(); // samples of each item that sounded in this generation
  #every;
  #generation = 0;
  #queue = [];
  #rateHz;

  constructor(rateHz, reportEveryMs = 50) {
    this.#rateHz = rateHz;
    this.#every = Math.round((rateHz * reportEveryMs) / 1000);
  }

  /** Takes a message of the bridge; `samples` of an audio message are floats. */
  take(message) {
    if (message.type === "audio") {
      // What left before a flush that has overtaken it is not wanted any more.
      if (message.generation === this.#generation && message.samples.length) {
        this.#queue.push({ item: message.item, samples: message.samples, at: 0 });
      }
      return [];
    }
    if (message.type === "flush") {
      const said = { type: "flushed", ...this.#where(this.#queue[0]?.item ?? null) };
      this.#queue = [];
      this.#counts.clear();
      this.#generation = message.generation;
      return [said];
    }
    return [];
  }

  /** Fills `out` with what sounds next, and with silence behind it. */
  render(out) {
    const said = [];
    let filled = 0;
    while (filled < out.length && this.#queue.length) {
      const piece = this.#queue[0];
      const size = Math.min(out.length - filled, piece.samples.length - piece.at);
      out.set(piece.samples.subarray(piece.at, piece.at + size), filled);
      filled += size;
      piece.at += size;
      if (piece.at === piece.samples.length) this.#queue.shift();
      if (this.#count(piece.item, size)) {
        said.push({ type: "position", ...this.#where(piece.item) });
      }
    }
    out.fill(0, filled);
    return said;
  }

  /** Whether there is something to report: a full interval, or the end of what there is of the item. */
  #count(item, size) {
    const before = this.#counts.get(item) ?? 0;
    this.#counts.set(item, before + size);
    const intervals = (samples) => Math.floor(samples / this.#every);
    return this.#queue[0]?.item !== item || intervals(before) !== intervals(before + size);
  }

  #where(item) {
    const samples = this.#counts.get(item) ?? 0;
    return {
      item,
      played_ms: Math.floor((samples * 1000) / this.#rateHz),
      generation: this.#generation,
    };
  }
}
