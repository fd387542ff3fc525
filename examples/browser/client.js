/** One call: a websocket of the bridge, a player and a microphone. */

import { encode, FORMATS, fromBridge } from "./codec.js";

const REPORT_EVERY_MS = 50;

/**
 * Calls the bridge at `url`. `audio` must be the format the bridge speaks. `onEnd` is told why the call is over.
 * Must be called from a click: browsers let nothing sound before one. Returns `{ press, hangUp }`.
 */
export async function call({ url, audio, onEnd }) {
  const { agentHz, callerHz } = FORMATS[audio];
  const microphone = await navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true },
  });
  // Two contexts: that of the microphone runs at the device's rate, which is all that some browsers can connect to it.
  const hearing = new AudioContext();
  const speaking = new AudioContext({ sampleRate: agentHz });
  const code = new URL("worklet.js", import.meta.url);
  await Promise.all([hearing.audioWorklet.addModule(code), speaking.audioWorklet.addModule(code)]);

  const player = new AudioWorkletNode(speaking, "player", {
    numberOfInputs: 0,
    outputChannelCount: [1],
    processorOptions: { rateHz: agentHz, reportEveryMs: REPORT_EVERY_MS },
  });
  const ear = new AudioWorkletNode(hearing, "microphone", {
    numberOfOutputs: 0,
    channelCount: 1,
    channelCountMode: "explicit",
    processorOptions: { fromHz: hearing.sampleRate, toHz: callerHz },
  });

  const socket = new WebSocket(url);
  const say = (message) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  };
  const end = (why) => {
    for (const track of microphone.getTracks()) track.stop();
    for (const context of [hearing, speaking]) if (context.state !== "closed") context.close();
    onEnd(why);
  };
  const hangUp = () => {
    say({ type: "stop" });
    socket.close();
  };

  socket.onopen = () => {
    say({ type: "start", stream: crypto.randomUUID(), call: crypto.randomUUID() });
    player.port.onmessage = ({ data }) => say(data);
    ear.port.onmessage = ({ data }) => say({ type: "audio", audio: encode(data, audio) });
    player.connect(speaking.destination);
    hearing.createMediaStreamSource(microphone).connect(ear);
  };
  socket.onmessage = ({ data }) => {
    const message = fromBridge(data, audio);
    player.port.postMessage(message, message.samples ? [message.samples.buffer] : []);
  };
  socket.onclose = ({ code: number, reason }) => end(reason || `closed with code ${number}`);
  addEventListener("pagehide", hangUp, { once: true });

  return { press: (digit) => say({ type: "dtmf", digit }), hangUp };
}
