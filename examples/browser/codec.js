/** Audio between the bridge's base64 and the floats of Web Audio. */

/** The formats of the table `browser`: rates of the agent's voice and of the caller's. */
export const FORMATS = {
  pcm16: { agentHz: 24000, callerHz: 24000 },
  pcm16_16k: { agentHz: 16000, callerHz: 16000 },
  pcm16_24k_16k: { agentHz: 24000, callerHz: 16000 },
  mulaw: { agentHz: 8000, callerHz: 8000 },
};

const MULAW_BIAS = 0x84;
const MULAW_CLIP = 32635;

/** G.711 mu-law, every code as a 16 bit sample. */
const FROM_MULAW = Int16Array.from({ length: 256 }, (_, code) => {
  const bits = ~code & 0xff;
  const magnitude = ((((bits & 0x0f) << 3) + MULAW_BIAS) << ((bits & 0x70) >> 4)) - MULAW_BIAS;
  return bits & 0x80 ? -magnitude : magnitude;
});

function toMulaw(sample) {
  const sign = sample < 0 ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(sample), MULAW_CLIP) + MULAW_BIAS;
  const exponent = 31 - Math.clz32(magnitude) - 7;
  const mantissa = (magnitude >> (exponent + 3)) & 0x0f;
  return ~(sign | (exponent << 4) | mantissa) & 0xff;
}

/** Base64 of the bridge as samples between -1 and 1. */
export function decode(base64, format) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  if (format === "mulaw") return Float32Array.from(bytes, (code) => FROM_MULAW[code] / 32768);
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length >> 1 }, (_, at) => view.getInt16(2 * at, true) / 32768);
}

/** Samples as base64 for the bridge. What is louder than full scale is clipped. */
export function encode(samples, format) {
  const mulaw = format === "mulaw";
  const bytes = new Uint8Array(samples.length * (mulaw ? 1 : 2));
  const view = new DataView(bytes.buffer);
  samples.forEach((sample, at) => {
    const level = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    if (mulaw) bytes[at] = toMulaw(level);
    else view.setInt16(2 * at, level, true);
  });
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

/** A message of the bridge for the player: its audio as samples. */
export function fromBridge(text, format) {
  const { audio, ...message } = JSON.parse(text);
  return audio === undefined ? message : { ...message, samples: decode(audio, format) };
}

/** Changes the rate of a stream by averaging what falls into one sample. */
export class Resampler {
  #ratio;
  #sum = 0;
  #weight = 0;

  constructor(fromHz, toHz) {
    this.#ratio = fromHz / toHz;
  }

  /** The further samples that these make complete. */
  push(samples) {
    const out = [];
    for (const sample of samples) {
      let left = 1;
      while (this.#weight + left >= this.#ratio) {
        const part = this.#ratio - this.#weight;
        out.push((this.#sum + sample * part) / this.#ratio);
        left -= part;
        this.#sum = this.#weight = 0;
      }
      this.#sum += sample * left;
      this.#weight += left;
    }
    return out;
  }
}
