/** The microphone and the loudspeaker, in the encoding that `SETTINGS` of call.js name: 16 bit, one channel. */

const RATE = 16_000;

const WORKLET = `
  registerProcessor("microphone", class extends AudioWorkletProcessor {
    process([[samples]]) {
      if (samples) {
        const sound = Int16Array.from(samples, (sample) => Math.max(-1, Math.min(1, sample)) * 0x7fff);
        this.port.postMessage(sound.buffer, [sound.buffer]);
      }
      return true;
    }
  });
`;

/** Calls `take` with each piece of sound until the function that it returns is called. */
export async function listen(take) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, channelCount: 1 } });
  const context = new AudioContext({ sampleRate: RATE });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" })));
  const microphone = new AudioWorkletNode(context, "microphone");
  microphone.port.onmessage = ({ data }) => take(data);
  context.createMediaStreamSource(stream).connect(microphone);
  return () => {
    for (const track of stream.getTracks()) track.stop();
    void context.close();
  };
}

/** Plays pieces of sound one after the other, until it is interrupted. */
export class Loudspeaker {
  #context = new AudioContext({ sampleRate: RATE });
  #playing = new Set();
  #end = 0; // of what is queued, in the seconds of the context

  play(audio) {
    const samples = Float32Array.from(new Int16Array(audio), (sample) => sample / 0x8000);
    if (samples.length === 0) return;
    const buffer = this.#context.createBuffer(1, samples.length, RATE);
    buffer.copyToChannel(samples, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#context.destination);
    source.onended = () => this.#playing.delete(source);
    this.#playing.add(source);
    this.#end = Math.max(this.#end, this.#context.currentTime);
    source.start(this.#end);
    this.#end += buffer.duration;
  }

  interrupt() {
    for (const source of this.#playing) source.stop();
    this.#end = 0;
  }
}
