/** What runs on the audio thread: a player that reports positions, and a microphone at the caller's rate. */

import { Resampler } from "./codec.js";
import { Playout } from "./playout.js";

const FRAME_MS = 20; // of the caller's voice

class Player extends AudioWorkletProcessor {
  #playout;

  constructor({ processorOptions }) {
    super();
    this.#playout = new Playout(processorOptions.rateHz, processorOptions.reportEveryMs);
    this.port.onmessage = ({ data }) => this.#say(this.#playout.take(data));
  }

  process(_, [[out]]) {
    this.#say(this.#playout.render(out));
    return true;
  }

  #say(messages) {
    for (const message of messages) this.port.postMessage(message);
  }
}

class Microphone extends AudioWorkletProcessor {
  #frame = [];
  #resampler;
  #size;

  constructor({ processorOptions: { fromHz, toHz } }) {
    super();
    this.#resampler = new Resampler(fromHz, toHz);
    this.#size = (toHz * FRAME_MS) / 1000;
  }

  process([[samples]]) {
    if (samples) this.#frame.push(...this.#resampler.push(samples));
    while (this.#frame.length >= this.#size) {
      this.port.postMessage(Float32Array.from(this.#frame.splice(0, this.#size)));
    }
    return true;
  }
}

registerProcessor("player", Player);
registerProcessor("microphone", Microphone);
